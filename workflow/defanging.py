"""Defanging of links, paths of other machines and commands in an answer.

Anyone can write a ticket, and a model repeats its input. So a link or a command reaches a technician only if it is,
letter for letter, in an earlier ticket or a document that was found for this one, and then with its origin. Other links
are defanged as in security reports (`hxxps://example[.]com`); other commands are visibly left out. Ordinary words stay:
a name alone (ipconfig, PowerShell) is no command.
"""

import re
from collections.abc import Iterator, Sequence

from privacy.redaction.text import Folded, folded
from workflow.note_words import WORDS, NoteWords
from workflow.patterns import COMMAND, END_OF_COMMAND, LINK, MAY_HAVE_LINK, PRODUCT

_LONGEST = 1500
_LONGEST_LABEL = 60
_MOST_WORDS = 40
_TRAILING = ".,;:!?)]}»”’"
# An origin that a model claims, in any language.
_ORIGINS = "|".join(sorted({re.escape(words.origin.removesuffix("{}")) for words in WORDS.values()}))
_CLAIMED = re.compile(rf"\s*\((?:{_ORIGINS})(?:#|document)[^()]*\)")
_BLANKS = re.compile(r"[^\S\n]+")
_HEAD = re.compile(r"(?i)^[a-z][a-z0-9+.-]*:[\\/]*[^\\/?#]*|^[^\\/?#]*")
_MORE = "\0"
"""Where a source was cut: what ends there may go on."""

Sources = Sequence[tuple[str, str]]
"""What was found for a ticket: its name for people, and its text."""


def label(title: str) -> str:
    """Return a document's name as a short origin that can't imitate another."""
    plain = " ".join(re.sub(r"[()#\[\]\"]", " ", without_links(title)).split())
    return f'document "{plain if len(plain) <= _LONGEST_LABEL else plain[: _LONGEST_LABEL - 1] + "…"}"'


def shown_of(text: str, *, is_whole: bool) -> str:
    return text if is_whole else f"{text} {_MORE}"


class Defanging:
    """Defangs the texts of one answer; `sources` are the finds for its ticket."""

    def __init__(self, sources: Sources, words: NoteWords = WORDS["en"]) -> None:
        self._kept = _Kept(sources, words.origin)
        self._left_out = words.command_left_out
        self._repeated = re.compile(rf"(?:{re.escape(self._left_out)}\s*)+{re.escape(self._left_out)}")

    def __call__(self, text: str) -> str:
        """Return the text with only the sources' links and commands, with origins."""
        kept = self._kept.anew()
        safe = _links(_commands(_CLAIMED.sub("", text[:_LONGEST]), kept, self._left_out), kept)
        safe = self._repeated.sub(self._left_out, safe)
        return safe if len(safe) <= _LONGEST else safe[: _LONGEST - 1] + "…"


def without_links(text: str) -> str:
    return _links(" ".join(text[:_LONGEST].split()), _Kept(()))


class _Kept:
    """The links and commands of the sources, and the sources named so far."""

    def __init__(self, sources: Sources, origin: str = "") -> None:
        self._origin = origin
        self._texts = [(name, _BLANKS.sub(" ", folded(text).text)) for name, text in sources]
        self._links = {_known_as(link): name for name, text in reversed(self._texts) for _, _, link in _found(text)}
        self._named: set[str] = set()

    def anew(self) -> "_Kept":
        self._named.clear()
        return self

    def link(self, link: str) -> str | None:
        return self._links.get(_known_as(link))

    def command(self, command: str, behind: str) -> tuple[str, str | None]:
        """Return the part of a command that a source has, and the source, or None."""
        ends = [found.end() for found in re.finditer(r"\S+", command)][:_MOST_WORDS]
        for end in reversed(ends):
            stands = command[:end].rstrip(_TRAILING + "`")
            if not END_OF_COMMAND.match(command[len(stands) :] + behind):
                continue
            wanted = _BLANKS.sub(" ", stands).strip("` ")
            for name, text in self._texts:
                at = text.find(wanted)
                while at >= 0:
                    rest = text[at + len(wanted) :]
                    if not re.search(r"[\w./\\-]$", text[max(0, at - 1) : at]) and END_OF_COMMAND.match(rest):
                        return stands, name
                    at = text.find(wanted, at + 1)
        return command, None

    def told(self, name: str) -> str:
        if name in self._named:
            return ""
        self._named.add(name)
        return f" ({self._origin.format(name)})"


def _commands(text: str, kept: _Kept, left_out: str) -> str:
    told, out, at = folded(text), "", 0
    for begin, end in _spans(told):
        if begin < at:
            continue
        stands, origin = kept.command(told.text[begin:end], told.text[end:])
        out += told.original(at, begin)
        if origin is None:
            out, at = out + left_out, end
        else:
            at = begin + len(stands)
            at += told.text.startswith("`", at)
            out += told.original(begin, at) + kept.told(origin)
    return out + told.original(at, len(told.text))


def _spans(told: Folded) -> Iterator[tuple[int, int]]:
    text, at = told.text, 0
    while found := COMMAND.search(text, at):
        begin, line_end = found.start(), text.find("\n", found.start())
        line_end = len(text) if line_end < 0 else line_end
        open_at = text.rfind("`", text.rfind("\n", 0, begin) + 1, begin + 1)
        quoted = open_at >= 0 and text.count("`", text.rfind("\n", 0, begin) + 1, open_at + 1) % 2 == 1
        close_at = text.find("`", found.end()) if quoted else -1
        if close_at >= 0:
            begin, end = open_at, close_at + 1
        else:
            stop = re.compile(r"[.!?](?=\s+[^\Wa-z\d_]|\s*$)").search(text, found.end(), line_end)
            end = stop.start() if stop else line_end
        yield begin, max(end, found.end())
        at = max(end, found.end())


def _links(text: str, kept: _Kept) -> str:
    told, out, at = folded(text), "", 0
    for begin, end, link in _found(told.text):
        origin = kept.link(link)
        out += told.original(at, begin)
        out += _harmless(link) if origin is None else told.original(begin, end) + kept.told(origin)
        at = end
    return out + told.original(at, len(told.text))


def _found(text: str) -> Iterator[tuple[int, int, str]]:
    for found in LINK.finditer(text) if MAY_HAVE_LINK.search(text) else ():
        link = found.group().rstrip(_TRAILING)
        if link and not PRODUCT.fullmatch(link):
            yield found.start(), found.start() + len(link), link


def _known_as(link: str) -> str:
    """Return the comparison key of a link: hosts ignore case, paths do not."""
    head = _HEAD.match(link)
    end = head.end() if head else 0
    return (link[:end].lower() + link[end:]).rstrip("/")


def _harmless(link: str) -> str:
    link = re.sub(r"(?i)(h)tt(ps?\s*:)", r"\1xx\2", link)
    link = re.sub(r"([A-Za-z][A-Za-z0-9+.-]*)\s*:(?!\d)", r"\1[:]", link)
    return link.replace("\\\\", "\\[\\]").replace("//", "/[/]" if link.startswith("//") else "//").replace(".", "[.]")
