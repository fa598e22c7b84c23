"""Answers of ServiceDesk Plus's API v3, and their contents as own values.

`response_status` is an object on single replies and a list on list replies; 2000 is success; 3000 is a warning, and the
operation did not happen; a code of 4000 or more inside an HTTP 200 is a failure; the real code may be only in
`messages[].status_code` under an outer 4000. The worst of several counts. Throttling is a 429, or under any status the
code 4015 or one of Zoho's names, such as `URL_ROLLING_THROTTLES_LIMIT_EXCEEDED` (docs/dev/outside.md).

Fields may be missing or of another type than documented. Texts become plain, and are cut to a storable length.
"""

import json
from collections.abc import Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from integrations.errors import (
    DeskDeniedError,
    DeskRefusedError,
    DeskUnavailableError,
    ExternalError,
    TicketNotFoundError,
    TicketTrashedError,
)
from integrations.http import known_status
from integrations.plain_text import lines_of, plain_text, unwrapped
from integrations.values import DeskTicket, ListedSolution, ListedTicket, Person, Solution, is_number, load_json

SUCCESS = 2000
WARNING = 3000
NOT_FOUND = 4007
UNCLEAR = -1
"""Code of a failure without a valid code."""
_THROTTLED_CODES = frozenset({429, 4015})
_THROTTLED = b"THROTTLES_LIMIT_EXCEEDED"
_TEXTS = frozenset({"request", "note", "request_note", "solution", "notification"})
_TEXTS |= {f"{name}s" for name in _TEXTS} | {"conversations"}
"""Keys of texts, which may contain the name of a throttling error."""
_HTTP_OF_CODE = dict.fromkeys((4001, 4012, 4014, 4016, 4021), 400)
_HTTP_OF_CODE |= {4002: 403, 4004: 500, NOT_FOUND: 404, 4015: 429, 4022: 401}
_LATER = {408, 425, 429, 500, 502, 503, 504}
_NOT_DONE = {"failed", "failure", "error", "warning"}
_MAX_DIGITS = 9
# Limit of a text index, for description and resolution together: 1,048,575 bytes, and up to 8.2 bytes a character
# (words of four-byte characters with hyphens count as a whole and in parts).
_MAX_TEXT_LENGTH = 50_000
_MAX_NAME_LENGTH = 1_000
# Digits of a time in milliseconds: until 2286, and as a bare number from 2001 on.
_MAX_TIME, _MIN_BARE_TIME = 13, 12
_CLOSED = frozenset({"closed", "resolved", "cancelled", "canceled"})
_ROLES = ("requester", "technician", "created_by", "on_behalf_of", "editor")
# The value of each key is an object with a name, or a list of such objects.
_NAMED_OBJECTS = (
    *("category", "subcategory", "item", "group", "site", "template"),
    *("service_category", "assets", "configuration_items"),
)
_MAX_PERSONAL_VALUE_LENGTH = 300
_MAX_PEOPLE, _MAX_TERMS = 20, 50


@dataclass(frozen=True, slots=True)
class DeskAnswer:
    """A decoded answer: HTTP status, API code (0 if absent), JSON, wait in seconds.

    `posted`: the call changes something, maybe even if it failed. `throttled`: refused for its rate, under any status.
    """

    status: int
    code: int
    body: dict[str, Any]
    retry_after: float | None
    posted: bool = False
    throttled: bool = False

    @property
    def succeeded(self) -> bool:
        return not self.throttled and 200 <= self.status < 300 and self.code in (0, SUCCESS)

    @property
    def not_found(self) -> bool:
        # A 404 without one of the API's codes comes from a wrong address.
        return not self.throttled and (self.code == NOT_FOUND or (self.status == 404 and self.code > 0))

    @property
    def down(self) -> bool:
        return not self.succeeded and not self.not_found and 500 <= self.effective_status < 600

    @property
    def is_temporary(self) -> bool:
        """True for a retry later, possible before credentials are checked."""
        return self.effective_status in _LATER

    @property
    def unauthorized(self) -> bool:
        return self.effective_status == 401

    @property
    def names_extra_key(self) -> bool:
        """True if the key was the other edition's, so that nothing was done."""
        return self.status == 400 and "EXTRA_KEY_FOUND_IN_JSON" in json.dumps(self.body)

    @property
    def effective_status(self) -> int:
        """The HTTP status of the code (400 for an unknown one), or UNCLEAR, or WARNING."""
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

    def failure(self) -> ExternalError:
        status = self.effective_status
        failure: ExternalError = DeskDeniedError() if self.unauthorized else DeskRefusedError(str(status))
        if status == UNCLEAR:
            failure = DeskUnavailableError("invalid answer", outcome_unknown=self.posted)
        elif self.is_temporary or 500 <= status < 600:
            # A 5xx may have failed after the work was done.
            failure = DeskUnavailableError(str(status), self.retry_after, outcome_unknown=self.posted and status >= 500)
        desk_code = self.code if 200 <= self.status < 300 else self.status
        if desk_code not in (UNCLEAR, status) and desk_code not in _HTTP_OF_CODE:
            failure.also = {"desk_code": desk_code}
        return failure


def decode(status: int, content: bytes, retry_after: float | None, *, posted: bool = False) -> DeskAnswer:
    """Parse an answer. Raises DeskUnavailableError if it is not the API's."""
    try:
        body = load_json(content)
    except ValueError:
        body = None
    fields: dict[str, Any] = body if isinstance(body, dict) else {}
    answer = DeskAnswer(status, _code(fields), fields, retry_after, posted)
    outer = content if body is None else json.dumps(_without_texts(body)).encode()
    by_name = not (answer.succeeded and answer.code == SUCCESS) and is_throttled(outer)
    if by_name or not _THROTTLED_CODES.isdisjoint((status, answer.code)):
        return replace(answer, throttled=True)
    if body is not fields and 200 <= status < 300:
        # A login page or a proxy's page under 200.
        raise DeskUnavailableError("invalid answer", outcome_unknown=posted)
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
    if answer.succeeded:
        return answer
    if ticket_id is not None and answer.not_found:
        raise TicketNotFoundError(ticket_id)
    raise answer.failure()


def _code(body: dict[str, Any]) -> int:
    return max(map(_code_of, _objects(body.get("response_status"))), key=_severity, default=0)


def _code_of(entry: dict[str, Any]) -> int:
    inner = [_number(message.get("status_code")) for message in _objects(entry.get("messages"))]
    failures = [code for code in inner if code >= WARNING or code == UNCLEAR]
    code = max(failures, key=_severity, default=_number(entry.get("status_code")))
    is_not_done = str(entry.get("status")).casefold() in _NOT_DONE
    return UNCLEAR if is_not_done and code in (0, SUCCESS) else code


def _severity(code: int) -> int:
    if code > WARNING:
        return 5
    return {UNCLEAR: 4, WARNING: 3, SUCCESS: 1, 0: 0}.get(code, 2)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]


def _number(value: object) -> int:
    text = str(value) if isinstance(value, int | str) else ""
    if not text.isdecimal():
        return 0
    return int(text) if len(text) <= _MAX_DIGITS else UNCLEAR


def items_of(answer: DeskAnswer, *keys: str) -> list[dict[str, Any]]:
    """Return the list, whose items have ids, under one of the editions' `keys`.

    A desk may omit an empty list, in a success without a list of another name. Raises DeskUnavailableError otherwise.
    """
    body = answer.body
    items = next((body[key] for key in keys if key in body), None)
    if items is None and answer.code == SUCCESS and not any(key in body for key in keys):
        other_lists = [name for name, value in body.items() if isinstance(value, list) and name != "response_status"]
        items = None if other_lists else []
    if not isinstance(items, list) or not all(isinstance(item, dict) and item.get("id") for item in items):
        raise DeskUnavailableError("invalid answer")
    return items


def has_more(answer: DeskAnswer) -> bool:
    info = answer.body.get("list_info")
    return isinstance(info, dict) and _truth(info.get("has_more_rows")) is True


def is_closed(body: dict[str, Any], closed_statuses: Set[str]) -> bool:
    """Return True if closed, or with a status in `closed_statuses` (casefolded).

    The cloud's status has `in_progress` (true for one on hold). On premises each site can change the names: one of the
    default names counts, or a `completed_time`.
    """
    value = body.get("status")
    status = value if isinstance(value, dict) else {}
    names = {str(status.get(field, "")).casefold() for field in ("name", "internal_name")}
    if names & closed_statuses:
        return True
    if status.get("in_progress") is not None:
        return _truth(status["in_progress"]) is False
    return bool(names & _CLOSED) or body.get("completed_time") is not None


def ticket_of(body: Any, closed_statuses: Set[str] = frozenset()) -> DeskTicket:
    if isinstance(body, dict) and is_trashed(body):
        raise TicketTrashedError
    if not isinstance(body, dict) or not body.get("id"):
        raise DeskUnavailableError("invalid answer")
    return DeskTicket(
        ticket_id=str(body["id"]),
        subject=plain_text(str(body.get("subject") or ""))[:_MAX_NAME_LENGTH],
        description=unwrapped(lines_of(str(body.get("description") or ""))[:_MAX_TEXT_LENGTH]),
        priority=_name(body.get("priority")),
        category=_name(body.get("category")),
        status=_name(body.get("status")),
        resolution=_text_in(body.get("resolution"), "content"),
        requester=_name(body.get("requester"), "email_id"),
        display_id=_display_id(body),
        group=_name(body.get("group")),
        site=_name(body.get("site")),
        template=_name(body.get("template")),
        subcategory=_name(body.get("subcategory")),
        item=_name(body.get("item")),
        service=_name(body.get("service_category")),
        closing_comment=_text_in(body.get("closure_info"), "closure_comments"),
        assets=", ".join(_names_of(body, "assets", "configuration_items")),
        created_at=moment_of(body.get("created_time")),
        changed_at=moment_of(body.get("last_updated_time")),
        closed=is_closed(body, closed_statuses),
        closed_at=moment_of(body.get("completed_time")) or moment_of(body.get("resolved_time")),
        people=people_of(body),
        conversation=_truth(body.get("has_conversation")),
        has_notes=_truth(body.get("has_notes")) is True,
        terms=terms_of(body),
    )


def _text_in(value: Any, name: str) -> str:
    texts = (unwrapped(lines_of(str(part.get(name) or ""))[:_MAX_TEXT_LENGTH]) for part in _objects(value))
    return "\n".join(filter(None, dict.fromkeys(texts)))[:_MAX_TEXT_LENGTH]


def listed_ticket_of(item: dict[str, Any]) -> ListedTicket:
    return ListedTicket(
        str(item["id"]),
        _name(item.get("status")),
        is_trashed(item),
        _display_id(item),
        kinds={kind: _name(item[kind]) for kind in ("category", "group", "site", "template") if kind in item},
        subject=str(item.get("subject") or ""),
        created_at=moment_of(item.get("created_time")),
        changed_at=moment_of(item.get("last_updated_time")),
    )


def listed_solution_of(item: dict[str, Any]) -> ListedSolution:
    return ListedSolution(
        str(item["id"]),
        str(item.get("title") or ""),
        _name(item.get("topic")),
        moment_of(item.get("last_updated_time")),
        str(item["description"]) if item.get("description") else None,
        _expiry_of(item),
    )


def solution_of(solution_id: str, body: Any) -> Solution:
    if not isinstance(body, dict):
        raise DeskUnavailableError("invalid answer")
    return Solution(
        solution_id,
        title=plain_text(str(body.get("title") or ""))[:_MAX_NAME_LENGTH],
        text=lines_of(str(body.get("description") or ""))[:_MAX_TEXT_LENGTH],
        topic=_name(body.get("topic")),
        expires_at=_expiry_of(body),
    )


def _expiry_of(body: dict[str, Any]) -> datetime | None:
    expiry = moment_of(body.get("expiry_date"))
    return expiry if expiry is not None and expiry.timestamp() > 0 else None


def moment_of(value: Any) -> datetime | None:
    """Return the time of `{"value": "<epoch ms>"}`, or of some builds' bare number."""
    text = str(value.get("value") if isinstance(value, dict) else value)
    shortest = 1 if isinstance(value, dict) else _MIN_BARE_TIME
    if not (text.isascii() and text.isdecimal() and shortest <= len(text) <= _MAX_TIME):
        return None
    return datetime.fromtimestamp(int(text) / 1000, UTC)


def _display_id(body: dict[str, Any]) -> str:
    number = str(body.get("display_id") or "")
    return number if is_number(number) and number != str(body["id"]) else ""


def _name(value: Any, key: str = "name") -> str:
    return str(value.get(key) or "")[:_MAX_NAME_LENGTH] if isinstance(value, dict) else ""


def is_trashed(body: dict[str, Any]) -> bool:
    return _truth(body.get("is_trashed")) is True


def _truth(value: Any) -> bool | None:
    return {"true": True, "false": False}.get(str(value).lower())


def people_of(ticket: dict[str, Any]) -> tuple[Person, ...]:
    people = [_person(each) for role in _ROLES for each in _objects(ticket.get(role))]
    return tuple(dict.fromkeys(person for person in people if any(person)))[:_MAX_PEOPLE]


def _person(body: dict[str, Any]) -> Person:
    def values_of(*names: str) -> tuple[str, ...]:
        values = (str(body.get(name) or "").strip()[:_MAX_PERSONAL_VALUE_LENGTH] for name in names)
        return tuple(dict.fromkeys(filter(None, values)))

    name = values_of("name") or values_of("first_name", "last_name")
    # No observed ticket has these fields; if present, they must be redacted.
    identifiers = values_of("login_name", "employee_id")
    return Person(" ".join(name), values_of("email_id", "sms_mail"), values_of("phone", "mobile"), identifiers)


def terms_of(ticket: dict[str, Any]) -> tuple[str, ...]:
    return _names_of(ticket, *_NAMED_OBJECTS)


def _names_of(ticket: dict[str, Any], *keys: str) -> tuple[str, ...]:
    objects = [each for key in keys for each in _objects(ticket.get(key))]
    names = (str(each.get("name") or "").strip()[:_MAX_PERSONAL_VALUE_LENGTH] for each in objects)
    return tuple(dict.fromkeys(filter(None, names)))[:_MAX_TERMS]
