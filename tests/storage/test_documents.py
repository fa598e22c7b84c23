"""Documents from files: searched with solutions, replaced and removed by path.

Syncs and purges leave them alone.
"""

from sqlalchemy import text

from storage import erasure, history
from storage.erasure import Which
from storage.search import SearchInPostgres
from storage.session import Database
from tests.kit.postgres import Table

PARTS = [("handbook: VPN", "Use port 443 for the VPN."), ("handbook: Scanner", "Clean the rollers.")]


async def titles(database: Database, subject: str, tenant_id: str = "acme") -> list[str]:
    return [found.title for found in await SearchInPostgres(database, 2).documents(tenant_id, subject, "")]


async def test_a_document_is_found_replaced_and_removed_by_its_path(database: Database) -> None:
    assert await history.save_document(database, "acme", "handbook.md", PARTS) == 0
    await history.save_passages(database, "acme", "1", "Scanner jams", ["Restart it."])
    assert await titles(database, "VPN port") == ["handbook: VPN"]
    assert await titles(database, "VPN port", "globex") == []
    assert await history.save_document(database, "acme", "handbook.md", PARTS[1:]) == 2
    assert await titles(database, "VPN port") == []
    assert [(one.path, one.parts) for one in await history.added_documents(database, "acme")] == [("handbook.md", 1)]
    assert await history.added_documents(database, "globex") == []
    assert await history.remove_document(database, "globex", "handbook.md") == 0
    assert await history.remove_document(database, "acme", "handbook.md") == 1
    assert await history.added_documents(database, "acme") == []
    assert await titles(database, "Scanner jams") == ["Scanner jams"]


async def test_a_purge_leaves_it_and_the_erasure_of_its_tenant_takes_it(database: Database, table: Table) -> None:
    await history.save_document(database, "acme", "handbook.md", PARTS)
    table.run("UPDATE passages SET synced_at = now() - interval '2 years'")
    assert await database.call_for_one(text("SELECT purge_passages(30, 100)")) == 0
    await erasure.erase(database, Which("acme"))
    assert table.run("SELECT * FROM passages") == []


async def test_half_a_character_in_a_path_or_a_text_is_left_out(database: Database) -> None:
    await history.save_document(database, "acme", "hand\ud83dbook\x00.md", [("VPN\ud83d", "Use port 443.\x00")])
    assert [one.path for one in await history.added_documents(database, "acme")] == ["handbook.md"]
    assert await history.remove_document(database, "acme", "hand\ud83dbook\x00.md") == 1


async def test_one_of_many_parts_is_replaced_removed_and_forgotten_bit_by_bit(database: Database, table: Table) -> None:
    parts = [(f"handbook: page {number}", f"Port {number} is open.") for number in range(60)]
    assert await history.save_document(database, "acme", "handbook.pdf", parts) == 0
    assert await history.save_document(database, "acme", "handbook.pdf", parts[:51]) == 60
    assert await history.remove_document(database, "acme", "handbook.pdf") == 51
    await history.save_document(database, "acme", "handbook.pdf", parts)
    await history.save_document(database, "globex", "handbook.pdf", parts[:1])
    assert (await erasure.erase(database, Which("acme"))).copies == 60
    assert table.run("SELECT tenant_id FROM passages") == [{"tenant_id": "globex"}]
    assert table.run("SELECT tenant_id, documents FROM collection_sizes") == [{"tenant_id": "globex", "documents": 1}]
