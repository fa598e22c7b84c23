"""Audit records: content, tenant, expiry, erasure, and what is not stored."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

import pytest

from knowledge import repository
from privacy import audit, erasure
from privacy.erasure import ErasureScope, stored
from privacy.models import AuditRecord
from tests.jobs.exchanges import exchange
from tests.kit.postgres import Store
from tests.knowledge.copies import TEXT, WHO, answered, copy

OTHER = "someone.else@acme.example"


async def recorded(store: Store, ticket_id: str, *sources: str, requester: str = WHO, **changed: Any) -> UUID:
    job_id = await answered(store.database, store.new_event, ticket_id, requester)
    if numbers := {name: changed.pop(name) for name in ("desk_id", "display_id") if name in changed}:
        store.table.change(job_id, **numbers)
    await audit.keep(store.database, "acme", job_id, exchange(*sources, **changed))
    return job_id


def kept(store: Store) -> set[UUID]:
    return {row["job_id"] for row in store.table.run("SELECT job_id FROM audit_records")}


def age(store: Store, job_id: UUID, days: int) -> None:
    store.table.run("UPDATE audit_records SET at = now() - make_interval(days => %s) WHERE job_id = %s", days, job_id)


async def found(store: Store, tenant_id: str = "acme", **asked: Any) -> list[AuditRecord]:
    return [record async for record in audit.records(store.database, tenant_id, page=2, **asked)]


async def test_a_record_tells_all_that_was_asked_and_answered(store: Store) -> None:
    job_id = await recorded(store, "7", "101", cost=None)
    (record,) = await found(store)
    told = asdict(exchange("101", cost=None))
    assert {name: getattr(record, name) for name in told} == told
    assert (record.job_id, record.ticket_id) == (job_id, "7")


async def test_records_are_found_by_ticket_job_and_time_oldest_first(store: Store) -> None:
    jobs = [await recorded(store, "7"), await recorded(store, "8", desk_id="9007", display_id="70")]
    jobs.append(await recorded(store, "7"))
    for job_id, days in zip(jobs, (5, 4, 3), strict=True):
        age(store, job_id, days)
    await audit.keep(store.database, "acme", jobs[0], exchange(model="m-2"))
    assert [record.job_id for record in await found(store)] == [*jobs, jobs[0]]
    assert [record.job_id for record in await found(store, ticket_id="7")] == [jobs[0], jobs[2], jobs[0]]
    for number in ("8", "9007", "70"):
        assert [record.job_id for record in await found(store, ticket_id=number)] == [jobs[1]]
    assert [record.model for record in await found(store, job_id=jobs[0])] == ["m-1", "m-2"]
    since = (await found(store))[1].at
    assert [record.job_id for record in await found(store, since=since)] == [*jobs[1:], jobs[0]]
    assert [record.job_id for record in await audit.newest(store.database, "acme", 2, days=9)] == [jobs[0], jobs[2]]
    last = await audit.last_of_jobs(store.database, "acme", jobs[:2], days=9)
    assert {job_id: record.model for job_id, record in last.items()} == {jobs[0]: "m-2", jobs[1]: "m-1"}
    assert await found(store, "globex") == []


async def test_records_that_only_wait_to_be_purged_are_not_told(store: Store) -> None:
    old, young = await recorded(store, "7"), await recorded(store, "8")
    age(store, old, 31)
    assert [record.job_id for record in await found(store, days=30)] == [young]
    assert [record.job_id for record in await audit.newest(store.database, "acme", 9, days=30)] == [young]
    assert list(await audit.last_of_jobs(store.database, "acme", [old, young], days=30)) == [young]
    assert await found(store, days=0) == []
    assert len(await found(store)) == 2


async def test_what_was_asked_in_vain_is_told_and_not_among_what_is_asked_again(store: Store) -> None:
    job_id = await recorded(store, "7")
    await audit.keep(store.database, "acme", job_id, exchange(answer=None, reason="content filter"))
    told = [(bool(record.answer), record.reason) for record in await found(store)]
    assert told == [(True, None), (False, "content filter")]
    (newest,) = await audit.newest(store.database, "acme", 9, days=30)
    assert newest.answer
    assert (await audit.last_of_jobs(store.database, "acme", [job_id], days=30))[job_id].answer


async def test_a_forgotten_ticket_has_no_record_and_is_in_none(store: Store) -> None:
    own, naming = await recorded(store, "7"), await recorded(store, "8", "7", "9")
    by_other_number = await recorded(store, "70", desk_id="7")
    other = await recorded(store, "9", "77")
    which = ErasureScope("acme", ticket_id="7")
    assert (await stored(store.database, which)).records == 3
    assert (await erasure.erase(store.database, which, page=1)).records == 3
    assert kept(store) == {other}
    # Nor does it get one.
    for job_id in (own, by_other_number):
        await audit.keep(store.database, "acme", job_id, exchange())
    await audit.keep(store.database, "acme", naming, exchange("7"))
    assert kept(store) == {other}
    await audit.keep(store.database, "acme", naming, exchange("9"))
    assert kept(store) == {other, naming}


@pytest.mark.parametrize("job_is_there", [True, False])
async def test_a_forgotten_requester_has_no_record_though_the_job_was_purged(job_is_there: bool, store: Store) -> None:
    own = await recorded(store, "7")
    naming, other = await recorded(store, "8", "7", requester=OTHER), await recorded(store, "9", requester=OTHER)
    if not job_is_there:
        store.table.run("DELETE FROM jobs WHERE id = %s", own)
    which = ErasureScope("acme", requester=WHO)
    assert (await stored(store.database, which)).records == 2
    assert (await erasure.erase(store.database, which, page=1)).records == 2
    assert kept(store) == {other}
    late = await answered(store.database, store.new_event, "10", WHO)
    for job_id in (own, naming, late):
        await audit.keep(store.database, "acme", job_id, exchange("7"))
    await audit.keep(store.database, "acme", late, exchange())
    assert kept(store) == {other}


async def test_a_tenant_that_leaves_takes_its_records_with_it(store: Store) -> None:
    own = await recorded(store, "7")
    elsewhere = await answered(store.database, store.new_event, "7", tenant_id="globex")
    # There is no record for a job of another tenant.
    for job_id in (elsewhere, own):
        await audit.keep(store.database, "globex", job_id, exchange())
    assert [row["job_id"] for row in store.table.run("SELECT job_id FROM audit_records")] == [own, elsewhere]
    which = ErasureScope("acme")
    assert (await stored(store.database, which)).records == 1
    assert (await erasure.erase(store.database, which)).records == 1
    assert kept(store) == {elsewhere}


async def test_a_requesters_ticket_among_the_sources_is_found_when_its_copy_is_gone(store: Store) -> None:
    await copy(store.database, "101")
    await copy(store.database, "102", OTHER)
    await recorded(store, "8", "101", "102", requester=OTHER)
    other = await recorded(store, "9", "102", requester=OTHER)
    await repository.remove_ticket(store.database, "acme", "101")
    # The copy was gone by then: the record has the number alone.
    later = await recorded(store, "10", "101", requester=OTHER)
    naming = await answered(store.database, store.new_event, "11", OTHER, similar="101")
    which = ErasureScope("acme", requester=WHO)
    told = await stored(store.database, which)
    assert (told.records, told.answers) == (2, 1)
    erased = await erasure.erase(store.database, which, page=1)
    assert (erased.records, erased.answers) == (2, 1)
    assert kept(store) == {other}
    assert store.table.job(naming)["enhancement"] is None
    await audit.keep(store.database, "acme", later, exchange("101"))
    assert kept(store) == {other}


@pytest.mark.parametrize("number", ["70", "9007"])
async def test_a_source_is_forgotten_by_either_number_of_its_ticket(number: str, store: Store) -> None:
    source = {"id": "T70", "kind": "ticket", "number": "70", "title": "Mailbox full", "desk_id": "9007"}
    await recorded(store, "8", requester=OTHER, sources=[source])
    other = await recorded(store, "9", "71", requester=OTHER)
    which = ErasureScope("acme", ticket_id=number)
    assert (await stored(store.database, which)).records == 1
    assert (await erasure.erase(store.database, which)).records == 1
    assert kept(store) == {other}


async def test_a_source_says_whose_ticket_it_is_as_the_copy_has_it(store: Store) -> None:
    both = {"ticket_id": "9007", "display_id": "70"}
    await repository.save_ticket(store.database, "acme", both | TEXT, WHO)
    await copy(store.database, "71", "")
    sources = [
        {"id": "T70", "kind": "ticket", "number": "70", "title": "a", "desk_id": "9007"},
        {"id": "T71", "kind": "ticket", "number": "71", "title": "b"},
        {"id": "D1", "kind": "document", "title": "71"},
    ]
    await recorded(store, "8", sources=sources)
    (row,) = store.table.run("SELECT sources FROM audit_records")
    (copied,) = store.table.run("SELECT requester FROM tickets WHERE ticket_id = '9007'")
    assert row["sources"] == [sources[0] | {"requester": bytes(copied["requester"]).hex()}, *sources[1:]]
