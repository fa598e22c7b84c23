"""What tells of an organisation's network: IP and MAC addresses, and names of hosts."""

import re
from collections.abc import Iterator

from masking.found import Located
from masking.lists import listed, words
from masking.reading import ReadText

_V4 = re.compile(r"\d(?<![\w.-]\d)\d{0,2}(?:\.\d{1,3}){3}(?:/\d{1,2})?(?![\w]|\.\d|-\d)")
_V6 = re.compile(r"[0-9A-Fa-f:](?<![\w:.].)[0-9A-Fa-f:]{3,44}(?:%\w{1,15})?(?:/\d{1,3})?(?![\w:])")
_MAC = re.compile(
    r"[0-9A-Fa-f](?<![\w:-].)(?:[0-9A-Fa-f]([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}"
    r"|[0-9A-Fa-f]{3}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4})(?![\w:-])"
)
_DECIMAL = re.compile(r"[\d.]+")
_UNC = re.compile(r"\\\\([^\W_][\w.-]{0,80})")
_VERSION = re.compile(
    r"(?<![^\W_])(?:version|firmware|build|release|v|fw|ver|client|edge|chrome|plugin|dc|ltsc|anyconnect|driver|treiber"
    r"|bios|agent|update|patch)\.?\s?$"
)
# Else four small numbers are a version.
_OF_ADDRESS = re.compile(
    r"(?<![^\W_])(?:ip|dns|address|adresse|gateway|gw|server|host|ping|route|subnet)[\w\s:=-]{0,12}$"
)
# What may be a name of a host: parts joined by dots and hyphens.
_NAMES = re.compile(r"[^\W_]+(?:[._-][^\W_]+)*")
_END = listed("network end")
_WITHIN = listed("network within")
_SUFFIXES = listed("network suffixes")
_PUBLIC = listed("network public")
_READ = listed("network read by anybody")
_SECONDS = frozenset(["ac", "co", "com", "edu", "gov", "gv", "ltd", "net", "nhs", "or", "org", "plc", "sch"])
# "GVSQL01", and what is written alike at the beginning of other lines.
_WITHIN_NAME = re.compile(
    r"[A-Z]{2,4}(?:SRV|SQL|FILE|DC|APP|WEB|PRINT|EXCH|DB|FS|TS|BACKUP|MAIL|VM|ESX|NAS)[A-Z]?\d{1,3}"
)
_MACHINE = re.compile(
    r"(?:lic|till|srv|server|svr|dc|fs|sql|db|ora|sap|app|web|mail|smtp|imap|mx|vpn|gw|gateway|fw|rtr|router|sw"
    r"|switch|ap|wlc|pc|nb|wks|ws|ts|rds|term|"
    r"lap|laptop|lt|desk|print|prn|prt|drucker|printer|nas|san|esx|esxi|hv|vm|k8s|node|host|proxy|dns|dhcp|ns"
    r"|ldap|git|gitlab|jenkins|build|ci|"
    r"pos|kiosk|cam|nvr|plc|hmi|scada|erp|crm|wms|file|files|backup|bkp|exch|mdt|wsus|sccm|citrix|ctx|xen"
    r"|intranet|portal|api|stage|log|syslog|mon|"
    r"iphone|ipad|mac|mbp|macbook|edge|core|cluster|redis|kafka|mongo|pg|mysql|mssql|elastic|remote|rdp|jump"
    r"|bastion|sftp|ftp|ntp|radius|nps|voip|sip|pbx|mdfeed|farm|"
    r"relay|intra|sharepoint|webmail|owa|autodiscover|adfs|sso|monitoring|zabbix|nagios|grafana|registry|repo"
    r"|nexus|vault|harbor|tab|tablet)[a-z]{0,3}\d{0,4}"
)
_CODE = re.compile(
    r"[A-Z]{2,8}-\d+|[A-Z]{1,4}\d{2,}[A-Z]?|\d+(?:[._-]\d+)*|[A-Z]{2,5}-20\d\d-\d+|v?\d.*|[A-Z][a-z]+\d{0,2}|[A-Z]+"
)
_CODED = re.compile(r"[A-Z]-\d{1,4}|[A-Z]{2,4}-[1-9]\d{0,3}|[A-Z]{2,8}-20\d\d-\d+|debug\d")
_PRINTER = re.compile(r"(?:PRN?|DR)-[A-Z][A-Z0-9]{1,5}-\d{2}")
# The first word of several lines, with blanks behind it as a column has them.
_FIRST = re.compile(r"\n([A-Z]{2,6}-?[A-Z]{0,6}\d{2,5})(?= {2,20}[A-Za-z])")
_LISTS = re.compile(r"lastlogon|online|offline|success|failed|enabled|disabled|reachable|ping|backup")
# Of Britain: WS13 7PQ.
_POSTCODE = re.compile(r"[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}")
_BESIDE = re.compile(
    r"(?<![^\W_])(?:controller|connected to|server|host|hostname|machine|computer|pc|workstation|device|gerät"
    r"|rechner\w*|laptop|notebook|gw"
    r"|gateway|vm|node|knoten|dc|printer|drucker|caller\w*|client|endpoint|port|switch|ap|accesspoint|access "
    r"point|router|firewall|relay|nas|ping\w*|auf|on|from|reach|system|maschine|name|named|domain|rdp|ssh"
    r"|cluster|kiosk|station|instance|vm|db|box|terminals?|tablets?)(?:name)?[\s:=(\"'/]{1,3}(?:(?:is|ist|lautet|name|named"
    r"|called|heißt|den|dem|der|die|to|nach|nicht auf|my|the)\s)?[\"']?$"
)


def hosts(read: ReadText) -> Iterator[Located]:
    """Find addresses and names of machines."""
    text = read.text
    for found in _V4.finditer(text):
        is_version = _VERSION.search(read.low, max(0, found.start() - 14), found.start())
        groups = [int(each) for each in found[0].partition("/")[0].split(".")]
        if (
            not is_version
            and max(groups) < 256
            and (
                groups[0] > 9
                or max(groups) > 99
                or _OF_ADDRESS.search(read.low, max(0, found.start() - 20), found.start())
            )
        ):
            yield _host(*found.span())
    if text.count(":") > 4 or "::" in text:
        yield from (_host(*found.span()) for found in _V6.finditer(text) if _is_v6(found[0]))
    yield from (_host(*found.span()) for found in _MAC.finditer(text) if found[1] or not _DECIMAL.fullmatch(found[0]))
    if "\\\\" in text:
        yield from (_host(*found.span(1)) for found in _UNC.finditer(text))
    rows = _FIRST.findall(text) if "  " in text else ()
    if len(rows) > 1 and _LISTS.search(read.low):
        yield from (_host(*found.span(1)) for found in _FIRST.finditer(text))
    for found in _NAMES.finditer(text):
        if found.end() - found.start() > 3 and _is_name(read, found):
            yield _host(*found.span())


def _is_v6(written: str) -> bool:
    groups = written.partition("/")[0].partition("%")[0]
    count = groups.count(":")
    return (
        (count == 7 or ("::" in groups and 2 <= count < 8))
        and ":::" not in groups
        and any(each.isalnum() for each in groups)
    )


def _is_name(read: ReadText, found: re.Match[str]) -> bool:
    name, before = found[0], read.text[found.start() - 1 : found.start()]
    if not ("-" in name or "." in name or any(each.isdigit() for each in name)) or before == "#":
        return False
    if read.text[found.end() : found.end() + 1] == "@" or len(name) > 120:
        return False
    if _POSTCODE.fullmatch(name + read.text[found.end() : found.end() + 4]):
        return False
    labels = name.lower().split(".")
    if len(labels) > 1:
        return _is_whole(labels)
    if _PRINTER.fullmatch(name) and ("druck" in read.low or "print" in read.low):
        return True
    is_beside = before == "@" or bool(_BESIDE.search(read.low, max(0, found.start() - 34), found.start()))
    return "_" not in name and name[0].isalpha() and _is_alone(name, is_beside=is_beside)


def is_machine(name: str) -> bool:
    """Return True for a name that begins with a kind of machine and ends with a number."""
    first, _, rest = name.lower().partition("-")
    return bool(rest) and rest[-1].isdigit() and bool(_MACHINE.fullmatch(first))


def _is_alone(name: str, *, is_beside: bool) -> bool:
    """Return True for the name of a machine without a domain."""
    parts, has_digit = name.lower().split("-"), any(each.isdigit() for each in name)
    machines = sum(bool(_MACHINE.fullmatch(part)) for part in parts)
    if not (has_digit or machines) and all(part in words() for part in parts):
        return False
    if _WITHIN_NAME.fullmatch(name):
        return True
    if len(parts) == 1:
        return has_digit and len(name) > 3 and (machines > 0 or (is_beside and not _CODE.fullmatch(name)))
    if is_beside and (machines or name.islower() or (has_digit and not _CODED.fullmatch(name))):
        return True
    return machines > 0 and has_digit and (len(parts) > 2 or machines > 1 or not _CODE.fullmatch(name))


def _is_whole(labels: list[str]) -> bool:
    """Return True for the name of a machine under a domain, or one that is known inside only."""
    if labels[-1].isdigit() or not labels[0]:
        return False
    if labels[-1] in _END and labels[-1] not in {"test", "home", "int", "stage", "ad", "domain"}:
        return True
    if len(labels) < 3 or labels[-1] not in _SUFFIXES:
        return False
    if any(label in _WITHIN for label in labels[1:-1]):
        return True
    # Whose machines anybody can reach, and the pages that anybody may read, are none of an organisation's.
    owner = labels[-3] if len(labels[-1]) == 2 and labels[-2] in _SECONDS else labels[-2]
    return owner != labels[0] and owner not in _PUBLIC and labels[0] not in _READ | _SUFFIXES


def _host(begin: int, end: int) -> Located:
    return Located(begin, end, "HOST")
