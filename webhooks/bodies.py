"""The bodies of webhooks: read strictly if they are signed, else kindly, as desks write them that can't sign.

An admin wrote such a desk's body, and the desk pastes values into it as they are. Seen of them: JSON whose texts hold
raw line breaks, values in arrays of one element, `requestId` for the ticket, and the JSON inside a form field
`input_data` or `payload`. Nobody signed such a body, so that nothing is lost by reading it kindly.
"""

from typing import Any
from urllib.parse import parse_qsl

from webhooks.json_text import Malformed, decoded, load

LARGEST_BODY_BYTES = 64 * 1024
_FORM_FIELDS = ("input_data", "payload")
_MOST_FORM_FIELDS = 50
_READ = ("tenant_id", "ticket_id", "event")
_TICKET = "requestId"


def read_signed(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a signed body.

    Raises Malformed; also for an object that has `tenant_id` or `ticket_id` twice: two readers could see two tenants.
    """
    value = load(decoded(body), named_once=("tenant_id", "ticket_id"), strict=True)
    if not isinstance(value, dict):
        raise Malformed("no JSON object")
    return value


def read_unsigned(body: bytes) -> dict[str, Any]:
    """Return the fields that the system reads, as a signed body would have them. Raises Malformed."""
    # What reads JSON may ignore the mark (RFC 8259, 8.1).
    text = decoded(body).removeprefix("\ufeff")
    named, text = ("", text) if text.lstrip()[:1] in ("{", "[") else _field_of(text)
    try:
        value = _alone(load(text, named_once=(*_READ, _TICKET), strict=False))
    except Malformed as malformed:
        raise Malformed(named + malformed.cause) from None
    if not isinstance(value, dict):
        raise Malformed(f"{named}no JSON object")
    found = {name: _trimmed(value[name]) for name in _READ if name in value}
    # A variable of the desk that has no value.
    for name in ("tenant_id", "event"):
        if found.get(name) in (None, ""):
            found.pop(name, None)
    if _TICKET in value:
        ticket = _trimmed(value[_TICKET])
        if str(found.setdefault("ticket_id", ticket)) != str(ticket):
            raise Malformed(f"{named}ticket_id and {_TICKET} differ")
    return found


def _field_of(text: str) -> tuple[str, str]:
    """Return which field of a form holds the JSON, for causes, and the JSON. Raises Malformed."""
    try:
        fields = parse_qsl(text.strip(), keep_blank_values=True, max_num_fields=_MOST_FORM_FIELDS)
    except ValueError:
        raise Malformed(f"more than {_MOST_FORM_FIELDS} fields") from None
    found = [(name, value) for name, value in fields if name in _FORM_FIELDS]
    if len(found) != 1:
        raise Malformed(f"neither JSON nor a form with one field {' or '.join(_FORM_FIELDS)}")
    ((name, value),) = found
    return f"in {name} ", value


def _alone(value: Any) -> Any:
    """Return what stands alone in an array; else the value itself."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _trimmed(value: Any) -> Any:
    value = _alone(value)
    return value.strip() if isinstance(value, str) else value
