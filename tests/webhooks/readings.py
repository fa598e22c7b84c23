"""Both readings of a body, with each result in a few words."""

from collections.abc import Callable
from typing import Any

from webhooks.bodies import Malformed, Unusable, is_check, parse, read_signed, read_unsigned, tenant_of

Reading = Callable[[bytes], dict[str, Any]]
READINGS: dict[str, Reading] = {"signed": read_signed, "unsigned": read_unsigned}


def told(read: Reading, body: str | bytes) -> str:
    """Return `tenant ticket event`, `check`, or the reason of a refusal."""
    try:
        payload = read(body.encode() if isinstance(body, str) else body)
        tenant_id = tenant_of(payload) if "tenant_id" in payload else "-"
        if is_check(payload):
            return f"{tenant_id} check"
        webhook = parse(payload)
    except Malformed as malformed:
        return str(malformed)
    except Unusable as unusable:
        return unusable.cause
    return " ".join((tenant_id, webhook.ticket_id, webhook.event or "-"))
