"""The whole graph with another desk, model and search behind its ports."""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis

from config.tenants import NoteSettings
from integrations.errors import DeskTimeout, OutsideFailure
from integrations.values import DeskTicket, Document, ModelAnswer, Prompt, SimilarTicket, Structured, Unanswered, Usage
from observability import phrases
from privacy.redaction.people import Person
from storage.session import Database
from tests.kit.by_id import run_job
from tests.kit.logs import StartLog
from tests.kit.postgres import LEASE, Table
from tests.kit.runner import ANSWER, run_when_due
from workflow.graph import build_graph
from workflow.kept_answers import AnswersInRedis
from workflow.ports import Kept
from workflow.renewals import Renewals
from workflow.run import Runner
from workflow.turns import Turns

FOUND = SimilarTicket("4711000000000077", "Badge reader is dark", "Replaced the fuse.", "77")
PASSAGE = Document("Doors", "The fuse is behind the panel.")


@dataclass
class BoxOfCards:
    """A desk with notes on cards.

    It may lose the answer for a note that it has stored.
    """

    falls_silent: bool = False
    cards: list[str] = field(default_factory=list)
    wants_failure_note = False

    def link_to(self, ticket_id: str) -> str:  # noqa: ARG002 -- the port's
        return ""

    async def id_of(self, number: str) -> str:
        return number

    async def read_open_ticket(self, ticket_id: str, *, begun: bool = True) -> DeskTicket:  # noqa: ARG002 -- the port's
        return DeskTicket(f"card {ticket_id}", "The door stays shut", "My badge does nothing.", "", "", "new", "")

    def check_notes(self, *, answered: bool) -> None:
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

    async def find_note(
        self,
        ticket_id: str,
        is_ours: Callable[[str], bool],
        since: datetime | None = None,  # noqa: ARG002 -- the port's
        *,
        unread: Sequence[str] | None = None,  # noqa: ARG002 -- the port's
        on_held_back: Callable[[list[str]], Awaitable[None]] | None = None,  # noqa: ARG002 -- the port's
    ) -> str | None:
        numbers = [number for number, card in enumerate(self.cards, 1) if is_ours(card)]
        return f"{ticket_id}/{numbers[-1]}" if numbers else None


class Everything:
    never_topics = frozenset({"gossip"})

    def hidden_from(self, known: Mapping[str, str]) -> dict[str, frozenset[str]]:
        assert known.keys() == {"category", "group", "site", "template"}
        return {"drawer": frozenset({"private"})}

    def leave_out(self, known: Mapping[str, str]) -> bool:
        assert not {"12345", "My badge does nothing."} & set(known.values())
        return False

    def forbid(self, known: Mapping[str, str]) -> bool:  # noqa: ARG002 -- the port's
        return False

    def ask_for(self, kind: str) -> bool:
        return kind == "event"


class Wanted:
    """A tenant's settings: a note in each ticket."""

    rules = Everything()
    dry_run = False
    note = NoteSettings()
    audit_days = 0


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
        self,
        prompt: Prompt,
        answer_type: type[Structured],
        on_paid: Callable[[Usage], None],
        *,
        unusable: str | None,  # noqa: ARG002 -- the port's
        on_unusable: Callable[[str], Awaitable[None]],  # noqa: ARG002 -- the port's
        on_unanswered: Callable[[Unanswered], None],  # noqa: ARG002 -- the port's
    ) -> ModelAnswer[Structured]:
        self.asked.append(prompt)
        on_paid(Usage(3, 2))
        answer = {
            "summary": "A door.",
            "likely_cause": {"text": "", "sources": []},
            "next_steps": [],
            "sources": [{"id": "ticket-77", "gives": "A fuse."}, {"id": "ticket-78", "gives": "?"}],
            "confidence": "low",
            "questions": [],
            **{name: {"value": "", "strength": "weak"} for name in ("category", "priority", "group")},
        }
        return ModelAnswer(answer_type.model_validate(answer), 200, "parrot-1b", "r", "stop", Usage(3, 2), 1)


class DrawerStuck(OutsideFailure):
    phrase = phrases.SYNC_FAILED

    def __init__(self, tenant_id: str) -> None:
        super().__init__("drawer is stuck")
        self.values = {"tenant_id": tenant_id, "reason": self.reason}


@dataclass
class Drawer:
    """A search with one ticket and one document, which may be stuck."""

    stuck: bool = False

    async def similar_tickets(
        self,
        tenant_id: str,
        ticket_id: str,
        subject: str,
        description: str,
        forbidden: Mapping[str, Set[str]],
        people: Sequence[Person] = (),  # noqa: ARG002 -- the port's
    ) -> Sequence[SimilarTicket]:
        asked = (tenant_id, ticket_id, subject, description, forbidden)
        assert asked == ("acme", "12345", "The door stays shut", "My badge does nothing.", {"drawer": {"private"}})
        return (FOUND,)

    async def documents(
        self,
        tenant_id: str,
        subject: str,
        description: str,
        never_topics: Set[str] = frozenset(),
        people: Sequence[Person] = (),  # noqa: ARG002 -- the port's
    ) -> Sequence[Document]:
        assert (tenant_id, subject, description) == ("acme", "The door stays shut", "My badge does nothing.")
        assert never_topics == {"gossip"}
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
    return Runner(
        owner="one",
        database=database,
        lease_database=database,
        renewals=Renewals(database, LEASE),
        desk_of=lambda _: desk,
        wishes_of=lambda _: Wanted(),
        model_of=lambda _: parrot,
        search=drawer,
        answers=AnswersInRedis(redis, 60),
        graph=build_graph(),
        context_seconds=5,
        attempt_seconds=60,
        note_settle_seconds=60,
        capture_messages=False,
        turns=Turns(list),
    )


async def test_the_note_is_in_that_desk_and_what_that_search_found_in_the_prompt(
    waiting: UUID, runner: Runner, desk: BoxOfCards, parrot: Parrot, table: Table, spans: InMemorySpanExporter
) -> None:
    assert await run_job(runner, waiting)
    (prompt,) = parrot.asked
    for text in (
        FOUND.subject,
        FOUND.resolution,
        PASSAGE.title,
        PASSAGE.text,
        "My badge does nothing.",
        "the other door?",
    ):
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
