"""Common technical knowledge: products, folders, files, ports and codes.

A modest list (`common_words.txt`), all casefolded: a missing word only gets a mark that no source has it.
"""

import re
from collections.abc import Mapping
from pathlib import Path


def _read() -> Mapping[str, frozenset[str]]:
    text = Path(__file__).with_suffix(".txt").read_text("utf-8")
    parts = re.findall(r"(?m)^\[([a-z ]+)\]$([^\[]*)", text)
    return {name: frozenset(words.split()) for name, words in parts}


_WORDS = _read()
PRODUCTS = _WORDS["products"]
"""Names with capitals in them, or that a longer name begins with."""
FIRST_WORDS = _WORDS["first words"]
"""What a title in a program begins with, and what stands before a name."""
PLACES = _WORDS["places"]
"""Folders and keys that each machine has."""
FILES = _WORDS["files"]
"""Files and hosts that are the same everywhere, and what looks like one."""
PORTS = _WORDS["ports"]
"""Those of protocols that each network has."""
NUMBERS = _WORDS["numbers"]
"""Round ones, and codes of HTTP and of Windows' sign-in."""
NO_MACHINES = _WORDS["no machines"]
HOSTS = re.compile(
    r"(?:[\w-]+\.)*(?:microsoft|office|office365|outlook|microsoftonline|live|azure|google|apple|adobe|windows)\.com"
)
LINKS = re.compile(rf"(?:https?://)?(?:{HOSTS.pattern}|aka\.ms|(?:www\.)?(?:example|domain)\.com)(?:[/?].*)?")
"""Those that everybody knows, at least to whom they belong."""
STANDARDS = _WORDS["standards"]
"""What has a version that everybody knows it by: TLS 1.2."""
ADDRESSES = re.compile(
    r"(?:127|0|255\.(?:0|255)|169\.254|224|239)\.[\d.:/]*|(?:8\.8\.8\.8|8\.8\.4\.4|1\.1\.1\.1|1\.0\.0\.1)(?::53)?"
    r"|10\.0\.0\.0(?:/8)?|172\.16\.0\.0(?:/12)?|192\.168\.(?:0\.0(?:/16)?|[01]\.(?:0(?:/24)?|1))"
)
"""Those that mean the same in each network."""
CODES_OF_THE_TRADE = _WORDS["codes"]
"""Errors, services and standards that have a page of their own in each handbook."""
EXAMPLES = re.compile(
    r"(?:[\w.+-]+@)?(?:example|domain|company|firma|contoso|beispiel|exemple|ejemplo|your-?domain|yourcompany)"
    r"\.(?:com|org|net|de|fr|es|local)|[\w.+-]+@[\w-]+\.\.\."
)
"""Addresses that stand for any."""
CODES = re.compile(
    r"(?:sha|rsa|aes|md|utf|iso|rfc|ipv|smbv?|snmpv|ntlmv|imap|pop|cat|rj|wpa|http|usb|win|windows|office|outlook|excel"
    r"|exchange|microsoft|tls|ssl|tlsv|pcie?|ddr|base|crc|x|wi-fi|wifi|w|m|o|h|f|ctrl\+f|strg\+f|alt\+f|fn\+f"
    r"|shift\+f|umschalt\+f|v|des|din|ean|rs|pkcs|mschapv|peap-mschapv|dns|dp|ax|cr|pcl|msxml|nod|vc|log4j|iso/iec|hdmi|bluetooth|dvi|kw|s/4hana)"
    r"-?v?\d{1,4}(?:[.,]\d{1,2})?[a-z]?(?:[/-]v?\d[\d.:/-]*[a-z]?\d?)?(?:[/-][^\W\d_]{2,})*|iso-?\d{5}"
    r"|[a-z]\d{1,2}-[^\W\d_]{3,}"
)
"""Standards, keys and releases, such as SHA-256, F12 and Win11."""
