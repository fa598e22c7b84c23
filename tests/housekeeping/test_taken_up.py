"""Use of notes, measured once for each ticket closed with a resolution."""

import json
from typing import Any

from storage.feedback import Vote, record_vote
from tests.housekeeping.site import Site, resolve
from tests.kit.postgres import Store

STEPS = ["Reset the WAN miniport in the device manager.", "Dial again."]
RESOLUTION = "<p>Reset the WAN miniport in the device manager. Also replaced the cable.</p>"


async def noted(store: Store, ticket_id: str, **columns: Any) -> Any:
    answer = json.dumps({"next_steps": STEPS, "prompt": "7"})
    done = {"state": "completed", "model": "m", "enhancement": answer, "finished_at": "now()"}
    return await store.accept(ticket_id=ticket_id, **done | columns)


def measured(store: Store) -> dict[str, float | None]:
    found = store.table.run("SELECT j.ticket_id, f.taken_up FROM feedback f JOIN jobs j ON j.id = f.job_id")
    return {row["ticket_id"]: row["taken_up"] for row in found}


async def test_a_note_is_measured_once_its_ticket_is_closed_with_a_resolution(site: Site, store: Store) -> None:
    closed, open_still, silent, without_note = (site.new_ticket(subject="VPN is down") for _ in range(4))
    for ticket_id in (closed, open_still, silent):
        await noted(store, ticket_id)
    for ticket_id in (closed, open_still, without_note):
        resolve(site, ticket_id, RESOLUTION)
    for ticket_id in (closed, silent, without_note):
        site.change(ticket_id, status="Closed")
    await site.sync()
    (share,) = measured(store).values()
    assert list(measured(store)) == [closed]
    assert share is not None
    assert 0.5 < share < 1
    # Later edits do not count.
    resolve(site, closed, "<p>It was the firewall, the proxy and the router.</p>")
    site.change(closed, status="Resolved")
    await site.sync()
    assert measured(store) == {closed: share}


async def test_a_vote_and_a_measure_are_one_row(site: Site, store: Store) -> None:
    ticket_id = site.new_ticket(subject="VPN is down")
    job_id = await noted(store, ticket_id)
    await record_vote(store.database, "acme", job_id, Vote.USEFUL, None)
    resolve(site, ticket_id, RESOLUTION)
    site.change(ticket_id, status="Closed")
    await site.sync()
    (row,) = store.table.run("SELECT * FROM feedback")
    assert (row["vote"], row["taken_up"] > 0.5, row["prompt"], row["model"]) == ("useful", True, "7", "m")


async def test_a_resolution_from_before_the_note_is_not_what_was_done_then(site: Site, store: Store) -> None:
    """The ticket was closed, reopened, and closed again with an unchanged resolution."""
    ticket_id = site.new_ticket(subject="VPN is down")
    resolve(site, ticket_id, RESOLUTION)
    for status in ("Closed", "Open"):
        site.change(ticket_id, status=status)
        await site.sync()
    await noted(store, ticket_id)
    # It is read once more while it is open, too.
    for status in ("In Progress", "Closed"):
        site.change(ticket_id, status=status)
        await site.sync()
    assert measured(store) == {}
    resolve(site, ticket_id, "<p>Reset the WAN miniport in the device manager again.</p>")
    site.change(ticket_id, status="Resolved")
    await site.sync()
    assert list(measured(store)) == [ticket_id]


async def test_an_answer_that_was_purged_or_failed_is_not_measured(site: Site, store: Store) -> None:
    for columns in ({"enhancement": None}, {"state": "failed"}, {"tenant_id": "globex"}):
        ticket_id = site.new_ticket(subject="VPN is down")
        await noted(store, ticket_id, **columns)
        resolve(site, ticket_id, RESOLUTION)
        site.change(ticket_id, status="Closed")
    await site.sync()
    assert measured(store) == {}
