"""Tickets that a tenant's rules leave out, and its dry run: what is called, paid for and kept, and what comes later."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from config.tenants import Tenant
from config.ticket_rules import TicketRules, parse_names
from storage import by_hand, history
from tests.kit import desk as desk_kit
from tests.kit import model as gpt4
from tests.kit.desk import new_ticket, notes_of
from tests.kit.logs import StartLog
from tests.kit.postgres import DEADLINE, Store
from tests.kit.runner import ANSWER, runner_on
from tests.kit.simulators import Simulator
from workflow.enhancement import to_html
from workflow.kept_answers import AnswersInRedis
from workflow.ports import Kept
from workflow.run import Runner, run_job

LEFT_OUT = ("skipped", "left out by the tenant's rules")
COPY = {"subject": "S", "description": "text of a ticket", "resolution": "R", "status": "Open"}


def tenant(only: str = "", never: str = "", *, dry_run: bool = False) -> Tenant:
    return Tenant("acme", rules=TicketRules(parse_names(only), parse_names(never)), dry_run=dry_run)


@dataclass
class Place:
    """A desk, a model and a tenant whose wishes a test changes while jobs run."""

    desks: Simulator
    model: Simulator
    store: Store
    answers: AnswersInRedis
    tenant: Tenant = field(default_factory=tenant)

    @asynccontextmanager
    async def runner(self, **desk: Any) -> AsyncIterator[Runner]:
        async with (
            desk_kit.opened(desk_kit.settings(self.desks.url, **desk)) as client,
            gpt4.opened(self.model.url) as asked,
        ):
            runner = runner_on(client, self.store.database, self.store.database)
            yield replace(runner, model_of=lambda _: asked, answers=self.answers, wishes_of=lambda _: self.tenant)

    async def job(self, ticket_id: str, **of_event: Any) -> UUID:
        event = self.store.new_event(job_id=uuid4(), ticket_id=ticket_id, dedupe_keys=(str(uuid4()),), **of_event)
        return await self.store.accept(event)

    async def run(self, job_id: UUID, **desk: Any) -> tuple[str, str | None]:
        """Run a job; its state and reason."""
        async with self.runner(**desk) as runner:
            assert await run_job(runner, job_id)
        row = self.store.table.job(job_id)
        return row["state"], row["reason"]

    def paid(self) -> int:
        return len(self.model.requests(operation="chat"))

    def copies(self) -> list[str]:
        return [row["ticket_id"] for row in self.store.table.run("SELECT ticket_id FROM tickets")]


@pytest.fixture
def place(desks: Simulator, model: Simulator, store: Store, redis: Redis) -> Place:
    return Place(desks, model, store, AnswersInRedis(redis, 60))


@contextmanager
def nothing_said_of_an_error(start_log: StartLog) -> Iterator[list[str]]:
    stream, lines = start_log(), list[str]()
    yield lines
    lines += stream.getvalue().splitlines()
    assert "error" not in stream.getvalue().lower()


@pytest.mark.parametrize(
    ("only", "never", "event"),
    [
        ("event:ticket.created", "", "ticket.updated"),
        ("", "event:ticket.updated", "ticket.updated"),
        ("event:ticket.created", "", None),
    ],
)
async def test_an_event_that_is_left_out_ends_its_job_before_the_desk_is_called(
    place: Place, start_log: StartLog, only: str, never: str, event: str | None
) -> None:
    place.tenant = tenant(only, never)
    ticket_id = new_ticket(place.desks)
    with nothing_said_of_an_error(start_log) as lines:
        job_id = await place.job(ticket_id, event=event)
        assert await place.run(job_id) == LEFT_OUT
    said = f"Task skipped: job_id={job_id}, ticket_id={ticket_id}, reason=left out by the tenant's rules"
    assert [said in line for line in lines].count(True) == 1
    assert (place.desks.requests(ticket_id=ticket_id), place.paid()) == ([], 0)
    # Another event of the same ticket is nobody's duplicate.
    assert await place.run(await place.job(ticket_id, event="Ticket.Created")) == ("completed", None)


@pytest.mark.parametrize(
    ("rules", "left_out", "mended", "copies_left"),
    [
        ({"never": "group:HR"}, {"group": "hr"}, {"group": "Network"}, False),
        ({"never": "template:Dismissal"}, {"template": "Dismissal"}, {"template": "Default Request"}, False),
        ({"only": "category:Network"}, {"category": "Printers"}, {"category": "Network"}, True),
        ({"only": "group:Network"}, {}, {"group": "Network"}, True),
    ],
)
async def test_a_ticket_that_is_left_out_costs_one_reading_until_it_is_wanted(
    place: Place, rules: Any, left_out: Any, mended: Any, copies_left: bool
) -> None:
    """Whatever is stored of one that is never enhanced goes; a later webhook, or a retry by hand, is a new chance."""
    place.tenant = tenant(**rules)
    ticket_id = new_ticket(place.desks, **left_out)
    await history.save_ticket(place.store.database, "acme", {"ticket_id": ticket_id, **COPY})
    before, first = await place.job(ticket_id), await place.job(ticket_id)
    place.store.table.change(before, state="failed", finished_at="now()", enhancement=ANSWER.model_dump_json())
    assert await place.run(first) == LEFT_OUT
    calls = [call["operation"] for call in place.desks.requests(ticket_id=ticket_id)]
    assert (calls, place.paid()) == (["read_ticket"], 0)
    row = place.store.table.job(first)
    assert (row["enhancement"], row["requester"]) == (None, None)
    assert place.copies() == ([ticket_id] if copies_left else [])
    assert (place.store.table.job(before)["enhancement"] is not None) is copies_left
    place.desks.change("PATCH", f"/tickets/acme/{ticket_id}", **mended)
    assert await place.run(await place.job(ticket_id)) == ("completed", None)
    assert (len(notes_of(place.desks, ticket_id)), place.paid()) == (1, 1)


@pytest.mark.parametrize(("group", "answers"), [("hr", True), (None, True), ("network", True), ("hr", False)])
async def test_a_copy_from_before_the_rule_is_told_to_no_other_ticket(
    place: Place, group: str | None, answers: bool
) -> None:
    """No sync has run since. Of a copy of which the group is not known it can't be said that it is not HR's."""
    place.tenant = tenant(never="group:HR")
    about = {"subject": "Scanner jams twice", "description": "Scanner jams at the second page."}
    kinds = None if group is None else {"group": group}
    await history.save_ticket(place.store.database, "acme", {"ticket_id": "88", **COPY, **about}, kinds=kinds)
    ticket_id = new_ticket(place.desks, "onpremises", **about)
    if not answers:
        place.model.order(kind="status", code=400, param="model", times=9)
    async with place.runner(failure_note=True) as runner:
        assert await run_job(runner, await place.job(ticket_id))
    (note,) = notes_of(place.desks, ticket_id)
    assert ("#88" in note["description"]) is (group == "network")


@pytest.mark.parametrize("seen", [None, "now()"], ids=["unseen", "seen open lately"])
async def test_a_ticket_that_was_moved_since_gpt4_answered_gets_no_note(seen: str | None, place: Place) -> None:
    """A job that was held back, or is retried by hand, comes with an answer; that a ticket is open tells no group."""
    place.tenant = tenant(never="group:HR")
    ticket_id = new_ticket(place.desks, group="HR")
    job_id = await place.job(ticket_id)
    place.store.table.change(job_id, enhancement=ANSWER.model_dump_json(), model="m", started_at="now()")
    if seen:
        place.store.table.change(job_id, seen_open_at=seen)
    await place.answers.put(Kept.ANSWER, job_id, ({"summary": "text of a ticket"}, "m"))
    assert await place.run(job_id) == LEFT_OUT
    assert place.store.table.job(job_id)["enhancement"] is None
    assert await place.answers.get(Kept.ANSWER, job_id) is None
    assert notes_of(place.desks, ticket_id) == []


@pytest.mark.parametrize("there", [True, False])
async def test_a_note_that_may_be_there_is_looked_for_though_its_event_is_left_out_by_now(
    place: Place, there: bool
) -> None:
    place.tenant = tenant(never="event:ticket.created")
    ticket_id = new_ticket(place.desks)
    job_id = await place.job(ticket_id)
    posted = {"enhancement": ANSWER.model_dump_json(), "note_attempted_at": "now() - interval '5 minutes'"}
    place.store.table.change(job_id, **posted)
    if there:
        async with desk_kit.opened(desk_kit.settings(place.desks.url)) as client:
            await client.add_note(ticket_id, to_html(ANSWER, job_id, "m"))
    assert await place.run(job_id) == (("completed", None) if there else LEFT_OUT)
    assert (place.store.table.job(job_id)["enhancement"] is None) is not there


async def test_a_dry_run_pays_and_keeps_the_answer_and_going_live_posts_it_unpaid(
    place: Place, start_log: StartLog
) -> None:
    place.tenant = tenant(dry_run=True)
    ticket_id = new_ticket(place.desks)
    with nothing_said_of_an_error(start_log) as lines:
        job_id = await place.job(ticket_id)
        assert await place.run(job_id) == ("skipped", "dry run")
    said = f"Task skipped: job_id={job_id}, ticket_id={ticket_id}, reason=dry run"
    assert [said in line for line in lines].count(True) == 1
    row = place.store.table.job(job_id)
    assert (row["note_attempted_at"], row["finished_at"] is None, place.paid()) == (None, False, 1)
    assert notes_of(place.desks, ticket_id) == []
    place.tenant = tenant()
    await by_hand.retry(place.store.database, job_id, DEADLINE)
    assert await place.run(job_id) == ("completed", None)
    (note,) = notes_of(place.desks, ticket_id)
    assert (row["enhancement"]["summary"] in note["description"], place.paid()) == (True, 1)


async def test_after_a_dry_run_a_new_webhook_of_the_ticket_is_enhanced(place: Place) -> None:
    place.tenant = tenant(dry_run=True)
    ticket_id = new_ticket(place.desks)
    assert await place.run(await place.job(ticket_id)) == ("skipped", "dry run")
    place.tenant = tenant()
    assert await place.run(await place.job(ticket_id)) == ("completed", None)
    assert await place.run(await place.job(ticket_id)) == ("skipped", "already enhanced")


async def test_a_dry_run_pays_once_a_ticket_while_its_answer_is_kept(place: Place) -> None:
    """Each answer may be had as a note by hand; of two, one becomes the ticket's note."""
    place.tenant = tenant(dry_run=True)
    ticket_id = new_ticket(place.desks)
    first, second, third = [await place.job(ticket_id) for _ in range(3)]
    assert await place.run(first) == ("skipped", "dry run")
    assert await place.run(second) == ("skipped", "already enhanced")
    shown = [await by_hand.details(place.store.database, job_id) for job_id in (first, second)]
    assert [job and job.dry_run_job for job in shown] == [None, first]
    row = place.store.table.job(first)
    place.store.table.change(first, enhancement=None)
    assert await place.run(third) == ("skipped", "dry run")
    assert place.paid() == 2
    await by_hand.retry(place.store.database, second, DEADLINE)
    assert await place.run(second) == ("skipped", "dry run")
    assert place.paid() == 3

    place.tenant = tenant()
    place.store.table.change(first, enhancement=json.dumps(row["enhancement"]))
    for job_id in (second, first):
        await by_hand.retry(place.store.database, job_id, DEADLINE)
    assert await place.run(first) == ("waiting", "another job of this ticket")
    assert await place.run(second) == ("completed", None)
    place.store.table.change(first, due_at="now()")
    assert await place.run(first) == ("skipped", "already enhanced")
    assert (len(notes_of(place.desks, ticket_id)), place.paid()) == (1, 3)


@pytest.mark.parametrize("wishes", [tenant(dry_run=True), tenant(never="group:HR")], ids=["dry run", "left out since"])
async def test_neither_a_dry_run_nor_a_left_out_ticket_has_a_failure_note(place: Place, wishes: Tenant) -> None:
    ticket_id = new_ticket(place.desks)
    place.model.order(kind="status", code=400, param="model", times=9)
    job_id = await place.job(ticket_id)
    async with place.runner(failure_note=True) as runner:

        def wishes_of(_: str) -> Tenant:
            """What is wished once GPT-4 was asked."""
            return wishes if place.paid() else tenant()

        if not wishes.dry_run:
            place.desks.change("PATCH", f"/tickets/acme/{ticket_id}", group="HR")
        assert await run_job(replace(runner, wishes_of=wishes_of), job_id)
    row = place.store.table.job(job_id)
    assert (row["state"], row["failure_noted_at"]) == ("failed", None)
    assert notes_of(place.desks, ticket_id) == []
