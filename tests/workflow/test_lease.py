"""The lease: batched renewal, and the final write of an attempt while the worker stops."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError, OperationalError

from cli.pilot.postgres import Postgres
from db.session import Database, Row
from jobs.claims import Claim, LeaseLostError
from tests.kit.postgres import LEASE, Store, claimed
from workflow.lease import Leases, commit_shielded, ensure_recent_write


class SlowWrite:
    """A slow write that fails as the database does."""

    def __init__(self, seconds: float, failures: tuple[Exception, ...] = ()) -> None:
        self.began = asyncio.Event()
        self.tried = self.written = 0
        self._seconds = seconds
        self._failures = list(failures)

    async def __call__(self) -> None:
        self.tried += 1
        self.began.set()
        await asyncio.sleep(self._seconds)
        if self._failures:
            raise self._failures.pop(0)
        self.written += 1


@pytest.mark.parametrize(
    ("failures", "tried", "written", "raised"),
    [
        ((), 1, 1, None),
        ((LeaseLostError(),), 1, 0, LeaseLostError),
        ((OperationalError("?", None, Exception()),), 2, 1, None),
    ],
    ids=["finished", "claim lost", "database away"],
)
async def test_a_write_that_is_under_way_at_a_stop_is_finished(
    failures: tuple[Exception, ...], tried: int, written: int, raised: type[Exception] | None
) -> None:
    write = SlowWrite(0.05, failures)
    task = asyncio.create_task(commit_shielded(write, stopping_seconds=3))
    await write.began.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert not task.cancelled()
    assert (type(task.exception()), write.tried, write.written) == (raised or type(None), tried, written)


async def test_a_write_that_takes_seconds_at_a_stop_is_abandoned() -> None:
    """The claim is given back then, or expires: the row and the log have no outcome."""
    write = SlowWrite(0.3)
    task = asyncio.create_task(commit_shielded(write, stopping_seconds=0.05))
    await write.began.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
    await asyncio.sleep(0.4)
    assert write.written == 0


@pytest.mark.parametrize(
    ("held_still", "lost", "tried"), [(0.1, True, 2), (0.1, False, 2), (0.0, True, 1)], ids=["lost", "kept", "at once"]
)
async def test_a_suspended_posting_is_announced_again(held_still: float, lost: bool, tried: int) -> None:
    """The process was suspended after the write; the claim may be lost by then."""
    attempts = 0

    async def write() -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await asyncio.sleep(held_still)
        elif lost:
            raise LeaseLostError

    with pytest.raises(LeaseLostError) if lost and tried > 1 else contextlib.nullcontext():
        await ensure_recent_write(write, 0.05)
    assert attempts == tried


_JOBS = 30


class CountedCalls(Database):
    calls = 0

    async def call(self, query: TextClause, **values: Any) -> Sequence[Row]:
        self.calls += 1
        return await super().call(query, **values)


@pytest.fixture
async def held(store: Store) -> list[Claim]:
    job_ids = [await store.accept(ticket_id=str(number)) for number in range(_JOBS)]
    return [await claimed(store.database, job_id, lease=LEASE / 2) for job_id in job_ids]


async def test_many_renewals_are_two_statements(held: list[Claim], server: Postgres, store: Store) -> None:
    database = CountedCalls(server.url, application_name="tests", pool_size=1)
    before = [store.table.job(claim.job_id)["lease_until"] for claim in held]
    assert await renewed(Leases(database, LEASE), held) == {}
    assert database.calls <= 2
    after = [store.table.job(claim.job_id)["lease_until"] for claim in held]
    assert all(new > old for new, old in zip(after, before, strict=True))
    await database.close()


async def renewed(leases: Leases, held: list[Claim]) -> dict[int, type[BaseException]]:
    """Renew all at once; return the failures by their place."""
    found = await asyncio.gather(*(leases.renew(claim) for claim in held), return_exceptions=True)
    return {number: type(outcome) for number, outcome in enumerate(found) if outcome is not None}


async def test_who_has_lost_its_claim_is_told_and_nobody_else(held: list[Claim], store: Store) -> None:
    store.table.change(held[7].job_id, state="failed")
    assert await renewed(Leases(store.database, LEASE), held) == {7: LeaseLostError}


async def test_a_row_that_somebody_holds_costs_the_others_nothing(
    held: list[Claim], server: Postgres, store: Store
) -> None:
    database = Database(server.url, application_name="tests", pool_size=1, lock_seconds=0.1)
    leases = Leases(database, LEASE)
    async with store.database.tenant("acme") as session:
        await session.execute(text("SELECT FROM jobs WHERE id = :id FOR UPDATE"), {"id": held[7].job_id})
        ((number, failure),) = (await renewed(leases, held)).items()
    assert (number, issubclass(failure, DBAPIError)) == (7, True)
    assert await renewed(leases, [held[7]]) == {}
    await database.close()
