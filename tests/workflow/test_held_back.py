"""Jobs held back between the ticket's check and the note, and a second check."""

import asyncio
from uuid import UUID

import httpx2
import pytest

from config.tenants import Tenant
from integrations.errors import DeskTimeout, HeldBack
from integrations.rate_limit import DeskRate
from integrations.resilience import Breaker
from integrations.servicedesk.auth import DeskTokens
from integrations.servicedesk.calls import Limits
from integrations.servicedesk.client import ServiceDeskPlus
from storage.session import Database
from tests.kit.by_id import run_job
from tests.kit.desk import settings
from tests.kit.postgres import Table, claimed
from tests.kit.runner import ANSWER, TICKET, runner_on


class OneCallDesk:
    """Shows an open ticket, and refuses a second call."""

    def __init__(self, why: str, http: httpx2.AsyncClient) -> None:
        self._why = why
        self._shown = False
        self._breaker = Breaker("desk", "desk unavailable", most_failures=1)
        self.others: list[asyncio.Task[object]] = []
        rate = DeskRate("acme", 1 if why == "desk rate limit" else 100_000, None)
        limits = Limits(self._breaker, rate, 1, self._check)
        self.client = ServiceDeskPlus(
            Tenant("acme", desk=settings("http://desk")), http, DeskTokens(http, None, 1), 60, limits
        )

    def _check(self) -> None:
        if self._shown and self._why == "tenant closed":
            raise HeldBack("tenant closed", 10, extends_deadline=False)

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        if self._shown:
            await asyncio.sleep(60)
        self._shown = True
        assert request.method == "GET"
        if self._why == "desk busy":
            self.others.append(asyncio.create_task(self.client.read_ticket("1")))
            await asyncio.sleep(0.1)
        if self._why == "desk unavailable":
            with pytest.raises(DeskTimeout), self._breaker.watch():
                raise DeskTimeout
        return httpx2.Response(200, json=TICKET)


@pytest.mark.parametrize(
    ("why", "counts"),
    [("desk rate limit", True), ("desk busy", True), ("desk unavailable", False), ("tenant closed", False)],
)
async def test_only_a_desk_that_is_well_need_not_be_asked_again(
    why: str, counts: bool, waiting: UUID, database: Database, table: Table
) -> None:
    """The ticket may have changed while its desk was down."""
    table.change(waiting, enhancement=ANSWER.model_dump_json())

    async def answer(request: httpx2.Request) -> httpx2.Response:
        return await desk.answer(request)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        desk = OneCallDesk(why, http)
        assert await run_job(runner_on(desk.client, database, database), waiting)
        for other in desk.others:
            other.cancel()
        await asyncio.gather(*desk.others, return_exceptions=True)
    row = table.job(waiting)
    assert (row["state"], row["reason"]) == ("waiting", why)
    table.change(waiting, due_at="now()")
    assert (await claimed(database, waiting)).saw_open_lately() is counts
