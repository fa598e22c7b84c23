"""The system's log lines: whether it says something, with places that can be filled like that."""

import re
from functools import cache

from observability import phrases
from observability.phrases import Phrase
from tests.documents import defaults, statuses
from tests.documents.texts import is_word

_PLACE = re.compile(r"\{([^{}]*)\}")
_PROCESSES = ("API", "Worker", "Housekeeping")
_NUMBER = r"\d+(?:\.\d+)?"
# What a place may be filled with, by its name; any other with anything up to a comma.
_FILLINGS = {
    **dict.fromkeys(("seconds", "count", "answers", "copies", "jobs", "tickets", "passages"), _NUMBER),
    "ticket_id": r"\d+|<TICKET_ID>",
    "status": r"\d{3}",
    **dict.fromkeys(("ticket_history", "docs"), "Yes|No"),
    "reason": rf"[^,]+?(?:, held back for {_NUMBER}s)?",
    "server": r"desk of [\w<>-]+|model at \S+|the database",
}


@cache
def templates() -> tuple[str, ...]:
    """The fixed text of each log line, with `{places}`."""
    found = [value.template for value in vars(phrases).values() if isinstance(value, Phrase)]
    return tuple(t.replace("{process}", process) for t in found for process in _PROCESSES if "{process}" in t) + tuple(
        template for template in found if "{process}" not in template
    )


@cache
def is_phrase(text: str) -> bool:
    """Whether a log line says that: the whole phrase with its places filled, or its beginning up to a word's end."""
    text = re.sub(r"(?<=, )(?:…|\.\.\.)$", "", text)
    return gives_known_reason(text) and any(
        text.startswith(_start(template)) and re.fullmatch(_pattern(template), text) for template in templates()
    )


def gives_known_reason(text: str) -> bool:
    """Whether the reason in it, if there is one, is one that the product has, and so is its status."""
    if statuses.is_wrong_in(text):
        return False
    found = re.match(rf"(?:{'|'.join(_before_reasons())})(.+)|.*reason=(.+)", text)
    reason = (found[1] or found[2]).split(";")[0].split(", held back")[0] if found else "…"
    return reason in statuses.of_others() or reason.startswith(("…", "...")) or is_word(reason)


@cache
def _before_reasons() -> tuple[str, ...]:
    """What stands before a reason that has no name: `OpenAI API error: `."""
    found = [template.split("{reason}")[0] for template in templates() if re.search(r": \{reason\}", template)]
    return tuple(map(re.escape, found))


@cache
def is_phrase_part(text: str) -> bool:
    """Whether a line has it further on, from a word's beginning: `ticket_history=No, docs=No`, `reason=worker lost`.

    Or words from the middle of one: `timeout after`.
    """
    if len(text.split()) > 1 and any(re.search(rf"(?<!\w){re.escape(text)}(?!\w)", line) for line in templates()):
        return True
    for template in templates():
        for found in re.finditer(r"(?<![\w{])\w+=", template):
            if found.start() and text.startswith(found[0]) and re.fullmatch(_pattern(template[found.start() :]), text):
                return gives_known_reason(text)
    return False


def _start(template: str) -> str:
    return re.split(r" after|[:{]", template)[0].strip()


@cache
def _pattern(template: str) -> str:
    pattern = ""
    for part in reversed([part for part in re.split(r"(\{[^{}]*\}|[\s:,;=]+)", template) if part]):
        place = _PLACE.fullmatch(part)
        pattern = f"{_filling(template, place[1]) if place else re.escape(part)}(?:{pattern})?"
    return pattern


def _filling(template: str, place: str) -> str:
    of_settings = defaults.in_lines().get((template, place))
    filling = "|".join(map(re.escape, of_settings)) if of_settings else _FILLINGS.get(place, "[^,]+?")
    return rf"(?:\.\.\.|…|{filling})"
