"""Webhook bodies: parsed strictly if signed, else leniently.

Desks that can't sign paste values into an admin's template unescaped. Observed: JSON texts with raw line breaks, values
in arrays of one element, `requestId` for the ticket (so `tenantId` counts too), and the JSON inside a form field
`input_data` or `payload`. No signature covers such a body, so lenient parsing loses nothing. The format is detected
from the text, because a desk's form allows any content type with any body.
"""

from collections.abc import AsyncIterable
from typing import Any
from urllib.parse import parse_qsl

from webhooks.fields import is_event
from webhooks.json_text import Malformed, decoded, load

LARGEST_BODY_BYTES = 64 * 1024
_FORM_FIELDS = ("input_data", "payload")
_MOST_FORM_FIELDS = 50
_TENANT = "tenant_id"
_TENANTS = (_TENANT, "tenantId")
_TICKETS = ("ticket_id", "requestId")
_EMPTY = (None, "")
_NO_OBJECT = "no JSON object, which begins with { and ends with }"


async def read_within(parts: AsyncIterable[bytes], limit: int) -> bytes | None:
    """Return the joined parts, or None as soon as they exceed `limit` bytes."""
    body = bytearray()
    async for part in parts:
        body += part
        if len(body) > limit:
            return None
    return bytes(body)


def read_signed(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a signed body.

    Raises Malformed; also for a repeated `tenant_id` or `ticket_id`: two readers could see two tenants.
    """
    value = load(decoded(body), named_once=("tenant_id", "ticket_id"), strict=True)
    if not isinstance(value, dict):
        raise Malformed(_NO_OBJECT)
    return value


def read_unsigned(body: bytes) -> dict[str, Any]:
    """Return the known fields, named as in a signed body. Raises Malformed.

    Empty and null fields are dropped: a variable of the desk without a value. An unusable event is dropped too, because
    the ticket counts. Synonyms (`ticket_id` and `requestId`, `tenant_id` and `tenantId`, these also as fields of the
    form) must not differ.
    """
    if body.lstrip().startswith(b"--"):
        raise Malformed("it is a multipart form, choose JSON or plain text for it")
    # JSON parsers may ignore the byte order mark (RFC 8259, 8.1).
    text = decoded(body).removeprefix("\ufeff")
    field, text, tenants = ("", text, []) if text.lstrip()[:1] in ("{", "[", '"') else _form(text)
    try:
        value = _alone(load(text, named_once=(*_TENANTS, *_TICKETS, "event"), strict=False))
    except Malformed as malformed:
        raise Malformed(field + malformed.cause) from None
    if not isinstance(value, dict):
        raise Malformed(field + _NO_OBJECT)
    ticket_id = _one_of([value.get(name) for name in _TICKETS], f"{' and '.join(_TICKETS)} differ")
    tenant_id = _one_of([*map(value.get, _TENANTS), *tenants], f"{_TENANT} is there twice")
    event = _trimmed(value.get("event"))
    found = {_TENANT: tenant_id, "ticket_id": ticket_id, "event": event if is_event(event) else None}
    return {name: each for name, each in found.items() if each not in _EMPTY}


def _one_of(values: list[Any], differ: str) -> Any:
    held = [value for value in map(_trimmed, values) if value not in _EMPTY]
    if len({str(value) for value in held}) > 1:
        raise Malformed(differ)
    return held[0] if held else None


def _form(text: str) -> tuple[str, str, list[str]]:
    try:
        fields = parse_qsl(text.strip(), keep_blank_values=True, max_num_fields=_MOST_FORM_FIELDS)
    except ValueError:
        raise Malformed(f"more than {_MOST_FORM_FIELDS} fields") from None
    found = [(name, value) for name, value in fields if name in _FORM_FIELDS]
    if len(found) != 1:
        raise Malformed(f"neither a JSON object nor a form with one field {' or '.join(_FORM_FIELDS)}")
    ((name, value),) = found
    return f"in {name} ", value, [value for name, value in fields if name in _TENANTS]


def _alone(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _trimmed(value: Any) -> Any:
    value = _alone(value)
    return value.strip() if isinstance(value, str) else value
