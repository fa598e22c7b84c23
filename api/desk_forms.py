"""The bodies that desks post which can't sign: written by an admin, with values pasted into them as they are.

Seen of such desks: JSON whose texts hold raw line breaks, values in arrays of one element, `requestId` for the ticket,
and the JSON inside a form field `input_data` or `payload`. Nobody signed such a body, so that nothing is lost by
reading it kindly; what is signed is read strictly (`api.schemas`).
"""

from typing import Any
from urllib.parse import parse_qsl

from api.schemas import Malformed, decoded, load

_FIELDS = ("input_data", "payload")
_MOST_FIELDS = 50
_READ = ("tenant_id", "ticket_id", "event")
_TICKET = "requestId"


def read_desk_form(body: bytes) -> dict[str, Any]:
    """The fields that the system reads, as a signed body would have them. Raises Malformed."""
    text = decoded(body)
    named, text = ("", text) if text.lstrip()[:1] in ("{", "[") else _field_of(text)
    try:
        value = _alone(load(text, named_once=(*_READ, _TICKET), strict=False))
    except Malformed as malformed:
        raise Malformed(named + malformed.cause) from None
    if not isinstance(value, dict):
        raise Malformed(f"{named}no JSON object")
    found = {name: _trimmed(value[name]) for name in _READ if name in value}
    if _TICKET in value:
        ticket = _trimmed(value[_TICKET])
        if str(found.setdefault("ticket_id", ticket)) != str(ticket):
            raise Malformed(f"{named}ticket_id and {_TICKET} differ")
    return found


def _field_of(text: str) -> tuple[str, str]:
    """Return which field of a form holds the JSON, for causes, and the JSON."""
    try:
        fields = parse_qsl(text.strip(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Malformed(f"more than {_MOST_FIELDS} fields") from None
    found = [(name, value) for name, value in fields if name in _FIELDS]
    if len(found) != 1:
        raise Malformed(f"neither JSON nor a form with one field {' or '.join(_FIELDS)}")
    ((name, value),) = found
    return f"in {name} ", value


def _alone(value: Any) -> Any:
    """What stands alone in an array; else the value itself."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _trimmed(value: Any) -> Any:
    value = _alone(value)
    return value.strip() if isinstance(value, str) else value
