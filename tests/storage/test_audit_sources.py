"""Audit records that have an erased ticket among their sources."""

import pytest

from storage import audit, erasure, history
from storage.erasure import Which, stored
from tests.kit.postgres import Store
from tests.storage.copies import TEXT, WHO, answered, copy
from tests.storage.exchanges import exchange
from tests.storage.recorded_jobs import OTHER, kept, recorded


async def test_a_requesters_ticket_among_the_sources_is_found_when_its_copy_is_gone(store: Store) -> None:
    await copy(store.database, "101")
    await copy(store.database, "102", OTHER)
    await recorded(store, "8", "101", "102", requester=OTHER)
    other = await recorded(store, "9", "102", requester=OTHER)
    await history.remove_ticket(store.database, "acme", "101")
    # The copy was gone by then: the record has the number alone.
    later = await recorded(store, "10", "101", requester=OTHER)
    naming = await answered(store.database, store.new_event, "11", OTHER, similar="101")
    which = Which("acme", requester=WHO)
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
    which = Which("acme", ticket_id=number)
    assert (await stored(store.database, which)).records == 1
    assert (await erasure.erase(store.database, which)).records == 1
    assert kept(store) == {other}


async def test_a_source_says_whose_ticket_it_is_as_the_copy_has_it(store: Store) -> None:
    both = {"ticket_id": "9007", "display_id": "70"}
    await history.save_ticket(store.database, "acme", both | TEXT, WHO)
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
