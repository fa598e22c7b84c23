"""When each desk is copied: all of them beside each other, so that a slow one delays nobody's copy but its own."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings, Tenant
from housekeeping.extent import tell_no_others
from housekeeping.pace import round_seconds
from housekeeping.synced import Synced
from integrations.errors import HeldBack, OutsideFailure
from observability import metrics, phrases, tracing
from observability.identifiers import bound
from observability.logging import say
from storage.passes import HeldByAnother
from storage.session import DATABASE_FAILURES, is_away, is_locked

AT_ONCE = 64
_SHARES = 2
_MORE_SECONDS = 120.0

Copy = Callable[[str, DeskSettings, float], Awaitable[Synced]]


class Copying:
    """The copies that are under way; `stop()` it.

    `copy` is `housekeeping.sync.sync_tenant` for a tenant's id, its desk, and how many seconds it has. One that is not
    done in twice that and two minutes ends, keeps what it has, and gives its place to the next.
    """

    def __init__(
        self,
        tenants: TenantDirectory,
        copy: Copy,
        *,
        at_once: int = AT_ONCE,
        round_seconds: Callable[[DeskSettings, float], float] = round_seconds,
        more_seconds: float = _MORE_SECONDS,
    ) -> None:
        self._tenants = tenants
        self._copy = copy
        self._places = asyncio.Semaphore(at_once)
        self._round_seconds = round_seconds
        self._more = more_seconds
        self._running: dict[str, asyncio.Task[None]] = {}

    async def round(self, seconds: float) -> None:
        """Begin a copy of each desk that has none under way, and wait for all of them, `seconds` at most.

        What takes longer goes on beside the next round. Raises one of DATABASE_FAILURES when the database is away.
        """
        tenants = self._tenants.all()
        tell_no_others(tenant.id for tenant in tenants if tenant.desk is not None)
        for tenant in tenants:
            if tenant.desk is not None and tenant.id not in self._running:
                self._running[tenant.id] = asyncio.create_task(self._copied(tenant, tenant.desk, seconds))
        if not self._running:
            return
        done, _ = await asyncio.wait(self._running.values(), timeout=seconds)
        self._running = {tenant_id: task for tenant_id, task in self._running.items() if task not in done}
        for failure in [task.exception() for task in done]:
            if failure is not None:
                raise failure

    async def stop(self) -> None:
        """End all that is under way."""
        running, self._running = list(self._running.values()), {}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _copied(self, tenant: Tenant, desk: DeskSettings, interval: float) -> None:
        """One desk that fails does not stop the others' copies."""
        seconds = self._round_seconds(desk, interval)
        async with self._places:
            with bound(tenant_id=tenant.id), tracing.span("Sync"):
                try:
                    # A hundred calls: the one span tells all that anybody asks.
                    with tracing.untraced():
                        async with asyncio.timeout(_SHARES * seconds + self._more):
                            synced = await self._copy(tenant.id, desk, seconds)
                except HeldByAnother:
                    say(phrases.SYNC_LEFT_OUT, tenant_id=tenant.id)
                except (OutsideFailure, HeldBack, TimeoutError) as failure:
                    _failed(tenant.id, getattr(failure, "reason", "took too long"), also=getattr(failure, "also", None))
                except DATABASE_FAILURES as failure:
                    if is_away(failure) and not is_locked(failure):
                        raise
                    _failed(tenant.id, "refused by the database", failure)
                except Exception as failure:  # noqa: BLE001 -- what nobody foresaw in one desk is no reason to end others'
                    _failed(tenant.id, "unexpected failure", failure)
                else:
                    result = "completed" if synced.with_solutions else "without solutions"
                    metrics.SYNCS.labels(tenant.id, result).inc()
                    metrics.SYNCED_AT.labels(tenant.id).set_to_current_time()
                    say(phrases.SYNC_COMPLETED, {"tenant_id": tenant.id, **synced._asdict()})


def _failed(
    tenant_id: str, reason: str, failure: Exception | None = None, also: Mapping[str, object] | None = None
) -> None:
    say(phrases.SYNC_FAILED, tenant_id=tenant_id, reason=reason, failure=failure, also=also)
    metrics.SYNCS.labels(tenant_id, "failed").inc()
