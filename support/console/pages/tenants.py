"""Tenants with their health, a page of them at a time; and one of them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from config.tenants import Tenant
from storage import ends
from storage.tenant_figures import figures_of
from support.console.answers import Asked, GoTo, NotHere, Page
from support.console.figures.asking import in_time
from support.console.figures.failures import by_cause, is_cut
from support.console.figures.health import LATELY, health_of_all
from support.console.figures.queue import lacking
from support.console.figures.tenants import TenantHealth, health
from support.console.figures.wording import StateWord
from support.console.pages.asked import seen_tenant

_PAGE = 25
_AT_ONCE = 4
_ALL_SECONDS = 4.0
"""For the figures of a page of them together; those that are not told by then are not known just now."""


async def tenants(asked: Asked) -> Page | GoTo:
    """Show a page of the tenants, by id; one tenant's people are led to their own."""
    if asked.visitor.tenant_id is not None:
        return GoTo(f"/tenants/{asked.visitor.tenant_id}")
    after = asked.query.get("after", "")
    behind = [tenant for tenant in _known(asked) if tenant.id > after]
    shown = behind[:_PAGE]
    figures, in_a_word = await asyncio.gather(_healths(asked, shown), _in_a_word(asked))
    values = {
        "tenants": figures,
        "in_a_word": in_a_word,
        "next": shown[-1].id if len(behind) > len(shown) else "",
        "is_first": not after,
    }
    return Page("tenants.html", values)


async def tenant(asked: Asked) -> Page:
    """Show one tenant."""
    tenant_id = seen_tenant(asked, asked.path["tenant_id"])
    found = asked.sources.tenants.get(tenant_id)
    if found is None:
        raise NotHere
    own = asked.visitor.tenant_id is not None
    now = datetime.now(UTC)
    database = asked.sources.database
    figures, causes, lacks = await asyncio.gather(
        in_time(figures_of(database, tenant_id)),
        in_time(ends.causes(database, tenant_id, "failed", now - LATELY)),
        lacking(database, asked.sources.redis),
    )
    # A sentence may name a setting of another tenant.
    problems = [] if own else [each.sentence for each in asked.sources.tenants.problems if each.tenant_id == tenant_id]
    values = {
        "tenant": health(found, figures, own=own, lacks=lacks),
        "problems": problems,
        "causes": None if causes is None else by_cause(causes, now),
        "causes_cut": causes is not None and is_cut(causes),
    }
    return Page("tenant.html", values)


def _known(asked: Asked) -> list[Tenant]:
    return sorted(asked.sources.tenants.all(), key=lambda each: each.id)


async def _in_a_word(asked: Asked) -> dict[str, StateWord]:
    """Return the health of each tenant as the first page shows it; empty if it is not known just now."""
    database, now = asked.sources.database, datetime.now(UTC)
    known = await health_of_all(asked.sources, now, await lacking(database, asked.sources.redis))
    return {each.tenant_id: each.health for each in known.tenants} if known.told else {}


async def _healths(asked: Asked, shown: Sequence[Tenant]) -> list[TenantHealth]:
    """Ask for those of a page, a few at a time, as long as there is time."""
    few = asyncio.Semaphore(_AT_ONCE)
    until = asyncio.get_running_loop().time() + _ALL_SECONDS

    async def told(of: Tenant) -> TenantHealth:
        async with few:
            left = until - asyncio.get_running_loop().time()
            figures = await in_time(figures_of(asked.sources.database, of.id), max(left, 0))
        return health(of, figures, own=False)

    return list(await asyncio.gather(*(told(each) for each in shown)))
