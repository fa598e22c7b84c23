"""Reading what a visitor has sent: whatever is no tenant, ticket, job or time is refused before anybody is asked."""

import argparse
import re
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from support import arguments
from support.console.answers import Asked, NotHere, NotUnderstood

_TICKET = re.compile(r"[0-9]{1,20}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def seen_tenant(asked: Asked, given: str) -> str:
    """Return the tenant that an address names. Raises NotHere, for one that is not the visitor's as for none."""
    if not _is_tenant(given) or not asked.visitor.sees(given):
        raise NotHere
    return given


def chosen_tenant(asked: Asked) -> str | None:
    """Return the tenant that was asked for, else the visitor's own; None for all of them. Raises NotHere likewise."""
    given = (asked.form or asked.query).get("tenant", "").strip()
    return seen_tenant(asked, given) if given else asked.visitor.tenant_id


def ticket_number(given: str) -> str:
    """Return the ticket's number that an address names. Raises NotHere."""
    if not _TICKET.fullmatch(given):
        raise NotHere
    return given


def job_id(given: str) -> UUID:
    """Return the job's id that an address names. Raises NotHere."""
    if not _UUID.fullmatch(given):
        raise NotHere
    return UUID(given)


def since(values: Mapping[str, str], default: str) -> tuple[str, datetime]:
    """Return since when something is asked for: as it was said, and the time. Raises NotUnderstood."""
    given = values.get("since", "").strip() or default
    try:
        return given, arguments.moment(given)
    except argparse.ArgumentTypeError:
        raise NotUnderstood("A time is like 30m, 24h or 3d, or like 2026-03-01T09:30.") from None


def _is_tenant(given: str) -> bool:
    try:
        arguments.tenant(given)
    except argparse.ArgumentTypeError:
        return False
    return True
