"""Turns: the tenant with the fewest places for its weight, its oldest due job."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import psycopg
import pytest

from cli.pilot.postgres import Postgres
from db.session import Database
from jobs.claims import Claim, complete
from jobs.fair_claim import MAX_TENANTS_COMPARED, NoStartableJobError, Shares, claim_next
from jobs.repository import is_queue_full
from tests.kit.postgres import LEASE, Store

ALIKE = Shares()


async def flood(store: Store, tenant: str, count: int, **columns: Any) -> list[UUID]:
    return [await store.accept(tenant_id=tenant, ticket_id=f"{tenant} {number}", **columns) for number in range(count)]


async def take(database: Database, shares: Shares = ALIKE, *, times: int = 1) -> list[Claim]:
    found = [await claim_next(database, "one", LEASE, shares) for _ in range(times)]
    assert None not in found
    return [claim for claim in found if claim is not None]


def tenants(claims: list[Claim]) -> Counter[str]:
    return Counter(claim.tenant_id for claim in claims)


async def test_a_tenant_alone_has_every_place_and_its_oldest_job_runs_first(store: Store) -> None:
    accepted = await flood(store, "acme", 5)
    assert [claim.job_id for claim in await take(store.database, times=3)] == accepted[:3]
    (newcomer,) = await flood(store, "globex", 1)
    assert [claim.job_id for claim in await take(store.database, times=3)] == [newcomer, *accepted[3:]]
    assert await claim_next(store.database, "one", LEASE, ALIKE) is None


async def test_running_places_are_shared_not_starts(store: Store) -> None:
    await flood(store, "slow", 20)
    await flood(store, "quick", 20)
    running = await take(store.database, times=6)
    assert tenants(running) == {"slow": 3, "quick": 3}
    for _ in range(8):
        ended = next(claim for claim in running if claim.tenant_id == "quick")
        await complete(store.database, ended, "note")
        running.remove(ended)
        running += await take(store.database)
    assert tenants(running) == {"slow": 3, "quick": 3}


@pytest.mark.parametrize(
    ("shares", "times", "places"),
    [
        (Shares(weights={"acme": 3}), 12, {"acme": 9, "globex": 3}),
        # Starts that ended at once count as places.
        (Shares(charged={"acme": 4}), 6, {"globex": 5, "acme": 1}),
    ],
)
async def test_a_tenant_has_places_by_its_weight(shares: Shares, times: int, places: Any, store: Store) -> None:
    for tenant in ("acme", "globex"):
        await flood(store, tenant, 12)
    assert tenants(await take(store.database, shares, times=times)) == places


async def test_a_tenant_stays_within_its_limit_of_running_jobs(store: Store) -> None:
    await flood(store, "acme", 20)
    shares = Shares(most_running={"acme": 3})

    async def one() -> Claim | None:
        try:
            return await claim_next(store.database, "one", LEASE, shares)
        except NoStartableJobError:
            return None

    claimed = [claim for claim in await asyncio.gather(*(one() for _ in range(12))) if claim]
    assert len(claimed) == 3
    (other,) = await flood(store, "globex", 1)
    assert (await take(store.database, shares))[0].job_id == other
    with pytest.raises(NoStartableJobError):
        await claim_next(store.database, "one", LEASE, shares)
    await complete(store.database, claimed[0], "note")
    assert tenants(await take(store.database, shares)) == {"acme": 1}


@pytest.mark.parametrize("with_places", [0, 3])
async def test_tenants_at_their_limit_block_no_places(store: Store, with_places: int) -> None:
    full = [f"full-{number}" for number in range(2 * MAX_TENANTS_COMPARED)]
    for tenant in full:
        await flood(store, tenant, 2)
    shares = Shares(most_running=dict.fromkeys(full, 1))
    await take(store.database, shares, times=len(full))
    await flood(store, "free", with_places + 3)
    await take(store.database, shares, times=with_places)
    assert tenants(await take(store.database, shares, times=3)) == {"free": 3}
    with pytest.raises(NoStartableJobError):
        await claim_next(store.database, "one", LEASE, shares)


async def test_what_waits_for_anything_counts_towards_a_limit_of_waiting_jobs(store: Store) -> None:
    await flood(store, "acme", 2)
    await flood(store, "acme", 1, due_at="now() + interval '1 minute'", published_at=None)
    await flood(store, "acme", 1, state="running")
    await flood(store, "globex", 5)
    another, known = store.new_event(), store.new_event(ticket_id="acme 1")
    assert [await is_queue_full(store.database, another, most) for most in (3, 4)] == [True, False]
    await store.accept(known)
    assert not await is_queue_full(store.database, known, 3)


@pytest.mark.parametrize(("most", "taken"), [({}, 10), ({"acme": 1, "globex": 1}, 1)], ids=["unlimited", "limited"])
async def test_claims_at_once_get_a_job_each(most: dict[str, int], taken: int, store: Store) -> None:
    accepted = [job_id for tenant in ("acme", "globex") for job_id in await flood(store, tenant, 10)]
    claims = [claim_next(store.database, "one", LEASE, Shares(most_running=most)) for _ in range(20)]
    found = await asyncio.gather(*claims, return_exceptions=True)
    claimed = [claim for claim in found if isinstance(claim, Claim)]
    assert tenants(claimed) == {"acme": taken, "globex": taken}
    assert len({claim.job_id for claim in claimed} & set(accepted)) == 2 * taken
    assert all(isinstance(claim, Claim | NoStartableJobError) for claim in found)


async def test_a_job_that_somebody_holds_keeps_nobody_from_the_next(store: Store, server: Postgres) -> None:
    first, second = await flood(store, "acme", 2)
    with psycopg.connect(server.superuser_url) as other:
        other.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", (first,))
        assert (await take(store.database))[0].job_id == second
        with pytest.raises(NoStartableJobError):
            await claim_next(store.database, "one", LEASE, ALIKE)


async def test_only_a_due_job_with_a_message_is_claimed(store: Store) -> None:
    """Otherwise a message would be used up for a job that gets another one later."""
    later = "now() + interval '1 minute'"
    for columns in ({"due_at": later}, {"published_at": None}, {"state": "completed"}):
        await flood(store, "acme", 1, **columns)
    assert await claim_next(store.database, "one", LEASE, ALIKE) is None
    await flood(store, "acme", 1, deadline_at="now() - interval '1 second'")
    with pytest.raises(NoStartableJobError):
        await claim_next(store.database, "one", LEASE, ALIKE)


async def test_none_of_very_many_tenants_is_skipped(store: Store) -> None:
    """Places are spread over all although a claim looks at some of them only."""
    many = [f"tenant-{number}" for number in range(3 * MAX_TENANTS_COMPARED)]
    for tenant in many:
        await flood(store, tenant, 2)
    first = tenants(await take(store.database, times=len(many)))
    assert len(first) > 0.8 * len(many)
    assert max(first.values()) == 2


async def test_a_job_whose_ticket_has_another_first_is_put_off_by_its_turn(store: Store) -> None:
    first, second = await store.accept(ticket_id="1"), await store.accept(ticket_id="1")
    claims = await take(store.database, times=2)
    assert [(claim.job_id, claim.another_first) for claim in claims] == [(first, False), (second, True)]
