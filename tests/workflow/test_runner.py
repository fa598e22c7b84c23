"""Attempts run whole on a real Postgres: context, fair_shares, time limit, outcomes and a stopping worker."""

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from typing import Any, cast
from uuid import UUID

import httpx2
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis
from sqlalchemy import TextClause, text
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession

from cli.pilot.postgres import Postgres
from config.prices import ModelPrice
from config.tenants import JobShare, Tenant, TicketRules
from db.session import Database, Row
from integrations.errors import DeskTimeoutError
from integrations.resilience import Breaker
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.values import Usage
from jobs import manual_retry, repository
from jobs.claims import Claim
from jobs.fair_claim import FairShares, Shares
from knowledge import repository as knowledge_repository
from knowledge.search import PostgresSearch
from tests.integrations.street import Street, town
from tests.kit import model as kit
from tests.kit.clock import Clock
from tests.kit.desk import new_ticket, notes_of, opened, settings
from tests.kit.logs import StartLog
from tests.kit.postgres import DEADLINE, NewEvent, Store, Table, accept, claimed
from tests.kit.runner import ANSWER, TICKET, run_job, run_when_due, runner_on
from tests.kit.simulators import Simulator
from tests.workflow.place import WorkSite
from workflow.graph import JobGraph
from workflow.note import to_html
from workflow.runner import Runner, run_attempt
from workflow.stored_answers import StoredAnswers, StoredKind, UnfinishedCheck

SUBJECT = "Badge reader is dark"
COPY = {"ticket_id": "4711000000000077", "display_id": "77", "subject": SUBJECT, "description": SUBJECT}


async def what_happened(place: WorkSite, job_id: UUID) -> list[tuple[str, str | None]]:
    events = place.store.table.run("SELECT what, reason FROM job_events WHERE job_id = %s ORDER BY id", job_id)
    return [(event["what"], event["reason"]) for event in events]


async def test_what_was_found_is_in_the_prompt_by_the_number_that_people_know(place: WorkSite) -> None:
    await knowledge_repository.save_ticket(
        place.store.database, "acme", COPY | {"resolution": "New fuse.", "status": "Closed"}
    )
    job_id = await place.job(new_ticket(place.desks, subject=SUBJECT, description="My badge does nothing."))
    assert await place.run(job_id) == ("completed", None)
    (request,) = place.model.requests(operation="chat")
    prompt = request["payload"]["messages"][1]["content"]
    for shown in (SUBJECT, "My badge does nothing.", '"ticket_id": "77"', "New fuse."):
        assert shown in prompt
    assert COPY["ticket_id"] not in prompt
    assert "context incomplete" not in {what for what, _ in await what_happened(place, job_id)}


@pytest.mark.parametrize("kept_in", ["the row", "Redis"])
async def test_a_job_that_resumes_names_the_model_that_answered(kept_in: str, place: WorkSite) -> None:
    ticket_id = new_ticket(place.desks)
    job_id = await place.job(ticket_id)
    if kept_in == "the row":
        place.change(job_id, enhancement=ANSWER.model_dump_json(), model="dodo-3")
    else:
        place.change(job_id, started_at="now()")
        await place.answers.put(StoredKind.ANSWER, job_id, (ANSWER.model_dump(mode="json"), "dodo-3"))
    assert await place.run(job_id) == ("completed", None)
    (note,) = place.notes(ticket_id)
    assert "dodo-3, please check" in note
    assert (place.paid(), place.row(job_id)["model"]) == (0, "dodo-3")


def usage_of(row: dict[str, Any]) -> tuple[int, int, float | None]:
    return row["input_tokens"], row["output_tokens"], row["dollars"]


@pytest.mark.parametrize("orders", [(), ({"kind": "malformed", "times": 1},), ({"kind": "malformed", "times": 2},)])
async def test_a_job_has_the_tokens_of_all_its_calls(orders: tuple[dict[str, Any], ...], place: WorkSite) -> None:
    """Answer, repair and unusable answers count; the audit records of the calls have the same sums."""
    place.tenant = Tenant("acme", audit_days=30)
    for order in orders:
        place.model.order(**order)
    job_id = await place.job(new_ticket(place.desks))
    state, _ = await place.run(job_id)
    assert state == ("failed" if orders and orders[0]["times"] == 2 else "completed")
    (of_records,) = place.store.table.run(
        "SELECT sum(input_tokens)::int AS input_tokens, sum(output_tokens)::int AS output_tokens,"
        " sum(cost) AS dollars FROM audit_records"
    )
    row = place.row(job_id)
    assert usage_of(row) == usage_of(of_records)
    assert min(usage_of(row)[:2]) > 0
    assert row["model"]


async def test_a_stopping_worker_stores_the_tokens_of_a_paid_call(place: WorkSite) -> None:
    place.model.order(kind="malformed", times=1)
    place.model.order(kind="stall", times=1)
    job_id = await place.job(new_ticket(place.desks))
    async with place.runner() as runner:
        under_way = asyncio.create_task(run_job(runner, job_id))
        while place.paid() < 2:  # noqa: ASYNC110 -- the simulator's memory
            await asyncio.sleep(0.01)
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
    assert min(usage_of(place.row(job_id))[:2]) > 0


async def test_each_call_is_priced_by_the_model_that_was_paid(place: WorkSite) -> None:
    place.model.order(kind="malformed", times=1)
    job_id = await place.job(new_ticket(place.desks))
    async with place.runner() as runner:
        prices = {runner.model_of("acme").name: ModelPrice(2, 8)}
        assert await run_job(replace(runner, prices=prices), job_id)
    input_tokens, output_tokens, dollars = usage_of(place.row(job_id))
    assert dollars == pytest.approx((2 * input_tokens + 8 * output_tokens) / 1_000_000)


async def test_an_answer_that_redis_kept_has_its_tokens(place: WorkSite) -> None:
    job_id = await place.job(new_ticket(place.desks))
    place.change(job_id, started_at="now()")
    kept = ANSWER.model_dump(mode="json"), "dodo-3", Usage(90, 10, 0.25)
    await place.answers.put(StoredKind.ANSWER, job_id, kept)
    assert await place.run(job_id) == ("completed", None)
    assert usage_of(place.row(job_id)) == (90, 10, 0.25)


class NeverFinding(PostgresSearch):
    """Fails, or takes longer than the limit."""

    def __init__(self, place: WorkSite, failure: Exception | None) -> None:
        super().__init__(place.store.database, 2)
        self._failure = failure

    async def documents(self, tenant_id: str, *asked: Any) -> Any:
        subject, _description, topics, _people = asked
        assert (tenant_id, subject, topics) == ("acme", "S", {"gossip"})
        if self._failure is not None:
            raise self._failure
        await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("failure", "told", "line"),
    [
        (None, "context gathering timeout", "Context gathering timeout after 0.2s"),
        (PoolTimeout(), "context not searched", "documents not searched"),
        (DeskTimeoutError(), "context not searched", "ServiceDesk Plus API timeout"),
    ],
)
async def test_a_search_that_does_not_end_is_a_line_and_an_event_and_the_job_goes_on(
    failure: Exception | None, told: str, line: str, place: WorkSite, log: io.StringIO
) -> None:
    place.tenant = Tenant("acme", rules=TicketRules(never_topics=frozenset({"gossip"})))
    job_id = await place.job(new_ticket(place.desks))
    async with place.runner() as runner:
        search = NeverFinding(place, failure)
        assert await run_job(replace(runner, search=search, context_seconds=0.2), job_id)
    assert await what_happened(place, job_id) == [
        *(("accepted", None), ("claimed", None), ("context incomplete", told)),
        *(("asked", None), ("answered", None), ("posting", None), ("completed", None)),
    ]
    assert line in log.getvalue()
    assert "Context gathered: ticket_history=No, docs=No" in log.getvalue()


def test_only_what_is_not_usual_of_a_tenant_is_told_and_as_it_is_now() -> None:
    limited = JobShare(weight=1, most_running=5, most_waiting=9)
    tenants = [Tenant("acme"), Tenant("globex", share=JobShare(weight=3)), Tenant("hooli", share=limited)]
    fair_shares = FairShares(lambda: tenants)
    assert fair_shares.shares() == Shares(weights={"globex": 3}, most_running={"hooli": 5})
    tenants = tenants[:2]
    assert fair_shares.shares() == Shares(weights={"globex": 3})


def test_a_job_that_ends_at_once_is_charged_for_the_rest_of_a_second() -> None:
    clock = Clock()
    fair_shares = FairShares(list, clock)
    charged = []
    for tenant, seconds, later in (("acme", 0.1, 0), ("acme", 0.1, 0), ("globex", 0.1, 0.85), ("acme", 1, 0)):
        with fair_shares.slot(tenant):
            clock.now += seconds
        charged.append(dict(fair_shares.shares().charged))
        clock.now += later
        charged.append(dict(fair_shares.shares().charged))
    assert charged[4:] == [{"acme": 2, "globex": 1}, {"globex": 1}, {}, {}]


ATTEMPT_SECONDS = 1.5


async def test_a_paid_answer_is_neither_cut_off_nor_paid_again(
    store: Store, desks: Simulator, model: Simulator, street: Street, log: io.StringIO
) -> None:
    """The first model is down, the fallback answers slowly, and the desk is slow too."""
    ticket_id = new_ticket(desks)
    job_id = await store.accept(ticket_id=ticket_id)
    street.says["process"] = 503
    model.order(kind="slow_stream", seconds=0.2)
    fallback = {"model": "gpt-6-luna", "api_key": "sk-test", "base_url": f"{model.url}/v1"}
    process = {f"openai_fallback_{name}": value for name, value in fallback.items()}
    async with town(street, process) as its_town, opened(settings(desks.url)) as desk:
        runner = runner_on(desk, store.database, store.database)
        runner = replace(runner, model_of=its_town.models.of, attempt_seconds=ATTEMPT_SECONDS)
        first = asyncio.create_task(run_job(runner, job_id))
        while not (model.requests(operation="chat") or first.done()):  # noqa: ASYNC110 -- another server's memory
            await asyncio.sleep(0.05)
        desks.order(kind="slow", operation="read_ticket", seconds=5)
        assert await first
        row = store.table.job(job_id)
        assert (row["state"], row["reason"], row["attempt"]) == ("waiting", "attempt took too long", 1)
        assert row["enhancement"]["prompt"]
        desks.forget()
        row = await run_when_due(replace(runner, attempt_seconds=60), store.table, job_id)
    assert row["state"] == "completed"
    assert len(notes_of(desks, ticket_id)) == len(model.requests(operation="chat")) == 1
    assert log.getvalue().count("OpenAI API error: 503 Service Unavailable") == 1


async def test_the_deadline_of_the_job_stands_while_the_model_answers(
    store: Store, desks: Simulator, model: Simulator
) -> None:
    job_id = await store.accept(ticket_id=new_ticket(desks), deadline_at="now() + interval '1 second'")
    model.order(kind="slow_stream", seconds=5)
    async with opened(settings(desks.url)) as desk, kit.opened(model.url, idle=20, total=20) as gpt4:
        runner = replace(runner_on(desk, store.database, store.database), model_of=lambda _: gpt4)
        assert await asyncio.wait_for(run_job(runner, job_id), 15)
    row = store.table.job(job_id)
    assert (row["state"], row["reason"]) == ("failed", "attempt took too long")


@pytest.fixture
async def runner(database: Database) -> AsyncIterator[Runner]:
    breaker = Breaker("desk of acme", "desk unavailable", most_failures=1)
    with pytest.raises(DeskTimeoutError), breaker.watch():
        raise DeskTimeoutError
    async with opened(settings("http://desk"), breaker=breaker) as desk:
        yield runner_on(desk, database, database)


@pytest.mark.parametrize("posted", [True, False])
async def test_a_note_that_may_be_there_is_looked_for_though_the_desk_is_down(
    waiting: UUID, table: Table, runner: Runner, log: io.StringIO, *, posted: bool, spans: InMemorySpanExporter
) -> None:
    attempted = "now() - interval '2 minutes'" if posted else None
    soon = "now() + interval '8 seconds'"
    table.change(waiting, note_attempted_at=attempted, enhancement=ANSWER.model_dump_json(), deadline_at=soon)
    assert await run_job(runner, waiting)
    row = table.job(waiting)
    line = f"Task failed: job_id={waiting}, ticket_id=12345, reason=desk unavailable; "
    if posted:
        assert (row["state"], row["attempt"]) == ("waiting", 8)
        assert f"{line}will be looked for once more in 60s" in log.getvalue()
        assert row["deadline_at"] > row["due_at"]
        # This look is the last one: a desk that stays down fails the job.
        table.change(waiting, deadline_at=soon)
        row = await run_when_due(runner, table, waiting)
    assert (row["state"], row["reason"]) == ("failed", "desk unavailable")
    assert f"{line}gave up at its deadline" in log.getvalue()
    attempt = [span for span in spans.get_finished_spans() if span.name == "Worker"][-1]
    assert (attempt.status.description, attempt.status.is_ok) == ("desk unavailable; gave up at its deadline", False)


class Failing(Database):
    """Fails one statement on request."""

    away = False

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncIterator[AsyncSession]:
        if self.away:
            self.away = False
            raise PoolTimeout
        async with super().tenant(tenant_id) as session:
            yield session


async def test_a_possible_note_is_searched_although_the_database_is_away(
    waiting: UUID, server: Postgres, database: Database, table: Table
) -> None:
    """At the deadline the desk is silent; only the row shows that the note may exist."""
    failing = Failing(server.url, application_name="failing")

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(200, json=TICKET)
        failing.away = True
        raise httpx2.ReadTimeout("?")

    table.change(waiting, enhancement=ANSWER.model_dump_json(), deadline_at="now() + interval '30 seconds'")
    async with opened(settings("http://desk"), transport=httpx2.MockTransport(answer)) as desk:
        assert await run_job(runner_on(desk, failing, database), waiting)
    await failing.close()
    row = table.job(waiting)
    assert (row["state"], row["reason"]) == ("waiting", "ServiceDesk Plus timeout")


@pytest.mark.parametrize("kept_by", ["its end", "its age"])
async def test_a_retry_restarts_the_search_of_an_ended_job(
    kept_by: str, database: Database, table: Table, new_event: NewEvent, desks: Simulator, redis: Redis
) -> None:
    """The note may have arrived since, and the stored list lacks it."""
    ticket_id = new_ticket(desks)
    job_id = await accept(database, new_event(ticket_id=ticket_id))
    answers = StoredAnswers(redis, 1000)
    posted = "now() - interval '3 hours'" if kept_by == "its age" else "now() - interval '5 minutes'"
    last = {"attempt": 8, "note_attempted_at": posted, "deadline_at": "now() + interval '5 seconds'"}
    table.change(job_id, **last, enhancement=ANSWER.model_dump_json())
    breaker = Breaker("desk of acme", "desk unavailable", most_failures=1)
    async with opened(settings(desks.url), breaker=breaker) as down, opened(settings(desks.url)) as desk:
        other = await desk.add_note(ticket_id, "<p>call back</p>")
        posted_at = table.job(job_id)["note_attempted_at"].astimezone(UTC)
        look = UnfinishedCheck(posted_at.isoformat(), (posted_at + timedelta(seconds=100)).isoformat(), [other])
        await answers.put(StoredKind.LOOK, job_id, look)
        with pytest.raises(DeskTimeoutError), breaker.watch():
            raise DeskTimeoutError
        assert await run_job(replace(runner_on(down, database, database), answers=answers), job_id)
        assert table.job(job_id)["state"] == "failed"
        if kept_by == "its age":
            await answers.put(StoredKind.LOOK, job_id, look)
        await desk.add_note(ticket_id, to_html(ANSWER, job_id, "gpt-6-luna"))
        await manual_retry.retry(database, job_id, DEADLINE)
        assert await run_job(replace(runner_on(desk, database, database), answers=answers), job_id)
    assert table.job(job_id)["state"] == "completed"
    assert len(notes_of(desks, ticket_id)) == 2


class Silent(Database):
    """Commits a completed job without a confirmation."""

    def __init__(self, url: str) -> None:
        super().__init__(url, application_name="silent")
        self.committed = asyncio.Event()

    async def call(self, query: TextClause, **values: Any) -> Sequence[Row]:
        rows = await super().call(query, **values)
        if "complete_job" in str(query):
            self.committed.set()
            await asyncio.sleep(60)
        return rows


async def test_an_outcome_whose_commit_is_in_doubt_at_a_stop_is_told_as_it_stands(
    waiting: UUID, server: Postgres, database: Database, table: Table, desks: Simulator, log: io.StringIO
) -> None:
    silent, ticket_id = Silent(server.url), new_ticket(desks)
    table.change(waiting, enhancement=ANSWER.model_dump_json(), ticket_id=ticket_id)
    async with opened(settings(desks.url)) as desk:
        running = asyncio.ensure_future(run_job(runner_on(desk, silent, database), waiting))
        await silent.committed.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert table.job(waiting)["state"] == "completed"
    assert "Task completed" in log.getvalue()
    assert "claim lost" not in log.getvalue()
    await silent.close()


_TENANTS = ("acme", "globex", "initech")
_JOBS = 300
GIVEN_BACK, LOST = "reason=worker stopping", "reason=claim lost; left to another attempt"


class Distant(Database):
    """A database with one connection and slow statements."""

    async def call(self, query: TextClause, **values: Any) -> Sequence[Row]:
        async with self._one:
            await asyncio.sleep(0.04)
            return await super().call(query, **values)

    def __init__(self, url: str) -> None:
        super().__init__(url, application_name="distant", pool_size=1, lock_seconds=0.3)
        self._one = asyncio.Lock()


class Endless:
    async def ainvoke(self, *_: object, **__: object) -> None:
        await asyncio.Event().wait()


@dataclass
class StoppingWorker:
    """Jobs in flight of several tenants, until it stops."""

    leases: Database
    claims: Sequence[Claim]
    stream: io.StringIO
    _running: list[asyncio.Task[object]] = field(default_factory=list)

    async def begin(self) -> None:
        nothing: Any = None
        runner = replace(runner_on(nothing, self.leases, self.leases), graph=cast("JobGraph", Endless()))
        runner = replace(runner, desk_of=lambda _: cast("ServiceDeskPlus", None))
        self._running = [asyncio.create_task(run_attempt(runner, claim)) for claim in self.claims]
        await asyncio.sleep(0.3)

    async def stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.wait(self._running, timeout=30)

    def told(self) -> Counter[str]:
        log_text = self.stream.getvalue()
        return Counter({words: log_text.count(words) for words in (GIVEN_BACK, LOST)})


@pytest.fixture
async def worker(store: Store, server: Postgres, start_log: StartLog) -> AsyncIterator[StoppingWorker]:
    numbers = range(_JOBS)
    events = [store.new_event(ticket_id=str(n), tenant_id=_TENANTS[n % len(_TENANTS)]) for n in numbers]
    await repository.accept_all(store.database, events, DEADLINE, published=True)
    held = await asyncio.gather(*(claimed(store.database, event.job_id) for event in events))
    leases = Distant(server.url)
    busy = StoppingWorker(leases, held, start_log())
    await busy.begin()
    yield busy
    await leases.close()


def rows(store: Store) -> Counter[tuple[str, int]]:
    found = store.table.run("SELECT state, attempt, count(*) AS jobs FROM jobs GROUP BY 1, 2")
    return Counter({(row["state"], row["attempt"]): row["jobs"] for row in found})


async def test_all_jobs_of_a_full_worker_are_given_back(worker: StoppingWorker, store: Store) -> None:
    await worker.stop()
    assert rows(store) == {("waiting", 0): _JOBS}
    assert worker.told() == {GIVEN_BACK: _JOBS, LOST: 0}
    assert len(store.table.run("SELECT 1 FROM job_events WHERE what = 'given back'")) == _JOBS


async def test_a_row_that_somebody_holds_is_given_back_later_and_the_others_at_once(
    worker: StoppingWorker, store: Store
) -> None:
    async with store.database.tenant("acme") as session:
        ids = [claim.job_id for claim in worker.claims if claim.tenant_id == "acme"][:20]
        await session.execute(text("SELECT FROM jobs WHERE id = ANY(:ids) FOR UPDATE"), {"ids": ids})
        stopping = asyncio.create_task(worker.stop())
        async with asyncio.timeout(8):  # a release is tried for 10 s
            while worker.told()[GIVEN_BACK] < _JOBS - 20:  # noqa: ASYNC110 -- a log has no event
                await asyncio.sleep(0.1)
        assert worker.told() == {GIVEN_BACK: _JOBS - 20, LOST: 0}
        assert rows(store) == {("waiting", 0): _JOBS - 20, ("running", 1): 20}
    await stopping
    assert rows(store) == {("waiting", 0): _JOBS}
    assert worker.told() == {GIVEN_BACK: _JOBS, LOST: 0}


async def test_a_claim_that_is_lost_by_then_costs_no_other_one(worker: StoppingWorker, store: Store) -> None:
    store.table.change(worker.claims[7].job_id, state="failed")
    await worker.stop()
    assert rows(store) == {("waiting", 0): _JOBS - 1, ("failed", 1): 1}
    assert worker.told() == {GIVEN_BACK: _JOBS - 1, LOST: 1}
