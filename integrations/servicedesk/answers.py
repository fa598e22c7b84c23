"""Answers of ServiceDesk Plus's API v3.

`response_status` is an object on single replies and a list on list replies; 2000 is success; 3000 is a warning, and the
operation did not happen; a code of 4000 or more inside an HTTP 200 is a failure; the real code may be only in
`messages[].status_code` under an outer 4000. The worst of several counts. Throttling is a 429, or under any status the
code 4015 or one of Zoho's names, such as `URL_ROLLING_THROTTLES_LIMIT_EXCEEDED` (docs/dev/outside.md).
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from integrations.errors import (
    DeskDenied,
    DeskRefused,
    DeskUnavailable,
    OutsideFailure,
    TicketNotFound,
)
from integrations.statuses import known_status, retry_after_seconds
from integrations.text import load_json

SUCCESS = 2000
WARNING = 3000
NOT_FOUND = 4007
UNCLEAR = -1
"""In place of a code: the answer says that it failed and not why, or its code is no code."""

EXTRA_KEY = "EXTRA_KEY_FOUND_IN_JSON"
_THROTTLED_CODES = frozenset({429, 4015})
_THROTTLED = b"THROTTLES_LIMIT_EXCEEDED"
_TEXTS = frozenset({"request", "note", "request_note", "solution", "notification"})
_TEXTS |= {f"{name}s" for name in _TEXTS} | {"conversations"}
"""The names of tickets and the like, whose texts may contain the name of a throttling error."""
_HTTP_OF_CODE = {
    4001: 400,
    4002: 403,
    4004: 500,
    NOT_FOUND: 404,
    4012: 400,
    4014: 400,
    4015: 429,
    4016: 400,
    4021: 400,
    4022: 401,
}
_LATER = {408, 425, 429, 500, 502, 503, 504}
_NOT_DONE = {"failed", "failure", "error", "warning"}
_MOST_DIGITS = 9


@dataclass(frozen=True, slots=True)
class DeskAnswer:
    """A decoded answer: HTTP status, API code (0 if absent), JSON, wait in seconds.

    `posted`: the call changes something, which may have happened even if the answer is a failure.
    """

    status: int
    code: int
    body: dict[str, Any]
    retry_after: float | None
    posted: bool = False
    throttled: bool = False
    """True if the desk refused it for the rate of calls, whatever the status."""

    @property
    def succeeded(self) -> bool:
        return not self.throttled and 200 <= self.status < 300 and self.code in (0, SUCCESS)

    @property
    def not_found(self) -> bool:
        """True if the ticket, or another requested object, does not exist."""
        # A 404 without one of the API's codes comes from a wrong address: no reason to report the ticket as gone.
        return not self.throttled and (self.code == NOT_FOUND or (self.status == 404 and self.code > 0))

    @property
    def down(self) -> bool:
        return not self.succeeded and not self.not_found and 500 <= self.effective_status < 600

    @property
    def put_off(self) -> bool:
        """True for a retry later; any caller may get it, before credentials are checked."""
        return self.effective_status in _LATER

    @property
    def unauthorized(self) -> bool:
        return self.effective_status == 401

    @property
    def names_extra_key(self) -> bool:
        """True if the key was the other edition's, so that surely nothing was done."""
        return self.status == 400 and EXTRA_KEY in json.dumps(self.body)

    @property
    def effective_status(self) -> int:
        """The equivalent HTTP status (400 for an unknown code), or UNCLEAR, or WARNING."""
        if self.throttled:
            return 429
        if self.status < 200 or self.status >= 300:
            return known_status(self.status)
        if self.code in (UNCLEAR, WARNING):
            return self.code
        if self.code in _HTTP_OF_CODE:
            return _HTTP_OF_CODE[self.code]
        # Some desks repeat the HTTP status in the code.
        return known_status(self.code) if 400 <= self.code < 600 else 400

    def failure(self) -> OutsideFailure:
        """Return the failure of the answer; its line has the desk's code if needed."""
        failure = self._failure()
        told = self.code if 200 <= self.status < 300 else self.status
        if told not in (UNCLEAR, self.effective_status) and told not in _HTTP_OF_CODE:
            failure.also = {"desk_code": told}
        return failure

    def _failure(self) -> OutsideFailure:
        status = self.effective_status
        if status == UNCLEAR:
            return DeskUnavailable("invalid answer", outcome_unknown=self.posted)
        if self.put_off or 500 <= status < 600:
            # 429 and similar statuses did nothing; a 5xx may have failed after the work was done.
            return DeskUnavailable(str(status), self.retry_after, outcome_unknown=self.posted and status >= 500)
        return DeskDenied() if self.unauthorized else DeskRefused(str(status))


def decode(status: int, content: bytes, retry_after: str | None, *, posted: bool = False) -> DeskAnswer:
    """Parse an answer into storable texts. Raises DeskUnavailable for other formats."""
    wait = retry_after_seconds(retry_after)
    try:
        body = load_json(content)
    except ValueError:
        body = None
    known: dict[str, Any] = body if isinstance(body, dict) else {}
    answer = DeskAnswer(status, _code(known), known, wait, posted)
    outer = content if body is None else json.dumps(_without_texts(body)).encode()
    by_name = not (answer.succeeded and answer.code == SUCCESS) and is_throttled(outer)
    if by_name or not _THROTTLED_CODES.isdisjoint((status, answer.code)):
        return replace(answer, throttled=True)
    if body is known:
        return answer
    if 200 <= status < 300:
        # A login page or a proxy's page under 200: the operation may not have happened.
        raise DeskUnavailable("invalid answer", outcome_unknown=posted)
    return answer


def is_throttled(content: bytes) -> bool:
    return _THROTTLED in content.upper()


def _without_texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_texts(each) for each in value]
    if isinstance(value, dict):
        return {name: _without_texts(each) for name, each in value.items() if name not in _TEXTS}
    return value


def checked(answer: DeskAnswer, ticket_id: str | None = None) -> DeskAnswer:
    """Return a successful answer, or raise its failure or TicketNotFound."""
    if answer.succeeded:
        return answer
    if ticket_id is not None and answer.not_found:
        raise TicketNotFound(ticket_id)
    raise answer.failure()


def _code(body: dict[str, Any]) -> int:
    statuses = body.get("response_status")
    entries = statuses if isinstance(statuses, list) else [statuses]
    return max((_code_of(entry) for entry in entries if isinstance(entry, dict)), key=_badness, default=0)


def _code_of(entry: dict[str, Any]) -> int:
    outer = _number(entry.get("status_code"))
    messages = entry.get("messages")
    inner = [
        _number(message.get("status_code"))
        for message in (messages if isinstance(messages, list) else [])
        if isinstance(message, dict)
    ]
    worst = max(inner, key=_badness, default=0)
    code = worst if worst >= WARNING or worst == UNCLEAR else outer
    says_not_done = str(entry.get("status")).casefold() in _NOT_DONE
    return UNCLEAR if says_not_done and code in (0, SUCCESS) else code


def _badness(code: int) -> int:
    if code > WARNING:
        return 5
    return {UNCLEAR: 4, WARNING: 3, SUCCESS: 1, 0: 0}.get(code, 2)


def _number(value: object) -> int:
    text = str(value) if isinstance(value, int | str) else ""
    if not text.isdecimal():
        return 0
    return int(text) if len(text) <= _MOST_DIGITS else UNCLEAR
