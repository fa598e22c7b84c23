"""Missed webhooks: reported after one interval, and made into jobs on request."""

import io
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from cli.config import parse_names
from config.tenants import JobShare, Tenant, TicketRules
from jobs import rejections
from jobs.inbox import Inbox
from jobs.queue import open_redis
from jobs.repository import HELD_OUT, RECOVERED
from privacy import erasure
from privacy.erasure import ErasureScope
from tests.kit.postgres import Store
from tests.knowledge.site import Site
from tests.worker.scheduler.comparison import Comparing, told

ON = Tenant("acme", recovers=True)
POLLED = Tenant("acme", polled=True, recovers=True)


@pytest.fixture
async def rounds(site: Site, redis: Redis) -> Comparing:
    site.new_ticket()
    comparing = Comparing(site.client, site.database, site.table, redis)
    assert await comparing.round() == ""
    return comparing


async def test_tickets_of_before_a_tenant_was_seen_are_nobodys_concern(rounds: Comparing) -> None:
    rounds.tenant = ON
    assert await rounds.round() == await rounds.after_an_interval() == ""
    assert (rounds.rows(), rounds.made()) == ([], [])
    # One call each: of an idle tenant only the newest tickets are read.
    assert rounds.turns == 3


async def test_it_is_told_once_after_an_interval(rounds: Comparing, site: Site, log: io.StringIO) -> None:
    ticket_id = site.new_ticket()
    await rounds.round()
    await rounds.round()
    assert (rounds.rows(), told(log, "Webhook missed")) == ([ticket_id], [])
    for _ in range(3):
        await rounds.after_an_interval()
    (line,) = told(log, "Webhook missed")
    assert f"Webhook missed: ticket_id={ticket_id}, tenant_id=acme, created=20" in line
    assert "reconcile=report" in line
    assert f"ticket_id: {ticket_id}, tenant_id: acme" in line
    assert " warning " in line
    assert "error" not in line.lower()
    assert rounds.made() == []


@pytest.mark.usefixtures("spans")
async def test_its_job_is_made_on_request(rounds: Comparing, site: Site, store: Store, log: io.StringIO) -> None:
    first, second = site.new_tickets(2)
    rounds.tenant = ON
    await rounds.through_an_interval()
    assert rounds.made() == [first, second]
    jobs = store.table.run("SELECT * FROM jobs ORDER BY id")
    assert {(job["tenant_id"], job["event"], job["state"], job["published_at"]) for job in jobs} == {
        ("acme", RECOVERED, "waiting", None)
    }
    traces = [job["traceparent"].split("-")[1] for job in jobs]
    assert traces[0] != traces[1]
    for job, trace in zip(jobs, traces, strict=True):
        (line,) = told(log, f"Job recovered: job_id={job['id']}, ticket_id={job['ticket_id']}")
        assert "reason=webhook missed" in line
        assert f"trace_id: {trace}" in line
    await rounds.after_an_interval()
    assert len(rounds.made()) == 2


@pytest.mark.parametrize("ended", [{}, {"state": "skipped", "reason": HELD_OUT, "finished_at": "now()"}])
async def test_a_late_webhook_is_not_missed(
    ended: dict[str, Any], rounds: Comparing, site: Site, store: Store, log: io.StringIO
) -> None:
    rounds.tenant = ON
    ticket_id = site.new_ticket()
    await rounds.round()
    await store.accept(ticket_id=ticket_id, **ended)
    await rounds.after_an_interval()
    assert (rounds.rows(), rounds.made(), told(log, "Webhook missed")) == ([], [], [])


async def test_what_was_only_told_is_made_once_that_is_wanted(rounds: Comparing, site: Site, store: Store) -> None:
    missed, enhanced, old = site.new_tickets(3)
    await rounds.through_an_interval()
    # An operator requested one job meanwhile, and one ticket is now older than the window.
    await store.accept(ticket_id=enhanced)
    store.table.run("UPDATE missing_webhooks SET created_at = now() - interval '25 hours' WHERE ticket_id = %s", old)
    rounds.tenant = ON
    await rounds.round()
    assert rounds.made() == [missed]


async def test_a_webhook_refused_with_429_is_recovered(rounds: Comparing, site: Site, log: io.StringIO) -> None:
    missed, refused, by_its_other_number, mismatched, others = site.new_tickets(5)
    await rounds.round()
    site.table.run("UPDATE missing_webhooks SET display_id = '7' WHERE ticket_id = %s", by_its_other_number)
    for tenant_id, ticket_id in (("acme", refused), ("acme", "7"), ("globex", others)):
        await rejections.record_full(site.database, tenant_id, ticket_id, "too many jobs waiting: 1")
    await rejections.record(site.database, "acme", mismatched, 403, "signature mismatch", proved=True)
    rounds.left = True
    await rounds.after_an_interval()
    assert rounds.made() == []
    rounds.left, rounds.tenant = False, Tenant("acme", share=JobShare(most_waiting=1))
    await rounds.after_an_interval()
    assert rounds.made() == [refused]
    site.table.run("UPDATE jobs SET state = 'completed'")
    for _ in range(2):
        await rounds.after_an_interval()
    assert rounds.made() == [refused, by_its_other_number]
    assert len(told(log, f"ticket_id={refused}, reason=webhook refused with 429")) == 1
    assert all(told(log, f"Webhook missed: ticket_id={ticket_id}") for ticket_id in (missed, mismatched, others))


async def test_a_polled_desk_has_its_jobs_at_once(rounds: Comparing, site: Site, log: io.StringIO) -> None:
    rounds.tenant = POLLED
    ticket_id = site.new_ticket()
    await rounds.round()
    assert rounds.made() == [ticket_id]
    assert told(log, "Webhook missed") == []
    (line,) = told(log, "Job recovered")
    assert "reason=polled" in line


async def test_tickets_that_the_rules_leave_out_are_not_missed(rounds: Comparing, site: Site) -> None:
    rules = TicketRules(never=parse_names("group:HR"), only=parse_names("event:ticket.created"))
    rounds.tenant = replace(ON, rules=rules)
    site.new_ticket(group="HR")
    wanted = site.new_ticket(group="Network")
    await rounds.through_an_interval()
    assert (rounds.rows(), rounds.made()) == ([wanted], [wanted])
    assert site.asked_for() == set()


async def test_one_of_which_the_list_tells_too_little_is_read_first(rounds: Comparing, site: Site) -> None:
    site.set_desk(list_fields=False)
    rounds.tenant = replace(ON, rules=TicketRules(never=parse_names("category:Payroll")))
    left_out, wanted = site.new_ticket(category="Payroll"), site.new_ticket(category="Network")
    gone, refused = site.new_tickets(2)
    await rounds.round()
    site.delete(gone)
    site.desk.order(kind="status", code=403, operation="read_ticket", ticket_id=refused)
    await rounds.after_an_interval()
    assert rounds.made() == [wanted]
    assert rounds.rows("left_out") == [left_out, refused]
    assert gone not in rounds.rows()
    site.desk.forget()
    await rounds.after_an_interval()
    assert site.asked_for() == set()


async def test_a_few_are_read_in_a_round_and_the_others_in_the_next(rounds: Comparing, site: Site) -> None:
    site.set_desk(list_fields=False)
    rounds.tenant = replace(ON, rules=TicketRules(never=parse_names("category:Payroll")))
    tickets = site.new_tickets(25)
    await rounds.through_an_interval()
    assert rounds.made() == tickets[:20]
    await rounds.after_an_interval()
    assert rounds.made() == tickets


async def test_a_ticket_that_was_forgotten_is_never_made(rounds: Comparing, site: Site) -> None:
    before, between, after = site.new_tickets(3)
    await erasure.erase(site.database, ErasureScope("acme", ticket_id=before))
    await rounds.round()
    assert rounds.rows() == [between, after]
    await erasure.erase(site.database, ErasureScope("acme", ticket_id=between))
    await rounds.after_an_interval()
    await erasure.erase(site.database, ErasureScope("acme", ticket_id=after))
    rounds.tenant = ON
    await rounds.round()
    assert (rounds.made(), rounds.rows()) == ([], [])


async def test_a_webhook_that_waits_in_redis_is_not_missed(rounds: Comparing, site: Site, store: Store) -> None:
    rounds.tenant = ON
    waits, missed = site.new_tickets(2)
    await rounds.round()
    event = store.new_event(ticket_id=waits)
    await Inbox(rounds.redis).put(event)
    away = open_redis("redis://127.0.0.1:1/0", seconds=0.2)
    there, rounds.redis = rounds.redis, away
    await rounds.after_an_interval()
    assert rounds.made() == []
    rounds.redis = there
    await rounds.after_an_interval()
    assert rounds.made() == [missed]
    await away.aclose()


async def test_a_minute_has_a_limit_and_the_oldest_come_first(rounds: Comparing, site: Site) -> None:
    tickets = site.new_tickets(70)
    await rounds.round()
    rounds.tenant = ON
    waits = []

    async def sleep(seconds: float) -> None:
        waits.append((seconds, len(rounds.made())))
        rounds.pass_by(timedelta(seconds=seconds + 1))

    await rounds.after_an_interval()
    assert rounds.made() == tickets[:60]
    await rounds.round()
    assert rounds.made() == tickets[:60]
    await rounds.round(until=float("inf"), sleep=sleep)
    assert rounds.made() == tickets
    ((seconds, made),) = waits
    assert 0 < seconds <= 60
    assert made == 60


async def test_a_wish_that_ends_in_the_middle_counts_at_once(rounds: Comparing, site: Site) -> None:
    site.new_tickets(70)
    await rounds.round()
    rounds.tenant = ON

    async def sleep(_seconds: float) -> None:
        rounds.tenant = Tenant("acme")

    rounds.pass_by(timedelta(minutes=5))
    await rounds.round(until=float("inf"), sleep=sleep)
    assert len(rounds.made()) == 60
