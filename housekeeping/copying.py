"""Schedule of the copies of desks, and reports of their results."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings, Tenant
from housekeeping.desk_rounds import DeskRounds
from housekeeping.extent import tell_no_others
from housekeeping.synced import Synced
from observability import metrics, phrases
from observability.logging import say
from storage.listings import HeldByAnother

Copy = Callable[[str, DeskSettings, float], Awaitable[Synced]]


class Copying(DeskRounds):
    """The copies under way; `stop()` it.

    `copy` is `housekeeping.sync.sync_tenant` for a tenant's id, its desk, and a number of seconds.
    """

    span = "Sync"

    def __init__(self, tenants: TenantDirectory, copy: Copy, **limits: Any) -> None:
        super().__init__(tenants, **limits)
        self._copy = copy

    async def round(self, seconds: float) -> None:
        tell_no_others(tenant.id for tenant in self._tenants.all() if tenant.desk is not None)
        await super().round(seconds)

    async def work(self, tenant: Tenant, desk: DeskSettings, seconds: float) -> None:
        try:
            synced = await self._copy(tenant.id, desk, seconds)
        except HeldByAnother:
            say(phrases.SYNC_LEFT_OUT, tenant_id=tenant.id)
            return
        result = "completed" if synced.with_solutions else "without solutions"
        metrics.SYNCS.labels(tenant.id, result).inc()
        metrics.SYNCED_AT.labels(tenant.id).set_to_current_time()
        say(phrases.SYNC_COMPLETED, {"tenant_id": tenant.id, **synced._asdict()})

    def failed(
        self, tenant_id: str, reason: str, failure: Exception | None = None, also: Mapping[str, object] | None = None
    ) -> None:
        say(phrases.SYNC_FAILED, tenant_id=tenant_id, reason=reason, failure=failure, also=also)
        metrics.SYNCS.labels(tenant_id, "failed").inc()
