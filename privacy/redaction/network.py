"""Network and places: IP and MAC addresses, names of hosts, postal addresses."""

import re
from collections.abc import Iterator

from privacy.redaction.lexicon import terms, words
from privacy.redaction.recognizers import Detection, pattern, patterns, recognize, table
from privacy.redaction.text import ReadText

_ADDRESSES = table("network")
_NAMES = re.compile(r"[^\W_]+(?:[._-][^\W_]+)*")
_MACHINE, _CODE, _SITED, _BESIDE, _HOST_HEAD, _FILE = patterns("network", "machine code sited beside host_head file")
_CELL = re.compile(r"(?=[^\n]{0,30}[\d-])[\w.-]{4,60}")


def hosts(read: ReadText) -> Iterator[Detection]:
    yield from recognize(_ADDRESSES, read)
    for found in _NAMES.finditer(read.text):
        name = found[0]
        if len(name) > 3 and len(name) < 121 and ("-" in name or "." in name or any(map(str.isdigit, name))):
            begin, end = found.span()
            is_free = read.text[end : end + 1] != "@" and read.text[begin - 1 : begin] not in {"#", "\\"}
            if is_free and is_host(read, name, begin):
                yield Detection(begin, end, "HOST")
    for cell in read.column(_HOST_HEAD):
        if _CELL.fullmatch(read.text[cell.begin : cell.end]):
            yield Detection(cell.begin, cell.end, "HOST")


def is_host(read: ReadText, name: str, begin: int) -> bool:
    labels = name.lower().split(".")
    if len(labels) > 1:
        return _is_qualified(labels)
    parts, has_digit = name.lower().split("-"), any(map(str.isdigit, name))
    machines = sum(bool(_MACHINE.fullmatch(part)) for part in parts)
    is_word = not (has_digit or machines) or (not has_digit and all(part in words() for part in parts))
    if "_" in name or not name[0].isalpha() or is_word:
        return False
    before = read.low[max(0, begin - 34) : begin]
    is_beside = before.endswith("@") or bool(_BESIDE.search(before))
    if len(parts) == 1:
        return len(name) > 4 and machines > 0 and has_digit and (is_beside or not _CODE.fullmatch(name))
    is_sited = bool(_SITED.fullmatch(name)) and bool(machines or is_beside)
    is_small = has_digit and name.islower() and not re.fullmatch(r"[a-z]+-\d{1,2}", name)
    is_numbered = machines > 0 and has_digit and (len(parts) > 2 or machines > 1 or not _CODE.fullmatch(name))
    return is_sited or is_numbered or (is_beside and bool(machines or is_small))


def _is_qualified(labels: list[str]) -> bool:
    if labels[-1].isdigit() or not labels[0] or _FILE.fullmatch(".".join(labels)):
        return False
    if labels[-1] in terms("host_end") and labels[-1] not in terms("host_end_of_longer"):
        return True
    if len(labels) < 3 or labels[-1] not in terms("host_suffixes"):
        return False
    if any(label in terms("host_within") for label in labels[1:-1]):
        return True
    is_machine = bool(_MACHINE.fullmatch(re.split(r"[-_]", labels[0])[0])) or labels[-1] == "example"
    is_public = labels[-2] in terms("host_public") or labels[0] in terms("host_read") | terms("host_suffixes")
    return not is_public and (is_machine or "-" in labels[0] or any(map(str.isdigit, labels[0])))


_POSTAL, _ENDED, _POSTCODE = table("addresses"), pattern("network.ended"), pattern("network.postcode_behind")


def addresses(read: ReadText) -> Iterator[Detection]:
    for find in recognize(_POSTAL, read):
        end = find.begin + len(read.text[find.begin : find.end].rstrip(" ,."))
        ended, further = _ENDED.search(read.text, find.begin, end), _POSTCODE.match(read.text, end)
        yield find._replace(end=ended.end() if ended else further.end() if further else end)
