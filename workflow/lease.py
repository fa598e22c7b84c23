"""Holding on to a job while it runs."""

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

    Raises LeaseLost when that did not work in time, after cancelling the block: another worker may have the job then,
    and this one must not post a note any more.
    """
    loop = asyncio.get_running_loop()
    # The claim's time runs since it was asked for: this process may have been held still before it heard of it.
    limit = asyncio.timeout(claim.asked_at + renewals.lease_seconds - time.monotonic())
    try:
        async with limit:
            renewal = asyncio.create_task(_renew(renewals, claim, limit))
            try:
                yield
                # What the block has written stands, though this process may be held still from here on.
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
            pause = _PAUSE_SECONDS  # the database is away: the lease holds a while yet
            continue
        _move(limit, asked + renewals.lease_seconds)
        pause = renewals.lease_seconds / 3


def _move(limit: asyncio.Timeout, when: float | None) -> None:
    with contextlib.suppress(RuntimeError):  # it is just running out: too late to move
        limit.reschedule(when)


async def insist(ask: Callable[[], Awaitable[Result]]) -> Result:
    """Read or write, again and again while the database is away; the lease's end stops it. Raises what `ask` raises."""
    while True:
        try:
            return await ask()
        except DATABASE_FAILURES as failure:
            if not is_away(failure):
                raise
            await asyncio.sleep(_PAUSE_SECONDS)


async def insist_shortly_before(write: Callable[[], Awaitable[None]], seconds: float) -> None:
    """`insist` on a write, and repeat it until one took less than `seconds`: what follows relies on a recent one.

    A process may be held still at any point, and wake when another worker has the job: it hears of that here, from the
    write, and not from a second note in the ticket. Raises LeaseLost.
    """
    loop = asyncio.get_running_loop()
    asked = loop.time()
    await insist(write)
    while loop.time() - asked > seconds:
        asked = loop.time()
        await insist(write)


async def settle(write: Callable[[], Awaitable[None]], *, stopping_seconds: float = _SETTLE_SECONDS) -> None:
    """`insist` on the write that ends an attempt, also when the worker stops just then.

    Else the row could have an outcome that no line tells. Raises LeaseLost; asyncio.CancelledError only if the write
    was not done within `stopping_seconds`.
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
