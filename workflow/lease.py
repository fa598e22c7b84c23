"""The lease of a running job: its renewal, and writes that need it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import ParamSpec, TypeVar

from db.batching import Batcher
from db.session import DATABASE_FAILURES, Database, is_away
from jobs import claims
from jobs.claims import Claim, LeaseLostError
from observability import tracing

_PAUSE_SECONDS = 1.0
_SETTLE_SECONDS = 3.0
_MAX_AT_ONCE = 500

Params = ParamSpec("Params")
Result = TypeVar("Result")


class Leases:
    """Renews and returns a process's claims in batches.

    Claims that arrive during a statement form the next batch. A thousand jobs make 70 renewals a second: one by one
    they would wait longer than their lease lasts. A stopping worker returns a thousand at once.
    """

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self._database = database
        self._renewing = Batcher(self._renew_all, _MAX_AT_ONCE)
        self._giving_back = Batcher(self._give_all_back, _MAX_AT_ONCE)

    async def renew(self, claim: Claim) -> None:
        """Renew the lease from now. Raises LeaseLostError, and one of DATABASE_FAILURES."""
        if not await self._renewing.put(claim):
            raise LeaseLostError

    async def release(self, claim: Claim) -> None:
        """Return a stopping worker's claim, before its message. Raises as `renew` does."""
        if not await self._giving_back.put(claim):
            raise LeaseLostError

    async def _renew_all(self, batch: Sequence[Claim]) -> list[bool | Exception]:
        with tracing.untraced():
            return await claims.renew(self._database, batch, self.lease_seconds)

    async def _give_all_back(self, batch: Sequence[Claim]) -> list[bool | Exception]:
        with tracing.untraced():
            return await claims.release(self._database, batch)


@contextlib.asynccontextmanager
async def hold_lease(leases: Leases, claim: Claim) -> AsyncIterator[None]:
    """Renew the claim while the block runs.

    Raises LeaseLostError if no renewal succeeded in time, after cancelling the block: another worker may have the job
    then, so this one must not post a note.
    """
    loop = asyncio.get_running_loop()
    # The lease starts when the claim is requested: this process may have been suspended before the reply.
    limit = asyncio.timeout(claim.requested_at + leases.lease_seconds - time.monotonic())
    try:
        async with limit:
            renewal = asyncio.create_task(_renew(leases, claim, limit))
            try:
                yield
                # The block's writes are valid, even if this process is suspended from here on.
                _move(limit, None)
            finally:
                renewal.cancel()
                await asyncio.wait({renewal})
    except TimeoutError:
        if limit.expired() or (limit.when() or 0) <= loop.time():
            raise LeaseLostError from None
        raise


async def _renew(leases: Leases, claim: Claim, limit: asyncio.Timeout) -> None:
    loop = asyncio.get_running_loop()
    pause = leases.lease_seconds / 3
    while True:
        await asyncio.sleep(pause)
        requested_at = loop.time()
        try:
            await leases.renew(claim)
        except LeaseLostError:
            _move(limit, loop.time())
            return
        except DATABASE_FAILURES:
            pause = _PAUSE_SECONDS  # the database is down: the lease is still valid for a while
            continue
        _move(limit, requested_at + leases.lease_seconds)
        pause = leases.lease_seconds / 3


def _move(limit: asyncio.Timeout, when: float | None) -> None:
    with contextlib.suppress(RuntimeError):  # it is just expiring: too late to move
        limit.reschedule(when)


async def retry_until_available(
    call: Callable[Params, Awaitable[Result]], *args: Params.args, **kwargs: Params.kwargs
) -> Result:
    """Retry a read or write while the database is down, until the lease ends.

    Raises the errors of `call`.
    """
    while True:
        try:
            return await call(*args, **kwargs)
        except DATABASE_FAILURES as failure:
            if not is_away(failure):
                raise
            await asyncio.sleep(_PAUSE_SECONDS)


async def ensure_recent_write(write: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Retry a write until one took less than `seconds`, so that it is recent.

    A process may be suspended at any point and resume when another worker has the job. The write detects that before a
    second note is posted. Raises LeaseLostError.
    """
    requested_at = -float("inf")
    while time.monotonic() - requested_at > seconds:
        requested_at = time.monotonic()
        await retry_until_available(write)


async def commit_shielded(write: Callable[[], Awaitable[None]], *, stopping_seconds: float = _SETTLE_SECONDS) -> None:
    """Retry the write that ends an attempt, also while the worker stops.

    Otherwise the row could have an outcome without a log line. Raises LeaseLostError, and asyncio.CancelledError only
    if the write was not done within `stopping_seconds`.
    """
    writing = asyncio.ensure_future(retry_until_available(write))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        done, _ = await asyncio.wait({writing}, timeout=stopping_seconds)
        if not done:
            writing.cancel()
            raise
        writing.result()
