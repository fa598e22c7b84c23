"""The GPT-4 node: audit records of requests, and answers kept in Redis for the next attempt."""

import asyncio
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from langgraph.runtime import Runtime
from redis.asyncio import Redis

from cli.pilot.free_ports import free_port
from cli.pilot.postgres import Postgres
from config.tenants import NoteSettings, Tenant
from db.session import Database
from integrations.errors import DeferredError, ExternalError, ModelRefusedError, ModelUnavailableError
from integrations.resilience import Breaker
from integrations.values import DeskTicket, Person, Usage
from jobs import claims, manual_retry
from jobs.claims import LeaseLostError
from jobs.queue import open_redis
from knowledge.models import Document, SimilarTicket
from privacy import erasure
from privacy.erasure import ErasureScope
from tests.kit.clock import Clock
from tests.kit.model import opened
from tests.kit.postgres import DEADLINE, Store, attempt_at, claimed
from tests.kit.simulators import Simulator
from workflow.nodes.call_gpt4 import call_gpt4
from workflow.nodes.resume import resume
from workflow.prompt import CURRENT
from workflow.state import Attempt, GraphState
from workflow.stored_answers import StoredAnswers, StoredKind, UnusableAnswer

ZOE = Person("Zoë Adeyemi", ("zoe.adeyemi@acme.example",))
TICKET = DeskTicket("12345", "Mailbox of Zoë Adeyemi is full", "Zoe can't write.", "", "", "", "", people=(ZOE,))
MAILBOX: GraphState = {
    "ticket": TICKET,
    "similar_tickets": [SimilarTicket("101", "Full mailbox of Zoë Adeyemi", "Raised the quota.", people=(ZOE,))],
    "documents": [Document("Mail quotas", "Open the console.")],
}


@dataclass
class Caller:
    """The GPT-4 node of one job, whose tenant keeps records for 30 days by default."""

    job_id: UUID
    store: Store
    redis: Redis
    model: Simulator

    async def attempt(self, model: Any, parts: Mapping[str, Any] | None = None, **tenant_settings: Any) -> Attempt:
        """Return the job's next attempt."""
        claim = await claimed(self.store.database, self.job_id)
        wanted = partial(Tenant, "acme", **{"audit_days": 30} | tenant_settings)
        answers = StoredAnswers(self.redis, 60)
        given = attempt_at(claim, self.store.database, model=model, answers=answers, tenant_settings=wanted)
        return replace(given, **{"check_claims": False} | dict(parts or {}))

    async def call(
        self,
        state: GraphState = MAILBOX,
        *,
        url: str = "",
        opening: Mapping[str, Any] | None = None,
        parts: Mapping[str, Any] | None = None,
        **tenant_settings: Any,
    ) -> GraphState:
        """Run the node as the graph does; `opening` is for the model's client."""
        async with opened(url or self.model.url, **opening or {}) as client:
            return await call_gpt4(state, Runtime(context=await self.attempt(client, parts, **tenant_settings)))

    async def call_in_vain(self, **given: Any) -> None:
        with pytest.raises(ExternalError):
            await self.call(**given)

    async def resumed(self) -> bool:
        """Let the next attempt resume the job; return True if the answer is there."""
        self.wait_again()
        return "content" in await resume({}, Runtime(context=await self.attempt(None)))

    def wait_again(self) -> None:
        unclaimed = {"state": "waiting", "claim_token": None, "lease_owner": None, "lease_until": None}
        self.store.table.change(self.job_id, **unclaimed)

    async def received(self, under_way: "asyncio.Task[Any] | None" = None) -> None:
        """Wait until the model has the question."""
        while not (self.model.requests(operation="chat") or (under_way and under_way.done())):  # noqa: ASYNC110 -- its memory
            await asyncio.sleep(0.01)

    def records(self) -> list[dict[str, Any]]:
        return self.store.table.run("SELECT * FROM audit_records ORDER BY at")


@pytest.fixture
def asking(waiting: UUID, store: Store, redis: Redis, model: Simulator) -> Caller:
    return Caller(waiting, store, redis, model)


async def test_an_answer_leaves_a_record_of_what_was_sent_as_it_was_sent(asking: Caller) -> None:
    await asking.call()
    (record,) = asking.records()
    (request,) = asking.model.requests(operation="chat")
    system, user = request["payload"]["messages"]
    assert (record["system"], record["sent"]) == (system["content"], user["content"])
    assert (record["job_id"], record["ticket_id"], record["prompt"]) == (asking.job_id, "12345", CURRENT)
    assert (record["host"], record["masking"]) == ("127.0.0.1", "personal")
    assert record["answer"]["summary"]
    assert min(record["input_tokens"], record["output_tokens"]) > 0
    ticket, document = record["sources"]
    assert ticket == {"id": "ticket-101", "kind": "ticket", "number": "101", "title": "Full mailbox of [PERSON_1]"}
    assert (document["kind"], document["title"]) == ("document", "Mail quotas")
    assert "Adeyemi" not in str(record)
    assert "Zo" not in str(record)


@pytest.mark.parametrize("days", [0, 1])
async def test_a_tenant_that_masks_nothing_has_it_in_its_record_and_without_days_none_is_kept(
    days: int, asking: Caller
) -> None:
    assert (await asking.call(audit_days=days, note=NoteSettings(masking="none")))["content"].likely_cause.text
    told = [(record["masking"], "Zoë Adeyemi" in record["sent"]) for record in asking.records()]
    assert told == [("none", True)] * days


async def test_a_record_that_can_not_be_kept_is_a_line_and_the_job_goes_on(
    asking: Caller, store: Store, log: io.StringIO
) -> None:
    store.table.run("ALTER TABLE audit_records RENAME TO elsewhere")
    try:
        state = await asking.call()
    finally:
        store.table.run("ALTER TABLE elsewhere RENAME TO audit_records")
    assert state["content"].likely_cause.text
    assert store.table.job(asking.job_id)["enhancement"]["likely_cause"]["text"]
    assert f"Audit record error: job_id={asking.job_id}, not stored" in log.getvalue()
    assert "Mailbox" not in log.getvalue()


async def test_an_answer_that_could_not_be_committed_has_its_record_with_the_next_attempt(asking: Caller) -> None:
    asking.model.order(kind="slow_stream", seconds=0.05, pieces=8, times=1)
    under_way = asyncio.create_task(asking.call())
    await asking.received(under_way)
    asking.wait_again()  # its claim is gone meanwhile
    with pytest.raises(LeaseLostError):
        await under_way
    assert asking.records() == []
    await asking.call()
    (record,) = asking.records()
    assert (record["answer"]["summary"] != "", len(asking.model.requests(operation="chat"))) == (True, 1)


@pytest.mark.parametrize(
    ("kind", "times", "reason"),
    [
        ("refusal", 1, "OpenAI API: invalid answer"),
        ("content_filter", 1, "OpenAI API: content filter"),
        ("cut", 1, "OpenAI API: connection"),
        ("wrong_schema", 2, "OpenAI API: invalid answer"),
        ("stall", 1, "GPT-4 timeout"),
    ],
)
async def test_what_was_sent_without_a_usable_answer_has_a_record(
    kind: str, times: int, reason: str, asking: Caller
) -> None:
    asking.model.order(kind=kind, times=times)
    await asking.call_in_vain(opening={"idle": 1})
    (record,) = asking.records()
    first = asking.model.requests(operation="chat")[0]["payload"]["messages"]
    assert (record["system"], record["sent"]) == (first[0]["content"], first[1]["content"])
    assert (record["answer"], record["reason"], record["host"]) == (None, reason, "127.0.0.1")
    assert record["sources"][0]["id"] == "ticket-101"
    assert "Adeyemi" not in str(record)


@pytest.mark.parametrize(("days", "kept"), [(30, 1), (0, 0)])
async def test_a_refused_request_has_a_record_if_the_tenant_keeps_any(days: int, kept: int, asking: Caller) -> None:
    asking.model.order(kind="status", code=429, times=1)
    await asking.call_in_vain(audit_days=days)
    asking.wait_again()
    # What reached nobody has none.
    await asking.call_in_vain(audit_days=days, url="http://127.0.0.1:1")
    reason = "OpenAI API: 429 Rate Limit (code rate_limit_exceeded)"
    assert [record["reason"] for record in asking.records()] == [reason] * kept


async def test_a_repair_at_once_is_one_record_with_the_tokens_of_both_calls(asking: Caller) -> None:
    asking.model.order(kind="wrong_schema", times=1)
    await asking.call()
    (record,) = asking.records()
    first, second = (answer["usage"] for answer in asking.model.look("/answers")["answers"])
    assert (bool(record["answer"]["summary"]), record["reason"]) == (True, None)
    for column, told in (("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")):
        assert record[column] == first[told] + second[told]


async def test_a_later_repair_names_the_sources_of_the_first_attempt(asking: Caller, store: Store) -> None:
    asking.model.order(kind="wrong_schema", times=1)
    asking.model.order(kind="status", code=503, times=1)
    await asking.call_in_vain()
    asking.wait_again()
    await asking.call(MAILBOX | {"similar_tickets": [SimilarTicket("102", "Another mailbox", "Emptied it.")]})
    in_vain, answered = asking.records()
    sent = [request["payload"]["messages"][1]["content"] for request in asking.model.requests(operation="chat")]
    assert [in_vain["sent"], in_vain["sent"], answered["sent"]] == sent
    assert (in_vain["answer"], in_vain["reason"]) == (None, "OpenAI API: 503 Service Unavailable")
    assert min(record["output_tokens"] for record in (in_vain, answered)) > 0
    ids = [[source["id"] for source in record["sources"]] for record in (in_vain, answered)]
    document = ids[0][1]
    assert ids == [["ticket-101", document], ["ticket-101", document, "ticket-102"]]
    erased = await erasure.erase(store.database, ErasureScope("acme", ticket_id="101"))
    assert (erased.records, asking.records()) == (2, [])


class StoppedAtCommit:
    """A database that commits an answer and stops the worker before confirming it."""

    def __init__(self, real: Database) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def call_for_one(self, question: Any, **values: Any) -> Any:
        await self._real.call_for_one(question, **values)
        raise asyncio.CancelledError


async def test_a_record_is_not_lost_when_the_worker_stops_right_after_the_commit(asking: Caller, store: Store) -> None:
    with pytest.raises(asyncio.CancelledError):
        await asking.call(parts={"database": StoppedAtCommit(store.database)})
    assert asking.records() == []
    for _ in range(2):
        assert await asking.resumed()
        assert [bool(record["answer"]) for record in asking.records()] == [True]


async def test_a_record_is_not_lost_when_the_worker_stops_while_it_is_written(
    asking: Caller, store: Store, server: Postgres
) -> None:
    with psycopg.connect(server.superuser_url) as other:
        other.execute("LOCK TABLE audit_records IN SHARE MODE")
        under_way = asyncio.create_task(asking.call())
        while store.table.job(asking.job_id)["enhancement"] is None:  # noqa: ASYNC110 -- another server's memory
            await asyncio.sleep(0.01)
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
    assert asking.records() == []
    assert await asking.resumed()
    assert len(asking.records()) == 1


async def test_a_question_that_was_out_when_the_worker_stopped_has_its_record(asking: Caller) -> None:
    asking.model.order(kind="stall", times=1)
    under_way = asyncio.create_task(asking.call())
    await asking.received()
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await under_way
    assert not await asking.resumed()
    (record,) = asking.records()
    assert (record["answer"], record["reason"]) == (None, "stopped during the request")
    assert "Mailbox of [PERSON_1] is full" in record["sent"]


JOB = UUID("01936b2e-7c1a-7000-8000-0123456789ab")
ANSWER = {"summary": "Zoë's \u202e mailbox", "next_steps": ["a"]}


@pytest.mark.parametrize(
    ("what", "value", "other"),
    [
        (StoredKind.ANSWER, (ANSWER, "gpt-6-luna", Usage(90, 10, 0.25, "gpt-6")), StoredKind.UNUSABLE),
        (StoredKind.UNUSABLE, UnusableAnswer("{ Zoë's \u202e", {"[PERSON_1]": "Zoë"}), StoredKind.ANSWER),
        (StoredKind.UNUSABLE, UnusableAnswer("", {}), StoredKind.ANSWER),
    ],
)
async def test_a_value_comes_back_as_it_was_kept_and_ends_with_its_job(
    what: StoredKind, value: Any, other: StoredKind, redis: Redis
) -> None:
    answers = StoredAnswers(redis, 1800)
    assert await answers.get(what, JOB) is None
    await answers.put(what, JOB, value)
    assert await answers.get(what, JOB) == value
    assert await answers.get(what, uuid4()) is await answers.get(other, JOB) is None
    (key,) = await redis.keys("*")
    assert 1700 < await redis.ttl(key) <= 1800
    await answers.drop(JOB, what)
    assert await answers.get(what, JOB) is None


@pytest.mark.parametrize("strange", ["", "not json", "[]", "[1, 2, 3]", "17", "null"])
async def test_what_is_no_answer_is_none(strange: str, redis: Redis) -> None:
    answers = StoredAnswers(redis, 1800)
    await answers.put(StoredKind.ANSWER, JOB, (ANSWER, "m"))
    (key,) = await redis.keys("*")
    await redis.set(key, strange)
    assert await answers.get(StoredKind.ANSWER, JOB) is None


async def test_without_redis_an_answer_is_lost_and_nothing_else() -> None:
    away = open_redis(f"redis://127.0.0.1:{free_port()}/0")
    answers = StoredAnswers(away, 1800)
    for what, value in ((StoredKind.ANSWER, (ANSWER, "m")), (StoredKind.UNUSABLE, "{")):
        await answers.put(what, JOB, value)
        assert await answers.get(what, JOB) is None
    await answers.drop(JOB, StoredKind.UNUSABLE)
    await away.aclose()


def roles(model: Simulator) -> list[int]:
    """Return the number of messages of each request: 2 for an answer, 4 for a repair."""
    return [len(request["payload"]["messages"]) for request in model.requests(operation="chat")]


async def test_a_repair_that_failed_for_now_is_all_that_the_next_attempt_asks_for(asking: Caller, redis: Redis) -> None:
    asking.model.order(kind="malformed", times=1)
    asking.model.order(kind="status", code=503, times=1)
    with pytest.raises(ModelUnavailableError):
        await asking.call()
    asking.wait_again()
    assert (await asking.call())["content"].likely_cause.text
    assert roles(asking.model) == [2, 4, 4]
    assert len(asking.model.look("/answers")["answers"]) == 2
    assert await redis.keys("masked-unusable:*") == []


async def test_a_held_repair_is_the_next_attempts_only_call(asking: Caller) -> None:
    """The breaker opens during the first answer: other jobs met a model that is down."""
    asking.model.order(kind="malformed", times=1)
    clock = Clock(0)
    breaker = Breaker("model", "model unavailable", most_failures=1, monotonic=clock)
    under_way = asyncio.create_task(asking.call(opening={"breaker": breaker}))
    await asking.received()
    with pytest.raises(ModelUnavailableError), breaker.watch():
        raise ModelUnavailableError("503 Service Unavailable")
    with pytest.raises(DeferredError):
        await under_way
    asking.wait_again()
    clock.now += 60
    await asking.call(opening={"breaker": breaker})
    assert roles(asking.model) == [2, 4]
    assert len(asking.model.look("/answers")["answers"]) == 2


async def test_a_job_that_failed_with_its_repair_asks_anew_when_a_person_retries_it(
    asking: Caller, store: Store
) -> None:
    asking.model.order(kind="malformed", times=2)
    with pytest.raises(ModelRefusedError):
        await asking.call()
    asking.wait_again()
    await claims.fail(store.database, await claimed(store.database, asking.job_id), "OpenAI API: invalid answer")
    await manual_retry.retry(store.database, asking.job_id, DEADLINE)
    await asking.call()
    assert roles(asking.model) == [2, 4, 2]
    assert store.table.job(asking.job_id)["enhancement"]["likely_cause"]["text"]


async def test_a_repaired_answer_is_safe_before_redis_is_told_to_forget_the_text(asking: Caller, redis: Redis) -> None:
    """A worker that stops during a slow Redis call must not lose the answer."""

    class SlowRedis(StoredAnswers):
        asked = asyncio.Event()

        async def drop(self, job_id: UUID, *what: StoredKind) -> None:
            self.asked.set()
            await asyncio.sleep(30)
            await super().drop(job_id, *what)

    asking.model.order(kind="malformed", times=1)
    answers = SlowRedis(redis, 60)
    under_way = asyncio.create_task(asking.call(parts={"answers": answers}))
    await asyncio.wait_for(answers.asked.wait(), 10)
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await under_way
    assert asking.store.table.job(asking.job_id)["enhancement"]["likely_cause"]["text"]
