"""Follows a document word by word: it knows how a procedure is written down, and nothing of what it is about.

A section with a table of two columns, the second called `Then`, is a step: its block before the table is what to do,
and the first row whose left side has something of what was seen decides where to go on, by its first link. A section
without such a table is where a procedure ends: a cause. The left side of a row is one of:

- texts as code, joined by `or`: one of them is in a line that was seen. `<NAME>` in it is a value that is known, or
  else becomes known; of several lines the one with the latest time counts.
- `a number over N`, `a number`: a line is that.
- `anything else, or nothing`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_HEADING = re.compile(r"(#{1,6}) (.+)")
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[[^]]+\]\(#([^)]+)\)")
_PLACE = re.compile(r"<([A-Z_]+)>")
_NUMBER = re.compile(r"(?:\(integer\) )?(\d+)")
_OVER = re.compile(r"a number over (\d+)")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
_MOST_STEPS = 15


class Unfollowable(Exception):
    """The document can't be followed; the text says where."""


@dataclass(frozen=True)
class Row:
    """One line of a step's table: what may be seen, as it is written, and the anchor to go on at."""

    seen: str
    target: str


@dataclass
class Section:
    """A heading and what stands below it, up to the next heading. `language` is that of the block `todo`."""

    title: str
    level: int
    todo: str = ""
    language: str = ""
    rows: list[Row] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """How a link names it."""
        return re.sub(r"[^\w\- ]", "", self.title.lower()).replace(" ", "-")


@dataclass(frozen=True)
class Arrival:
    """Where a procedure ended: the cause, the resolution that it belongs to, the titles and rows on the way."""

    cause: str
    resolution: str
    way: tuple[str, ...]
    taken: tuple[tuple[str, str], ...]
    values: Mapping[str, str]


class Procedure:
    """A document's steps. Raises Unfollowable for a row or a link that can't be understood."""

    def __init__(self, text: str) -> None:
        self.sections = _sections(text)
        self._by_anchor = {section.anchor: section for section in self.sections}
        for section in self.sections:
            for row in section.rows:
                if row.target not in self._by_anchor:
                    raise Unfollowable(f"{section.title}: there is no heading for #{row.target}")

    def follow(
        self, start: str, values: Mapping[str, str], do: Callable[[str, str], list[str]], most_steps: int = _MOST_STEPS
    ) -> Arrival:
        """Begin at the section whose title begins with `start`; `do(language, text)` answers with what is seen.

        Raises Unfollowable when it goes round in circles, asks for a value that nothing told, or decides nothing.
        """
        known, section = dict(values), self._titled(start)
        way, taken = [section.title], []
        while section.rows:
            if len(way) > most_steps:
                raise Unfollowable(f"it goes round in circles: {' > '.join(way)}")
            seen = do(section.language, _filled(section, known))
            row, told = _decide(section, seen, known)
            known |= told
            taken.append((section.title, row.seen))
            section = self._by_anchor[row.target]
            way.append(section.title)
        return Arrival(section.title, self._above(section), tuple(way), tuple(taken), known)

    def _titled(self, start: str) -> Section:
        found = [section for section in self.sections if section.title.startswith(start)]
        if not found:
            raise Unfollowable(f"there is no heading {start!r}")
        return found[0]

    def _above(self, section: Section) -> str:
        """The title of the section that this one is a part of."""
        before = self.sections[: self.sections.index(section)]
        return next((other.title for other in reversed(before) if other.level < section.level), "")


def _sections(text: str) -> list[Section]:
    sections, block, language, in_table = [Section("", 0)], list[str](), "", False
    in_block = False
    for line in text.splitlines():
        section = sections[-1]
        if line.startswith("```"):
            # What stands behind the table is for who has arrived.
            if in_block and not section.rows:
                section.todo, section.language = "\n".join(block), language
            in_block, block, language = not in_block, [], line[3:].strip()
        elif in_block:
            block.append(line)
        elif heading := _HEADING.fullmatch(line):
            sections.append(Section(heading[2], len(heading[1])))
        elif line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if len(cells) == 2 and cells[1] == "Then":
                in_table = True
            elif in_table and not cells[0].startswith("---"):
                section.rows.append(_row(section, cells))
        else:
            in_table = False
    return sections


def _row(section: Section, cells: list[str]) -> Row:
    link = _LINK.search(cells[-1])
    if link is None:
        raise Unfollowable(f"{section.title}: nowhere to go on in the row {cells}")
    return Row(cells[0], link[1])


def _filled(section: Section, known: Mapping[str, str]) -> str:
    missing = [name for name in _PLACE.findall(section.todo) if name not in known]
    if missing or not section.todo:
        raise Unfollowable(f"{section.title}: nothing told {missing}" if missing else f"{section.title}: nothing to do")
    return _PLACE.sub(lambda place: known[place[1]], section.todo)


def _decide(section: Section, seen: list[str], known: Mapping[str, str]) -> tuple[Row, dict[str, str]]:
    for row in section.rows:
        told = _told(section, row, seen, known)
        if told is not None:
            return row, told
    raise Unfollowable(f"{section.title}: no row is for {seen}")


def _told(section: Section, row: Row, seen: list[str], known: Mapping[str, str]) -> dict[str, str] | None:
    """What a row that applies tells; None for one that does not."""
    if row.seen.startswith("anything else"):
        return {}
    numbers = [int(found[1]) for found in map(_NUMBER.fullmatch, seen) if found]
    if over := _OVER.fullmatch(row.seen):
        return {} if any(number > int(over[1]) for number in numbers) else None
    if row.seen == "a number":
        return {} if numbers else None
    texts = _CODE.findall(row.seen)
    if not texts or _CODE.sub("", row.seen).replace(" or ", "").strip():
        raise Unfollowable(f"{section.title}: {row.seen!r} is not understood")
    found = [match for text in texts for match in map(_pattern(text, known).search, seen) if match]
    # Lines of several pods stand one pod after the other, so their order is not that of time.
    return max(found, key=lambda match: _moment(match.string)).groupdict() if found else None


def _moment(line: str) -> str:
    found = _TIME.search(line)
    return found[0] if found else ""


def _pattern(text: str, known: Mapping[str, str]) -> re.Pattern[str]:
    parts = _PLACE.split(text)
    pattern = re.escape(parts[0])
    for name, rest in zip(parts[1::2], parts[2::2], strict=True):
        value = re.escape(known[name]) if name in known else rf"(?P<{name}>[\w-]+)"
        # A longer value that begins alike is another one.
        pattern += rf"{value}(?![\w-]){re.escape(rest)}"
    return re.compile(pattern)
