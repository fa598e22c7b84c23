"""Batched renewal of claims."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError

from devstack.postgres import Postgres
from storage.claims import Claim, LeaseLost
from storage.session import Database, Row
from tests.kit.postgres import LEASE, Store, claimed
from workflow.renewals import Renewals

_JOBS = 30


class CountedCalls(Database):
    calls = 0

    async def call(self, question: TextClause, **values: Any) -> Sequence[Row]:
        self.calls += 1
        return await super().call(question, **values)


@pytest.fixture
async def held(store: Store) -> list[Claim]:
    claims = []
    for number in range(_JOBS):
        event = store.new_event(ticket_id=str(number))
        await store.accept(event)
        claims.append(await claimed(store.database, event.job_id, lease=LEASE / 2))
    return claims


async def test_many_at_once_are_two_statements(held: list[Claim], server: Postgres, store: Store) -> None:
    """The first goes at once, and the others arrive while it is under way."""
    database = CountedCalls(server.url, application_name="tests", pool_size=1)
    before = [store.table.job(claim.job_id)["lease_until"] for claim in held]
    renewals = Renewals(database, LEASE)
    await asyncio.gather(*(renewals.renew(claim) for claim in held))
    assert database.calls <= 2
    after = [store.table.job(claim.job_id)["lease_until"] for claim in held]
    assert all(new > old for new, old in zip(after, before, strict=True))
    await database.close()


async def test_who_has_lost_its_claim_is_told_and_nobody_else(held: list[Claim], store: Store) -> None:
    store.table.change(held[7].job_id, state="failed")
    renewals = Renewals(store.database, LEASE)
    found = await asyncio.gather(*(renewals.renew(claim) for claim in held), return_exceptions=True)
    assert [number for number, outcome in enumerate(found) if isinstance(outcome, LeaseLost)] == [7]
    assert [outcome for number, outcome in enumerate(found) if number != 7] == [None] * (_JOBS - 1)


async def test_a_row_that_somebody_holds_costs_the_others_nothing(
    held: list[Claim], server: Postgres, store: Store
) -> None:
    database = Database(server.url, application_name="tests", pool_size=1, lock_seconds=0.1)
    renewals = Renewals(database, LEASE)
    async with store.database.tenant("acme") as session:
        await session.execute(text("SELECT FROM jobs WHERE id = :id FOR UPDATE"), {"id": held[7].job_id})
        found = await asyncio.gather(*(renewals.renew(claim) for claim in held), return_exceptions=True)
    assert [number for number, outcome in enumerate(found) if isinstance(outcome, DBAPIError)] == [7]
    assert [outcome for number, outcome in enumerate(found) if number != 7] == [None] * (_JOBS - 1)
    await renewals.renew(held[7])
    await database.close()
