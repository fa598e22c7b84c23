"""Background embeddings: scope, content, failures and changes."""

import io

from prometheus_client import REGISTRY

from config.tenant_directory import TenantDirectory
from db.session import Database
from knowledge import repository
from knowledge.embedding_sync import EmbeddingSync
from tests.config.given import ACME, CLOUD
from tests.kit.clock import Clock
from tests.kit.embedding import MeaningModel, OneEmbedder
from tests.kit.postgres import Table
from tests.kit.tenants_toml import given


async def copy(database: Database, tenant_id: str, number: str, **more: str) -> None:
    ticket = {"ticket_id": number, "subject": f"Printer {number}", "description": "jams", "resolution": "Cleaned."}
    await repository.save_ticket(database, tenant_id, ticket | {"status": "Closed"} | more)


def embedding(database: Database, embedders: OneEmbedder, of_acme: str = "local") -> EmbeddingSync:
    settings = given({**ACME, **CLOUD, "acme.servicedesk.embeddings": of_acme})
    return EmbeddingSync(TenantDirectory(lambda: settings), database, embedders.of)


def kept(table: Table, tenant_id: str = "acme") -> int:
    return len(table.run(f"SELECT 1 FROM embeddings WHERE tenant_id = '{tenant_id}'"))  # noqa: S608 -- a test's own


async def test_findable_copies_get_embeddings_of_their_text(database: Database, table: Table, log: io.StringIO) -> None:
    for tenant_id in ("acme", "globex"):
        await copy(database, tenant_id, "1", description="d" * 5000, resolution="h" * 5000)
        await copy(database, tenant_id, "2", resolution="")
        await repository.save_passages(database, tenant_id, "7", "Printers", ["Use the other one."])
    model = MeaningModel()
    making = embedding(database, OneEmbedder(model, "acme"))
    assert not await making.run_once()
    assert (kept(table), kept(table, "globex")) == (2, 0)
    of_ticket, of_document = model.texts
    assert of_ticket == "\n".join(("Printer 1", "d" * 800, "h" * 400))
    assert of_document == "Printers\nUse the other one."
    assert "Embeddings computed: tenant_id=acme, copies=2, left=0" in log.getvalue()
    await making.run_once()
    assert len(model.texts) == 2
    assert log.getvalue().count("Embeddings computed") == 1


async def test_a_turn_makes_some_of_many_copies(database: Database, table: Table) -> None:
    for number in range(90):
        await copy(database, "acme", str(number))
    await copy(database, "globex", "1")
    making = embedding(database, OneEmbedder(MeaningModel(), "acme", "globex"))
    assert await making.run_once()
    assert (kept(table), kept(table, "globex")) == (80, 1)
    assert REGISTRY.get_sample_value("ai_agents_copies_to_embed", {"tenant_id": "acme"}) == 10
    assert not await making.run_once()
    assert kept(table) == 90


async def test_disabled_embeddings_are_deleted(database: Database, table: Table) -> None:
    await copy(database, "acme", "1")
    embedders = OneEmbedder(MeaningModel(), "acme")
    await embedding(database, embedders).run_once()
    embedders.tenant_ids.clear()
    await embedding(database, embedders, "endpoint").run_once()
    assert kept(table) == 1
    await embedding(database, embedders, "none").run_once()
    assert kept(table) == 0
    assert REGISTRY.get_sample_value("ai_agents_copies_to_embed", {"tenant_id": "acme"}) == 0


async def test_a_refused_text_does_not_delay_other_texts(database: Database, table: Table, log: io.StringIO) -> None:
    for number in range(20):
        await copy(database, "acme", str(number))
    await copy(database, "globex", "1")
    model = MeaningModel()
    model.refuses = "Printer 7"
    making = embedding(database, OneEmbedder(model, "acme", "globex"))
    assert not await making.run_once()
    assert (kept(table), kept(table, "globex")) == (20, 1)
    assert len(table.run("SELECT 1 FROM embeddings WHERE embedding = ''")) == 1
    await making.run_once()
    line = "Embeddings error: the model refuses a text, which is found by its words | tenant_id: acme, copy: 7"
    assert log.getvalue().count(line) == 1
    model.refuses = ""
    await copy(database, "acme", "7", description="jams after lunch")
    await making.run_once()
    assert table.run("SELECT 1 FROM embeddings WHERE embedding = ''") == []


async def test_what_nobody_foresaw_is_a_line(database: Database, log: io.StringIO) -> None:
    async def model_id() -> int:
        raise TypeError("hunter2")

    await copy(database, "acme", "1")
    embedders = OneEmbedder(MeaningModel(), "acme")
    embedders.embedder.model_id = model_id  # type: ignore[method-assign]
    assert not await embedding(database, embedders).run_once()
    assert "Embeddings error: unexpected failure | tenant_id: acme" in log.getvalue()
    assert "hunter2" not in log.getvalue()


async def test_a_database_that_refuses_is_a_line_too(database: Database, table: Table, log: io.StringIO) -> None:
    await copy(database, "acme", "1")
    table.run(
        "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'no space' USING ERRCODE = '53100'; END $$;"
        " CREATE TRIGGER no_space BEFORE INSERT ON embeddings EXECUTE FUNCTION no_space()"
    )
    try:
        assert not await embedding(database, OneEmbedder(MeaningModel(), "acme")).run_once()
    finally:
        table.run("DROP TRIGGER no_space ON embeddings; DROP FUNCTION no_space()")
    assert "Embeddings error: refused by the database | tenant_id: acme" in log.getvalue()


async def test_a_failing_model_is_asked_again_after_a_rest(database: Database, table: Table, log: io.StringIO) -> None:
    await copy(database, "acme", "1")
    clock, model = Clock(), MeaningModel()
    model.fails = True
    making = embedding(database, OneEmbedder(model, "acme", monotonic=clock))
    for _ in range(3):
        assert not await making.run_once()
    assert log.getvalue().count("Embeddings error: meanings: 503") == 1
    model.fails = False
    await making.run_once()
    assert kept(table) == 0
    clock.now += 16
    await making.run_once()
    assert kept(table) == 1
