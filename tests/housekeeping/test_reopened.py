"""Jobs for tickets reopened after their note: one for each reopening."""

import io
from typing import Any

import pytest

from config.tenants import Tenant
from housekeeping.sources import mind_reopening
from integrations.values import DeskTicket
from storage.jobs import SEEN_REOPENED
from tests.housekeeping.site import Site
from tests.kit.postgres import Store

ACME = Tenant("acme")


async def noted(site: Site, store: Store, **columns: Any) -> str:
    ticket_id = site.new_ticket(subject="VPN is down")
    await store.accept(ticket_id=ticket_id, **{"state": "completed", "finished_at": "now()"} | columns)
    await site.sync()
    return ticket_id


async def moved(site: Site, ticket_id: str, *statuses: str, **wishes: Any) -> None:
    for status in statuses:
        site.change(ticket_id, status=status)
        await site.sync(**wishes)


def asked(store: Store) -> list[dict[str, Any]]:
    """Return the jobs that no webhook requested."""
    return store.table.run("SELECT * FROM jobs WHERE event = %s ORDER BY id", SEEN_REOPENED)


@pytest.mark.usefixtures("spans")
async def test_a_ticket_that_is_open_again_gets_a_job(site: Site, store: Store, log: io.StringIO) -> None:
    ticket_id = await noted(site, store)
    await moved(site, ticket_id, "Closed")
    assert asked(store) == []
    await moved(site, ticket_id, "Open")
    (job,) = asked(store)
    assert (job["tenant_id"], job["ticket_id"], job["state"]) == ("acme", ticket_id, "waiting")
    assert job["published_at"] is None
    line = f"Refresh asked for: job_id={job['id']}, ticket_id={ticket_id}, reason={SEEN_REOPENED} |"
    assert line in log.getvalue()
    # Its trace begins here.
    assert job["traceparent"].split("-")[1] in log.getvalue()


async def test_one_without_a_note_or_never_closed_gets_none(site: Site, store: Store) -> None:
    for columns in ({"state": "failed"}, {"tenant_id": "globex"}):
        await moved(site, await noted(site, store, **columns), "Closed", "Open")
    await moved(site, await noted(site, store), "On Hold", "Open")
    assert asked(store) == []


async def test_a_tenant_that_wants_none_gets_none_later_either(site: Site, store: Store) -> None:
    ticket_id = await noted(site, store)
    await moved(site, ticket_id, "Closed")
    await moved(site, ticket_id, "Open", reopened=False)
    await moved(site, ticket_id, "On Hold")
    assert asked(store) == []


@pytest.mark.parametrize("state", ["completed", "skipped", "failed"])
async def test_one_reopening_makes_one_job_whatever_comes_of_it(state: str, site: Site, store: Store) -> None:
    ticket_id = await noted(site, store)
    await moved(site, ticket_id, "Closed", "Open", "On Hold")
    (job,) = asked(store)
    store.table.change(job["id"], state=state, finished_at="now()", refresh="reopened")
    await moved(site, ticket_id, "Open", "On Hold")
    assert asked(store) == [store.table.job(job["id"])]
    await moved(site, ticket_id, "Closed", "Open")
    assert len(asked(store)) == 2


async def test_a_ticket_that_is_closed_while_its_note_is_made_is_known_to_be(site: Site, store: Store) -> None:
    lasts = {"lease_until": "now() + interval '1 hour'", "started_at": "now() - interval '1 minute'"}
    ticket_id = await noted(site, store, state="running", finished_at=None, **lasts)
    await moved(site, ticket_id, "Closed")
    store.table.run("UPDATE jobs SET state = 'completed', finished_at = now()")
    await moved(site, ticket_id, "Open")
    assert len(asked(store)) == 1


async def test_what_was_read_before_the_note_says_nothing_of_it(site: Site, store: Store) -> None:
    """The ticket was reopened and noted between the desk's answer and this."""
    ticket_id = site.new_ticket(subject="VPN is down")
    site.change(ticket_id, status="Closed")
    closed = await site.client.read_ticket(ticket_id)
    job_id = await store.accept(ticket_id=ticket_id, state="completed", finished_at="now()")
    await mind_reopening(store.database, ACME, closed, 60, 1800)
    assert store.table.job(job_id)["seen_closed_at"] is None
    await mind_reopening(store.database, ACME, closed, 0, 1800)
    assert store.table.job(job_id)["seen_closed_at"] is not None


async def test_a_number_of_people_that_is_another_tickets_id_is_not_taken_for_it(store: Store) -> None:
    shown_as_7 = DeskTicket("124", "VPN is down", "", "", "", "Closed", "", closed=True, display_id="7")
    done: dict[str, Any] = {"state": "completed", "finished_at": "now() - interval '1 minute'"}
    ours, other = [await store.accept(ticket_id=number, **done) for number in ("124", "7")]
    await mind_reopening(store.database, ACME, shown_as_7, 0, 1800)
    assert store.table.job(ours)["seen_closed_at"] is not None
    assert store.table.job(other)["seen_closed_at"] is None


async def skipped(site: Site, store: Store, **columns: Any) -> str:
    ticket_id = site.new_ticket(subject="VPN is down")
    site.change(ticket_id, status="Closed")
    ended = {"state": "skipped", "reason": "ticket deleted or closed", "finished_at": "now()"}
    await store.accept(ticket_id=ticket_id, **ended | columns)
    await site.sync()
    return ticket_id


async def test_one_open_again_after_a_skip_is_told_of_once(site: Site, store: Store, log: io.StringIO) -> None:
    ticket_id = await skipped(site, store)
    await moved(site, ticket_id, "Open", "On Hold", "Open")
    (line,) = [line for line in log.getvalue().splitlines() if "Ticket reopened after a skip" in line]
    assert f"ticket_id={ticket_id}, reconcile=report" in line
    assert "error" not in line.lower()
    assert asked(store) == []
    (event,) = store.table.run("SELECT what FROM job_events WHERE what <> 'accepted'")
    assert event["what"] == "seen open again"


async def test_its_job_is_made_anew_where_that_is_wanted(site: Site, store: Store) -> None:
    ticket_id = await skipped(site, store)
    await moved(site, ticket_id, "Open", recovers=True)
    (job,) = asked(store)
    assert (job["ticket_id"], job["state"]) == (ticket_id, "waiting")
    store.table.change(job["id"], state="skipped", reason="ticket deleted or closed", finished_at="now()")
    await moved(site, ticket_id, "Closed", "Open", recovers=True)
    assert len(asked(store)) == 2


async def test_one_that_was_told_of_gets_its_job_by_a_later_reading(site: Site, store: Store) -> None:
    """The tenant enabled it later, or housekeeping died in between."""
    ticket_id = await skipped(site, store)
    await moved(site, ticket_id, "Open")
    await moved(site, ticket_id, "On Hold", "Open", recovers=True)
    assert [job["ticket_id"] for job in asked(store)] == [ticket_id]
    assert store.table.run("SELECT count(*) FROM job_events WHERE what = 'seen open again'") == [{"count": 1}]


@pytest.mark.parametrize(
    "columns",
    [
        {"reason": "left out by the tenant's rules"},
        {"state": "failed", "reason": "deadline passed"},
        {"finished_at": "now() - interval '25 hours'"},
        {"tenant_id": "globex"},
    ],
    ids=lambda columns: next(iter(columns)),
)
async def test_a_reopening_changes_no_other_skip(columns: dict[str, Any], site: Site, store: Store) -> None:
    await moved(site, await skipped(site, store, **columns), "Open", recovers=True)
    assert asked(store) == []
