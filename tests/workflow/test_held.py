"""Jobs held back by a desk, a model, a rate or a limit, on a real Postgres."""

import asyncio
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any
from uuid import UUID

import httpx2
import pytest

from config.settings import WorkerSettings
from config.tenant_directory import TenantDirectory
from db.session import Database
from integrations.errors import DeferredError, DeskTimeoutError
from integrations.llm.clients import Models
from integrations.llm.spending import SpendingBook
from integrations.ports import DeskLimits
from integrations.rate_limit import DeskRate
from integrations.resilience import Breaker, Hold
from integrations.servicedesk.client import SERVICEDESK
from tests.config.given import ACME
from tests.kit.clock import Clock
from tests.kit.desk import Edition, holds_by, new_ticket, opened, settings
from tests.kit.postgres import Table, claimed
from tests.kit.runner import ANSWER, TICKET, run_job, run_when_due, runner_on
from tests.kit.tenants_toml import filed
from tests.workflow.place import WorkSite, tenant
from workflow.runner import Runner

REFUSED = "desk notes not permitted"


async def test_a_job_whose_note_is_refused_loses_nothing_and_is_paid_once(place: WorkSite, log: io.StringIO) -> None:
    clock = Clock()
    ticket_id = new_ticket(place.desks)
    job_id = await place.job(ticket_id)
    before = place.row(job_id)["deadline_at"]
    place.desks.order(kind="status", code=401, operation="add_note")
    async with place.runner(opening={"holds": holds_by(clock)}, failure_note=True) as runner:
        for held_for in (30, 60):
            row = await run_when_due(runner, place.store.table, job_id)
            assert (row["state"], row["reason"], row["attempt"]) == ("waiting", REFUSED, 0)
            assert held_for <= (row["deadline_at"] - before).total_seconds() < held_for + 30
            # The ticket, the same again, and the note; then nothing.
            assert len(place.desks.requests()) == 3
        place.desks.forget()
        clock.now += 30
        assert (await run_when_due(runner, place.store.table, job_id))["state"] == "completed"
    text = log.getvalue()
    assert len(place.notes(ticket_id)) == place.paid() == 1
    assert text.count("ServiceDesk Plus API error: 401") == 1
    assert "Task failed" not in text


@pytest.mark.parametrize(("code", "edition", "before"), [(401, "cloud", 0), (403, "onpremises", 2)])
async def test_no_model_is_paid_while_notes_are_refused(
    code: int, edition: Edition, before: int, place: WorkSite
) -> None:
    """A scope or right is missing: other reads work. Earlier 403s may be single tickets'."""
    clock = Clock()
    tickets = [new_ticket(place.desks, edition) for _ in range(before + 2)]
    job_ids = [await place.job(ticket_id) for ticket_id in tickets]
    place.desks.order(kind="status", code=code, operation="add_note")
    async with place.runner(edition, opening={"holds": holds_by(clock)}) as runner:

        async def ran(job_id: UUID) -> tuple[str, str]:
            row = await run_when_due(runner, place.store.table, job_id)
            return row["state"], row["reason"]

        *refused, answered, unpaid = job_ids
        assert [(await ran(job_id))[0] for job_id in refused] == ["failed"] * before
        for _ in range(3):
            assert await ran(answered) == await ran(unpaid) == ("waiting", REFUSED)
            clock.now += 30
            # The job that probes is the one with a paid answer.
            assert await ran(unpaid) == ("waiting", REFUSED)
        assert place.paid() == before + 1
        assert place.desks.requests(ticket_id=tickets[-1]) == []
        place.desks.forget()
        assert [(await ran(job_id))[0] for job_id in (answered, unpaid)] == ["completed"] * 2
    assert place.paid() == before + 2
    assert len(place.notes(tickets[-2], edition)) == 1


@pytest.mark.parametrize("since", [{"status": "Closed"}, {"group": "HR"}], ids=["closed", "left out"])
async def test_a_ticket_changed_during_a_refused_key_gets_no_note(since: dict[str, str], place: WorkSite) -> None:
    """Exchanging the key takes longer than a desk's rate, so the ticket is read again."""
    place.tenant = tenant(never="group:HR")
    clock, ticket_id = Clock(), new_ticket(place.desks)
    job_id = await place.job(ticket_id)
    place.desks.order(kind="status", code=401, operation="add_note")
    async with place.runner(opening={"holds": holds_by(clock)}) as runner:
        assert (await run_when_due(runner, place.store.table, job_id))["reason"] == REFUSED
        place.desks.forget()
        place.desks.change("PATCH", f"/tickets/acme/{ticket_id}", **since)
        clock.now += 30
        assert (await run_when_due(runner, place.store.table, job_id))["state"] == "skipped"
    assert place.notes(ticket_id) == []


async def test_held_jobs_keep_their_attempts_time_and_progress(place: WorkSite, log: io.StringIO) -> None:
    clock = Clock()
    ticket_id = new_ticket(place.desks)
    job_id = await place.job(ticket_id)
    before = place.row(job_id)["deadline_at"]
    place.model.order(kind="status", code=401)
    hold = Hold("model", monotonic=clock, jitter=lambda low, _high: low)
    async with place.runner(hold=hold, failure_note=True) as runner:
        for seconds in (0, 30):
            clock.now += seconds
            row = await run_when_due(runner, place.store.table, job_id)
            assert (row["state"], row["reason"], row["attempt"]) == ("waiting", "model key refused", 0)
        assert 60 <= (place.row(job_id)["deadline_at"] - before).total_seconds() < 120
        assert place.paid() == 2
        # Held before its ticket is read again.
        read = len(place.desks.requests())
        await run_when_due(runner, place.store.table, job_id)
        assert len(place.desks.requests()) == read
        place.model.forget()
        clock.now += 30
        assert (await run_when_due(runner, place.store.table, job_id))["state"] == "completed"
    text = log.getvalue()
    assert len(place.notes(ticket_id)) == 1
    assert text.count("OpenAI API error: 401 Unauthorized") == 2
    assert text.count("Hold error: model: model key refused") == text.count("Hold ended: model") == 1
    assert text.count(f"Job requeued: job_id={job_id}, ticket_id={ticket_id}, reason=model key refused, held back") == 3
    assert "Task failed" not in text


async def test_a_job_past_the_limit_waits_unpaid_until_the_limit_is_raised(place: WorkSite, log: io.StringIO) -> None:
    paid, held = [await place.job(new_ticket(place.desks)) for _ in range(2)]
    values, clock = filed(ACME, {"acme.openai.daily_tokens": 1}), Clock()
    urls: dict[str, Any] = {"database_url": "postgresql://a:b@db/x", "redis_url": "redis://redis:6379/0"}
    process = WorkerSettings(**urls, openai_api_key="sk-test", openai_base_url=f"{place.model.url}/v1")

    async def ran(job_id: UUID) -> dict[str, Any]:
        book = SpendingBook(place.store.database)
        models = Models(TenantDirectory(lambda: dict(values), monotonic=clock), process, book, connections=4)
        async with place.runner() as runner:
            row = await run_when_due(replace(runner, model_of=models.of), place.store.table, job_id)
        await models.close()
        await book.close()
        return row

    assert (await ran(paid))["state"] == "completed"
    before = place.row(held)["deadline_at"]
    row = await ran(held)
    assert (row["state"], row["attempt"], row["reason"]) == ("waiting", 0, "spending limit of today reached")
    assert (row["deadline_at"] > before, place.paid()) == (True, 1)
    assert log.getvalue().count("Spending limit of today reached: tenant_id=acme") == 1
    values |= filed(values, {"acme.openai.daily_tokens": 100_000})
    row = await ran(held)
    assert row["state"] == "completed"
    assert "gpt-6-luna, please check" in place.notes(row["ticket_id"])[0]


class OneCallDesk:
    """Shows an open ticket, and refuses a second call."""

    def __init__(self, why: str) -> None:
        self.http = httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer))
        self._why = why
        self._shown = False
        self._breaker = Breaker("desk", "desk unavailable", most_failures=1)
        self.others: list[asyncio.Task[object]] = []
        rate = DeskRate("acme", 1 if why == "desk rate limit" else 100_000, None)
        limits = DeskLimits(self._breaker, rate, 1, self._check)
        self.client = SERVICEDESK.open("acme", settings("http://desk"), self.http, None, 60, limits)

    def _check(self) -> None:
        if self._shown and self._why == "tenant closed":
            raise DeferredError("tenant closed", 10, extends_deadline=False)

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        if self._shown:
            await asyncio.sleep(60)
        self._shown = True
        assert request.method == "GET"
        if self._why == "desk busy":
            self.others.append(asyncio.create_task(self.client.read_ticket("1")))
            await asyncio.sleep(0.1)
        if self._why == "desk unavailable":
            with pytest.raises(DeskTimeoutError), self._breaker.watch():
                raise DeskTimeoutError
        return httpx2.Response(200, json=TICKET)


@pytest.mark.parametrize(
    ("why", "counts"),
    [("desk rate limit", True), ("desk busy", True), ("desk unavailable", False), ("tenant closed", False)],
)
async def test_only_a_healthy_desk_need_not_be_read_again(
    why: str, counts: bool, waiting: UUID, database: Database, table: Table
) -> None:
    """The ticket may have changed while its desk was down."""
    table.change(waiting, enhancement=ANSWER.model_dump_json())

    desk = OneCallDesk(why)
    async with desk.http:
        assert await run_job(runner_on(desk.client, database, database), waiting)
        for other in desk.others:
            other.cancel()
        await asyncio.gather(*desk.others, return_exceptions=True)
    row = table.job(waiting)
    assert (row["state"], row["reason"]) == ("waiting", why)
    table.change(waiting, due_at="now()")
    assert (await claimed(database, waiting)).was_recently_open() is counts


@dataclass
class SlowDesk:
    """A desk that takes one call a minute. Jobs run when they are due by the test's clock."""

    place: WorkSite
    time: Clock = field(default_factory=Clock)
    calls: list[float] = field(default_factory=list)

    async def enhance(self, tickets: Sequence[str], minutes: int) -> list[UUID]:
        """Run a job for each ticket to its end; return the ids. Fail after this many minutes."""
        # Without Redis a process takes a quarter of the rate.
        rate = DeskRate("acme", 4, None, monotonic=self.time, sleep=self.time.sleep)
        job_ids = [await self.place.job(ticket_id) for ticket_id in tickets]
        async with self.place.runner(opening={"rate": rate}) as runner, asyncio.timeout(180):
            await self._run(replace(runner, note_settle_seconds=0), job_ids, minutes * 60)
        return job_ids

    async def _run(self, runner: Runner, job_ids: list[UUID], seconds: float) -> None:
        due = dict.fromkeys(job_ids, self.time.now)
        end = self.time.now + seconds
        while due:
            job_id = min(due, key=lambda one: due[one])
            # The relay looks once a second.
            self.time.now = max(self.time.now, due[job_id] + 0.5)
            assert self.time.now < end, [self.place.row(one)["reason"] for one in due]
            await run_when_due(runner, self.place.store.table, job_id)
            self.calls += [self.time.now] * (len(self.place.desks.requests()) - len(self.calls))
            left = "SELECT state, extract(epoch FROM due_at - now())::float AS seconds FROM jobs WHERE id = %s"
            (row,) = self.place.store.table.run(left, job_id)
            due[job_id] = self.time.now + row["seconds"]
            if row["state"] != "waiting":
                del due[job_id]

    def calls_of(self, ticket_id: str) -> list[str]:
        return [request["operation"] for request in self.place.desks.requests(ticket_id=ticket_id)]


async def test_ten_jobs_of_a_desk_with_one_call_a_minute_get_their_notes(place: WorkSite) -> None:
    slow_desk, tickets = SlowDesk(place), [new_ticket(place.desks) for _ in range(10)]
    job_ids = await slow_desk.enhance(tickets, minutes=38)
    assert {(place.row(job_id)["state"], place.row(job_id)["attempt"]) for job_id in job_ids} == {("completed", 1)}
    assert [len(place.notes(ticket_id)) for ticket_id in tickets] == [1] * 10
    assert Counter(request["ticket_id"] for request in place.desks.requests()) == dict.fromkeys(tickets, 3)
    assert place.paid() == 10
    assert all(later - sooner > 60 for sooner, later in pairwise(slow_desk.calls))


async def test_a_search_for_a_note_makes_one_call_at_a_time_and_blocks_no_other_job(place: WorkSite) -> None:
    stored, missing, other = tickets = [new_ticket(place.desks) for _ in range(3)]
    async with opened(settings(place.desks.url)) as technician:
        for text in ("<p>call back 0</p>", "<p>call back 1</p>"):
            await technician.add_note(missing, text)
    place.desks.change("DELETE", "/requests")
    place.desks.order(kind="cut_after", operation="add_note", ticket_id=stored, times=1)
    place.desks.order(kind="status", code=503, operation="add_note", ticket_id=missing, times=1)
    slow_desk = SlowDesk(place)
    job_ids = await slow_desk.enhance(tickets, minutes=25)
    assert {place.row(job_id)["state"] for job_id in job_ids} == {"completed"}
    assert [len(place.notes(ticket_id)) for ticket_id in tickets] == [1, 3, 1]
    assert place.paid() == 3
    begun = ["read_ticket", "read_ticket", "add_note"]
    assert slow_desk.calls_of(stored) == [*begun, "list_notes", "read_note"]
    assert slow_desk.calls_of(missing) == [*begun, "list_notes", "read_note", "read_note", "read_ticket", "add_note"]
    assert slow_desk.calls_of(other) == begun
