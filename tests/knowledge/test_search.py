"""Search by embeddings beside words, and its slots shared by tenants in turn."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import psycopg
import pytest
from sqlalchemy import TextClause

from cli.pilot.postgres import Postgres
from db.migrate import migrate
from db.session import Database, Row
from knowledge import embedding_repository, repository, search
from knowledge.embedding_sync import embed_some
from knowledge.search import MAX_COMPARED, EmbeddingRanking, PostgresSearch, QueryEmbedding, TenantSlots
from knowledge.terms import query_terms
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
        self.search = PostgresSearch(database, 2, embedding_of=self._asked, least=0.0)

    async def _asked(self, tenant_id: str, text: str, language: str, _people: object) -> QueryEmbedding | None:
        embedder = self.embedders.of(tenant_id)
        return None if embedder is None else await embedder.embed_query(text, language)

    async def copy(self, number: str, subject: str, tenant_id: str = "acme", group: str = "") -> None:
        copy = {"ticket_id": number, "subject": subject, "description": subject, "resolution": "r", "status": "Closed"}
        await repository.save_ticket(self.database, tenant_id, copy, kinds={"group": group} if group else None)

    async def embed(self, tenant_id: str = "acme") -> int:
        made, left = await embed_some(self.database, tenant_id, self.embedders.embedder)
        assert left == 0
        return made

    async def found(self, tenant_id: str = "acme", **forbidden: set[str]) -> list[str]:
        found = await self.search.similar_tickets(tenant_id, "0", *ASKED, forbidden)
        assert [each.strength for each in found] == sorted((each.strength for each in found), reverse=True)
        return [each.ticket_id for each in found if each.strength > 0.3]


async def test_words_add_to_embeddings_and_suffice_without_one(by_both: TwoTenants) -> None:
    await by_both.copy("1", "VPN drops at home")
    await by_both.copy("4", "Das Mousepad ist weg seit der Umstellung")
    assert await by_both.found() == ["1"]
    assert await by_both.embed() == 2
    await by_both.copy("2", "The VPN drops at home again")
    await by_both.copy("3", "Der Tunnel ist weg seit der Umstellung")
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
    await repository.save_passages(
        by_both.database, "acme", "7", "Netze", ["Der Tunnel ist zu erneuern"], topic="drafts"
    )
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
    await repository.save_passages(by_both.database, "acme", "7", "VPN", ["one", "two"])
    await by_both.embed()
    assert kept() == 5
    await by_both.copy("1", "Tunnel 1")
    await repository.save_passages(by_both.database, "acme", "7", "VPN", ["one", "two"])
    assert kept() == 5
    await repository.save_passages(by_both.database, "acme", "7", "VPN", ["one", "two"], topic="networks")
    assert kept() == 3
    await by_both.embed()
    await by_both.copy("1", "Tunnel 1, and a bridge")
    await repository.remove_ticket(by_both.database, "acme", "2")
    await repository.remove_passages(by_both.database, "acme", "7")
    assert kept() == 1
    table.run("DELETE FROM tickets")
    assert kept() == 0


async def test_what_changed_while_its_embedding_was_made_gets_none_of_the_old_text(by_both: TwoTenants) -> None:
    await by_both.copy("1", "Mousepad")
    model_id = await by_both.embedders.embedder.model_id()
    (before,) = await embedding_repository.unembedded_copies(by_both.database, "acme", "t", model_id, 9)
    await by_both.copy("1", "Tunnel")
    made = [(before, "en", bytes(DIMENSIONS))]
    await embedding_repository.save(by_both.database, "acme", "t", model_id, made)
    assert await embedding_repository.count_unembedded(by_both.database, "acme", model_id) == 1
    await repository.remove_ticket(by_both.database, "acme", "1")
    await embedding_repository.save(by_both.database, "acme", "t", model_id, made)


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
    query = await by_both.embedders.embedder.embed_query("VPN", "en")
    (rows,) = await by_both.database.call_as("acme", search.NEWEST, collection="t", model=query.model, compared=3)
    assert [row["document"] for row in rows] == newest
    assert {len(row["embedding"]) for row in rows} == {DIMENSIONS}
    terms = query_terms("VPN drops", "", ["en"])._asdict() | {"budget": 99, "candidates": 9, "collection": "t"}
    weighed = await EmbeddingRanking(by_both.database, compared=3).rank("acme", query, terms)
    (by_words,) = table.run("SELECT search_id FROM tickets WHERE ticket_id = '2'")
    assert set(weighed.documents) == {*newest, by_words["search_id"]}
    assert weighed.documents[0] == by_words["search_id"]


async def test_a_tenant_without_embeddings_and_an_empty_one_are_searched_by_words(by_both: TwoTenants) -> None:
    assert await by_both.found() == []
    by_both.embedders.tenant_ids.clear()
    await by_both.copy("1", "VPN drops at home")
    assert await by_both.found() == ["1"]
    assert by_both.model.texts == ["\n".join(ASKED)]


class Line:
    """Named tasks that each hold a slot until released; the first letter of a name is its tenant."""

    def __init__(self, slots: int) -> None:
        self.slots = TenantSlots(slots)
        self.began: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.ends: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def join(self, *names: str) -> None:
        self.tasks |= {name: asyncio.create_task(self._hold(name)) for name in names}
        await asyncio.sleep(0.01)

    async def _hold(self, name: str) -> None:
        async with self.slots.take(name[0]):
            self.began.append(name)
            await self.ends[name].wait()

    def leave(self, *names: str) -> None:
        for name in names:
            self.tasks[name].cancel()

    async def end(self) -> list[str]:
        """Release all; return the names in order of start."""
        while not all(task.done() for task in self.tasks.values()):
            for event in self.ends.values():
                event.set()
            await asyncio.sleep(0)
        return self.began


async def test_who_waits_comes_tenant_by_tenant_and_in_order_within_one() -> None:
    line = Line(1)
    await line.join("a0", "a1", "a2", "a3", "b1", "b2", "c1")
    assert await line.end() == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]


async def test_who_left_while_it_waited_costs_its_tenant_no_turn() -> None:
    line = Line(1)
    await line.join("a0", "b1", "c1", "b2", "b3")
    line.leave("b1", "b2")
    assert await line.end() == ["a0", "b3", "c1"]


async def test_cancelled_waiters_release_their_slots() -> None:
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
    search, done = PostgresSearch(database, 2), Counter[str]()

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


_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/lib/vector.so"))


@pytest.fixture
def with_vectors(tmp_path: Path) -> Iterator[Postgres]:
    """Start a Postgres with a real pgvector, whose index a migration makes."""
    if not _PLACES:
        pytest.skip("no Postgres with pgvector is installed")
    server = Postgres(tmp_path / "server", binaries=_PLACES[-1].parents[1] / "bin")
    server.start()
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    yield server
    server.discard()


async def copies_of(database: Database, tenant_id: str, *subjects: str) -> None:
    for number, subject in enumerate(subjects):
        ticket = {"ticket_id": str(number), "subject": subject, "description": "", "resolution": "r"}
        await repository.save_ticket(database, tenant_id, ticket | {"status": "Closed"})


def indexes(server: Postgres) -> list[str]:
    with psycopg.connect(server.superuser_url) as connection:
        rows = connection.execute("SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'embeddings_near%'").fetchall()
    return [str(row[0]) for row in rows]


async def test_a_large_collection_is_searched_by_the_index_and_a_small_one_without(with_vectors: Postgres) -> None:
    migrate(with_vectors.admin_url, with_vectors.url)
    database = Database(with_vectors.url, application_name="tests")
    model = MeaningModel(Tunnel="a tunnel", VPN="a tunnel")
    embedders = OneEmbedder(model, "acme", "globex")
    await copies_of(database, "acme", "Tunnel", *(f"Scanner {number}" for number in range(1, 40)))
    await copies_of(database, "globex", *("Tunnel of globex" for _ in range(20)))
    for tenant_id in ("acme", "globex"):
        assert (await embed_some(database, tenant_id, embedders.embedder))[1] == 0
    assert indexes(with_vectors) == []
    for _ in range(2):
        migrate(with_vectors.admin_url, with_vectors.url)
    (made,) = indexes(with_vectors)
    assert "USING hnsw" in made
    query = AsyncMock(return_value=await embedders.embedder.embed_query("VPN drops", "en"))
    search = PostgresSearch(database, 2, embedding_of=query, least=0.0)
    assert (await search.similar_tickets("acme", "", "VPN drops", "", {}))[0].ticket_id == "0"
    with psycopg.connect(with_vectors.superuser_url, autocommit=True) as connection:
        # As if there were more than are compared one by one.
        connection.execute("UPDATE collection_sizes SET documents = %s", (MAX_COMPARED + 1,))
    for tenant_id, name in (("acme", "Tunnel"), ("globex", "Tunnel of globex")):
        found = await search.similar_tickets(tenant_id, "", "VPN drops", "", {})
        assert found[0].subject == name
        assert not any("globex" in each.subject for each in found) or tenant_id == "globex"
    await database.close()


async def test_the_index_of_a_model_that_nobody_has_goes(with_vectors: Postgres) -> None:
    migrate(with_vectors.admin_url, with_vectors.url)
    database = Database(with_vectors.url, application_name="tests")
    await copies_of(database, "acme", "Tunnel")
    embedders = OneEmbedder(MeaningModel(), "acme")
    await embed_some(database, "acme", embedders.embedder)
    migrate(with_vectors.admin_url, with_vectors.url)
    assert len(indexes(with_vectors)) == 1
    assert embedding_repository.index_name(await embedders.embedder.model_id()) in indexes(with_vectors)[0]
    await repository.remove_ticket(database, "acme", "0")
    migrate(with_vectors.admin_url, with_vectors.url)
    assert indexes(with_vectors) == []
    await database.close()
