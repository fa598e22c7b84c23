"""Alerts in words: the numbers and times in their rows and sections are those of their rules.

A rule may hold several limits and windows; a sentence may tell any of them, and says `over` only of what must be
exceeded. What follows `for` is how long the rule has to hold.
"""

import re
from dataclasses import dataclass
from functools import cache
from math import ceil

from tests.documents import sources
from tests.documents.amounts import Amount, amounts
from tests.documents.documents import Document

_RULE = re.compile(r"- alert: (\w+)\n(?: +#[^\n]*\n)* +expr: (.*?)\n +for: (\w+)\n.*?summary: \"(.*?)\"\n", re.DOTALL)
_RECORDED = re.compile(r"- record: (\S+)\n +expr: (.*?)\n\n", re.DOTALL)
_LIMIT = re.compile(r"(_seconds\)+)? ([<>])=? (\d+(?:\.\d+)?)(?! \*)")
_WINDOW = re.compile(r"(?:\[|offset )(\d+[smhd])")
_ROW = re.compile(r"^\| `(AiAgents\w+)` \| ([^|`]*) \|")
_SECTION = re.compile(r"^## (AiAgents\w+)\n\n(.+)$", re.MULTILINE)
_LASTS = re.compile(r"(?:, |\bha(?:ve|s)(?: \w+)? )for (?=\d|an? )")
_DIRECTION = re.compile(r"\b(over|more than|under|less than)(?: \w+ than)? $", re.IGNORECASE)


@dataclass(frozen=True)
class Rule:
    """What an alert asks for: amounts with their direction (`>`, `<`, or none), and how long it must hold."""

    limits: frozenset[tuple[str, float, str]]
    lasts: float


@cache
def rules() -> dict[str, Rule]:
    """Each alert's rule."""
    text = sources.ALERTS.read_text(encoding="utf-8")
    recorded = _RECORDED.findall(text)
    found = {}
    for name, expr, lasts, _ in _RULE.findall(text):
        of_others = [other for recording, other in recorded if recording in expr]
        found[name] = Rule(_limits(" ".join([expr, *of_others]), lasts), amounts(lasts)[0].value)
    return found


def summaries() -> dict[str, str]:
    """What each alert says of itself."""
    return {name: summary for name, _, _, summary in _RULE.findall(sources.ALERTS.read_text(encoding="utf-8"))}


def _limits(expr: str, lasts: str) -> frozenset[tuple[str, float, str]]:
    limits = {("seconds", amounts(window)[0].value, "") for window in [*_WINDOW.findall(expr), lasts]}
    # That something is there at all (`> 0`) needs no number in words.
    told = [found for found in _LIMIT.findall(expr) if float(found[2])]
    limits |= {_limit(float(number), direction, bool(of_time)) for of_time, direction, number in told}
    return frozenset(limits | {("factor", float(factor), "") for factor in re.findall(r"([2-9]) \* ", expr)})


def _limit(number: float, direction: str, of_time: bool) -> tuple[str, float, str]:
    if of_time or number.is_integer():
        return ("seconds" if of_time else "count", number, direction)
    # Of whole events, more than 1.5 is two.
    return ("share", number, direction) if number < 1 else ("count", ceil(number), "")


def wrong_in(text: str, rule: Rule) -> list[str]:
    """What a sentence says of a rule and is not so."""
    lasting = _LASTS.search(text)
    wrong = [_shown(amount) for amount in amounts(text) if not _is_told(amount, text[: amount.start], rule)]
    if lasting:
        (first, *_) = [amount for amount in amounts(text) if amount.start >= lasting.end()]
        wrong += [f"for {_shown(first)}"] * (first.value != rule.lasts)
    return wrong


def _is_told(amount: Amount, before: str, rule: Rule) -> bool:
    said = _DIRECTION.search(before)
    direction = {"over": ">", "more than": ">", "under": "<", "less than": "<"}[said[1].lower()] if said else ""
    fitting = [way for kind, value, way in rule.limits if (kind, value) == (amount.kind, amount.value)]
    return any(not direction or not way or way == direction for way in fitting)


def _shown(amount: Amount) -> str:
    return f"{amount.value:g} {amount.kind}"


def wrong_alerts(document: Document) -> list[str]:
    """`alert: amount` of each that is not its rule's."""
    rows = [found.groups() for line in document.prose.splitlines() if (found := _ROW.match(line))]
    sections = [(name, _first_sentence(text)) for name, text in _SECTION.findall(document.prose)]
    told = [(name, text, rules()[name]) for name, text in [*rows, *sections] if name in rules()]
    return [f"{name}: {amount}" for name, text, rule in told for amount in wrong_in(text, rule)]


def _first_sentence(paragraph: str) -> str:
    plain = re.sub(r"`[^`]*`", "``", paragraph)
    return re.split(r"\.(?:\s|$)", plain, maxsplit=1)[0]
