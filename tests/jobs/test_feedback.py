"""Outcomes of notes: one row a job, deleted with the job and by erasure."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text

from cli.feedback import FeedbackFigures, figures
from cli.pilot.postgres import Postgres
from jobs import feedback
from jobs.feedback import NoteVersion, Vote, VoteReason
from privacy import erasure
from privacy.erasure import ErasureScope
from tests.kit.postgres import Store
from tests.knowledge.copies import WHO, answered

NOTE: dict[str, Any] = {"state": "completed", "model": "m-1", "finished_at": "now()"}
SINCE = datetime.now(UTC) - timedelta(days=30)


def answer(prompt: str | None, *steps: object) -> str:
    return json.dumps({"next_steps": list(steps)} | ({} if prompt is None else {"prompt": prompt}))


async def vote(store: Store, job_id: UUID, of: Vote = Vote.USEFUL, reason: VoteReason | None = None) -> Any:
    return await feedback.record_vote(store.database, "acme", job_id, of, reason)


async def note(store: Store, prompt: str | None = "7", **columns: Any) -> UUID:
    return await store.accept(**NOTE | {"enhancement": answer(prompt, "Reboot.")} | columns)


def rows(store: Store) -> list[dict[str, Any]]:
    return store.table.run("SELECT * FROM feedback")


@pytest.mark.parametrize(("prompt", "kept"), [("7", "7"), (None, "")])
async def test_a_vote_keeps_the_version_of_its_note_after_the_purge(prompt: Any, kept: str, store: Store) -> None:
    job_id = await note(store, prompt)
    recorded = await vote(store, job_id)
    assert (recorded.version, recorded.changed) == (NoteVersion(kept, "m-1"), True)
    store.table.change(job_id, enhancement=None)
    assert not (await vote(store, job_id)).changed
    other = await vote(store, job_id, Vote.NOT_USEFUL, VoteReason.OTHER)
    assert (other.changed, other.version) == (True, NoteVersion(kept, "m-1"))
    (row,) = rows(store)
    assert (row["prompt"], row["vote"], row["reason"], row["taken_up"]) == (kept, "not useful", "other", None)


async def test_there_is_no_vote_for_a_job_of_another_tenant_or_of_none(store: Store) -> None:
    job_id = await note(store)
    for tenant_id, job in (("globex", job_id), ("acme", uuid4())):
        assert await feedback.record_vote(store.database, tenant_id, job, Vote.USEFUL, None) is None
        assert await feedback.record_taken_up(store.database, tenant_id, job, 0.5) is None
    assert rows(store) == []


async def test_a_row_goes_with_its_job(store: Store) -> None:
    gone, stays = await note(store, finished_at="now() - interval '91 days'"), await note(store)
    for job_id in (gone, stays):
        await vote(store, job_id)
    assert await store.database.call_for_one(text("SELECT purge_jobs(90, 500)")) == 1
    assert [row["job_id"] for row in rows(store)] == [stays]


async def test_what_is_forgotten_has_no_feedback_any_more_and_gets_none(store: Store) -> None:
    own = await answered(store.database, store.new_event, "7")
    naming = await answered(store.database, store.new_event, "8", "someone.else@acme.example", similar="7")
    of_requester = await answered(store.database, store.new_event, "9", WHO)
    for job_id in (own, naming, of_requester):
        await vote(store, job_id)
    await erasure.erase(store.database, ErasureScope("acme", ticket_id="7"))
    assert {row["job_id"] for row in rows(store)} == {naming, of_requester}
    await erasure.erase(store.database, ErasureScope("acme", requester=WHO))
    assert {row["job_id"] for row in rows(store)} == {naming}
    for job_id in (own, of_requester):
        assert await vote(store, job_id) is None
        assert await feedback.record_taken_up(store.database, "acme", job_id, 1) is None
    await erasure.erase(store.database, ErasureScope("acme"))
    assert rows(store) == []


STEPS = ["Reboot it.", "Call the vendor."]
SAID = [{"text": step, "from": "ticket 9"} for step in STEPS]


@pytest.mark.parametrize("steps", [STEPS, SAID], ids=["texts", "objects"])
async def test_the_last_note_of_a_ticket_is_measured_once(steps: list[object], store: Store) -> None:
    """A webhook names either number; a display number may be another ticket's id."""
    assert await feedback.last_note(store.database, "acme", "7") is None
    await note(store, ticket_id="7", finished_at="now() - interval '1 hour'")
    job_id = await note(store, ticket_id="124", desk_id="7", enhancement=answer("7", *steps))
    await note(store, ticket_id="7", state="failed")
    await note(store, ticket_id="7", tenant_id="globex")
    await note(store, ticket_id="8", desk_id="9", display_id="7")
    found = await feedback.last_note(store.database, "acme", "7")
    assert found is not None
    assert (found.job_id, found.steps, found.suggestions, found.is_unmeasured) == (job_id, STEPS, {}, True)
    assert await feedback.record_taken_up(store.database, "acme", job_id, 0.25) == NoteVersion("7", "m-1")
    assert await feedback.record_taken_up(store.database, "acme", job_id, 0.75) is None
    (row,) = rows(store)
    assert (row["taken_up"], row["vote"], row["taken_up_at"] is not None) == (0.25, None, True)
    found = await feedback.last_note(store.database, "acme", "7")
    assert found is not None
    assert (found.job_id, found.is_unmeasured) == (job_id, False)


async def test_a_vote_on_another_note_keeps_the_measure(store: Store) -> None:
    job_id = await note(store)
    await feedback.record_taken_up(store.database, "acme", job_id, 0.5)
    await vote(store, job_id)
    store.table.change(job_id, enhancement=None)
    await vote(store, job_id, Vote.NOT_USEFUL)
    assert [(row["taken_up"], row["vote"]) for row in rows(store)] == [(0.5, "not useful")]
    store.table.change(job_id, enhancement=answer("8", "Reboot."))
    await vote(store, job_id)
    (row,) = rows(store)
    assert (row["prompt"], row["vote"], row["taken_up"], row["taken_up_at"]) == ("8", "useful", None, None)
    store.table.change(job_id, model="m-2")
    assert await feedback.record_taken_up(store.database, "acme", job_id, 0.5) is None
    assert [(row["model"], row["vote"], row["taken_up"]) for row in rows(store)] == [("m-1", "useful", None)]


async def test_the_triage_of_another_note_of_the_job_is_dropped(store: Store) -> None:
    def stored() -> list[Any]:
        return [(row["prompt"], row["category_matched"], row["group_matched"]) for row in rows(store)]

    job_id = await note(store)
    await feedback.record_triage(store.database, "acme", job_id, {"category": True})
    await vote(store, job_id)
    assert stored() == [("7", True, None)]
    # After a manual retry.
    store.table.change(job_id, enhancement=answer("8", "Reboot."))
    await feedback.record_triage(store.database, "acme", job_id, {"group": True})
    assert stored() == [("7", True, None)]
    await vote(store, job_id)
    assert stored() == [("8", None, None)]
    await feedback.record_triage(store.database, "acme", job_id, {"group": False})
    assert stored() == [("8", None, False)]


async def test_a_double_click_changes_the_vote_once(store: Store, server: Postgres) -> None:
    """Each begins before the other's row is there; the wait for that row must end."""
    job_id = await note(store)
    # The tenant's first vote creates its key, for which the others wait.
    await vote(store, await note(store))
    with psycopg.connect(server.superuser_url) as other:
        other.execute("INSERT INTO feedback (tenant_id, job_id, prompt, model) VALUES ('acme', %s, '', '')", (job_id,))
        both = [asyncio.create_task(vote(store, job_id)) for _ in range(2)]
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while len(store.table.run(waiting)) < len(both):  # noqa: ASYNC110 -- another server's memory
            await asyncio.sleep(0.01)
        other.rollback()
    assert sorted(recorded.changed for recorded in await asyncio.gather(*both) if recorded) == [False, True]


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        *(({"state": state}, False) for state in ("waiting", "running", "failed", "skipped")),
        ({"state": "failed", "note_attempted_at": "now()"}, True),
        ({"state": "running", "note_attempted_at": "now()"}, True),
    ],
)
async def test_a_job_without_a_note_takes_no_vote(columns: dict[str, str], taken: bool, store: Store) -> None:
    job_id = await note(store, **columns)
    recorded = await vote(store, job_id)
    assert (recorded is not None, len(rows(store))) == (taken, int(taken))


@pytest.mark.parametrize("enhancement", ['{"summary": "s"}', '{"next_steps": 3}', '{"next_steps": [3, null, {}]}'])
async def test_an_answer_without_steps_is_no_failure(enhancement: str, store: Store) -> None:
    job_id = await note(store, ticket_id="7", enhancement=enhancement)
    found = await feedback.last_note(store.database, "acme", "7")
    assert found is not None
    assert (found.job_id, found.steps) == (job_id, [])


async def test_figures_are_by_prompt_and_model_and_of_one_tenant(store: Store) -> None:
    voted = [await note(store) for _ in range(4)]
    await note(store, accepted_at="now() - interval '31 days'")
    await note(store, "8", model="m-2")
    await note(store, None)
    await note(store, tenant_id="globex")
    unknown = await note(store, state="failed", enhancement=None, model=None, note_attempted_at="now()")
    votes = [(Vote.USEFUL, None)] * 2 + [(Vote.NOT_USEFUL, VoteReason.OTHER), (Vote.NOT_USEFUL, None)]
    for job_id, what in zip([*voted, unknown], [*votes, (Vote.USEFUL, None)], strict=True):
        await vote(store, job_id, *what)
    for job_id, ratio in zip(voted, (0.5, 0.25), strict=False):
        await feedback.record_taken_up(store.database, "acme", job_id, ratio)
    # The version of their notes is still known.
    store.table.run("UPDATE jobs SET enhancement = NULL WHERE id = ANY (%s)", voted)
    assert await figures(store.database, "acme", SINCE) == [
        FeedbackFigures(NoteVersion("", ""), 1, 1, 1, {}, 0, None),
        FeedbackFigures(NoteVersion("", "m-1"), 1, 0, 0, {}, 0, None),
        FeedbackFigures(NoteVersion("7", "m-1"), 4, 4, 2, {"other": 1}, 2, 0.375),
        FeedbackFigures(NoteVersion("8", "m-2"), 1, 0, 0, {}, 0, None),
    ]
