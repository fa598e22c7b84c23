"""Context of a job: what searches find, searches that fail or are late, and jobs that need none."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from config.tenant_settings import TicketRules
from config.tenants import Tenant
from integrations.errors import DeskTimeout
from storage import history
from storage.search import SearchInPostgres
from tests.kit.desk import new_ticket
from tests.kit.logs import StartLog
from tests.kit.runner import ANSWER, run_job
from tests.workflow.place import WorkSite
from workflow.kept_answers import Kept

SUBJECT = "Badge reader is dark"
COPY = {"ticket_id": "4711000000000077", "display_id": "77", "subject": SUBJECT, "description": SUBJECT}


async def what_happened(place: WorkSite, job_id: UUID) -> list[tuple[str, str | None]]:
    events = place.store.table.run("SELECT what, reason FROM job_events WHERE job_id = %s ORDER BY id", job_id)
    return [(event["what"], event["reason"]) for event in events]


async def test_what_was_found_is_in_the_prompt_by_the_number_that_people_know(place: WorkSite) -> None:
    await history.save_ticket(place.store.database, "acme", COPY | {"resolution": "New fuse.", "status": "Closed"})
    job_id = await place.job(new_ticket(place.desks, subject=SUBJECT, description="My badge does nothing."))
    assert await place.run(job_id) == ("completed", None)
    (request,) = place.model.requests(operation="chat")
    prompt = request["payload"]["messages"][1]["content"]
    for text in (SUBJECT, "My badge does nothing.", '"ticket_id": "77"', "New fuse."):
        assert text in prompt
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
        await place.answers.put(Kept.ANSWER, job_id, (ANSWER.model_dump(mode="json"), "dodo-3"))
    assert await place.run(job_id) == ("completed", None)
    (note,) = place.notes(ticket_id)
    assert "(written by dodo-3; " in note
    assert (place.paid(), place.row(job_id)["model"]) == (0, "dodo-3")


class NeverFinding(SearchInPostgres):
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
        (DeskTimeout(), "context not searched", "ServiceDesk Plus API timeout"),
    ],
)
async def test_a_search_that_does_not_end_is_a_line_and_an_event_and_the_job_goes_on(
    failure: Exception | None, told: str, line: str, place: WorkSite, start_log: StartLog
) -> None:
    stream = start_log()
    place.tenant = Tenant("acme", rules=TicketRules(never_topics=frozenset({"gossip"})))
    job_id = await place.job(new_ticket(place.desks))
    async with place.runner() as runner:
        search = NeverFinding(place, failure)
        assert await run_job(replace(runner, search=search, context_seconds=0.2), job_id)
    assert await what_happened(place, job_id) == [
        *(("accepted", None), ("claimed", None), ("context incomplete", told)),
        *(("asked", None), ("answered", None), ("posting", None), ("completed", None)),
    ]
    assert line in stream.getvalue()
    assert "Context gathered: ticket_history=No, docs=No" in stream.getvalue()
