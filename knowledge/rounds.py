"""Recurring work for all desks in parallel, at a third of each desk's rate; a slow desk delays only itself."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from typing import ClassVar

from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings, Tenant
from db.session import DATABASE_FAILURES, is_away, is_locked
from integrations.errors import DeferredError, DeskRefusedError, DeskUnavailableError, ExternalError
from observability import tracing
from observability.identifiers import bound
from observability.log_events import Phrase
from observability.logging import log_event

AT_ONCE = 64
_SHARES = 2
_MORE_SECONDS = 120.0
_SHARE_OF_RATE = 3
# A desk that takes one call in three minutes would otherwise only copy its newest tickets.
_LEAST_CALLS = 30


def is_its_own(failure: ExternalError) -> bool:
    return isinstance(failure, DeskRefusedError) or (isinstance(failure, DeskUnavailableError) and failure.unusable)


def _pace_of(rate_per_minute: int) -> tuple[int, float]:
    return max(1, rate_per_minute // _SHARE_OF_RATE), max(60.0, 60.0 * _SHARE_OF_RATE / rate_per_minute)


def call_seconds(desk: DeskSettings) -> float:
    calls, seconds = _pace_of(desk.rate_per_minute)
    return seconds / calls


def round_seconds(desk: DeskSettings, interval: float) -> float:
    """Return the length of a round: `interval` seconds, and at least thirty calls."""
    return max(interval, _LEAST_CALLS * call_seconds(desk))


class SyncThrottle:
    """At most a third of the desk's calls; each yields to jobs, too (`integrations.rate_limit`)."""

    def __init__(self, rate_per_minute: int) -> None:
        self._most, self._seconds = _pace_of(rate_per_minute)
        self._calls: deque[float] = deque()
        self._line = asyncio.Lock()

    async def wait(self) -> None:
        async with self._line:
            now = time.monotonic()
            while self._calls and now - self._calls[0] >= self._seconds:
                self._calls.popleft()
            if len(self._calls) >= self._most:
                await asyncio.sleep(self._seconds - (now - self._calls[0]))
            self._calls.append(time.monotonic())


SyncThrottles = dict[tuple[str, int], SyncThrottle]
"""The pace of each desk, by tenant and rate: kept between rounds, and shared by all but jobs."""


class DeskRounds(ABC):
    """Work of one kind for each desk; `stop()` it.

    Work that exceeds twice `round_seconds` plus `more_seconds` is stopped, and keeps its results.
    """

    span: ClassVar[str]
    failure_phrase: ClassVar[Phrase]

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

    def failed(
        self, tenant_id: str, reason: str, failure: Exception | None = None, also: Mapping[str, object] | None = None
    ) -> None:
        log_event(self.failure_phrase, tenant_id=tenant_id, reason=reason, failure=failure, also=also)

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
        # All are retrieved, so that asyncio does not warn.
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
                except (ExternalError, DeferredError) as failure:
                    self.failed(tenant.id, failure.reason, also=getattr(failure, "also", None))
                except TimeoutError:
                    self.failed(tenant.id, "took too long")
                except DATABASE_FAILURES as failure:
                    if is_away(failure) and not is_locked(failure):
                        raise
                    self.failed(tenant.id, "refused by the database", failure)
                except Exception as failure:  # noqa: BLE001 -- an unforeseen failure of one desk must not end the others
                    self.failed(tenant.id, "unexpected failure", failure)
