"""Slots shared by tenants in turn, without a leak."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import TextClause

from devstack.postgres import Postgres
from storage.search import SearchInPostgres, TenantSlots
from storage.session import Database, Row


class Line:
    """Named tasks that each hold a slot until released."""

    def __init__(self, slots: int) -> None:
        self.slots = TenantSlots(slots)
        self.began: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def join(self, *names: str) -> None:
        """Start tasks; the first letter of a name is its tenant."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._hold(name))
        await asyncio.sleep(0.01)

    async def _hold(self, name: str) -> None:
        async with self.slots.take(name[0]):
            self.began.append(name)
            await self._ends[name].wait()

    def let_go(self, name: str) -> None:
        self._ends[name].set()

    def leave(self, *names: str) -> None:
        for name in names:
            self._tasks[name].cancel()

    async def end(self) -> list[str]:
        """Release all; return the names in order of start."""
        for event in self._ends.values():
            event.set()
        await asyncio.wait(self._tasks.values(), timeout=5)
        return self.began


async def test_who_waits_comes_tenant_by_tenant_and_in_order_within_one() -> None:
    line = Line(1)
    await line.join("a0", "a1", "a2", "a3", "b1", "b2", "c1")
    assert await line.end() == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]


async def test_as_many_as_there_are_slots_go_at_once() -> None:
    line = Line(2)
    await line.join("a1", "a2", "a3", "b1")
    assert line.began == ["a1", "a2"]
    line.let_go("a1")
    await asyncio.sleep(0.01)
    assert line.began == ["a1", "a2", "a3"]
    assert await line.end() == ["a1", "a2", "a3", "b1"]


async def test_who_left_while_it_waited_costs_its_tenant_no_turn() -> None:
    line = Line(1)
    await line.join("a0", "b1", "c1", "b2", "b3")
    line.leave("b1", "b2")
    assert await line.end() == ["a0", "b3", "c1"]


async def test_no_slot_is_lost_by_those_who_leave() -> None:
    """One holds a slot, one waits, and one is given a slot at that moment."""
    line = Line(2)
    await line.join("a1", "a2", "a3", "a4", "b1")
    line.leave("a4", "a1")
    await asyncio.sleep(0)
    line.leave("a3", "a2")
    await asyncio.sleep(0.01)
    assert line.began[2:] == ["b1"]
    await line.join("a5", "a6")
    assert line.began[3:] == ["a5"]
    assert await line.end() == ["a1", "a2", "b1", "a5", "a6"]


class SlowForOne(Database):
    seconds = 0.1

    async def call_as(self, tenant_id: str, *questions: TextClause, **values: Any) -> list[Sequence[Row]]:
        if tenant_id == "acme":
            await asyncio.sleep(self.seconds)
        return await super().call_as(tenant_id, *questions, **values)


async def test_a_small_tenant_waits_for_two_searches_of_a_flood_at_most(server: Postgres) -> None:
    database = SlowForOne(server.url, application_name="tests", pool_size=3)
    search, done = SearchInPostgres(database, 2), Counter[str]()

    async def find(tenant_id: str) -> None:
        await search.documents(tenant_id, "VPN drops", "")
        done[tenant_id] += 1

    flood = [asyncio.create_task(find("acme")) for _ in range(40)]
    await asyncio.sleep(0.01)
    # As a job does: similar tickets, and documents.
    await asyncio.gather(find("globex"), find("globex"))
    assert done["acme"] <= 4  # two that were under way, one in between, and one that may end in the same moment
    await asyncio.gather(*flood)
    assert done["acme"] == 40
    await database.close()
