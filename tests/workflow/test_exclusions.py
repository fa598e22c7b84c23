"""Tickets without a note: excluded, held out, dry run, nothing found, forgotten."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2
import pytest
from redis.asyncio import Redis

from config.tenants import NoteSettings, Tenant
from integrations.llm.client import ModelClient
from integrations.resilience import Hold
from jobs import details, manual_retry
from jobs.repository import RECOVERED, REFRESH_BY_HAND, SEEN_REOPENED
from knowledge import repository
from privacy import erasure
from privacy.erasure import ErasureScope
from tests.kit import desk as desk_kit
from tests.kit.desk import new_ticket
from tests.kit.logs import StartLog
from tests.kit.postgres import DEADLINE
from tests.kit.runner import ANSWER, TICKET, run_job
from tests.workflow.place import WorkSite, nothing_said_of_an_error, tenant
from workflow.exclusions import is_held_out
from workflow.note import WORDS, to_html
from workflow.stored_answers import StoredKind, UnusableAnswer

LEFT_OUT = ("skipped", "left out by the tenant's rules")
HELD_OUT = ("skipped", "held out for comparison")
COPY = {"subject": "S", "description": "text of a ticket", "resolution": "R", "status": "Closed"}


@pytest.mark.parametrize(
    ("rules", "event"),
    [
        ({"only": "event:ticket.created"}, "ticket.updated"),
        ({"never": "event:ticket.updated"}, "ticket.updated"),
        ({"only": "event:ticket.created"}, None),
    ],
)
async def test_an_event_that_is_left_out_ends_its_job_before_the_desk_is_called(
    place: WorkSite, start_log: StartLog, rules: Any, event: str | None
) -> None:
    place.tenant = tenant(**rules)
    ticket_id = new_ticket(place.desks)
    with nothing_said_of_an_error(start_log) as lines:
        job_id = await place.job(ticket_id, event=event)
        assert await place.run(job_id) == LEFT_OUT
    said = f"Task skipped: job_id={job_id}, ticket_id={ticket_id}, reason={LEFT_OUT[1]}"
    assert sum(said in line for line in lines) == 1
    assert (place.desks.requests(ticket_id=ticket_id), place.paid()) == ([], 0)
    # Another event of the same ticket is not a duplicate.
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
async def test_an_excluded_ticket_is_read_once_until_its_next_job(
    place: WorkSite, rules: Any, left_out: Any, mended: Any, copies_left: bool
) -> None:
    place.tenant = tenant(**rules)
    ticket_id = new_ticket(place.desks, **left_out)
    await repository.save_ticket(place.store.database, "acme", {"ticket_id": ticket_id, **COPY})
    before, first = await place.job(ticket_id), await place.job(ticket_id)
    place.change(before, state="failed", finished_at="now()", enhancement=ANSWER.model_dump_json())
    assert await place.run(first) == LEFT_OUT
    calls = [call["operation"] for call in place.desks.requests(ticket_id=ticket_id)]
    assert (calls, place.paid()) == (["read_ticket"], 0)
    row = place.row(first)
    assert (row["enhancement"], row["requester"]) == (None, None)
    assert place.copies() == ([ticket_id] if copies_left else [])
    assert (place.row(before)["enhancement"] is not None) is copies_left
    place.desks.change("PATCH", f"/tickets/acme/{ticket_id}", **mended)
    assert await place.run(await place.job(ticket_id)) == ("completed", None)
    assert (len(place.notes(ticket_id)), place.paid()) == (1, 1)


@pytest.mark.parametrize(("group", "answers"), [("hr", True), (None, True), ("network", True), ("hr", False)])
async def test_a_copy_from_before_the_rule_is_not_shown_to_other_tickets(
    place: WorkSite, group: str | None, answers: bool
) -> None:
    """No sync has run since. A copy with an unknown group may be HR's."""
    place.tenant = tenant(never="group:HR")
    about = {"subject": "Scanner jams twice", "description": "Scanner jams at the second page."}
    kinds = None if group is None else {"group": group}
    await repository.save_ticket(place.store.database, "acme", {"ticket_id": "88", **COPY, **about}, kinds=kinds)
    ticket_id = new_ticket(place.desks, "onpremises", **about)
    if not answers:
        place.model.order(kind="status", code=400, param="model", times=9)
    async with place.runner(failure_note=True) as runner:
        assert await run_job(runner, await place.job(ticket_id))
    (note,) = place.notes(ticket_id)
    assert ("#88" in note) is (group == "network")


@pytest.mark.parametrize("seen", [None, "now()"], ids=["unseen", "seen open lately"])
async def test_a_ticket_moved_after_the_answer_gets_no_note(seen: str | None, place: WorkSite) -> None:
    """A held-back or retried job has an answer; an open ticket shows no group."""
    place.tenant = tenant(never="group:HR")
    ticket_id = new_ticket(place.desks, group="HR")
    job_id = await place.job(ticket_id)
    place.change(job_id, enhancement=ANSWER.model_dump_json(), model="m", started_at="now()")
    if seen:
        place.change(job_id, seen_open_at=seen)
    await place.answers.put(StoredKind.ANSWER, job_id, ({"summary": "text of a ticket"}, "m"))
    assert await place.run(job_id) == LEFT_OUT
    assert place.row(job_id)["enhancement"] is None
    assert await place.answers.get(StoredKind.ANSWER, job_id) is None
    assert place.notes(ticket_id) == []


@pytest.mark.parametrize("there", [True, False])
async def test_a_note_that_may_be_there_is_looked_for_though_its_event_is_left_out_by_now(
    place: WorkSite, there: bool
) -> None:
    place.tenant = tenant(never="event:ticket.created")
    ticket_id = new_ticket(place.desks)
    job_id = await place.job(ticket_id)
    posted = {"enhancement": ANSWER.model_dump_json(), "note_attempted_at": "now() - interval '5 minutes'"}
    place.change(job_id, **posted)
    if there:
        async with desk_kit.opened(desk_kit.settings(place.desks.url)) as client:
            await client.add_note(ticket_id, to_html(ANSWER, job_id, "m"))
    assert await place.run(job_id) == (("completed", None) if there else LEFT_OUT)
    assert (place.row(job_id)["enhancement"] is None) is not there


def new_held_out_ticket(place: WorkSite) -> str:
    while not is_held_out("acme", ticket_id := new_ticket(place.desks), 50):
        pass
    return ticket_id


def test_the_share_is_held_out_and_a_higher_one_only_adds_tickets() -> None:
    shares = {
        percent: {number for number in range(20_000) if is_held_out("acme", str(number), percent)}
        for percent in (0, 1, 10, 50)
    }
    assert [round(len(held_out) / 200) for held_out in shares.values()] == [0, 1, 10, 50]
    assert shares[0] < shares[1] < shares[10] < shares[50]
    # A different hash would move tickets between the groups of a running comparison.
    assert sorted(shares[1])[:5] == [29, 92, 171, 264, 454]
    other = {number for number in shares[10] if is_held_out("globex", str(number), 10)}
    assert 0.08 < len(other) / len(shares[10]) < 0.12


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_held_out_ticket_is_read_and_gets_no_paid_answer(
    dry_run: bool, place: WorkSite, start_log: StartLog
) -> None:
    place.tenant = tenant(dry_run=dry_run, holdout=50)
    ticket_id = new_held_out_ticket(place)
    with nothing_said_of_an_error(start_log) as lines:
        events = (None, "ticket.reopened", RECOVERED, SEEN_REOPENED)
        job_ids = [await place.job(ticket_id, event=event) for event in events]
        assert [await place.run(job_id) for job_id in job_ids] == [HELD_OUT] * 4
    # Only the first decision is stored, as of a ticket that gets a note.
    assert [place.row(job_id)["held_out"] for job_id in job_ids] == [True, None, None, None]
    said = f"Task skipped: job_id={job_ids[0]}, ticket_id={ticket_id}, reason={HELD_OUT[1]}"
    assert sum(said in line for line in lines) == 1
    calls = [call["operation"] for call in place.desks.requests(ticket_id=ticket_id)]
    assert (calls, place.paid(), place.notes(ticket_id)) == (["read_ticket"] * 4, 0, [])


@pytest.mark.parametrize("request_", ["retry", "refresh", "Ticket.Refresh", REFRESH_BY_HAND, "holdout 0"])
async def test_a_person_gets_the_note_of_a_held_out_ticket(request_: str, place: WorkSite) -> None:
    place.tenant = tenant(holdout=50)
    ticket_id = new_held_out_ticket(place)
    job_id = await place.job(ticket_id)
    assert await place.run(job_id) == HELD_OUT
    held_out_id = job_id
    if request_ == "retry":
        await manual_retry.retry(place.store.database, job_id, DEADLINE)
    elif request_ == "holdout 0":
        place.tenant = tenant()
        job_id = await place.job(ticket_id)
    else:
        job_id = await place.job(ticket_id, event=request_)
    assert await place.run(job_id) == ("completed", None)
    assert (len(place.notes(ticket_id)), place.paid()) == (1, 1)
    assert place.row(held_out_id)["held_out"]


async def test_a_retry_of_a_failed_job_does_not_request_the_note(place: WorkSite) -> None:
    """A retry of many after an outage would end the comparison."""
    place.tenant = tenant(holdout=50)
    job_id = await place.job(new_held_out_ticket(place))
    place.change(job_id, state="failed", reason="ServiceDesk Plus timeout", finished_at="now()")
    await manual_retry.retry(place.store.database, job_id, DEADLINE)
    assert await place.run(job_id) == HELD_OUT


async def test_a_held_out_ticket_does_not_wait_for_the_model(place: WorkSite) -> None:
    place.tenant = tenant(holdout=50)
    place.model.order(kind="status", code=401)
    while is_held_out("acme", other := new_ticket(place.desks), 50):
        pass
    waiting, held_out = await place.job(other), await place.job(new_held_out_ticket(place))
    async with place.runner(hold=Hold("model")) as runner:
        for job_id in (waiting, waiting, held_out):
            place.change(job_id, due_at="now()")
            assert await run_job(runner, job_id)
    assert place.row(waiting)["state"] == "waiting"
    row = place.row(held_out)
    assert ((row["state"], row["reason"]), place.paid()) == (HELD_OUT, 1)
    # The report compares by these decisions.
    decided = [(row["held_out"], row["holdout"]) for row in map(place.row, (waiting, held_out))]
    assert decided == [(False, 50), (True, 50)]


@pytest.mark.parametrize("before", ["answer in the row", "answer in Redis", "note"])
async def test_an_answer_or_note_of_before_the_holdout_is_not_wasted(before: str, place: WorkSite) -> None:
    ticket_id = new_held_out_ticket(place)
    job_id = await place.job(ticket_id)
    if before == "answer in the row":
        place.change(job_id, enhancement=ANSWER.model_dump_json(), model="m")
    elif before == "answer in Redis":
        place.change(job_id, started_at="now()")
        await place.answers.put(StoredKind.ANSWER, job_id, (ANSWER.model_dump(mode="json"), "m"))
    else:
        assert await place.run(job_id) == ("completed", None)
        place.change(job_id, seen_closed_at="now()")
        job_id = await place.job(ticket_id, event="ticket.reopened")
    place.tenant = tenant(holdout=50)
    assert await place.run(job_id) == ("completed", None)
    assert len(place.notes(ticket_id)) == (2 if before == "note" else 1)


@pytest.mark.parametrize("ends", ["skipped", "failed"])
async def test_placeholders_are_deleted_when_the_job_ends(ends: str, place: WorkSite) -> None:
    """An earlier attempt kept an answer for repair, and the job ends without it."""
    ticket_id = new_ticket(place.desks)
    job_id = await place.job(ticket_id)
    place.change(job_id, started_at="now()")
    await place.answers.put(StoredKind.UNUSABLE, job_id, UnusableAnswer("{", {"[PERSON_1]": "Zoë"}))
    if ends == "skipped":
        place.desks.change("PATCH", f"/tickets/acme/{ticket_id}", status="Closed")
    else:
        place.desks.order(kind="status", code=400, operation="read_ticket")
    assert (await place.run(job_id))[0] == ends
    assert await place.answers.get(StoredKind.UNUSABLE, job_id) is None


async def test_a_dry_run_pays_and_keeps_the_answer_and_going_live_posts_it_unpaid(
    place: WorkSite, start_log: StartLog
) -> None:
    place.tenant = tenant(dry_run=True)
    ticket_id = new_ticket(place.desks)
    with nothing_said_of_an_error(start_log) as lines:
        job_id = await place.job(ticket_id)
        assert await place.run(job_id) == ("skipped", "dry run")
    said = f"Task skipped: job_id={job_id}, ticket_id={ticket_id}, reason=dry run"
    assert sum(said in line for line in lines) == 1
    row = place.row(job_id)
    assert (row["note_attempted_at"], row["finished_at"] is None, place.paid()) == (None, False, 1)
    assert place.notes(ticket_id) == []
    place.tenant = tenant()
    await manual_retry.retry(place.store.database, job_id, DEADLINE)
    assert await place.run(job_id) == ("completed", None)
    (note,) = place.notes(ticket_id)
    assert (row["enhancement"]["likely_cause"]["text"] in note, place.paid()) == (True, 1)


async def test_after_a_dry_run_a_new_webhook_of_the_ticket_is_enhanced(place: WorkSite) -> None:
    ticket_id = new_ticket(place.desks)
    for is_dry, ended in ((True, "dry run"), (False, None), (False, "already enhanced")):
        place.tenant = tenant(dry_run=is_dry)
        assert (await place.run(await place.job(ticket_id)))[1] == ended


async def test_a_dry_run_pays_once_per_ticket_while_its_answer_is_kept(place: WorkSite) -> None:
    """Each answer can be posted by hand; of two, one becomes the ticket's note."""
    place.tenant = tenant(dry_run=True)
    ticket_id = new_ticket(place.desks)
    first, second, third = [await place.job(ticket_id) for _ in range(3)]
    assert await place.run(first) == ("skipped", "dry run")
    assert await place.run(second) == ("skipped", "already enhanced")
    shown = [await details.details(place.store.database, job_id) for job_id in (first, second)]
    assert [job and job.dry_run_job for job in shown] == [None, first]
    row = place.row(first)
    place.change(first, enhancement=None)
    assert await place.run(third) == ("skipped", "dry run")
    assert place.paid() == 2
    await manual_retry.retry(place.store.database, second, DEADLINE)
    assert await place.run(second) == ("skipped", "dry run")
    assert place.paid() == 3

    place.tenant = tenant()
    place.change(first, enhancement=json.dumps(row["enhancement"]))
    for job_id in (second, first):
        await manual_retry.retry(place.store.database, job_id, DEADLINE)
    assert await place.run(first) == ("waiting", "another job of this ticket")
    assert await place.run(second) == ("completed", None)
    place.change(first, due_at="now()")
    assert await place.run(first) == ("skipped", "already enhanced")
    assert (len(place.notes(ticket_id)), place.paid()) == (1, 3)


@pytest.mark.parametrize(
    "settings",
    [tenant(dry_run=True), tenant(never="group:HR"), tenant(holdout=50)],
    ids=["dry run", "left out since", "held out since"],
)
async def test_a_ticket_without_a_note_has_no_failure_note(place: WorkSite, settings: Tenant) -> None:
    ticket_id = new_held_out_ticket(place)
    place.model.order(kind="status", code=400, param="model", times=9)
    job_id = await place.job(ticket_id)
    if not settings.dry_run:
        place.desks.change("PATCH", f"/tickets/acme/{ticket_id}", group="HR")
    async with place.runner(failure_note=True) as runner:
        since = replace(runner, tenant_of=lambda _: settings if place.paid() else tenant())
        assert await run_job(since, job_id)
    row = place.row(job_id)
    assert (row["state"], row["failure_noted_at"]) == ("failed", None)
    assert place.notes(ticket_id) == []


NOTHING = WORDS["en"].nothing_found
SCANNER = COPY | {"ticket_id": "77", "subject": "Scanner jams", "description": "It jams at each page."}
OTHER = SCANNER | {"subject": "Payslip is wrong", "description": "The sum of March."}


@pytest.mark.parametrize("if_nothing_found", [True, False])
@pytest.mark.parametrize(("copy", "is_found"), [(SCANNER, True), (OTHER, False), (None, False)])
async def test_where_nothing_is_like_it_the_note_says_so_or_is_not_paid_for(
    copy: dict[str, str] | None, is_found: bool, if_nothing_found: bool, place: WorkSite
) -> None:
    place.tenant = Tenant("acme", note=NoteSettings(if_nothing_found=if_nothing_found))
    if copy is not None:
        await repository.save_ticket(place.store.database, "acme", copy)
    ticket_id = new_ticket(place.desks, subject=SCANNER["subject"], description=SCANNER["description"])
    ended = await place.run(await place.job(ticket_id))
    is_noted = is_found or if_nothing_found
    assert (ended, place.paid()) == ((("completed", None), 1) if is_noted else (("skipped", "nothing found"), 0))
    assert [note.count(NOTHING) for note in place.notes(ticket_id)] == [int(not is_found)] * is_noted


class MeanwhileForgotten:
    """A model whose ticket is erased once its answer is complete and repaired."""

    def __init__(self, real: ModelClient, forget: Callable[[], Awaitable[object]]) -> None:
        self._real = real
        self._forget = forget

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def complete(self, *given: Any, **named: Any) -> Any:
        answer = await self._real.complete(*given, **named)
        await named["on_unusable"]("{ the ticket's text")
        await self._forget()
        return answer


@pytest.mark.parametrize(
    "which",
    [ErasureScope("acme", ticket_id="12345"), ErasureScope("acme", requester="zoe@acme.example")],
    ids=["ticket", "requester"],
)
async def test_its_answer_is_kept_neither_in_the_row_nor_in_redis_and_nothing_fails(
    which: ErasureScope, waiting: UUID, redis: Redis, place: WorkSite, start_log: StartLog
) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.method == "GET"
        request_with = {"id": "12345", "subject": "S", "requester": {"email_id": "Zoe@acme.example"}}
        return httpx2.Response(200, json=TICKET | {"request": request_with})

    with nothing_said_of_an_error(start_log) as lines:
        async with place.runner(opening={"transport": httpx2.MockTransport(answer)}) as runner:
            real: Any = runner.model_of("acme")
            asked: Any = MeanwhileForgotten(real, lambda: erasure.erase(place.store.database, which))
            assert await run_job(replace(runner, model_of=lambda _: asked), waiting)
    row = place.row(waiting)
    assert (row["state"], row["reason"], row["enhancement"]) == ("skipped", "forgotten", None)
    assert await redis.keys("*:*") == []
    assert f"Task skipped: job_id={waiting}, ticket_id=12345, reason=forgotten" in "".join(lines)


async def test_keys_of_an_earlier_attempt_are_deleted_once_the_ticket_is_found_forgotten(
    waiting: UUID, place: WorkSite, redis: Redis
) -> None:
    """Redis was unavailable at the erasure, and an operator retries the job."""
    place.change(waiting, started_at="now()", attempt=1)
    await erasure.erase(place.store.database, ErasureScope("acme", ticket_id="12345"))
    await manual_retry.retry(place.store.database, waiting, DEADLINE)
    await place.answers.put(StoredKind.ANSWER, waiting, ({"summary": "the ticket's text"}, "m"))
    await place.answers.put(StoredKind.UNUSABLE, waiting, "{ the ticket's text")
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=TICKET))
    async with place.runner(opening={"transport": transport}) as runner:
        assert await run_job(runner, waiting)
    assert (place.row(waiting)["reason"], await redis.keys("*:*")) == ("forgotten", [])
