"""A search: a ticket's number, alone or behind its tenant, or a job's id, as people copy them."""

import re
from collections.abc import Sequence
from uuid import UUID

from storage import by_hand, rejections
from support.console.answers import Asked, GoTo, NotHere, Page
from support.console.figures.asking import in_time
from support.console.pages.asked import chosen_tenant, seen_tenant

_JOB = re.compile(r"(?:Ref\s+)?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})")
_TICKET = re.compile(r"(?:([a-zA-Z0-9-]{1,63})[\s/:]+)?#?([0-9]{1,20})")
_LONGEST = 100


async def search(asked: Asked) -> Page | GoTo:
    """Lead to what was searched for, or to a choice where several tenants have it."""
    given = asked.query.get("q", "").strip()
    if not given:
        return GoTo("/")
    if job := _JOB.fullmatch(given):
        return GoTo(f"/jobs/{UUID(job[1])}")
    ticket = _TICKET.fullmatch(given)
    if ticket is None:
        values = {"ticket_id": "", "given": given[:_LONGEST], "tenants": [], "is_known": False}
        return Page("search.html", values, 400)
    tenant_id = seen_tenant(asked, ticket[1].lower()) if ticket[1] else chosen_tenant(asked)
    if tenant_id is not None:
        return GoTo(f"/tickets/{tenant_id}/{ticket[2]}")
    return await _of_any_tenant(asked, ticket[2])


async def _of_any_tenant(asked: Asked, ticket_id: str) -> Page | GoTo:
    database = asked.sources.database
    known = [tenant.id for tenant in asked.sources.tenants.all()]
    owners = set(await by_hand.owners(database, ticket_id))
    if not owners:
        await in_time(_add_heard_of(asked, owners, known, ticket_id))
    found = sorted(owners) or known
    if len(found) == 1:
        return GoTo(f"/tickets/{found[0]}/{ticket_id}")
    if not found:
        raise NotHere
    values = {"ticket_id": ticket_id, "given": ticket_id, "tenants": found, "is_known": bool(owners)}
    return Page("search.html", values)


async def _add_heard_of(asked: Asked, owners: set[str], known: Sequence[str], ticket_id: str) -> None:
    """Add those that have it without a job, as far as the time goes."""
    for tenant_id in known:
        if await rejections.is_heard_of(asked.sources.database, tenant_id, ticket_id):
            owners.add(tenant_id)
