"""Recurring work for all desks in parallel; a slow desk delays only itself."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings, Tenant
from db.session import DATABASE_FAILURES, is_away, is_locked
from integrations.errors import DeferredError, ExternalError
from knowledge.throttle import round_seconds
from observability import tracing
from observability.identifiers import bound
from observability.log_events import Phrase
from observability.logging import log_event

MAX_CONCURRENT = 64
_TIME_FACTOR = 2
_GRACE_SECONDS = 120.0


class DeskTasks(ABC):
    """One asyncio task a desk for work of one kind; `stop()` it.

    A task that exceeds twice `round_seconds` plus `grace_seconds` is cancelled, and keeps its results.
    """

    span: ClassVar[str]
    failure_phrase: ClassVar[Phrase]

    def __init__(
        self,
        tenants: TenantDirectory,
        *,
        max_concurrent: int = MAX_CONCURRENT,
        round_seconds: Callable[[DeskSettings, float], float] = round_seconds,
        grace_seconds: float = _GRACE_SECONDS,
    ) -> None:
        self._tenants = tenants
        self._slots = asyncio.Semaphore(max_concurrent)
        self._round_seconds = round_seconds
        self._grace = grace_seconds
        self._running: dict[str, asyncio.Task[None]] = {}

    @abstractmethod
    async def run_for(self, tenant: Tenant, desk: DeskSettings, seconds: float) -> None:
        """Do the work for one desk in about `seconds`, and report the result."""

    def log_failure(
        self, tenant_id: str, reason: str, failure: Exception | None = None, also: Mapping[str, object] | None = None
    ) -> None:
        log_event(self.failure_phrase, tenant_id=tenant_id, reason=reason, failure=failure, also=also)

    async def run_round(self, seconds: float) -> None:
        """Start a task for each desk without one, and wait at most `seconds` for all.

        Longer tasks continue beside the next round. Raises one of DATABASE_FAILURES if the database is away.
        """
        for tenant in self._tenants.all():
            if tenant.desk is not None and tenant.id not in self._running:
                self._running[tenant.id] = asyncio.create_task(self._run_one(tenant, tenant.desk, seconds))
        if not self._running:
            return
        done, _ = await asyncio.wait(self._running.values(), timeout=seconds)
        self._running = {tenant_id: task for tenant_id, task in self._running.items() if task not in done}
        # All are retrieved, so that asyncio does not warn.
        for failure in [task.exception() for task in done]:
            if failure is not None:
                raise failure

    async def stop(self) -> None:
        running, self._running = list(self._running.values()), {}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run_one(self, tenant: Tenant, desk: DeskSettings, interval: float) -> None:
        seconds = self._round_seconds(desk, interval)
        async with self._slots:
            with bound(tenant_id=tenant.id), tracing.span(self.span):
                try:
                    # A hundred calls: one span for all of them is enough.
                    with tracing.untraced():
                        async with asyncio.timeout(_TIME_FACTOR * seconds + self._grace):
                            await self.run_for(tenant, desk, seconds)
                except (ExternalError, DeferredError) as failure:
                    self.log_failure(tenant.id, failure.reason, also=getattr(failure, "also", None))
                except TimeoutError:
                    self.log_failure(tenant.id, "took too long")
                except DATABASE_FAILURES as failure:
                    if is_away(failure) and not is_locked(failure):
                        raise
                    self.log_failure(tenant.id, "refused by the database", failure)
                except Exception as failure:  # noqa: BLE001 -- an unforeseen failure of one desk must not end the others
                    self.log_failure(tenant.id, "unexpected failure", failure)
