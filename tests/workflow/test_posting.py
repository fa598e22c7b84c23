"""What the row says of a note that was not posted after all."""

from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from langgraph.runtime import Runtime

from integrations.breaker import Breaker
from integrations.errors import DeskTimeout, HeldBack
from storage import claims
from storage.session import Database
from tests.kit.desk import EXTRA_KEY_REFUSED, opened, settings
from tests.kit.postgres import Store, attempt_at, claimed
from tests.kit.runner import ANSWER, TICKET
from workflow.attempt import GraphState
from workflow.nodes.update_ticket import update_ticket


class OtherKey:
    """A desk that wants the other edition's key, and after refusing the first one lets nothing more through."""

    def __init__(self, breaker: Breaker, second: str) -> None:
        self.posts = 0
        self._breaker = breaker
        self._second = second

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=TICKET)
        self.posts += 1
        if self.posts == 1:
            if self._second == "held back":
                with pytest.raises(DeskTimeout), self._breaker.watch():
                    raise DeskTimeout
            return httpx.Response(400, json=EXTRA_KEY_REFUSED)
        raise httpx.ReadTimeout("?")


@pytest.mark.parametrize("second", ["held back", "unknown"])
async def test_a_second_posting_decides_whether_the_note_may_be_there(second: str, waiting: UUID, store: Store) -> None:
    """The first was refused for its key and did nothing: one that is then held back leaves no doubt behind."""
    breaker = Breaker("desk", "desk unavailable", most_failures=1)
    server = OtherKey(breaker, second)
    claim = await claimed(store.database, waiting)
    transport = httpx.MockTransport(server.answer)
    async with opened(settings("http://desk"), transport=transport, breaker=breaker) as desk:
        attempt = attempt_at(claim, store.database, desk=desk)
        state: GraphState = {"enhancement": ANSWER, "model": "gpt-6-luna"}
        with pytest.raises(HeldBack if second == "held back" else DeskTimeout):
            await update_ticket(state, Runtime(context=attempt))
    attempted = store.table.job(waiting)["note_attempted_at"]
    if second == "held back":
        assert (server.posts, attempted) == (1, None)
        await claims.hold_back(store.database, claim, 0, "desk unavailable")
        # So the next attempt posts at once, and need not wait for a note that can't be there.
        assert (await claimed(store.database, waiting)).note_attempted_at is None
    else:
        assert server.posts == 2
        assert attempted - store.table.job(waiting)["started_at"] < timedelta(seconds=30)
        assert await claims.may_have_posted(store.database, claim)


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
