"""Recurring work for all desks in parallel, at a third of each rate.

A slow desk delays only itself.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from typing import ClassVar

from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings, Tenant
from db.session import DATABASE_FAILURES, is_away, is_locked
from integrations.errors import DeferredError, ExternalError
from observability import tracing
from observability.identifiers import bound
from observability.log_events import Phrase
from observability.logging import log_event

_SHARE_OF_RATE = 3
# A desk that takes one call in three minutes would otherwise only copy its newest tickets.
_MIN_CALLS = 30


def _limit(rate_per_minute: int) -> tuple[int, float]:
    return max(1, rate_per_minute // _SHARE_OF_RATE), max(60.0, 60.0 * _SHARE_OF_RATE / rate_per_minute)


def call_seconds(desk: DeskSettings) -> float:
    """Return the average seconds between two background calls to a desk."""
    calls, seconds = _limit(desk.rate_per_minute)
    return seconds / calls


def round_seconds(desk: DeskSettings, interval: float) -> float:
    """Return the length of a round: `interval` seconds, and at least thirty calls."""
    return max(interval, _MIN_CALLS * call_seconds(desk))


class SyncThrottle:
    """Throttle of one desk. Each call also yields to jobs (`DeskRate`)."""

    def __init__(self, rate_per_minute: int) -> None:
        self._calls, self._seconds = _limit(rate_per_minute)
        self._recent: deque[float] = deque()
        self._lock = asyncio.Lock()

    async def wait(self) -> None:
        async with self._lock:
            now = time.monotonic()
            while self._recent and now - self._recent[0] >= self._seconds:
                self._recent.popleft()
            if len(self._recent) >= self._calls:
                await asyncio.sleep(self._seconds - (now - self._recent[0]))
            self._recent.append(time.monotonic())


class SyncThrottles:
    """The throttles by desk and rate, shared by all background work."""

    def __init__(self) -> None:
        self._throttles: dict[tuple[str, int], SyncThrottle] = {}

    def of(self, tenant_id: str, desk: DeskSettings) -> SyncThrottle:
        """Return the tenant's throttle; a changed rate gets a new one."""
        rate = desk.rate_per_minute
        return self._throttles.setdefault((tenant_id, rate), SyncThrottle(rate))


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

        Longer tasks continue during the next round. Raises one of DATABASE_FAILURES if the database is unreachable.
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
        """Cancel the running tasks and wait for their end."""
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
