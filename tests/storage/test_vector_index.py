"""A real pgvector: index creation by migration, and nearest neighbours."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from devstack.postgres import Postgres
from housekeeping.embedding import embed_some
from storage import embeddings, history
from storage.migrating import migrate
from storage.search import COMPARED, AskedEmbedding, SearchInPostgres
from storage.session import Database
from tests.kit.embedding import MeaningModel, OneEmbedder

_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/lib/vector.so"))

pytestmark = pytest.mark.skipif(not _PLACES, reason="no Postgres with pgvector is installed")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "server", binaries=_PLACES[-1].parents[1] / "bin")
    server.start()
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    yield server
    server.discard()


async def copies(database: Database, tenant_id: str, *subjects: str) -> None:
    for number, subject in enumerate(subjects):
        ticket = {"ticket_id": str(number), "subject": subject, "description": "", "resolution": "r"}
        await history.save_ticket(database, tenant_id, ticket | {"status": "Closed"})


def indexes(server: Postgres) -> list[str]:
    with psycopg.connect(server.superuser_url) as connection:
        rows = connection.execute("SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'embeddings_near%'").fetchall()
    return [str(row[0]) for row in rows]


async def test_a_large_collection_is_searched_by_the_index_and_a_small_one_without(server: Postgres) -> None:
    migrate(server.admin_url, server.url)
    database = Database(server.url, application_name="tests")
    model = MeaningModel(Tunnel="a tunnel", VPN="a tunnel")
    embedders = OneEmbedder(model, "acme", "globex")
    await copies(database, "acme", "Tunnel", *(f"Scanner {number}" for number in range(1, 40)))
    await copies(database, "globex", *("Tunnel of globex" for _ in range(20)))
    for tenant_id in ("acme", "globex"):
        assert (await embed_some(database, tenant_id, embedders.embedder))[1] == 0
    assert indexes(server) == []
    for _ in range(2):
        migrate(server.admin_url, server.url)
    (made,) = indexes(server)
    assert "USING hnsw" in made
    asked = await embedders.embedder.asked("VPN drops", "en")

    async def embedding_of(_tenant_id: str, _text: str, _language: str, _people: object) -> AskedEmbedding:
        return asked

    search = SearchInPostgres(database, 2, embedding_of=embedding_of, least=0.0)
    assert (await search.similar_tickets("acme", "", "VPN drops", "", {}))[0].ticket_id == "0"
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        # As if there were more than are compared one by one.
        connection.execute("UPDATE collection_sizes SET documents = %s", (COMPARED + 1,))
    for tenant_id, name in (("acme", "Tunnel"), ("globex", "Tunnel of globex")):
        found = await search.similar_tickets(tenant_id, "", "VPN drops", "", {})
        assert found[0].subject == name
        assert not any("globex" in each.subject for each in found) or tenant_id == "globex"
    await database.close()


async def test_the_index_of_a_model_that_nobody_has_goes(server: Postgres) -> None:
    migrate(server.admin_url, server.url)
    database = Database(server.url, application_name="tests")
    await copies(database, "acme", "Tunnel")
    embedders = OneEmbedder(MeaningModel(), "acme")
    await embed_some(database, "acme", embedders.embedder)
    migrate(server.admin_url, server.url)
    assert len(indexes(server)) == 1
    assert embeddings.name_of(await embedders.embedder.model_id()) in indexes(server)[0]
    await history.remove_ticket(database, "acme", "0")
    migrate(server.admin_url, server.url)
    assert indexes(server) == []
    await database.close()
