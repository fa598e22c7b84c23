"""Recurring work for all desks in parallel; a slow desk delays only itself."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings, Tenant
from housekeeping.pace import round_seconds
from integrations.errors import HeldBack, OutsideFailure
from observability import tracing
from observability.identifiers import bound
from storage.session import DATABASE_FAILURES, is_away, is_locked

AT_ONCE = 64
_SHARES = 2
_MORE_SECONDS = 120.0


class DeskRounds(ABC):
    """Work of one kind for each desk; `stop()` it.

    `round_seconds`: how long a desk's work may take within an interval. Work that exceeds twice that plus
    `more_seconds` is stopped, keeps its results, and yields its place to the next; `at_once` of them run.
    """

    span: str

    def __init__(
        self,
        tenants: TenantDirectory,
        *,
        at_once: int = AT_ONCE,
        round_seconds: Callable[[DeskSettings, float], float] = round_seconds,
        more_seconds: float = _MORE_SECONDS,
    ) -> None:
        self._tenants = tenants
        self._places = asyncio.Semaphore(at_once)
        self._round_seconds = round_seconds
        self._more = more_seconds
        self._running: dict[str, asyncio.Task[None]] = {}

    @abstractmethod
    async def work(self, tenant: Tenant, desk: DeskSettings, seconds: float) -> None:
        """Do the work for one desk in about `seconds`, and report the result."""

    @abstractmethod
    def failed(
        self, tenant_id: str, reason: str, failure: Exception | None = None, also: Mapping[str, object] | None = None
    ) -> None:
        """Report that the work failed."""

    async def round(self, seconds: float) -> None:
        """Start work for each desk without any, and wait at most `seconds` for all.

        Longer work continues beside the next round. Raises one of DATABASE_FAILURES if the database is away.
        """
        for tenant in self._tenants.all():
            if tenant.desk is not None and tenant.id not in self._running:
                self._running[tenant.id] = asyncio.create_task(self._one(tenant, tenant.desk, seconds))
        if not self._running:
            return
        done, _ = await asyncio.wait(self._running.values(), timeout=seconds)
        self._running = {tenant_id: task for tenant_id, task in self._running.items() if task not in done}
        for failure in [task.exception() for task in done]:
            if failure is not None:
                raise failure

    async def stop(self) -> None:
        running, self._running = list(self._running.values()), {}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _one(self, tenant: Tenant, desk: DeskSettings, interval: float) -> None:
        seconds = self._round_seconds(desk, interval)
        async with self._places:
            with bound(tenant_id=tenant.id), tracing.span(self.span):
                try:
                    # A hundred calls: one span for all of them is enough.
                    with tracing.untraced():
                        async with asyncio.timeout(_SHARES * seconds + self._more):
                            await self.work(tenant, desk, seconds)
                except (OutsideFailure, HeldBack, TimeoutError) as failure:
                    reason = getattr(failure, "reason", "took too long")
                    self.failed(tenant.id, reason, also=getattr(failure, "also", None))
                except DATABASE_FAILURES as failure:
                    if is_away(failure) and not is_locked(failure):
                        raise
                    self.failed(tenant.id, "refused by the database", failure)
                except Exception as failure:  # noqa: BLE001 -- an unforeseen failure of one desk must not end the others
                    self.failed(tenant.id, "unexpected failure", failure)
