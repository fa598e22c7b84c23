"""The first page: a search, and how the system is. Its queue is a page of its own too, which the first one renews."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from storage import ends
from support.console.answers import Asked, Page
from support.console.figures.asking import in_time
from support.console.figures.failures import by_cause, is_cut
from support.console.figures.health import LATELY, AllHealth, TenantInShort, health_of_all
from support.console.figures.queue import QueueView, queue_view, queue_view_of

_MOST_TENANTS = 20
"""Of more tenants, those that need a look."""


async def overview(asked: Asked) -> Page:
    """Show the first page."""
    sources, visitor = asked.sources, asked.visitor
    now = datetime.now(UTC)
    sees_all = visitor.tenant_id is None
    queue, causes = await asyncio.gather(
        _queue(asked), in_time(ends.causes(sources.database, visitor.tenant_id, "failed", now - LATELY))
    )
    health = await health_of_all(sources, now, queue.lacks) if sees_all else AllHealth([], told=True)
    tenants = health.tenants
    values = {
        "queue": queue,
        "still": bool(asked.query.get("still")),
        "causes": None if causes is None else by_cause(causes, now),
        "causes_cut": causes is not None and is_cut(causes),
        "tenants": _first(tenants),
        "tenant_count": len(tenants),
        "unwell_count": sum(each.health.tone != "ok" for each in tenants),
        "tenants_told": health.told,
        "is_whole": sees_all,
    }
    return Page("overview.html", values)


async def live_queue(asked: Asked) -> Page:
    """Show the queue alone, to be put into the first page in place of what is there."""
    return Page("queue.html", {"queue": await _queue(asked), "still": False})


async def _queue(asked: Asked) -> QueueView:
    sources, visitor = asked.sources, asked.visitor
    if visitor.tenant_id is None:
        return await queue_view(sources.database, sources.redis)
    return await queue_view_of(sources.database, sources.redis, visitor.tenant_id)


def _first(tenants: Sequence[TenantInShort]) -> Sequence[TenantInShort]:
    if len(tenants) <= _MOST_TENANTS:
        return tenants
    return [each for each in tenants if each.health.tone != "ok"][:_MOST_TENANTS]
