"""Refused webhooks, kept for support: by tenant, without a body, and never more than an hour's share."""

from storage import rejections
from storage.session import Database
from tests.kit.postgres import Table


async def test_a_rejection_is_kept_under_its_tenant(database: Database, table: Table) -> None:
    await rejections.record(database, "acme", "12345", 403, "signature mismatch")
    await rejections.record(database, "globex", None, 422, "malformed payload")
    rows = table.run("SELECT tenant_id, ticket_id, status, reason FROM rejections ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [
        ("acme", "12345", 403, "signature mismatch"),
        ("globex", None, 422, "malformed payload"),
    ]


async def test_a_flood_fills_an_hours_share_of_its_own_tenant_only(database: Database, table: Table) -> None:
    table.run(
        "INSERT INTO rejections (tenant_id, status, reason) SELECT 'acme', 403, 'flood' FROM generate_series(1, %s)",
        rejections.MOST_PER_HOUR - 1,
    )
    for _ in range(3):
        await rejections.record(database, "acme", "1", 403, "signature mismatch")
    await rejections.record(database, "globex", "1", 403, "signature mismatch")
    counts = table.run("SELECT tenant_id, count(*) AS kept FROM rejections GROUP BY 1 ORDER BY 1")
    assert [tuple(row.values()) for row in counts] == [("acme", rejections.MOST_PER_HOUR), ("globex", 1)]
    table.run("UPDATE rejections SET rejected_at = now() - interval '61 minutes'")
    await rejections.record(database, "acme", "1", 403, "signature mismatch")
    kept = table.run("SELECT count(*) AS kept FROM rejections WHERE tenant_id = 'acme'")
    assert kept == [{"kept": rejections.MOST_PER_HOUR + 1}]
