"""Which statuses of HTTP documents may speak of: those that the API gives, and those of others that it tells apart.

What the API refuses with is in its code; what desks and the model answer, and the words behind it, is what the fault
table proves on a running system.
"""

import re
from functools import cache

from api.webhook import router
from tests.documents import refusals
from tests.documents.documents import Document
from tests.system import faults_of_desk, faults_of_gpt4

# A call that went well, and a probe.
_WELL = 200
_OF_THE_MODEL = re.compile(r"OpenAI API(?: error)?: (\d{3}\b[^;,]*)")
_OF_A_DESK = re.compile(r"ServiceDesk Plus API(?: error)?: (\d{3}\b[^;,]*)")
_OF_AN_ANSWER = re.compile(r"GPT-4 API call: status=(\d+)")
_OF_A_WEBHOOK = re.compile(r"Webhook rejected: status=(\d+)(?:, reason=([a-z].*))?")
_QUOTED = re.compile(r"`[^`\n]+`|\]\([^)\s]+\)")
_NUMBER = re.compile(r"(?<![\w.,:/$#-])[2-5]\d\d(?![\w/-]|[.,:]\d)")
# Numbers that are no statuses have a unit, or words before them that only an amount has.
_AMOUNT_BEFORE = re.compile(r"(?:over|under|to|least|most|usual|within) $")
_AMOUNT_BEHIND = re.compile(r" (?:m?s|[KM]i?B|on premises)\b")
# Full of measured numbers: there only what is said to be an answer is one.
_MEASURED = ("docs/benchmarks.md", "docs/chaos.md", "docs/kubernetes.md")
_SAID_TO_BE = re.compile(r"(?:\b(?:answer\w*|status|gives|a) |\()$")


@cache
def of_webhooks() -> frozenset[int]:
    """What a webhook is answered with."""
    route = next(route for route in router.routes if getattr(route, "path", "") == "/webhook")
    return frozenset({int(status) for status in getattr(route, "responses", {})} | {202, 404, 405})


@cache
def refused() -> frozenset[tuple[int, str]]:
    """Each status with each reason that a webhook is refused with."""
    return frozenset(refusals.of_the_api() | {(404, "unknown address"), (405, "wrong method")})


@cache
def of_others() -> frozenset[str]:
    """What a desk or the model answers, as the log tells it: `500`, `429 Rate Limit`."""
    return _told(_OF_A_DESK) | _told(_OF_THE_MODEL)


@cache
def _told(pattern: re.Pattern[str]) -> frozenset[str]:
    lines = [line for row in [*faults_of_desk.rows(), *faults_of_gpt4.rows()] for line in row.told]
    return frozenset(found[1] for line in lines for found in pattern.finditer(line))


def is_known(text: str) -> bool:
    """Whether there is a number of that status."""
    known = {str(status) for status in of_webhooks()} | {told[:3] for told in of_others()} | {str(_WELL)}
    return text.strip() in known


def is_wrong_in(line: str) -> bool:
    """Whether a log line, or a part of one, has a status that its server is not known for, or other words for it."""
    for pattern in (_OF_THE_MODEL, _OF_A_DESK):
        # A grep, too, may have the beginning alone.
        told = {beginning for whole in _told(pattern) for beginning in _beginnings(whole)}
        if any(found[1].strip() not in told for found in pattern.finditer(line)):
            return True
    if any(found[1] != str(_WELL) for found in _OF_AN_ANSWER.finditer(line)):
        return True
    return any(_is_no_refusal(int(found[1]), found[2]) for found in _OF_A_WEBHOOK.finditer(line))


def _beginnings(text: str) -> list[str]:
    """`429`, `429 Rate` and `429 Rate Limit`."""
    words = text.split()
    return [" ".join(words[: count + 1]) for count in range(len(words))]


def _is_no_refusal(status: int, reason: str | None) -> bool:
    of_status = [words for known, words in refused() if known == status]
    return not any(words.startswith(reason.split(":")[0] if reason else "") for words in of_status)


def unknown_in_prose(document: Document) -> list[str]:
    """`line: number` of each number in its sentences and tables that can only be a status, and is none of ours."""
    unknown = []
    for number, line in enumerate(document.prose.splitlines(), 1):
        plain = _QUOTED.sub("``", line)
        unknown += [f"{number}: {text}" for text in _statuses(plain, document.name) if not is_known(text)]
    return unknown


def _statuses(line: str, document: str) -> list[str]:
    found = []
    for number in _NUMBER.finditer(line):
        before, behind = line[: number.start()], line[number.end() :]
        if document in _MEASURED:
            is_status = _SAID_TO_BE.search(before) is not None
        else:
            is_status = not (_AMOUNT_BEFORE.search(before) or _AMOUNT_BEHIND.match(behind))
        found += [number[0]] * is_status
    return found
