"""A tenant whose settings change while its jobs run, and the GPT-4 node of one job."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from cli.config import parse_names
from config.tenants import ReportSection, Tenant, TicketRules
from integrations.resilience import Hold
from tests.kit import desk as desk_kit
from tests.kit import model as gpt4
from tests.kit.logs import StartLog
from tests.kit.postgres import Store
from tests.kit.runner import run_job, runner_on
from tests.kit.simulators import Simulator
from workflow.runner import Runner
from workflow.stored_answers import StoredAnswers


def tenant(only: str = "", never: str = "", *, dry_run: bool = False, holdout: int = 0) -> Tenant:
    rules = TicketRules(only=parse_names(only), never=parse_names(never))
    return Tenant("acme", rules=rules, dry_run=dry_run, report=ReportSection(holdout=holdout))


@dataclass
class WorkSite:
    """A desk, a model and a tenant whose settings a test changes while jobs run."""

    desks: Simulator
    model: Simulator
    store: Store
    answers: StoredAnswers
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
            yield replace(runner, model_of=lambda _: asked, answers=self.answers, tenant_of=lambda _: self.tenant)

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
    return WorkSite(desks, model, store, StoredAnswers(redis, 60))


@contextmanager
def nothing_said_of_an_error(start_log: StartLog) -> Iterator[list[str]]:
    stream, lines = start_log(), list[str]()
    yield lines
    lines += stream.getvalue().splitlines()
    assert "error" not in stream.getvalue().lower()
