"""Search by embeddings beside words, and its slots shared by tenants in turn."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import TextClause

from devstack.postgres import Postgres
from housekeeping.embedding import embed_some
from retrieval.terms import asked_terms
from storage import embeddings, history, search
from storage.search import AskedEmbedding, Meaning, SearchInPostgres, TenantSlots
from storage.session import Database, Row
from tests.kit.embedding import DIMENSIONS, MeaningModel, OneEmbedder
from tests.kit.postgres import Table

TELLER = {"Tunnel": "a tunnel", "VPN": "a tunnel", "Mousepad": "a mouse"}
ASKED = ("VPN drops", "The VPN is gone at home")


@pytest.fixture
async def by_both(database: Database) -> "TwoTenants":
    return TwoTenants(database, MeaningModel(**TELLER))


class TwoTenants:
    """Copies of two tenants, a model that both use, and the search."""

    def __init__(self, database: Database, model: MeaningModel) -> None:
        self.database, self.model = database, model
        self.embedders = OneEmbedder(model, "acme", "globex")
        self.search = SearchInPostgres(database, 2, embedding_of=self._asked, least=0.0)

    async def _asked(self, tenant_id: str, text: str, language: str, _people: object) -> AskedEmbedding | None:
        embedder = self.embedders.of(tenant_id)
        return None if embedder is None else await embedder.asked(text, language)

    async def copy(self, number: str, subject: str, tenant_id: str = "acme", **more: str) -> None:
        copy = {"ticket_id": number, "subject": subject, "description": subject, "resolution": "r", "status": "Closed"}
        kinds = {"group": more.pop("group")} if "group" in more else None
        await history.save_ticket(self.database, tenant_id, copy | more, kinds=kinds)

    async def embed(self, tenant_id: str = "acme") -> int:
        made, left = await embed_some(self.database, tenant_id, self.embedders.embedder)
        assert left == 0
        return made

    async def found(self, tenant_id: str = "acme", **forbidden: set[str]) -> list[str]:
        found = await self.search.similar_tickets(tenant_id, "0", *ASKED, forbidden)
        assert [each.strength for each in found] == sorted((each.strength for each in found), reverse=True)
        return [each.ticket_id for each in found if each.strength > 0.3]


async def test_what_says_the_same_in_another_language_is_found(by_both: TwoTenants) -> None:
    await by_both.copy("1", "Der Tunnel ist weg seit der Umstellung")
    await by_both.copy("2", "Das Mousepad ist weg seit der Umstellung")
    assert await by_both.found() == []
    assert await by_both.embed() == 2
    assert await by_both.found() == ["1"]


async def test_words_count_beside_it_and_alone_for_a_copy_that_has_none_yet(by_both: TwoTenants) -> None:
    await by_both.copy("1", "VPN drops at home")
    assert await by_both.found() == ["1"]
    await by_both.embed()
    await by_both.copy("2", "The VPN drops at home again")
    await by_both.copy("3", "Tunnel collapsed in the morning")
    assert set(await by_both.found()) == {"1", "2"}
    await by_both.embed()
    assert set(await by_both.found()) == {"1", "2", "3"}


async def test_nothing_of_another_tenant_is_found_whatever_its_text(by_both: TwoTenants) -> None:
    await by_both.copy("1", "VPN drops at home", tenant_id="globex")
    await by_both.copy("2", "Tunnel", tenant_id="globex")
    await by_both.embed("globex")
    assert await by_both.found() == []
    assert await by_both.found("globex") == ["1", "2"]
    await by_both.copy("1", "Scanner")
    await by_both.embed()
    assert await by_both.found() == []


async def test_documents_are_found_by_it_and_rules_hold_in_it(by_both: TwoTenants) -> None:
    await history.save_passages(by_both.database, "acme", "7", "Netze", ["Der Tunnel ist zu erneuern"], topic="drafts")
    await by_both.copy("1", "Tunnel", group="finance")
    await by_both.copy("0", "Tunnel of the ticket itself")
    await by_both.embed()
    (document,) = await by_both.search.documents("acme", *ASKED)
    assert document.title == "Netze"
    assert await by_both.search.documents("acme", *ASKED, {"drafts"}) == []
    assert await by_both.found() == ["1"]
    assert await by_both.found(group={"finance"}) == []
    assert await by_both.found(site={"berlin"}) == []


async def test_an_embedding_goes_with_its_copy_and_with_its_text(by_both: TwoTenants, table: Table) -> None:
    def kept() -> int:
        return len(table.run("SELECT document FROM embeddings"))

    for number in ("1", "2", "3"):
        await by_both.copy(number, f"Tunnel {number}")
    await history.save_passages(by_both.database, "acme", "7", "VPN", ["one", "two"])
    await by_both.embed()
    assert kept() == 5
    await by_both.copy("1", "Tunnel 1")
    await history.save_passages(by_both.database, "acme", "7", "VPN", ["one", "two"])
    assert kept() == 5
    await history.save_passages(by_both.database, "acme", "7", "VPN", ["one", "two"], topic="networks")
    assert kept() == 3
    await by_both.embed()
    await by_both.copy("1", "Tunnel 1, and a bridge")
    await history.remove_ticket(by_both.database, "acme", "2")
    await history.remove_passages(by_both.database, "acme", "7")
    assert kept() == 1
    table.run("DELETE FROM tickets")
    assert kept() == 0


async def test_what_changed_while_its_embedding_was_made_gets_none_of_the_old_text(by_both: TwoTenants) -> None:
    await by_both.copy("1", "Mousepad")
    (before,) = await embeddings.to_embed(by_both.database, "acme", "t", await by_both.embedders.embedder.model_id(), 9)
    await by_both.copy("1", "Tunnel")
    made = [(before, "en", bytes(DIMENSIONS))]
    await embeddings.save(by_both.database, "acme", "t", await by_both.embedders.embedder.model_id(), made)
    assert await embeddings.count_left(by_both.database, "acme", await by_both.embedders.embedder.model_id()) == 1
    await history.remove_ticket(by_both.database, "acme", "1")
    await embeddings.save(by_both.database, "acme", "t", await by_both.embedders.embedder.model_id(), made)


async def test_embeddings_of_another_model_are_not_compared_and_are_made_anew(by_both: TwoTenants) -> None:
    await by_both.copy("1", "Tunnel")
    await by_both.embed()
    other = MeaningModel(**TELLER)
    other.key = "another one"
    renewed = TwoTenants(by_both.database, other)
    assert await renewed.found() == []
    assert await renewed.embed() == 1
    assert (await renewed.found(), await by_both.found()) == (["1"], [])


async def test_the_newest_copies_are_compared_and_those_with_common_words(by_both: TwoTenants, table: Table) -> None:
    await by_both.copy("1", "Tunnel")
    await by_both.copy("2", "VPN drops")
    for number in range(3, 6):
        await by_both.copy(str(number), f"Scanner {number}")
    await by_both.embed()
    newest = [row["search_id"] for row in table.run("SELECT search_id FROM tickets ORDER BY search_id DESC LIMIT 3")]
    asked = await by_both.embedders.embedder.asked("VPN", "en")
    question = {"collection": "t", "model": asked.model, "compared": 3}
    (rows,) = await by_both.database.call_as("acme", search.NEWEST, **question)
    assert [row["document"] for row in rows] == newest
    assert {len(row["embedding"]) for row in rows} == {DIMENSIONS}
    terms = asked_terms("VPN drops", "", ["en"])._asdict() | {"budget": 99, "through": 9, "collection": "t"}
    weighed = await Meaning(by_both.database, compared=3).weigh("acme", asked, terms)
    by_words = next(row["search_id"] for row in table.run("SELECT search_id FROM tickets WHERE ticket_id = '2'"))
    assert set(weighed.documents) == {*newest, by_words}
    assert weighed.documents[0] == by_words


async def test_a_tenant_without_embeddings_and_an_empty_one_are_searched_by_words(by_both: TwoTenants) -> None:
    assert await by_both.found() == []
    by_both.embedders.tenant_ids.clear()
    await by_both.copy("1", "VPN drops at home")
    assert await by_both.found() == ["1"]
    assert by_both.model.texts == ["\n".join(ASKED)]


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
