"""The search index: consistent with the copies, and separate for each tenant."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from retrieval.language import LANGUAGES
from retrieval.terms import weighed_terms
from storage import erasure, history
from storage.erasure import Which
from storage.search import SearchInPostgres
from storage.session import Database
from tests.kit.postgres import Table

TEXTS = ("VPN drops at home", "Scanner sends empty files", "VPN certificate expired", "Payslip shows the wrong sum")


def copy(number: int, resolution: str = "Restarted it.") -> dict[str, str]:
    subject = TEXTS[number % len(TEXTS)]
    return {
        "ticket_id": str(number),
        "subject": subject,
        "description": f"{subject} since {number}",
        "resolution": resolution,
        "status": "Closed",
    }


def assert_in_step(table: Table) -> None:
    rows = table.run(
        "SELECT tenant_id, 't' AS collection, search_id, terms FROM tickets"
        " UNION ALL SELECT tenant_id, 'p', search_id, terms FROM passages"
    )
    wanted = {(row["tenant_id"], row["collection"], term, row["search_id"]) for row in rows for term in row["terms"]}
    postings = table.run("SELECT tenant_id, collection::text, term, document FROM postings")
    assert {tuple(row.values()) for row in postings} == wanted
    counts = table.run("SELECT tenant_id, collection::text, term, documents FROM term_counts")
    assert {tuple(row.values())[:3]: row["documents"] for row in counts} == Counter(one[:3] for one in wanted)
    sizes = table.run("SELECT tenant_id, collection::text, documents FROM collection_sizes WHERE documents <> 0")
    found = Counter((row["tenant_id"], row["collection"]) for row in rows if row["terms"])
    assert {tuple(row.values())[:2]: row["documents"] for row in sizes} == found


async def test_they_follow_whatever_becomes_of_a_copy(database: Database, table: Table) -> None:
    for tenant_id in ("acme", "globex"):
        for number in range(6):
            await history.save_ticket(database, tenant_id, copy(number), "robin@acme.example")
        await history.save_passages(database, tenant_id, "1", "VPN", ["Use port 443.", "Reinstall the client."])
    assert_in_step(table)
    await history.save_ticket(database, "acme", copy(1, "Changed the cable, then rebooted."))
    await history.save_ticket(database, "acme", copy(2, resolution=""))
    await history.save_passages(database, "acme", "1", "VPN", ["Use port 8443."])
    assert_in_step(table)
    assert await history.remove_ticket(database, "acme", "4") == 1
    await erasure.erase(database, Which("acme", ticket_id="5"))
    await history.remove_passages(database, "globex", "1")
    assert_in_step(table)
    table.run("UPDATE tickets SET synced_at = now() - interval '91 days' WHERE ticket_id IN ('0', '1')")
    assert await database.call_for_one(text("SELECT purge_tickets(90, 100)")) == 4
    assert_in_step(table)


async def test_copies_of_before_are_indexed_once(database: Database, table: Table) -> None:
    """Copies of a release without an index, and of another index version."""
    for number in range(250):
        await history.save_ticket(database, "acme", copy(number))
    await history.save_passages(database, "acme", "1", "VPN", ["a port", "b port"])
    table.run("UPDATE tickets SET terms = '{}', weights = '{}', indexed = 0 WHERE ticket_id <> '1'")
    table.run("UPDATE passages SET terms = '{}', weights = '{}', indexed = 99")
    counts = [await history.index_again(database, "acme", LANGUAGES, 200) for _ in range(3)]
    assert counts == [202, 49, 0]
    assert await history.index_again(database, "acme", ["de"], 1000) == 252
    assert_in_step(table)
    assert len(await SearchInPostgres(database, 2).similar_tickets("acme", "1", TEXTS[1], "", {})) == 3


async def test_writers_and_erasers_of_one_tenant_do_not_lock_each_other_out(database: Database, table: Table) -> None:
    """Their texts have most terms in common."""

    async def write(worker: int) -> None:
        for number in range(worker, 80, 4):
            await history.save_ticket(database, "acme", copy(number, f"Restarted {worker}."))

    async def erase() -> None:
        for number in range(0, 80, 3):
            await history.remove_ticket(database, "acme", str(number))

    await asyncio.gather(*map(write, range(4)), erase(), write(1))
    assert_in_step(table)


QUESTION = text(
    "SELECT * FROM find_texts('t', CAST(:terms AS integer[]), CAST(:weights AS real[]), :words, :budget, 100)"
)


async def found_by(database: Database, tenant_id: str, asked: dict[int, float], budget: int = 20_000) -> list[int]:
    about = {"terms": list(asked), "weights": list(asked.values()), "words": list(range(len(asked))), "budget": budget}
    (rows,) = await database.call_as(tenant_id, QUESTION, **about)
    return [row["document"] for row in rows]


async def test_no_question_finds_another_tenants_texts(database: Database, table: Table) -> None:
    for number in range(8):
        await history.save_ticket(database, "globex", copy(number))
    await history.save_ticket(database, "acme", copy(0))
    (own,) = table.run("SELECT search_id FROM tickets WHERE tenant_id = 'acme'")
    every_term = dict.fromkeys((row["term"] for row in table.run("SELECT DISTINCT term FROM postings")), 1.0)
    assert await found_by(database, "acme", every_term) == [own["search_id"]]
    assert len(await found_by(database, "globex", every_term)) == 8
    for nobody in ("", "initech", "%", "acme' OR '1'='1"):
        assert await found_by(database, nobody, every_term) == []
    async with database.tenant("acme") as session:
        for name in ("postings", "term_counts", "collection_sizes"):
            tenants = await session.scalars(text(f"SELECT DISTINCT tenant_id FROM {name}"))  # noqa: S608 -- one of ours
            assert tenants.all() == ["acme"]
    with pytest.raises(DBAPIError, match="row-level security"):
        async with database.tenant("acme") as session:
            await session.execute(text("INSERT INTO postings VALUES ('globex', 't', 1, 1, 1)"))


async def test_a_search_reads_no_more_than_its_budget(database: Database) -> None:
    """The rarest terms come first; the rest of the budget goes to the next one."""
    for number in range(40):
        await history.save_ticket(database, "acme", copy(number))
    rare, common = weighed_terms("", "37", "en"), weighed_terms("", "restarted", "en")
    assert len(await found_by(database, "acme", rare | common)) == 40
    assert len(await found_by(database, "acme", rare | common, budget=11)) in (10, 11)
    assert len(await found_by(database, "acme", rare, budget=1)) == 1
    assert await found_by(database, "acme", rare | common, budget=0) == []


@pytest.mark.parametrize("asked", [{}, {0: 0.0}, {2**31 - 1: 1.0, -(2**31): 1e30}])
async def test_odd_questions_find_nothing(asked: dict[int, float], database: Database) -> None:
    await history.save_ticket(database, "acme", copy(1))
    assert await found_by(database, "acme", asked) == []


async def test_a_text_without_terms_is_not_found_and_counts_for_nothing(database: Database, table: Table) -> None:
    await history.save_ticket(database, "acme", copy(1) | {"subject": "", "description": "", "resolution": "the"})
    assert weighed_terms("", "the", "en") == {}
    assert_in_step(table)
