"""The lease of a running job."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from storage.claims import Claim, LeaseLost
from storage.session import DATABASE_FAILURES, is_away
from workflow.renewals import Renewals

_PAUSE_SECONDS = 1.0
_SETTLE_SECONDS = 3.0

Result = TypeVar("Result")


@contextlib.asynccontextmanager
async def hold_lease(renewals: Renewals, claim: Claim) -> AsyncIterator[None]:
    """Renew the claim while the block runs.

    Raises LeaseLost if that failed in time, after cancelling the block: another worker may have the job then, and this
    one must not post a note any more.
    """
    loop = asyncio.get_running_loop()
    # The lease starts when the claim is requested: this process may have been suspended before the reply.
    limit = asyncio.timeout(claim.asked_at + renewals.lease_seconds - time.monotonic())
    try:
        async with limit:
            renewal = asyncio.create_task(_renew(renewals, claim, limit))
            try:
                yield
                # The block's writes are valid, even if this process is suspended from here on.
                _move(limit, None)
            finally:
                renewal.cancel()
                await asyncio.wait({renewal})
    except TimeoutError:
        if limit.expired() or (limit.when() or 0) <= loop.time():
            raise LeaseLost from None
        raise


async def _renew(renewals: Renewals, claim: Claim, limit: asyncio.Timeout) -> None:
    loop = asyncio.get_running_loop()
    pause = renewals.lease_seconds / 3
    while True:
        await asyncio.sleep(pause)
        asked = loop.time()
        try:
            await renewals.renew(claim)
        except LeaseLost:
            _move(limit, loop.time())
            return
        except DATABASE_FAILURES:
            pause = _PAUSE_SECONDS  # the database is down: the lease is still valid for a while
            continue
        _move(limit, asked + renewals.lease_seconds)
        pause = renewals.lease_seconds / 3


def _move(limit: asyncio.Timeout, when: float | None) -> None:
    with contextlib.suppress(RuntimeError):  # it is just expiring: too late to move
        limit.reschedule(when)


async def insist(ask: Callable[[], Awaitable[Result]]) -> Result:
    """Retry a read or write while the database is down, until the lease ends.

    Raises the errors of `ask`.
    """
    while True:
        try:
            return await ask()
        except DATABASE_FAILURES as failure:
            if not is_away(failure):
                raise
            await asyncio.sleep(_PAUSE_SECONDS)


async def insist_shortly_before(write: Callable[[], Awaitable[None]], seconds: float) -> None:
    """`insist` on a write until one took less than `seconds`, so that it is recent.

    A process may be suspended at any point and resume when another worker has the job: the write detects that, before a
    second note is posted. Raises LeaseLost.
    """
    loop = asyncio.get_running_loop()
    asked = loop.time()
    await insist(write)
    while loop.time() - asked > seconds:
        asked = loop.time()
        await insist(write)


async def settle(write: Callable[[], Awaitable[None]], *, stopping_seconds: float = _SETTLE_SECONDS) -> None:
    """`insist` on the write that ends an attempt, also while the worker stops.

    Otherwise the row could have an outcome without a log line. Raises LeaseLost; asyncio.CancelledError only if the
    write was not done within `stopping_seconds`.
    """
    writing = asyncio.ensure_future(insist(write))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        done, _ = await asyncio.wait({writing}, timeout=stopping_seconds)
        if not done:
            writing.cancel()
            raise
        writing.result()
