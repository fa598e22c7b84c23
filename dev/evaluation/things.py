"""Details of a text that need a source: numbers, names, hosts, links, commands.

Detected by form, without the product's patterns for commands and links, so that misses of those patterns show.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from dev.benchmarks.retrieval.methods import desk_text
from dev.benchmarks.retrieval.sets import articles, queries, tickets

_LINK = re.compile(r"(?i)\b(?:h(?:tt|xx)ps?|s?ftp|file|mailto)\b\[?:[^\s<>\"»”]+|\bwww[\d]*\[?\.[^\s<>\"»”]+")
_QUOTED = re.compile(
    r"\"([^\"\n]{2,120})\"|“([^”\n]{2,120})”|„([^“”\n]{2,120})[“”]|«([^»\n]{2,120})»|`([^`\n]{2,200})`"
    r"|(?<!\w)['‘]([^'’\n]{2,120})['’](?!\w)"
)
_PLACEHOLDER = re.compile(r"\[[A-Z]{3,20}_\d{1,4}\]")
_TICKET = re.compile(r"#\s?(\d{2,20})\b")
_TOKEN = re.compile(r"[^\s\"“”„«»`()\[\]{}<>,;!?…]+")
# A quantity with its unit: 130W, 5min, 24h, 2nd, 40 %.
_AMOUNT = re.compile(r"(\d+(?:[.,:/x×-]\d+)*)(?:[^\W\d_]{1,5}|[%°\"′])?")
_DIGITS = re.compile(r"\d+")
_OPTION = re.compile(r"(?:--?[A-Za-z?][\w-]*|/[A-Za-z?]{1,16})(?:[:=]\S*)?")
_DOTTED = re.compile(r"[^\W_][\w-]*(?:\.[^\W\d_][\w-]+)+")
_INNER_CAPITAL = re.compile(r"[a-z][A-Z]|[A-Z]{2,}[a-z]{2,}[A-Z]")
_CAPITALS = re.compile(r"[A-Z]{3,}s?")
_CAPITALISED = re.compile(r"[A-ZÀ-Þ][^\W\d_]{2,}(?:[-/][^\W\d_]+)*")
_PROGRAM = re.compile(
    r"(?i)(?<![\w-])(?:net1?|sc|klist|docker|kubectl|apt(?:-get)?|dnf|yum|brew|winget|systemctl|service|sudo|netsh|reg|chkdsk|rm|kill|pkill)"
    r"\s+(?:stop|start|restart|user|use|localgroup|purge|run|exec|install|remove|add|delete|int|wlan|winsock|reload|enable"
    r"|disable|-\S+|/\S+)(?!\w)(?:\s+[\w./\\-]+)?"
)
_OPTIONS = re.compile(
    r"(?<![^\s(])[A-Za-z][\w.-]*(?:\.exe)?(?:\s+(?:--?[A-Za-z?][\w-]*|/[A-Za-z?]{1,16})(?:[:=]\S+)?(?!\S))+"
)
_CMDLET = re.compile(
    r"(?:Get|Set|Add|Remove|New|Repair|Reset|Start|Stop|Restart|Enable|Disable|Clear|Update|Test|Invoke|Install|Uninstall"
    r"|Sync|Import|Export|Move|Grant|Revoke|Unlock|Rename|Register|Unregister|Connect|Disconnect)-[A-Z][A-Za-z]+"
)
_OPENING = ".!?:\n•"
_TRAILING = ".,;:!?'’)…"
# A word in this many families' texts is a trade term, which a model may know.
_IN_FAMILIES = 2


class Thing(NamedTuple):
    """A detail and its kind."""

    kind: str
    text: str


def plain(text: str) -> str:
    """Fold case, accents, quotes and blanks for comparison."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return re.sub(r"\s+", " ", "".join(character for character in decomposed if not unicodedata.combining(character)))


def things_of(text: str, language: str) -> list[Thing]:
    """Return the details of a text in order; German names only if they are not nouns."""
    things = [Thing("link", match[0].rstrip(_TRAILING)) for match in _LINK.finditer(text)]
    text = _LINK.sub(" ", text)
    things += [Thing("placeholder", match[0]) for match in _PLACEHOLDER.finditer(text)]
    text = _PLACEHOLDER.sub(" ", text)
    things += [Thing("quoted", next(filter(None, match.groups()))) for match in _QUOTED.finditer(text)]
    things += [Thing("ticket", match[1]) for match in _TICKET.finditer(text)]
    text = _TICKET.sub(" ", text)
    things += _codes(text)
    things += _names(text, nouns_are_capitals=language == "de")
    return list(dict.fromkeys(things))


def _codes(text: str) -> Iterator[Thing]:
    for pattern in (_PROGRAM, _OPTIONS, _CMDLET):
        yield from (Thing("command", match[0].rstrip(_TRAILING)) for match in pattern.finditer(text))
    for match in _TOKEN.finditer(text):
        token = match[0].rstrip(_TRAILING)
        amount = None if token.casefold().startswith("0x") else _AMOUNT.fullmatch(token)
        if amount:
            yield from _numbers(amount[1])
        elif any(map(str.isdigit, token)) and not re.fullmatch(r"\W*\d\W*", token):
            yield Thing("code", token)
        elif _OPTION.fullmatch(token):
            yield Thing("command", token)
        elif "\\" in token or token.count("/") > 1 or token.startswith(("~/", "/")) or "@" in token or "_" in token:
            yield Thing("path", token)
        elif _DOTTED.fullmatch(token):
            yield Thing("host", token)


def _numbers(amount: str) -> Iterator[Thing]:
    figures = _DIGITS.findall(amount)
    if len(figures) > 1 and (max(map(len, figures)) == 1 or "." in amount):
        yield Thing("number", amount)
    # A single digit and 100 need no source.
    yield from (Thing("number", each) for each in figures if len(each) > 1 and each != "100")


def _names(text: str, *, nouns_are_capitals: bool) -> Iterator[Thing]:
    """Yield names of products, systems and people, recognised by their spelling."""
    previous = ""
    for match in _TOKEN.finditer(text):
        token = match[0].rstrip(_TRAILING)
        opens = not text[: match.start()].strip() or text[: match.start()].rstrip(" \t\"“„«'(-–")[-1:] in _OPENING
        is_name = False
        if any(map(str.isdigit, token)) or "\\" in token or _DOTTED.fullmatch(token):
            previous = ""
            continue
        for part in re.split(r"[-/]", token) if not _INNER_CAPITAL.search(token) else [token]:
            if _INNER_CAPITAL.search(part) or _CAPITALS.fullmatch(part):
                yield Thing("name", part)
                is_name = True
        if _CAPITALISED.fullmatch(token) and not is_name:
            if nouns_are_capitals:
                # Two adjacent nouns form a name.
                if previous:
                    yield Thing("name", f"{previous} {token}")
            elif not opens:
                yield Thing("name", token)
        joined = text[match.end() - 1 : match.end()] not in _TRAILING
        previous = token if _CAPITALISED.fullmatch(token) and joined and not opens else ""


class KnownTexts:
    """The permitted details of a note: those of the ticket and its finds."""

    def __init__(self, text: str) -> None:
        self._text = plain(text)
        self._numbers = set(_DIGITS.findall(self._text))
        self._dense = re.sub(r"[\W_]+", "", self._text)

    def has(self, thing: Thing) -> bool:
        text = plain(thing.text).strip(" .,:;!?'’")
        if thing.kind in ("number", "ticket") and text.isdecimal():
            return text in self._numbers
        if thing.kind == "placeholder":
            return False
        if thing.kind == "quoted":
            return re.sub(r"[\W_]+", "", text) in self._dense
        if self._contains(text) or (text.endswith("s") and self._contains(text[:-1])):
            return True
        if thing.kind == "command":
            return all(map(self._contains, text.split()))
        terms = _trade_terms()
        return thing.kind == "name" and all(word in terms or word.removesuffix("s") in terms for word in text.split())

    def _contains(self, text: str) -> bool:
        return re.search(rf"(?<![^\W_]){re.escape(text)}(?![^\W_])", self._text) is not None


@cache
def _trade_terms() -> frozenset[str]:
    """Return the words in texts of several families, which any technician knows."""
    families: dict[str, set[str]] = defaultdict(set)
    texts = [(item.family, f"{item.subject} {desk_text(item.description)} {item.resolution}") for item in tickets()]
    texts += [(item.family or item.id, f"{item.subject} {desk_text(item.description)}") for item in queries()]
    texts += [(item.id, f"{item.title} {item.text}") for item in articles()]
    for family, text in texts:
        for word in re.findall(r"[^\W\d_]+", plain(text)):
            families[word].add(family)
    return frozenset(word for word, users in families.items() if len(users) >= _IN_FAMILIES)
