"""Webhooks as desks send them: headers, and bodies.

Signed bodies are parsed strictly, others leniently.

Desks that can't sign paste values into an admin's template unescaped. Observed: JSON with raw line breaks, values in
arrays of one element, `requestId` for the ticket (so `tenantId` is accepted too), and the JSON inside a form field
`input_data` or `payload`. Their content type says nothing about the body, so the format is detected from the text.

Our own signature is an HMAC-SHA256 over `<timestamp>.<body>`; `api.authentication` has the other schemes.
"""

import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self
from urllib.parse import parse_qsl

SIGNATURE_HEADER = "X-ServiceDesk-Signature"
TIMESTAMP_HEADER = "X-ServiceDesk-Timestamp"
DELIVERY_HEADER = "X-ServiceDesk-Delivery"  # the same at each delivery of one webhook
TOKEN_HEADER = "X-ServiceDesk-Token"  # noqa: S105 -- a name; for desks that can't sign
WINDOW_SECONDS = 300  # largest difference of a signed timestamp from now, in either direction
LARGEST_BODY_BYTES = 64 * 1024
CHECK_EVENT = "webhook.check"  # of a webhook that only tests its authentication
TICKET_ID = re.compile(r"[0-9]{1,20}")
EVENT = re.compile(r"[A-Za-z0-9_.:/ -]{1,100}")
_MAX_TENANT_ID_LENGTH = 63
_EVENT_CAUSE = "event may have only A-Z, a-z, 0-9, spaces and _.:/-, at most 100 characters"
_FORM_FIELDS = ("input_data", "payload")
_MAX_FORM_FIELDS = 50
_TENANTS = ("tenant_id", "tenantId")
_TICKETS = ("ticket_id", "requestId")
_EMPTY = (None, "")
_NO_OBJECT = "not a JSON object, which begins with { and ends with }"
_DEEPEST = 100
# The closing quote is optional: otherwise unclosed quotes would take quadratic time.
_STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKETS = re.compile(r"[][{}]")
_OTHER_CHARSET = "another character set than UTF-8"
# Messages of the json module, and their meaning for the author of the desk's template.
_MISTAKES = {
    "Expecting ',' delimiter": "a quote inside a value or a missing comma",
    "Invalid control character": "a line break or a tab inside a value",
    "Expecting property name": "a name without double quotes or an extra comma",
    "Illegal trailing comma": "an extra comma",
    "Expecting ':' delimiter": "a missing colon",
    "Unterminated string": "a missing closing quote",
    "Invalid \\": "a backslash inside a value",
    "Expecting value": "a value is missing, or a text has no quotes",
    "Extra data": "text after the end",
}


class MalformedBodyError(Exception):
    """Problem of an unreadable body, quoting none of it; `ticket_id` if readable."""

    def __init__(self, problem: str, ticket_id: str | None = None) -> None:
        super().__init__(problem)
        self.ticket_id = ticket_id


@dataclass(frozen=True, slots=True)
class Payload:
    """The known fields of a webhook's body."""

    tenant_id: str | None = None
    ticket_id: str | None = None  # None unless well-formed
    event: str | None = None
    problems: Mapping[str, str] = field(default_factory=dict)  # unusable field -> cause, quoting nothing of the body
    is_check: bool = False  # a test of the authentication, without a ticket

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Return the payload. Raises MalformedBodyError for an unusable tenant id."""
        tenant_id, event = fields.get("tenant_id"), fields.get("event")
        ticket_id = _ticket_id(fields.get("ticket_id"))
        is_text = isinstance(tenant_id, str) and 1 <= len(tenant_id) <= _MAX_TENANT_ID_LENGTH
        if "tenant_id" in fields and not is_text:
            raise MalformedBodyError(f"tenant_id must be a text of 1 to {_MAX_TENANT_ID_LENGTH} characters", ticket_id)
        is_check = event == CHECK_EVENT and "ticket_id" not in fields
        problems = {} if event is None or _is_event(event) else {"event": _EVENT_CAUSE}
        if ticket_id is None and not is_check:
            problems["ticket_id"] = _ticket_cause(fields.get("ticket_id"))
        return cls(tenant_id, ticket_id, None if "event" in problems else event, problems, is_check)


def signed_headers(secret: str, body: bytes, now: float) -> dict[str, str]:
    """Return the signed headers of a JSON body at Unix time `now`."""
    timestamp = str(int(now))
    digest = hmac.digest(secret.encode(), timestamp.encode() + b"." + body, "sha256").hex()
    signature = {SIGNATURE_HEADER: f"sha256={digest}", TIMESTAMP_HEADER: timestamp}
    return {"Content-Type": "application/json"} | signature


def read_signed(body: bytes) -> Payload:
    """Return the payload of a signed body, a JSON object. Raises MalformedBodyError."""
    # A repeated name is refused: parsers differ in the value they use.
    value = _load(_decoded(body), named_once=("tenant_id", "ticket_id"), strict=True)
    if not isinstance(value, dict):
        raise MalformedBodyError(_NO_OBJECT)
    return Payload.of(value)


def read_unsigned(body: bytes) -> Payload:
    """Return the payload of an unsigned body. Raises MalformedBodyError.

    Empty and null fields (desk variables without a value) and unusable events are dropped. If a body has both
    `ticket_id` and `requestId`, their values must be equal. The same holds for `tenant_id` and `tenantId`, also as form
    fields.
    """
    if body.lstrip().startswith(b"--"):
        raise MalformedBodyError("it is a multipart form, choose JSON or plain text for it")
    # JSON parsers may ignore the byte order mark (RFC 8259, 8.1).
    text = _decoded(body).removeprefix("\ufeff")
    place, text, tenants = ("", text, []) if text.lstrip()[:1] in ("{", "[", '"') else _form(text)
    try:
        value = _alone(_load(text, named_once=(*_TENANTS, *_TICKETS, "event"), strict=False))
    except MalformedBodyError as malformed:
        raise MalformedBodyError(f"{place}{malformed}") from None
    if not isinstance(value, dict):
        raise MalformedBodyError(place + _NO_OBJECT)
    ticket_id = _one_of([value.get(name) for name in _TICKETS], f"{' and '.join(_TICKETS)} differ")
    tenant_id = _one_of([*map(value.get, _TENANTS), *tenants], "tenant_id occurs twice")
    event = _trimmed(value.get("event"))
    found = {"tenant_id": tenant_id, "ticket_id": ticket_id, "event": event if _is_event(event) else None}
    return Payload.of({name: each for name, each in found.items() if each not in _EMPTY})


def _one_of(values: list[Any], differ: str) -> Any:
    present = [value for value in map(_trimmed, values) if value not in _EMPTY]
    if len({str(value) for value in present}) > 1:
        raise MalformedBodyError(differ)
    return present[0] if present else None


def _form(text: str) -> tuple[str, str, list[str]]:
    try:
        fields = parse_qsl(text.strip(), keep_blank_values=True, max_num_fields=_MAX_FORM_FIELDS)
    except ValueError:
        raise MalformedBodyError(f"more than {_MAX_FORM_FIELDS} fields") from None
    found = [(name, value) for name, value in fields if name in _FORM_FIELDS]
    if len(found) != 1:
        raise MalformedBodyError(f"neither a JSON object nor a form with one field {' or '.join(_FORM_FIELDS)}")
    ((name, value),) = found
    return f"in {name} ", value, [value for name, value in fields if name in _TENANTS]


def _alone(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _trimmed(value: Any) -> Any:
    value = _alone(value)
    return value.strip() if isinstance(value, str) else value


def _decoded(body: bytes) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as failure:
        raise MalformedBodyError(f"byte {failure.start + 1}: {_OTHER_CHARSET}") from None
    if "\0" in text[:2]:
        # UTF-16 without a byte order mark is valid UTF-8 with NUL as every second character.
        raise MalformedBodyError(f"byte 1: {_OTHER_CHARSET}")
    if not text.strip():
        raise MalformedBodyError("an empty body")
    return text


def _load(text: str, *, named_once: Sequence[str], strict: bool) -> Any:
    """Parse JSON; unless `strict`, strings may contain raw line breaks."""
    if _too_deep(text):
        raise MalformedBodyError("nested too deeply")
    if text.startswith("\ufeff"):
        raise MalformedBodyError("line 1 column 1: a byte order mark")
    try:
        return _decoder(tuple(named_once), strict).decode(text)
    except json.JSONDecodeError as failure:
        mistake = next((cause for message, cause in _MISTAKES.items() if failure.msg.startswith(message)), "no JSON")
        raise MalformedBodyError(f"line {failure.lineno} column {failure.colno}: {mistake}") from None
    except ValueError:
        raise MalformedBodyError("a number with thousands of digits") from None


@cache
def _decoder(named_once: tuple[str, ...], strict: bool) -> json.JSONDecoder:
    """Return a cached decoder: creating it takes a quarter of a parse."""

    def no_twins(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            for name in named_once:
                if names.count(name) > 1:
                    raise MalformedBodyError(f"{name} occurs twice")
        return found

    return json.JSONDecoder(object_pairs_hook=no_twins, strict=strict)


def _too_deep(text: str) -> bool:
    # The json module's own limit depends on the Python version.
    if text.count("[") + text.count("{") <= _DEEPEST:
        return False  # the usual case
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > _DEEPEST:
            return True
    return False


def _ticket_id(value: Any) -> str | None:
    """Return a ticket id, sent as a number or text, as text; None if malformed."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value)
    return text if TICKET_ID.fullmatch(text) else None


def _ticket_cause(value: Any) -> str:
    if value in (None, ""):
        return "ticket_id is missing or empty: check the spelling of its name and of the desk's variable"
    if isinstance(value, str) and "$" in value:
        return "ticket_id is a variable that the desk did not replace: check its spelling in the form's list"
    return "ticket_id is no number of 1 to 20 digits without commas, dots or blanks between them"


def _is_event(value: Any) -> bool:
    return isinstance(value, str) and EVENT.fullmatch(value) is not None
