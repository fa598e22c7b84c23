"""The row's state after a note was not posted."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx2
import pytest
from langgraph.runtime import Runtime

from config.tenants import Tenant
from integrations.errors import DeskTimeout, HeldBack
from integrations.resilience import Breaker
from storage import claims, dry_runs
from storage.session import Database
from tests.kit.by_id import run_job
from tests.kit.desk import EXTRA_KEY_REFUSED, new_ticket, opened, settings
from tests.kit.postgres import Store, attempt_at, claimed
from tests.kit.runner import ANSWER, TICKET, runner_on
from tests.kit.simulators import Simulator
from workflow.attempt import GraphState
from workflow.nodes.update_ticket import update_ticket


class OtherKey:
    """A desk that requires the other edition's key and fails after the first refusal."""

    def __init__(self, breaker: Breaker, second: str) -> None:
        self.posts = 0
        self._breaker = breaker
        self._second = second

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(200, json=TICKET)
        self.posts += 1
        if self.posts == 1:
            if self._second == "held back":
                with pytest.raises(DeskTimeout), self._breaker.watch():
                    raise DeskTimeout
            return httpx2.Response(400, json=EXTRA_KEY_REFUSED)
        raise httpx2.ReadTimeout("?")


@pytest.mark.parametrize("second", ["held back", "unknown"])
async def test_a_second_posting_decides_whether_the_note_may_be_there(second: str, waiting: UUID, store: Store) -> None:
    """The first was refused for its key without an effect, so a hold leaves no doubt."""
    breaker = Breaker("desk", "desk unavailable", most_failures=1)
    server = OtherKey(breaker, second)
    claim = await claimed(store.database, waiting)
    transport = httpx2.MockTransport(server.answer)
    async with opened(settings("http://desk"), transport=transport, breaker=breaker) as desk:
        attempt = attempt_at(claim, store.database, desk=desk)
        state: GraphState = {"content": ANSWER, "model": "gpt-6-luna"}
        with pytest.raises(HeldBack if second == "held back" else DeskTimeout):
            await update_ticket(state, Runtime(context=attempt))
    attempted = store.table.job(waiting)["note_attempted_at"]
    if second == "held back":
        assert (server.posts, attempted) == (1, None)
        await claims.hold_back(store.database, claim, 0, "desk unavailable")
        # The next attempt posts at once instead of waiting for a note that cannot exist.
        assert (await claimed(store.database, waiting)).note_attempted_at is None
    else:
        assert server.posts == 2
        assert attempted - store.table.job(waiting)["started_at"] < timedelta(seconds=30)
        assert await claims.may_have_posted(store.database, claim)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [({"code": 403}, "dry run"), ({"code": 429}, "dry run"), ({}, "dry run"), (None, "ticket not found")],
    ids=["refused", "busy", "closed", "deleted"],
)
async def test_a_dry_run_keeps_what_was_paid_for_though_its_ticket_is_not_read_again(
    fault: dict[str, Any] | None, reason: str, desks: Simulator, store: Store
) -> None:
    """It is paid once, and can be shown. Nothing is shown of a deleted ticket."""
    ticket_id = new_ticket(desks)
    paid: dict[str, Any] = {"enhancement": ANSWER.model_dump_json(), "model": "gpt-6-luna", "started_at": "now()"}
    job_ids = [await store.accept(ticket_id=ticket_id, **paid), await store.accept(ticket_id=ticket_id)]
    async with opened(settings(desks.url)) as desk:
        # It has no model, so a second question would fail the job.
        runner = replace(runner_on(desk, store.database, store.database), wishes_of=partial(Tenant, dry_run=True))
        if fault is None:
            desks.change("DELETE", f"/tickets/acme/{ticket_id}")
        elif fault:
            desks.order(kind="status", operation="read_ticket", times=1, **fault)
        else:
            desks.change("PATCH", f"/tickets/acme/{ticket_id}", status="Closed")
        for job_id in job_ids if fault is not None else job_ids[:1]:
            assert await run_job(runner, job_id)
    assert store.table.job(job_ids[0])["reason"] == reason
    if fault is not None:
        assert store.table.job(job_ids[1])["reason"] == "already enhanced"
        assert await dry_runs.answer_of(store.database, "acme", job_ids[0])


async def test_a_ticket_seen_open_is_not_looked_at_again_after_a_hold_for_an_hour(waiting: UUID, store: Store) -> None:
    claim = await claimed(store.database, waiting)
    assert not claim.saw_open_lately()
    await claims.seen_open(store.database, claim)
    for ago, counts in (("59 minutes", True), ("61 minutes", False)):
        await claims.hold_back(store.database, claim, 0, "desk rate limit")
        store.table.change(waiting, seen_open_at=f"now() - interval '{ago}'")
        claim = await claimed(store.database, waiting)
        assert claim.saw_open_lately() is counts


async def test_a_failed_attempt_ends_what_was_seen(waiting: UUID, database: Database) -> None:
    claim = await claimed(database, waiting)
    await claims.seen_open(database, claim)
    await claims.retry_later(database, claim, 0, "ServiceDesk Plus timeout")
    assert (await claimed(database, waiting)).seen_open_at is None
