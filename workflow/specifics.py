r"""The specifics of a text, which need a source: `mx-07.corp.example`, `MTU 1380`.

By form: hosts, addresses, ports, paths, files, versions, codes, amounts, settings, and names of uncommon products.
Common technical knowledge is excluded (`common_words.txt`): port 443, TLS 1.2, C:\Windows. Small counts, times,
dates and percentages are excluded, unless they are the value of a setting.
"""

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from privacy.redaction.text import folded
from workflow.commands import commands_in, has_command, normalised_commands
from workflow.defanging import BREAK, DOCUMENTATION
from workflow.note import WORDS

# Common technical knowledge, casefolded. It need not be complete: a missing term is only marked as unsupported.
_WORDS = {
    name: frozenset(words.split())
    for name, words in re.findall(
        r"(?m)^\[([a-z ]+)\]$([^\[]*)", Path(__file__).with_name("common_words.txt").read_text("utf-8")
    )
}
_PRODUCTS = _WORDS["products"]
_FIRST_WORDS = _WORDS["first words"]
_FILES = _WORDS["files"]
_KNOWN_PORTS = _WORDS["ports"]
_KNOWN_NUMBERS = _WORDS["numbers"]
_KNOWN_HOSTS = re.compile(
    r"(?:[\w-]+\.)*(?:microsoft|office|office365|outlook|microsoftonline|live|azure|google|apple|adobe|windows)\.com"
)
KNOWN_LINKS = re.compile(
    rf"(?:https?://)?(?:{_KNOWN_HOSTS.pattern}|aka\.ms|(?:www\.)?(?:example|domain)\.com)(?:[/?].*)?"
)
_KNOWN_ADDRESSES = re.compile(
    r"(?:127|0|255\.(?:0|255)|169\.254|224|239)\.[\d.:/]*|(?:8\.8\.8\.8|8\.8\.4\.4|1\.1\.1\.1|1\.0\.0\.1)(?::53)?"
    r"|10\.0\.0\.0(?:/8)?|172\.16\.0\.0(?:/12)?|192\.168\.(?:0\.0(?:/16)?|[01]\.(?:0(?:/24)?|1))"
)
_EXAMPLES = re.compile(
    r"(?:[\w.+-]+@)?(?:example|domain|company|firma|contoso|beispiel|exemple|ejemplo|your-?domain|yourcompany)"
    r"\.(?:com|org|net|de|fr|es|local)|[\w.+-]+@[\w-]+\.\.\."
)
_KNOWN_CODES = re.compile(
    r"(?:sha|rsa|aes|md|utf|iso|rfc|ipv|smbv?|snmpv|ntlmv|imap|pop|cat|rj|wpa|http|usb|win|windows|office|outlook|excel"
    r"|exchange|microsoft|tls|ssl|tlsv|pcie?|ddr|base|crc|x|wi-fi|wifi|w|m|o|h|f|ctrl\+f|strg\+f|alt\+f|fn\+f"
    r"|shift\+f|umschalt\+f|v|des|din|ean|rs|pkcs|mschapv|peap-mschapv|dns|dp|ax|cr|pcl|msxml|nod|vc|log4j|iso/iec|hdmi|bluetooth|dvi|kw|s/4hana)"
    r"-?v?\d{1,4}(?:[.,]\d{1,2})?[a-z]?(?:[/-]v?\d[\d.:/-]*[a-z]?\d?)?(?:[/-][^\W\d_]{2,})*|iso-?\d{5}"
    r"|[a-z]\d{1,2}-[^\W\d_]{3,}"
)
# A number with or without thousands separators.
_VALUE = r"(\d{1,3}(?:[.,'’ \u00a0\u202f]\d{3})+(?!\d)|\d{1,10}(?:[.,]\d{1,4})?)"
_HIVES = {"hkey_local_machine": "hklm", "hkey_current_user": "hkcu", "hkey_classes_root": "hkcr", "hkey_users": "hku"}
_HIVE = re.compile("|".join(_HIVES))
# 30.40 is not part of 10.20.30.40.
_WHOLE_VALUE = re.compile(rf"(?<![\d.]){_VALUE}(?!\.?\d)")
_MAX_LENGTH = 2000
_DIGIT = re.compile(r"\d")
_CODE_SIGN = re.compile(r"[\d._@:-]|(?i:srv)")
_TOKEN = re.compile(r"\w(?:[\w.:@/$+-]*\w)?")
# Markers of left-out parts, and placeholders of redacted values: they are not the model's words.
_MARKERS = {marker for words in WORDS.values() for marker in vars(words).values() if marker.startswith("[")}
_MARKER_OR_PLACEHOLDER = re.compile(rf"{'|'.join(sorted(map(re.escape, _MARKERS)))}|\[[A-Z]{{3,20}}_\d{{1,4}}\]")
_NO_BLANKS = re.compile(r"\S+")
# Brackets of a defanged link: `example[.]com`.
_DEFANGED = re.compile(rf"\[[.:\\]{{1,2}}\]|{BREAK}")
# A shorter text that ends in `…` was not cut.
_MIN_CUT_LENGTH = 190
# Each dash is replaced by one hyphen: positions must not change.
_DASHES = dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2212), "-")
_PATH = re.compile(
    r"(?<![\w.:/\\-])(?:[A-Za-z]:[\\/]|%\w{2,30}%[\\/]|HK(?:LM|CU|CR|U|EY_\w{3,20})[:\\/]{1,2}|~/|/(?=[\w.-]{1,60}/\w))"
    r"[^\s\"“”„«»`'()<>,;!?…|*]*|(?<![\w\\])[\w.$-]{1,80}(?:\\{1,2}[\w.$%{}-]{1,80}){1,20}"
)
_PORT = re.compile(
    r"(?i)(?<!\w)(?:ports?|puertos?|portas?|porte|poort(?:en)?|tcp|udp)[\s:/#-]{0,2}(\d{2,5})(?![\w.]*\d)"
    r"|(?<![\w.])(\d{2,5})/(?:tcp|udp)\b"
)
_ERROR = re.compile(
    r"(?i)(?<!\w)(?:error|err|fehler\w{0,12}|erreur|errore|fout\w{0,8}|erro|code|codice|código"
    r"|event[- ]id|ereignis(?:-id)?)"
    r"\s?(?:code|nummer|number|id|n[°º])?[:# ]{0,3}(-?\d{3,10})(?![\w.]*\d)"
)
_UNITS = (
    r"[KMGT]i?B|[KMG]o|MHz|[kMG]bit/s|[MG]bps|dpi|px|ms|mm|kW|W|°C|EUR|USD|CHF|GBP|[Ee]uros?|[Dd]ollars?|dólares|€|\$|£"
)
_BYTES = re.compile(r"[KMGT](?:i?B|o)$")
_AMOUNT = re.compile(rf"(?<![\w.,])(?:[€$£]\s?{_VALUE}(?!\w)|{_VALUE}[\s\u00a0-]?(?:{_UNITS})(?!\w))")
# A round amount after one of these is a rule of thumb: "at least 20 GB free".
_ABOUT = re.compile(
    r"(?i)(?:at least|about|around|more than|over|less than|under|below|mindestens|wenigstens|etwa|rund|ca\.|mehr als"
    r"|über|unter|weniger als|au moins|environ|plus de|moins de|al menos|unos|más de|menos de|almeno|circa|più di"
    r"|minstens|ongeveer|meer dan|pelo menos|cerca de|mais de|(?:er|r) (?:than|als)|plus \w+ que|más \w+ que)"
    r"\s(?:\w+\s)?$"
)
_OR_MORE = re.compile(r"(?i)\s(?:or|oder|ou|o|of) (?:more|less|mehr|weniger|plus|moins|más|menos|più|meer|mais)\b")
_SPEED = re.compile(r"(?:1|2\.5|10|25|40|100|1000)\D{0,2}(?:[MG]bit/s|[MG]bps)")
_ROUND = re.compile(r"(?:[1-9]0*|[12]5|16|32|64|128|256|512)")
_SET = (
    r"set|raise|lower|increase|reduce|decrease|limit|extend|change|adjust|configure|setz\w{1,3}|stell\w{1,3}|erhöh\w{1,3}"
    r"|senk\w{1,3}|begrenz\w{1,3}|änder\w{1,2}|réglez|mettez|fixez|portez|augmentez|limitez|définissez|ponga|fije|suba"
    r"|aumente|establezca|ajuste|configure|limite|imposti|porti|aumenti|zet|stel|verhoog|beperk|defina"
)
_SETTING = re.compile(
    rf"(?i)(?<!\w)(?:{_SET})\s[^.!?;\n]{{0,60}}?(?<!\w)(?:to|at|auf|à|a|en|su|op|para|em|=)\s"
    rf"{_VALUE}(?![\w.:]*\d)"
    rf"|(?<!\w)(?:mtu|ttl|vlan|timeout|time-?out|zeitlimit|quota|threshold|schwellwert|grenzwert|interval)s?"
    rf"(?:\s(?:id|of|is|von|ist|de|est|es|to|auf)){{0,2}}\s?[=:]?\s?{_VALUE}(?![\w.]*\d)"
)
_NUMBER = re.compile(rf"(?<![\w.,:/+-])(?!\d{{1,2}}:){_VALUE}(?![\w:/-]*\w|[.,]\d|\.[a-z]\b)")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_CODE = re.compile(
    r"""(?x)
      (?P<address>(?:\d{1,3}\.){3}\d{1,3}(?:[:/]\d{1,5})?)
    | (?P<bytes>[0-9a-f]{1,4}(?:::?[0-9a-f]{1,4}){3,7})
    | (?P<hex>0x[0-9a-f]{2,16})
    | (?P<day>(?:0?[1-9]|[12]\d|3[01])[./-](?:0?[1-9]|1[0-2])[./-](?:20\d\d|19[89]\d)
        | (?:0?[1-9]|1[0-2])/(?:1[3-9]|2\d|3[01])/(?:20)?\d\d | (?:0[1-9]|[12]\d|3[01])[./-](?:0[1-9]|1[0-2])[./-]\d\d
        | 20\d\d[./-](?:0?[1-9]|1[0-2])[./-](?:0?[1-9]|[12]\d|3[01])(?:t[\d:.z+-]*)?)
    | (?P<version>v?\d{1,5}(?:\.\d{1,6}){1,5}[a-z]?)
    | (?P<name>[^\W\d_][\w-]*(?:\.[^\W\d_][\w-]*)*\.[^\W\d_][\w-]+(?::\d{2,5})?)
    | (?P<machine>(?:srv|prn|fw|gw|lap|wks|esx|dc|svc)-\w[\w-]*|(?:sw|app|web|vm|pc|nb|ts|sql|db|vpn)-[\w-]*\d
        |(?:dc|fs|ex|ts|db|sql|mx|gw|fw|esxi?|hv|nas|rds|prn)\d\d?|(?!server\d$)[^\W\d_]*(?:srv|server|svr|gw|exchange)\d\d?
        |srv[^\W\d_]{2,}|[^\W\d_]{2,}srv)
    | (?P<mixed>(?=[^\d]*\d)(?=.{5})[^\W\d_][\w./:$-]*)
    | (?P<joined>(?=.*[^\W\d_])(?=.{5})[\w-]*_[\w-]*)
    """
)
# Terms with one digit (Layer-2), and forms that other patterns handle: tcp/1433.
_ONE_DIGIT = re.compile(r"[^\W\d_]{2,}(?:-[^\W\d_]+)*[-/]\d(?:-[^\W\d_]+)*|[^\W\d_]+\d|(?:tcp|udp)/\d+|(?:pre|vor)-\d+")
_YEAR = re.compile(r"199\d|20[0-3]\d")
_TIME = (
    r"h|min|s|ms|sec|sek|secs|mins|(?:stund|heure|hora|uur|hour|day|tag|jour|d[ií]a|gior|dag|week|woche|sema|seti|month"
    r"|monat|mois|mese|maand|year|jahr|ann[oi]|año|jaar|minut|second[aeios]|sek(?!t)|segundo)\w{0,6}|second|ora|ore|mes|ans?"
    r"|seg"
)
_TIME_BEHIND = re.compile(
    rf"(?i)[\s\u00a0-]?(?:[%‰]|(?:{_TIME}|uhr|[ap]\.?m|times|mal|x|[gm]hz|fois|veces|volte|keer|vezes)\b)"
)
_UNIT_BEHIND = re.compile(
    rf"(?i)[\s\u00a0-]?(?:%|(?:{_TIME}|bytes?|octets?|bits?|percent|prozent|pour cent|por ciento|[kmg]o|[kmgt]i?b"
    r"|[mg]hz)\b)"
)
# The words before a product to install: for a wrong name, a technician would search in vain. Only articles and similar
# words may be between verb and name.
_INSTALLED = re.compile(
    r"(?i:(?<!\w)(?:install(?!ation)\w{0,5}|instal[ae]\w{0,2}|deploy\w{0,3}|download\w{0,3}|télécharge[rz]?|descarg\w{1,4}"
    r"|scaric\w{1,4})"
    r"(?:\s(?:sie|bitte|zuerst|d'abord|primero|prima|eerst|first|the|an?|any|our|your|new|newest|latest|current|also|free|tool|program|app|agent|client|den|die|das"
    r"|ein(?:en?)?|neue[ns]?|neuesten?|aktuellen?|les?|la|une?|los|las|el|una|il|lo|gli|uno|de|het|een|[oa]s?|uma?)){0,4}\s)$"
)
_MAX_DISTANCE = 60
_BEFORE_NAME = frozenset({"sie", "bitte", "ihr", "ihnen"})
_WORD = r"[^\W\d_a-zß-öø-ÿ][^\W\d_]+"
_NAMES = re.compile(rf"(?<=[^\W_,:;] )(?<![.!?:]\s)({_WORD}(?: {_WORD}){{0,3}})(?!\w)")
_INNER = re.compile(r"(?<![\w./\\@-])[^\W\d_]*[a-zß-öø-ÿ][A-Z][^\W\d_]+(?![\w.\\/@]*\w)")
_WHOLE = frozenset({"100"})
_USUAL_MTU = _WHOLE | {"1500", "1492"}
_COMMON_PATH_PARTS = _WORDS["places"] | _FILES | _PRODUCTS


# A renamed file: profile.xml.old.
_OLD_COPY = re.compile(r"\.(?:old|bak|backup|alt|orig|sav)$")
_PHONE = re.compile(r"\d[\d\s()/.-]{5,24}\d")
_MIN_PHONE_LENGTH = 7
# Folders of every Windows.
_BUILT_IN_PATH = re.compile(r"(?i)(?:%(?:temp|tmp|windir|systemroot)%|c:[\\/]windows)[\\/]")


class Specific(NamedTuple):
    """The position of a specific in a text, and its `key` for a SourceText."""

    begin: int
    end: int
    key: str
    is_number: bool = False
    equals: tuple[str, ...] = ()
    """The same amount in other units: "2048" (MB) for 2 GB."""
    is_command: bool = False


class SourceText:
    """Searchable texts; `and_of` adds those of another instance."""

    def __init__(self, texts: Iterable[str], and_of: "SourceText | None" = None) -> None:
        whole = "\n".join(texts)
        self._text = folded_key(whole)
        self._commands = normalised_commands(whole)
        self._numbers = set(_runs(self._text))
        self._phones = {re.sub(r"\D", "", phone) for phone in _PHONE.findall(self._text)}
        self._also = and_of

    def has(self, specific: Specific) -> bool:
        if self._also is not None and self._also.has(specific):
            return True
        if specific.is_command:
            # The word before an option may be prose: "push using --force-with-lease".
            option = specific.key.partition(" ")[2]
            return has_command(self._commands, specific.key) or (
                option.startswith("--") and has_command(self._commands, option)
            )
        if (original := _OLD_COPY.sub("", specific.key)) != specific.key:
            return self.has(specific._replace(key=original))
        if specific.is_number and len(specific.key) >= _MIN_PHONE_LENGTH and specific.key.isdecimal():
            return any(phone.endswith(specific.key) for phone in self._phones) or specific.key in self._numbers
        if specific.is_number:
            return not self._numbers.isdisjoint((specific.key, *specific.equals))
        if self._contains(specific.key) or plain_number(specific.key) in self._numbers:
            return True
        if (code := re.fullmatch(r"([a-z]{2,8})[-_]?(\d{3,})", specific.key)) is not None:
            # A source may have a word and a number, or one word: KB 5034441, lap4711.
            return (code[2] in self._numbers and self._contains(code[1])) or self._contains(code[1] + code[2])
        if specific.key.startswith("0x"):
            return self._contains(specific.key[2:])
        return "-" in specific.key and self._contains(specific.key.replace("-", " "))

    def _contains(self, key: str) -> bool:
        # 4.2 is not part of 1.4.2.
        before = r"(?<!\w)(?<!\d\.)" if key[0].isdigit() else r"(?<!\w)"
        return key in self._text and re.search(rf"{before}{re.escape(key)}(?!\w)", self._text) is not None


def folded_key(text: str) -> str:
    key = re.sub(r"[\\/]+", "/", folded(text).text.casefold())
    key = _HIVE.sub(lambda hive: _HIVES[hive[0]], key).replace("%programdata%", "c:/programdata")
    # PowerShell's spelling: HKLM:\Software.
    key = key.replace("hklm:/", "hklm/").replace("hkcu:/", "hkcu/")
    return " ".join(re.sub(r"[\"'“”„‘’«»`]", " ", key).split())


def plain_number(number: str) -> str:
    whole = re.sub(r"[.,'’ \u00a0\u202f](?=\d{3}(?!\d))", "", number)
    return whole.replace(",", ".")


def _runs(text: str) -> Iterator[str]:
    for run in re.findall(r"\d+(?:[.,: '’]\d+)*", text):
        yield run
        yield from re.split(r"[,: '’]", run)
        yield from map(plain_number, _WHOLE_VALUE.findall(run))


def specifics_of(text: str, language: str) -> list[Specific]:
    """Return the specifics of a text, in order and without overlaps."""
    cleaned = _MARKER_OR_PLACEHOLDER.sub(_blank, text[:_MAX_LENGTH].translate(_DASHES))
    cleaned = DOCUMENTATION.sub(_blank, cleaned)
    cleaned = _NO_BLANKS.sub(_blank_if_defanged, cleaned)
    if len(cleaned) > _MIN_CUT_LENGTH and cleaned.endswith("…"):
        # The last word may be incomplete.
        cleaned = cleaned[: cleaned.rfind(" ") + 1]
    commands = [(each.begin, each.end) for each in commands_in(cleaned)]
    found = [Specific(begin, end, cleaned[begin:end], is_command=True) for begin, end in commands]
    if "/" in cleaned or "\\" in cleaned:
        found, cleaned = [*found, *_paths(cleaned)], _PATH.sub(_blank, cleaned)
    found += [*_tokens(cleaned), *(_numbers(cleaned) if _DIGIT.search(cleaned) else ()), *_names(cleaned, language)]
    found.sort(key=lambda specific: (specific.begin, -specific.end))
    distinct: list[Specific] = []
    for specific in found:
        if not distinct or specific.begin >= distinct[-1].end:
            distinct.append(specific)
    return distinct


def _blank_if_defanged(found: re.Match[str]) -> str:
    return _blank(found) if _DEFANGED.search(found[0]) else found[0]


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


def _paths(text: str) -> Iterator[Specific]:
    for found in _PATH.finditer(text):
        path = found[0].rstrip(".:'-")
        parts = re.split(r"[\\/:%]+", path.casefold())
        is_common = _BUILT_IN_PATH.match(path) or all(not part or part in _COMMON_PATH_PARTS for part in parts)
        if not is_common:
            yield Specific(found.start(), found.start() + len(path), folded_key(path).strip("/"))


def _tokens(text: str) -> Iterator[Specific]:
    for found in _TOKEN.finditer(text):
        if not _CODE_SIGN.search(found[0]):
            continue
        token = found[0].casefold()
        if "@" in token and (mail := _MAIL.fullmatch(token)):
            if not _EXAMPLES.fullmatch(token):
                yield Specific(found.start(), found.end(), mail[0])
        elif token in _WORDS["codes"] or _EXAMPLES.fullmatch(token):
            continue
        elif (code := _CODE.fullmatch(token)) and not _is_common(code, text, found):
            key = token.removeprefix("v") if code["version"] else token
            yield Specific(found.start(), found.end(), folded_key(key))


def _is_common(code: re.Match[str], text: str, found: re.Match[str]) -> bool:
    token, kind = code[0], code.lastgroup
    if kind == "address":
        return _KNOWN_ADDRESSES.fullmatch(token) is not None
    if kind == "version":
        before = re.findall(r"\w+", text[max(0, found.start() - 14) : found.start()].casefold())[-1:]
        return _TIME_BEHIND.match(text, found.end()) is not None or not _WORDS["standards"].isdisjoint(before)
    if kind == "name":
        # `done.Then` is no host, but two sentences without a blank between them.
        is_known = token in _FILES or _KNOWN_HOSTS.fullmatch(token)
        return bool(is_known) or re.search(r"[a-zß-ÿ]\.[A-Z][a-z]+$", found[0]) is not None
    if kind == "mixed":
        if _KNOWN_CODES.fullmatch(token) or _ONE_DIGIT.fullmatch(token):
            return True
        return all(_KNOWN_CODES.fullmatch(part) for part in token.split("/") if _DIGIT.search(part))
    return kind == "day" or (kind == "machine" and token in _WORDS["no machines"])


def _numbers(text: str) -> Iterator[Specific]:
    for found in _PORT.finditer(text):
        yield from _number(found, _KNOWN_PORTS)
    for found in _ERROR.finditer(text):
        yield from _number(found, _KNOWN_NUMBERS)
    for found in _SETTING.finditer(text):
        value = found[found.lastindex or 0]
        if len(value) > 1 and not _YEAR.fullmatch(value):
            yield from _number(found, _USUAL_MTU if "mtu" in found[0].casefold() else _WHOLE)
    for found in _AMOUNT.finditer(text):
        is_about = _ABOUT.search(text[max(0, found.start() - 24) : found.start()]) or _OR_MORE.match(text, found.end())
        is_round = is_about and _ROUND.fullmatch(plain_number(found[found.lastindex or 0]))
        if not (is_round or _SPEED.fullmatch(found[0])):
            yield from _number(found, frozenset())
    for found in _NUMBER.finditer(text):
        number = plain_number(found[1])
        is_time = _YEAR.fullmatch(found[1]) or _TIME_BEHIND.match(text, found.end())
        if len(number.partition(".")[0]) > 3 and not is_time:
            yield from _number(found, _KNOWN_NUMBERS | _KNOWN_PORTS)


def _number(found: re.Match[str], known: frozenset[str]) -> Iterator[Specific]:
    group = found.lastindex or 0
    number = plain_number(found[group])
    if number not in known:
        unit = _UNIT_BEHIND.match(found.string, found.end())
        end = unit.end() if unit else found.end()
        equals = _equals(number) if _BYTES.search(found[0]) else ()
        yield Specific(found.start(group), end, number, is_number=True, equals=equals)


def _equals(number: str) -> tuple[str, ...]:
    value = Decimal(number)
    steps = [Decimal(base) ** power for base in (1000, 1024) for power in (-2, -1, 1, 2)]
    return tuple(f"{(value * step).normalize():f}" for step in steps)


def _names(text: str, language: str) -> Iterator[Specific]:
    for found in _INNER.finditer(text):
        name = found[0].casefold()
        is_common = name.removesuffix("s") in _PRODUCTS or name in _PRODUCTS | _FIRST_WORDS
        # German gendered plurals (MitarbeiterInnen) and Scottish family names (McLeod) are no products.
        if not (is_common or name.endswith("innen") or name.startswith("mc")):
            yield Specific(found.start(), found.end(), name)
    for found in _NAMES.finditer(text):
        words = found[1].casefold().split()
        while words and words[0] in _BEFORE_NAME:
            words.pop(0)
        if not words or words[0] in _FIRST_WORDS or not _PRODUCTS.isdisjoint(words):
            continue
        # German nouns have capitals too: two adjacent ones count as a name.
        is_name = len(words) > 1 or language != "de"
        if is_name and _INSTALLED.search(text[max(0, found.start() - _MAX_DISTANCE) : found.start()]):
            yield Specific(found.start(1), found.end(1), words[0])
