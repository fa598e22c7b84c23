"""The whole graph with another desk, model and search behind its ports."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis
from sqlalchemy.exc import TimeoutError as PoolTimeout

from config.tenants import Tenant
from config.ticket_rules import TicketRules
from integrations.errors import DeskTimeout, OutsideFailure
from integrations.values import DeskTicket, Document, ModelAnswer, Prompt, SimilarTicket, Structured, Usage
from observability import phrases
from storage.search import SearchInPostgres
from storage.session import Database
from tests.kit.by_id import run_job
from tests.kit.desk import new_ticket
from tests.kit.logs import StartLog
from tests.kit.postgres import Table
from tests.kit.runner import ANSWER, run_when_due, runner_on
from tests.workflow.answers import ANSWERED
from tests.workflow.place import WorkSite
from workflow.kept_answers import AnswersInRedis, Kept
from workflow.runner import Runner

FOUND = SimilarTicket("4711000000000077", "Badge reader is dark", "Replaced the fuse.", "77")
PASSAGE = Document("Doors", "The fuse is behind the panel.")


@dataclass
class BoxOfCards:
    """A desk with notes on cards. It may lose the answer for a note that it has stored."""

    falls_silent: bool = False
    cards: list[str] = field(default_factory=list)
    wants_failure_note = False

    def link_to(self, *_: Any) -> str:
        return ""

    async def id_of(self, number: str) -> str:
        return number

    async def read_open_ticket(self, ticket_id: str, **_: Any) -> DeskTicket:
        return DeskTicket(f"card {ticket_id}", "The door stays shut", "My badge does nothing.", "", "", "new", "")

    def check_notes(self, **_: Any) -> None:
        pass

    async def add_note(
        self, ticket_id: str, description: str, about_to_post: Callable[[], Awaitable[None]] | None = None
    ) -> str:
        if about_to_post is not None:
            await about_to_post()
        self.cards.append(description.removeprefix("<div><b>").replace("</b>", "").removesuffix("</p></div>"))
        if self.falls_silent:
            raise DeskTimeout(outcome_unknown=True)
        return f"{ticket_id}/{len(self.cards)}"

    async def read_conversation(self, ticket: DeskTicket, is_ours: Callable[[str], bool]) -> Sequence[str]:
        assert not is_ours(ticket.description)
        return ["Have you tried the other door?"]

    async def find_note(self, ticket_id: str, is_ours: Callable[[str], bool], *_: Any, **__: Any) -> str | None:
        numbers = [number for number, card in enumerate(self.cards, 1) if is_ours(card)]
        return f"{ticket_id}/{numbers[-1]}" if numbers else None


TENANT = Tenant("acme", rules=TicketRules({}, {"group": frozenset({"private"})}, never_topics=frozenset({"gossip"})))


@dataclass
class Parrot:
    """A model that repeats the text of an earlier ticket."""

    provider = "parrot"
    name = "parrot-1"
    base_url = "http://cage"
    asked: list[Prompt] = field(default_factory=list)

    def check(self) -> None:
        pass

    async def ask(
        self, prompt: Prompt, answer_type: type[Structured], on_paid: Callable[[Usage], None], **_: Any
    ) -> ModelAnswer[Structured]:
        self.asked.append(prompt)
        on_paid(Usage(3, 2))
        said = ANSWERED | {
            "summary": "A door.",
            "likely_cause": {"text": "", "sources": []},
            "next_steps": [],
            "sources": [{"id": "ticket-77", "gives": "A fuse."}, {"id": "ticket-78", "gives": "?"}],
        }
        return ModelAnswer(answer_type.model_validate(said), 200, "parrot-1b", "r", "stop", Usage(3, 2), 1)


class DrawerStuck(OutsideFailure):
    def __init__(self, tenant_id: str) -> None:
        super().__init__(phrases.SYNC_FAILED, "drawer is stuck")
        self.values = {"tenant_id": tenant_id, "reason": self.reason}


@dataclass
class Drawer:
    """A search with one ticket and one document, which may be stuck."""

    stuck: bool = False

    async def similar_tickets(self, *asked: Any) -> Sequence[SimilarTicket]:
        *about, people = asked
        assert about == ["acme", "12345", "The door stays shut", "My badge does nothing.", {"group": {"private"}}]
        assert people == ()
        return (FOUND,)

    async def documents(self, tenant_id: str, *asked: Any) -> Sequence[Document]:
        assert (tenant_id, *asked) == ("acme", "The door stays shut", "My badge does nothing.", {"gossip"}, ())
        if self.stuck:
            raise DrawerStuck(tenant_id)
        return (PASSAGE,)


@pytest.fixture
def desk() -> BoxOfCards:
    return BoxOfCards()


@pytest.fixture
def parrot() -> Parrot:
    return Parrot()


@pytest.fixture
def drawer() -> Drawer:
    return Drawer()


@pytest.fixture
def runner(desk: BoxOfCards, parrot: Parrot, drawer: Drawer, database: Database, redis: Redis) -> Runner:
    nothing: Any = None
    return replace(
        runner_on(nothing, database, database),
        desk_of=lambda _: desk,
        model_of=lambda _: parrot,
        wishes_of=lambda _: TENANT,
        search=drawer,
        answers=AnswersInRedis(redis, 60),
        context_seconds=5,
    )


async def test_the_note_is_in_that_desk_and_what_that_search_found_in_the_prompt(
    waiting: UUID, runner: Runner, desk: BoxOfCards, parrot: Parrot, table: Table, spans: InMemorySpanExporter
) -> None:
    assert await run_job(runner, waiting)
    (prompt,) = parrot.asked
    texts = (FOUND.subject, FOUND.resolution, PASSAGE.title, PASSAGE.text)
    for text in (*texts, "My badge does nothing.", "the other door?"):
        assert text in prompt.user
    (card,) = desk.cards
    assert card.startswith("Enhancement (written by parrot-1b; ")
    assert "A door." in card
    assert f"#77 {FOUND.subject}: A fuse." in card
    assert FOUND.ticket_id not in prompt.user
    assert "78" not in card.partition("Ref ")[0]
    row = table.job(waiting)
    assert (row["state"], row["note_id"], row["model"]) == ("completed", "12345/1", "parrot-1b")
    (asked,) = [span for span in spans.get_finished_spans() if span.name == "GPT-4"]
    assert asked.attributes is not None
    names = ("gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model", "server.address")
    assert [asked.attributes[name] for name in names] == ["parrot", "parrot-1", "parrot-1b", "cage"]


@pytest.mark.parametrize("kept_in", ["the row", "Redis"])
async def test_a_job_that_resumes_names_the_model_that_answered(
    kept_in: str, waiting: UUID, runner: Runner, desk: BoxOfCards, parrot: Parrot, table: Table
) -> None:
    if kept_in == "the row":
        table.change(waiting, enhancement=ANSWER.model_dump_json(), model="dodo-3")
    else:
        table.change(waiting, started_at="now()")
        await runner.answers.put(Kept.ANSWER, waiting, (ANSWER.model_dump(mode="json"), "dodo-3"))
    assert await run_job(runner, waiting)
    assert desk.cards[0].startswith("Enhancement (written by dodo-3; ")
    assert (parrot.asked, table.job(waiting)["model"]) == ([], "dodo-3")


async def test_a_note_of_unknown_outcome_is_found_there_by_the_next_attempt(
    waiting: UUID, runner: Runner, desk: BoxOfCards, parrot: Parrot, table: Table
) -> None:
    desk.falls_silent = True
    assert await run_job(runner, waiting)
    assert table.job(waiting)["state"] == "waiting"
    row = await run_when_due(runner, table, waiting)
    assert (row["state"], row["note_id"]) == ("completed", "12345/1")
    assert (len(desk.cards), len(parrot.asked)) == (1, 1)


async def test_what_that_search_can_not_find_is_a_line_and_the_job_does_without(
    waiting: UUID, runner: Runner, drawer: Drawer, parrot: Parrot, table: Table, start_log: StartLog
) -> None:
    stream = start_log()
    drawer.stuck = True
    assert await run_job(runner, waiting)
    assert FOUND.resolution in parrot.asked[0].user
    assert PASSAGE.text not in parrot.asked[0].user
    assert table.job(waiting)["state"] == "completed"
    assert "Context gathered: ticket_history=Yes, docs=No" in stream.getvalue()
    assert "Sync error: tenant_id=acme, reason=drawer is stuck" in stream.getvalue()


class NeverFinding(SearchInPostgres):
    """Fails, or takes longer than the limit."""

    def __init__(self, place: WorkSite, failure: Exception | None) -> None:
        super().__init__(place.store.database, 2)
        self._failure = failure

    async def documents(self, *_: Any, **__: Any) -> Any:
        if self._failure is not None:
            raise self._failure
        await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("failure", "told"),
    [(None, "context gathering timeout"), (PoolTimeout(), "context not searched")],
)
async def test_a_search_that_does_not_end_is_an_event_and_the_job_goes_on(
    failure: Exception | None, told: str, place: WorkSite
) -> None:
    job_id = await place.job(new_ticket(place.desks))
    async with place.runner() as runner:
        search = NeverFinding(place, failure)
        assert await run_job(replace(runner, search=search, context_seconds=0.2), job_id)
    events = place.store.table.run("SELECT what, reason FROM job_events WHERE job_id = %s ORDER BY id", job_id)
    assert [(event["what"], event["reason"]) for event in events] == [
        *(("accepted", None), ("claimed", None), ("context incomplete", told)),
        *(("asked", None), ("answered", None), ("posting", None), ("completed", None)),
    ]


async def test_a_search_that_ends_leaves_no_event(place: WorkSite) -> None:
    job_id = await place.job(new_ticket(place.desks))
    assert (await place.run(job_id))[0] == "completed"
    events = place.store.table.run("SELECT what FROM job_events WHERE job_id = %s", job_id)
    assert "context incomplete" not in {event["what"] for event in events}
