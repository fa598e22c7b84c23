"""A tenant whose settings change while its jobs run, and the GPT-4 node of one job."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from langgraph.runtime import Runtime
from redis.asyncio import Redis

from config.tenant_settings import TicketRules, parse_names
from config.tenants import Tenant
from integrations.resilience import Hold
from integrations.values import DeskTicket, Document, SimilarTicket
from privacy.redaction.people import Person
from storage.session import Database
from tests.kit import desk as desk_kit
from tests.kit import model as gpt4
from tests.kit.logs import StartLog
from tests.kit.postgres import Store, attempt_at, claimed
from tests.kit.runner import run_job, runner_on
from tests.kit.simulators import Simulator
from workflow.kept_answers import AnswersInRedis
from workflow.nodes.call_gpt4 import call_gpt4
from workflow.nodes.resume import resume
from workflow.runner import Runner
from workflow.state import Attempt, GraphState


def tenant(only: str = "", never: str = "", *, dry_run: bool = False) -> Tenant:
    return Tenant("acme", rules=TicketRules(parse_names(only), parse_names(never)), dry_run=dry_run)


@dataclass
class WorkSite:
    """A desk, a model and a tenant whose settings a test changes while jobs run."""

    desks: Simulator
    model: Simulator
    store: Store
    answers: AnswersInRedis
    tenant: Tenant = field(default_factory=tenant)

    @asynccontextmanager
    async def runner(
        self, edition: desk_kit.Edition = "onpremises", *, hold: Hold | None = None, opening: Any = None, **desk: Any
    ) -> AsyncIterator[Runner]:
        """Open a runner: `opening` for the desk's client, `hold` for the model's, the others are desk settings."""
        async with (
            desk_kit.opened(desk_kit.settings(self.desks.url, edition, **desk), **opening or {}) as client,
            gpt4.opened(self.model.url, hold=hold) as asked,
        ):
            runner = runner_on(client, self.store.database, self.store.database)
            yield replace(runner, model_of=lambda _: asked, answers=self.answers, wishes_of=lambda _: self.tenant)

    async def job(self, ticket_id: str, **of_event: Any) -> UUID:
        event = self.store.new_event(job_id=uuid4(), ticket_id=ticket_id, dedupe_keys=(str(uuid4()),), **of_event)
        return await self.store.accept(event)

    async def run(self, job_id: UUID, **desk: Any) -> tuple[str, str | None]:
        async with self.runner(**desk) as runner:
            assert await run_job(runner, job_id)
        row = self.row(job_id)
        return row["state"], row["reason"]

    def row(self, job_id: UUID) -> dict[str, Any]:
        return self.store.table.job(job_id)

    def change(self, job_id: UUID, **columns: Any) -> None:
        self.store.table.change(job_id, **columns)

    def paid(self) -> int:
        return len(self.model.requests(operation="chat"))

    def notes(self, ticket_id: str, edition: desk_kit.Edition = "onpremises") -> list[str]:
        return [str(note["description"]) for note in desk_kit.notes_of(self.desks, ticket_id, edition)]

    def copies(self) -> list[str]:
        return [row["ticket_id"] for row in self.store.table.run("SELECT ticket_id FROM tickets")]


@pytest.fixture
def place(desks: Simulator, model: Simulator, store: Store, redis: Redis) -> WorkSite:
    return WorkSite(desks, model, store, AnswersInRedis(redis, 60))


@contextmanager
def nothing_said_of_an_error(start_log: StartLog) -> Iterator[list[str]]:
    stream, lines = start_log(), list[str]()
    yield lines
    lines += stream.getvalue().splitlines()
    assert "error" not in stream.getvalue().lower()


ZOE = Person("Zoë Adeyemi", ("zoe.adeyemi@acme.example",))
TICKET = DeskTicket("12345", "Mailbox of Zoë Adeyemi is full", "Zoe can't write.", "", "", "", "", people=(ZOE,))
MAILBOX: GraphState = {
    "ticket": TICKET,
    "similar_tickets": [SimilarTicket("101", "Full mailbox of Zoë Adeyemi", "Raised the quota.", people=(ZOE,))],
    "documents": [Document("Mail quotas", "Open the console.")],
}


@dataclass
class Asking:
    """The GPT-4 node of one job, whose tenant keeps records for 30 days by default."""

    job_id: UUID
    store: Store
    redis: Redis
    model: Simulator

    async def attempt(self, model: Any, database: Database | None = None, **wishes: Any) -> Attempt:
        """Return the job's next attempt."""
        claim = await claimed(self.store.database, self.job_id)
        wanted = partial(Tenant, "acme", **{"audit_days": 30} | wishes)
        answers = AnswersInRedis(self.redis, 60)
        return attempt_at(claim, database or self.store.database, model=model, answers=answers, wishes=wanted)

    async def call(
        self, state: GraphState = MAILBOX, *, url: str = "", opening: Mapping[str, Any] | None = None, **wishes: Any
    ) -> GraphState:
        """Run the node as the graph does; `opening` is for the model's client."""
        async with gpt4.opened(url or self.model.url, **opening or {}) as client:
            return await call_gpt4(state, Runtime(context=await self.attempt(client, **wishes)))

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
def asking(waiting: UUID, store: Store, redis: Redis, model: Simulator) -> Asking:
    return Asking(waiting, store, redis, model)
