"""The fields of a parsed webhook: tenant, ticket and event; others are ignored."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webhooks.json_text import Malformed

CHECK_EVENT = "webhook.check"
"""The event of a webhook that only asks whether it would be taken."""
TICKET_ID = re.compile(r"[0-9]{1,20}")
EVENT = re.compile(r"[A-Za-z0-9_.:/ -]{1,100}")
_LONGEST_TENANT_ID = 63
_EVENT_CAUSE = "event has other characters than A-Z, a-z, 0-9, blanks and _.:/-, or more than 100"


class Unusable(Exception):
    """Unusable values of a body: `fields`, and a `cause` for a desk's admin.

    Neither quotes the body.
    """

    def __init__(self, causes: Mapping[str, str]) -> None:
        super().__init__(", ".join(causes))
        self.fields = list(causes)
        self.cause = "; ".join(causes.values())


@dataclass(frozen=True, slots=True)
class DeskWebhook:
    """The ticket of a webhook, and its event if given."""

    ticket_id: str
    event: str | None = None


def parse(payload: Mapping[str, Any]) -> DeskWebhook:
    """Return the fields of a body. Raises Unusable."""
    ticket_id, event = ticket_of(payload), payload.get("event")
    event_is_plain = event is None or is_event(event)
    if ticket_id is None or not event_is_plain:
        causes = {} if event_is_plain else {"event": _EVENT_CAUSE}
        raise Unusable(causes if ticket_id else causes | {"ticket_id": _ticket_cause(payload.get("ticket_id"))})
    return DeskWebhook(ticket_id, event)


def _ticket_cause(value: Any) -> str:
    if value in (None, ""):
        return "ticket_id is missing or empty: is its name, and the desk's variable for it, spelled right?"
    if isinstance(value, str) and "$" in value:
        return "ticket_id is a variable that the desk did not replace: is it spelled as in the form's list?"
    return "ticket_id is no number of 1 to 20 digits without commas, dots or blanks between them"


def tenant_of(payload: Mapping[str, Any]) -> str:
    """Return the tenant id of the body, which selects the secret. Raises Malformed."""
    if "tenant_id" not in payload:
        raise Malformed("tenant_id is missing")
    tenant_id = payload["tenant_id"]
    if not isinstance(tenant_id, str) or not 1 <= len(tenant_id) <= _LONGEST_TENANT_ID:
        raise Malformed(f"tenant_id is no text of 1 to {_LONGEST_TENANT_ID} characters")
    return tenant_id


def ticket_of(payload: Mapping[str, Any]) -> str | None:
    """Return the ticket id as text, None unless it is well-formed.

    Desks send ids as numbers or as text, some of them longer than a float holds.
    """
    ticket_id = payload.get("ticket_id")
    if isinstance(ticket_id, bool) or not isinstance(ticket_id, int | str):
        return None
    text = str(ticket_id)
    return text if TICKET_ID.fullmatch(text) else None


def is_event(value: Any) -> bool:
    return isinstance(value, str) and EVENT.fullmatch(value) is not None


def is_check(payload: Mapping[str, Any]) -> bool:
    """Return True if the webhook has no ticket and only requests verification."""
    return payload.get("event") == CHECK_EVENT and "ticket_id" not in payload
