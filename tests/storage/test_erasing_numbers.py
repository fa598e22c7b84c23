"""Erasure of a ticket with two numbers: by either, and under both."""

import pytest

from storage import claims, erasure, history, tombstones
from storage.erasure import Stored, Which, stored
from tests.kit.postgres import Store, claimed
from tests.storage.copies import TEXT, WHO, answered


@pytest.mark.parametrize("named", ["12", "4711"])
async def test_a_ticket_with_two_numbers_is_forgotten_by_either_and_under_both(named: str, store: Store) -> None:
    """Jobs named by either number, a copy, and answers with the display number."""
    database, table = store.database, store.table
    await history.save_ticket(database, "acme", {"ticket_id": "4711", **TEXT, "display_id": "12"}, WHO)
    of_people = await answered(database, store.new_event, "12")
    table.change(of_people, desk_id="4711", display_id="12")
    of_desk = await store.accept(ticket_id="4711")
    naming = await answered(database, store.new_event, "8", similar="12")
    which = Which("acme", ticket_id=named)
    assert await stored(database, which) == Stored(copies=1, answers=2, jobs=1, unattributed=0)
    erased = await erasure.erase(database, which)
    assert (erased.copies, erased.answers, [one.job_id for one in erased.ended]) == (1, 2, [of_desk])
    assert [table.job(one)["enhancement"] for one in (of_people, naming)] == [None, None]
    assert await tombstones.forgotten_among(database, "acme", ["4711", "12"]) == {"4711", "12"}
    for display_id in ("12", "", "5"):
        ticket = {"ticket_id": "4711" if display_id != "5" else "999", **TEXT, "display_id": display_id}
        assert await history.save_ticket(database, "acme", ticket) is (display_id == "5")


async def test_a_ticket_that_was_forgotten_by_one_number_is_known_by_the_other_one_later(store: Store) -> None:
    """The other number was unknown then; a job or copy with both counts as erased."""
    await erasure.erase(store.database, Which("acme", ticket_id="12"))
    claim = await claimed(store.database, await store.accept(ticket_id="4711"))
    assert not await claims.is_forgotten(store.database, claim, "4711", "")
    claim = await claims.know_numbers(store.database, claim, "4711", "12")
    assert await claims.is_forgotten(store.database, claim, "4711", "")
    assert not await history.save_ticket(store.database, "acme", {"ticket_id": "4711", **TEXT, "display_id": "12"})
    assert await tombstones.forgotten_among(store.database, "acme", ["4711"]) == {"4711"}


async def test_a_requesters_tickets_are_forgotten_under_both_numbers(store: Store) -> None:
    await history.save_ticket(store.database, "acme", {"ticket_id": "4711", **TEXT, "display_id": "12"}, WHO)
    job_id = await answered(store.database, store.new_event, "13")
    store.table.change(job_id, desk_id="4712", display_id="13")
    await erasure.erase(store.database, Which("acme", requester=WHO))
    numbers = ["4711", "12", "4712", "13"]
    assert await tombstones.forgotten_among(store.database, "acme", [*numbers, "14"]) == {*numbers}
