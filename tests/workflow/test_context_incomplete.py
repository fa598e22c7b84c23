"""Incomplete context, recorded as a job event for support."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage.search import SearchInPostgres
from tests.kit.by_id import run_job
from tests.kit.desk import new_ticket
from tests.workflow.place import WorkSite


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
