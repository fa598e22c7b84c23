"""What a webhook of the desk's own says: its ticket, and the event if it has one.

The desk pastes values into a text that its admin wrote, unescaped. So beside plain JSON (`{"ticket_id": 12345}`) there
are the forms that such desks were seen to send: JSON in the field `input_data` or `payload` of a form, `requestId` or
`id` for the ticket, arrays of one element, raw line breaks in values.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

LARGEST_BODY_BYTES = 64 * 1024
CHECK_EVENT = "webhook.check"
"""The event of a webhook without a ticket that a person sends, to see whether the API would accept one."""
_FORM_FIELDS = ("input_data", "payload")
_MOST_FORM_FIELDS = 50
_TICKET_NAMES = ("ticket_id", "requestId", "id")
_READ = frozenset({"tenant_id", "event", *_TICKET_NAMES})
# As the API takes them.
_TICKET_ID = re.compile(r"[0-9]{1,20}")
_EVENT = re.compile(r"[A-Za-z0-9_.:/ -]{1,100}")


class BodyNotUnderstood(Exception):
    """The body can't be forwarded; the text tells the desk's admin why, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class DeskWebhook:
    """The ids of a webhook; the rest of it is not read. A check has no `ticket_id`: it is empty."""

    ticket_id: str
    event: str | None = None


def read(body: bytes, content_type: str, tenant_id: str) -> DeskWebhook:
    """Read a webhook of the tenant's desk. Raises BodyNotUnderstood."""
    payload = _object(_json_text(body, content_type.partition(";")[0].strip().lower()))
    if _only(payload.get("tenant_id")) not in (None, "", tenant_id):
        raise BodyNotUnderstood("tenant_id is another one than this signer signs for")
    event = _text(payload.get("event"))
    if event is None or not (event == "" or _EVENT.fullmatch(event)):
        raise BodyNotUnderstood("event has other characters than A-Z, a-z, 0-9, blanks and _.:/-, or more than 100")
    name = next((name for name in _TICKET_NAMES if name in payload), None)
    if name is None and event == CHECK_EVENT:
        return DeskWebhook("", event)
    if name is None:
        raise BodyNotUnderstood(f"there is no {_TICKET_NAMES[0]} in it (nor {' nor '.join(_TICKET_NAMES[1:])})")
    ticket_id = _text(payload[name])
    if ticket_id is None or not _TICKET_ID.fullmatch(ticket_id):
        raise BodyNotUnderstood(
            f"{name} is not a number of 1 to 20 digits: is the desk's variable for it spelled right?"
        )
    return DeskWebhook(ticket_id, event or None)


def _json_text(body: bytes, content_type: str) -> str:
    """Return the JSON, taken out of the form that it may be in."""
    if content_type.startswith("multipart/"):
        raise BodyNotUnderstood("it is a multipart form: choose JSON or plain text for the body")
    try:
        text = body.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise BodyNotUnderstood("it is not UTF-8") from None
    # Tools that were told no type declare a form, whatever they send.
    if not text or text[0] in "{[" or content_type == "application/json":
        return text
    try:
        fields = parse_qs(text, max_num_fields=_MOST_FORM_FIELDS)
    except ValueError:
        fields = {}
    found = [value for name in _FORM_FIELDS for value in fields.get(name, [])]
    if not found:
        raise BodyNotUnderstood(f"it is neither JSON nor a form with JSON in {' or '.join(_FORM_FIELDS)}")
    return found[0]


def _object(text: str) -> dict[str, Any]:
    if not text:
        raise BodyNotUnderstood("it is empty")
    try:
        # Not strict: raw line breaks in values are let pass.
        value = _only(json.loads(text, strict=False, object_pairs_hook=_no_twins))
    except json.JSONDecodeError as failure:
        raise BodyNotUnderstood(
            f"it is not JSON from line {failure.lineno}, column {failure.colno} on: mostly a quote in a value that the "
            "desk pasted in; put ids into the body, and no texts"
        ) from None
    except (ValueError, RecursionError):
        raise BodyNotUnderstood("it is no plain JSON object") from None
    if not isinstance(value, dict):
        raise BodyNotUnderstood("it is no JSON object")
    return value


def _no_twins(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs if name in _READ]
    if len(set(names)) < len(names):
        # Which of the two is meant, nobody knows.
        raise BodyNotUnderstood("it names the same thing twice")
    return dict(pairs)


def _only(value: Any) -> Any:
    """Return the one element of an array of one, and anything else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _text(value: Any) -> str | None:
    """Return text or a whole number as text, nothing as the empty one; None for what is neither."""
    value = _only(value)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value).strip()
