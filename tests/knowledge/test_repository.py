"""Copies of tickets, solutions and files, and their search by words, within one tenant."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cli.config import parse_names
from config.tenants import TicketRules, fold_all
from db.session import Database
from knowledge import repository
from knowledge.language import LANGUAGES
from knowledge.models import Document, SimilarTicket
from knowledge.search import PostgresSearch
from knowledge.terms import weighed_terms
from privacy import erasure
from privacy.erasure import ErasureScope
from tests.kit.postgres import Store, Table

VPN = ("VPN drops every few minutes", "The VPN client connects and then drops at home.", "Use TCP port 443.")
PRINTER = ("Printer prints blank pages", "The office printer feeds paper, the pages are blank.", "Replaced the toner.")


def ticket(ticket_id: str, text: tuple[str, str, str] = VPN, **more: str) -> dict[str, str]:
    texts = dict(zip(("subject", "description", "resolution"), text, strict=True))
    return {"ticket_id": ticket_id, **texts, "status": "Closed", **more}


async def save(database: Database, ticket_id: str, text: tuple[str, str, str] = VPN, tenant_id: str = "acme") -> None:
    await repository.save_ticket(database, tenant_id, ticket(ticket_id, text))


async def find(
    database: Database,
    subject: str = VPN[0],
    description: str = VPN[1],
    tenant_id: str = "acme",
    own: str = "0",
    rules: TicketRules | None = None,
) -> list[str]:
    forbidden = {} if rules is None else rules.forbidden
    found = await PostgresSearch(database, 2).similar_tickets(tenant_id, own, subject, description, forbidden)
    return [ticket.ticket_id for ticket in found]


def never(names: str) -> TicketRules:
    return TicketRules(never=parse_names(names))


async def test_a_resolved_ticket_about_the_same_is_found_and_the_ticket_itself_is_not(database: Database) -> None:
    await save(database, "1")
    await save(database, "2", PRINTER)
    await save(database, "3", (VPN[0], VPN[1], ""))
    about, search = ("VPN drops again", "It dropped twice at home."), PostgresSearch(database, 2)
    assert await search.similar_tickets("acme", "0", *about, {}) == [SimilarTicket("1", VPN[0], VPN[2])]
    assert await search.similar_tickets("acme", "1", *about, {}) == []


async def test_a_found_ticket_has_its_kinds_and_priority(database: Database) -> None:
    kinds = {"category": "network", "group": "field", "priority": "high"}
    await repository.save_ticket(database, "acme", ticket("1"), kinds=kinds)
    (found,) = await PostgresSearch(database, 2).similar_tickets("acme", "0", *VPN[:2], {})
    assert (found.category, found.group, found.priority) == ("network", "field", "high")


async def test_a_ticket_is_found_and_removed_by_its_display_number(store: Store) -> None:
    database = store.database
    await save(database, "4711")
    await repository.number_tickets(database, "acme", {})
    await repository.number_tickets(database, "acme", {"4711": "12", "999": "13"})
    search = PostgresSearch(database, 2)
    (found,) = await search.similar_tickets("acme", "0", *VPN[:2], {})
    assert (found.ticket_id, found.shown) == ("4711", "12")
    await repository.save_ticket(database, "acme", ticket("4712", display_id="14"))
    assert [one.shown for one in await search.similar_tickets("acme", "4711", *VPN[:2], {})] == ["14"]
    assert [await repository.remove_ticket(database, "acme", number) for number in ("12", "13", "4712")] == [1, 0, 1]
    assert store.table.run("SELECT ticket_id FROM tickets") == []


@pytest.mark.parametrize(
    ("asks", "within", "found"),
    [
        ({"group": "Finance"}, "group:Finance", ["1", "2"]),
        ({"group": "  FINANCE "}, "group:finance", ["1", "2"]),
        ({"group": "Network"}, "group:Finance", ["2"]),
        ({"group": ""}, "group:Finance, group:HR", ["2"]),
        # A ticket without known attributes sees the unrestricted ones.
        ({}, "group:Finance", ["2"]),
        ({"group": "Network", "site": "Graz"}, "site:Graz", ["1", "2"]),
        ({"group": "Network", "site": "Turin"}, "site:Graz", ["2"]),
    ],
)
async def test_a_group_or_site_keeps_its_copies(asks: Any, within: str, found: list[str], database: Database) -> None:
    kept, other = {"group": "finance", "site": "graz"}, {"group": "network", "site": "lille"}
    for ticket_id, kinds in (("1", kept), ("2", other)):
        await repository.save_ticket(database, "acme", ticket(ticket_id), kinds=kinds)
    hidden = TicketRules(within=parse_names(within)).hidden_from(asks)
    search = PostgresSearch(database, 2)
    assert sorted(one.ticket_id for one in await search.similar_tickets("acme", "0", *VPN[:2], hidden)) == found
    # What is never used is hidden from its own as well.
    rules = TicketRules(never=parse_names("group:Finance"), within=parse_names(within))
    assert "finance" in rules.hidden_from(asks)["group"]


@pytest.mark.parametrize(
    ("kinds", "names", "found"),
    [
        ({"group": "Büro  HR", "category": "Network"}, "group:bu\u0308ro hr", False),
        ({"group": "Büro HR"}, "group:Payroll, group:BÜRO HR", False),
        ({"group": "HR", "category": "", "template": ""}, "category:Salaries, group:HR", False),
        # The attributes of the rules must be known, no others; a copy never has an event.
        (None, "group:HR", False),
        ({"group": "Network"}, "group:HR, category:Salaries", False),
        ({"group": "Network", "category": ""}, "group:HR, category:Salaries", True),
        ({"group": "HR services"}, "group:HR, event:deleted", True),
        (None, "event:ticket.deleted", True),
    ],
)
async def test_a_copy_is_found_and_kept_by_rules(kinds: Any, names: str, found: bool, store: Store) -> None:
    folded = None if kinds is None else fold_all(kinds)
    for tenant_id in ("acme", "globex"):
        await repository.save_ticket(store.database, tenant_id, ticket("1"), kinds=folded)
    assert await find(store.database) == ["1"]
    assert await find(store.database, rules=never(names)) == (["1"] if found else [])
    forbidden = never(names).forbids(kinds or {})
    assert await repository.remove_forbidden(store.database, "acme", never(names).forbidden) == forbidden
    assert len(store.table.run("SELECT 1 FROM tickets")) == 2 - forbidden


async def test_listed_attributes_extend_those_of_a_copy(database: Database) -> None:
    for ticket_id in ("1", "2"):
        await save(database, ticket_id)
    await repository.note_kinds(database, "acme", {})
    await repository.note_kinds(database, "acme", {"1": {"category": "network", "group": "it"}, "2": {}, "3": {}})
    assert await find(database, rules=never("group:HR, category:Salaries")) == ["1"]
    await repository.note_kinds(database, "acme", {"1": {"group": "hr"}})
    assert await find(database, rules=never("group:HR")) == []
    assert await find(database, rules=never("group:IT, category:Salaries")) == ["1"]
    await repository.hide_kinds(database, "acme", "1")
    assert await find(database, rules=never("group:IT")) == []


async def test_what_has_most_in_common_comes_first_and_three_are_enough(database: Database) -> None:
    await save(database, "1", ("VPN drops", "Every few minutes.", "Changed the cable."))
    await save(database, "2", ("VPN", "It is slow.", "Restarted."))
    await save(database, "9")
    found = await find(database, "VPN drops every few minutes", "The VPN client connects, then drops.")
    assert found[:2] == ["9", "1"]
    for number in range(3, 8):
        await save(database, str(number))
    assert await find(database) == ["3", "4", "5"]


LONG = "My coffee machine in the kitchen leaks water onto the floor whenever somebody starts it at home in winter"


@pytest.mark.parametrize(
    ("subject", "description"),
    [*((odd, "") for odd in ("", "the and of with", "!!! ??? ...", "a b c", "12 34")), ("Coffee machine leaks", LONG)],
    ids=["empty", "stop words", "marks", "letters", "numbers", "one word of a long text"],
)
async def test_with_too_little_in_common_nothing_is_found(subject: str, description: str, database: Database) -> None:
    await save(database, "1")
    await repository.save_passages(database, "acme", "1", VPN[0], [VPN[1]])
    assert await find(database, subject, description) == []
    assert await PostgresSearch(database, 2).documents("acme", subject, description) == []


@pytest.mark.parametrize(
    "subject",
    [
        "vpn & ! | ( ) : * <-> drops",
        "'vpn' \"drops\" \\ ; -- drop table tickets",
        "vpn:*A drops:B",
        "vpn\x00drops \x1b[31m vpn drops",
        "vpn drops \ud83d \u202e \ufeff",
        "VPN drops ²³¹ ½ ١٢٣ 日本語 ﬃ İstanbul ẞ",
        "vpn_drops vpn-drops vpn/drops vpn.drops vpn drops",
        "https://vpn.example/drops?x=1 vpn@drops.example vpn drops",
        "vpn drops " + "x" * 5000,
        "vpn drops " + "& | ! " * 2000,
        "vpn drops " + " ".join(f"word{number}" for number in range(6)),
    ],
)
async def test_strange_words_break_nothing_and_hide_nothing(subject: str, database: Database) -> None:
    await save(database, "1")
    await repository.save_passages(database, "acme", "1", VPN[0], [VPN[1]])
    assert await find(database, subject, "x" * 100_000) == ["1"]
    assert len(await PostgresSearch(database, 2).documents("acme", subject, "")) == 1


async def test_a_tenant_finds_its_own_tickets_and_documents_only(database: Database) -> None:
    await save(database, "1", tenant_id="globex")
    await repository.save_passages(database, "globex", "1", VPN[0], [VPN[1]])
    assert await find(database) == []
    assert await PostgresSearch(database, 2).documents("acme", VPN[0], VPN[1]) == []
    assert await find(database, tenant_id="globex") == ["1"]


async def test_documents_are_found_by_title_and_text_best_first(database: Database) -> None:
    best = ["Use port 443.", "The VPN client drops: reinstall."]
    await repository.save_passages(database, "acme", "1", "Printers", ["Toner and paper.", "The VPN is not needed."])
    await repository.save_passages(database, "acme", "2", "VPN drops", best)
    found = await PostgresSearch(database, 2).documents("acme", "VPN drops", "")
    assert found[:2] == [Document("VPN drops", text) for text in reversed(best)]


async def test_a_changed_ticket_or_solution_replaces_its_copy(store: Store) -> None:
    database = store.database
    await save(database, "1")
    await save(database, "1", PRINTER)
    await save(database, "1", tenant_id="globex")
    assert await find(database) == []
    assert await find(database, PRINTER[0]) == ["1"]
    assert len(store.table.run("SELECT 1 FROM tickets")) == 2
    for tenant_id, number, bodies in (("acme", "1", "abc"), ("acme", "2", "d"), ("globex", "1", "e")):
        await repository.save_passages(database, tenant_id, number, "Title", list(bodies))
    await repository.save_passages(database, "acme", "1", "New", ["f"])
    rows = store.table.run("SELECT title, body FROM passages ORDER BY body")
    assert [tuple(row.values()) for row in rows] == [("Title", "d"), ("Title", "e"), ("New", "f")]
    await repository.save_passages(database, "acme", "1", "New", [])
    assert len(store.table.run("SELECT 1 FROM passages")) == 2


PARTS = [("handbook: VPN", "Use port 443 for the VPN."), ("handbook: Scanner", "Clean the rollers.")]


async def titles(database: Database, subject: str, tenant_id: str = "acme") -> list[str]:
    return [found.title for found in await PostgresSearch(database, 2).documents(tenant_id, subject, "")]


async def test_a_document_is_found_replaced_and_removed_by_its_path(database: Database) -> None:
    assert await repository.save_document(database, "acme", "handbook.md", PARTS) == 0
    await repository.save_passages(database, "acme", "1", "Scanner jams", ["Restart it."])
    assert await titles(database, "VPN port") == ["handbook: VPN"]
    assert await titles(database, "VPN port", "globex") == []
    assert await repository.save_document(database, "acme", "handbook.md", PARTS[1:]) == 2
    assert await titles(database, "VPN port") == []
    assert [(one.path, one.parts) for one in await repository.added_documents(database, "acme")] == [("handbook.md", 1)]
    assert await repository.added_documents(database, "globex") == []
    assert await repository.remove_document(database, "globex", "handbook.md") == 0
    assert await repository.remove_document(database, "acme", "handbook.md") == 1
    assert await repository.added_documents(database, "acme") == []
    assert await titles(database, "Scanner jams") == ["Scanner jams"]
    # Half a character is left out.
    await repository.save_document(database, "acme", "hand\ud83dbook\x00.md", [("VPN\ud83d", "Use port 443.\x00")])
    assert [one.path for one in await repository.added_documents(database, "acme")] == ["handbook.md"]
    assert await repository.remove_document(database, "acme", "hand\ud83dbook\x00.md") == 1


async def test_a_purge_leaves_it_and_the_erasure_of_its_tenant_takes_it(store: Store) -> None:
    await repository.save_document(store.database, "acme", "handbook.md", PARTS)
    store.table.run("UPDATE passages SET synced_at = now() - interval '2 years'")
    assert await store.database.call_for_one(text("SELECT purge_passages(30, 100)")) == 0
    await erasure.erase(store.database, ErasureScope("acme"))
    assert store.table.run("SELECT * FROM passages") == []


async def test_one_of_many_parts_is_replaced_removed_and_forgotten_bit_by_bit(store: Store) -> None:
    database, parts = store.database, [(f"handbook: page {number}", f"Port {number} is open.") for number in range(60)]
    assert await repository.save_document(database, "acme", "handbook.pdf", parts) == 0
    assert await repository.save_document(database, "acme", "handbook.pdf", parts[:51]) == 60
    assert await repository.remove_document(database, "acme", "handbook.pdf") == 51
    await repository.save_document(database, "acme", "handbook.pdf", parts)
    await repository.save_document(database, "globex", "handbook.pdf", parts[:1])
    assert (await erasure.erase(database, ErasureScope("acme"))).copies == 60
    assert store.table.run("SELECT tenant_id FROM passages") == [{"tenant_id": "globex"}]
    sizes = store.table.run("SELECT tenant_id, documents FROM collection_sizes")
    assert sizes == [{"tenant_id": "globex", "documents": 1}]


TEXTS = ("VPN drops at home", "Scanner sends empty files", "VPN certificate expired", "Payslip shows the wrong sum")


def numbered(number: int, resolution: str = "Restarted it.") -> dict[str, str]:
    subject = TEXTS[number % len(TEXTS)]
    return ticket(str(number), (subject, f"{subject} since {number}", resolution))


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


async def test_they_follow_whatever_becomes_of_a_copy(store: Store) -> None:
    database, table = store.database, store.table
    for tenant_id in ("acme", "globex"):
        for number in range(6):
            await repository.save_ticket(database, tenant_id, numbered(number), "robin@acme.example")
        await repository.save_passages(database, tenant_id, "1", "VPN", ["Use port 443.", "Reinstall the client."])
    assert_in_step(table)
    await repository.save_ticket(database, "acme", numbered(1, "Changed the cable, then rebooted."))
    await repository.save_ticket(database, "acme", numbered(2, resolution=""))
    # A text without terms counts for nothing.
    assert weighed_terms("", "the", "en") == {}
    await repository.save_ticket(database, "acme", ticket("6", ("", "", "the")))
    await repository.save_passages(database, "acme", "1", "VPN", ["Use port 8443."])
    assert_in_step(table)
    assert await repository.remove_ticket(database, "acme", "4") == 1
    await erasure.erase(database, ErasureScope("acme", ticket_id="5"))
    await repository.remove_passages(database, "globex", "1")
    assert_in_step(table)
    table.run("UPDATE tickets SET synced_at = now() - interval '91 days' WHERE ticket_id IN ('0', '1')")
    assert await database.call_for_one(text("SELECT purge_tickets(90, 100)")) == 4
    assert_in_step(table)


async def test_copies_of_another_index_version_are_indexed_once(store: Store) -> None:
    database, table = store.database, store.table
    for number in range(250):
        await repository.save_ticket(database, "acme", numbered(number))
    await repository.save_passages(database, "acme", "1", "VPN", ["a port", "b port"])
    table.run("UPDATE tickets SET terms = '{}', weights = '{}', indexed = 0 WHERE ticket_id <> '1'")
    table.run("UPDATE passages SET terms = '{}', weights = '{}', indexed = 99")
    counts = [await repository.index_again(database, "acme", LANGUAGES, 200) for _ in range(3)]
    assert counts == [202, 49, 0]
    assert await repository.index_again(database, "acme", ["de"], 1000) == 252
    assert_in_step(table)
    assert len(await PostgresSearch(database, 2).similar_tickets("acme", "1", TEXTS[1], "", {})) == 3


async def test_writers_and_erasers_of_one_tenant_do_not_deadlock(store: Store) -> None:
    """Their texts have most terms in common."""

    async def write(worker: int) -> None:
        for number in range(worker, 80, 4):
            await repository.save_ticket(store.database, "acme", numbered(number, f"Restarted {worker}."))

    async def erase() -> None:
        for number in range(0, 80, 3):
            await repository.remove_ticket(store.database, "acme", str(number))

    await asyncio.gather(*map(write, range(4)), erase(), write(1))
    assert_in_step(store.table)


QUESTION = text(
    "SELECT * FROM find_texts('t', CAST(:terms AS integer[]), CAST(:weights AS real[]), :words, :budget, 100)"
)


async def found_by(database: Database, tenant_id: str, asked: dict[int, float], budget: int = 20_000) -> list[int]:
    about = {"terms": list(asked), "weights": list(asked.values()), "words": list(range(len(asked))), "budget": budget}
    (rows,) = await database.call_as(tenant_id, QUESTION, **about)
    return [row["document"] for row in rows]


async def test_no_question_finds_another_tenants_texts(store: Store) -> None:
    database, table = store.database, store.table
    for number in range(8):
        await repository.save_ticket(database, "globex", numbered(number))
    await repository.save_ticket(database, "acme", numbered(0))
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


async def test_a_search_stays_within_its_budget(database: Database) -> None:
    for number in range(40):
        await repository.save_ticket(database, "acme", numbered(number))
    rare, common = weighed_terms("", "37", "en"), weighed_terms("", "restarted", "en")
    assert len(await found_by(database, "acme", rare | common)) == 40
    assert len(await found_by(database, "acme", rare | common, budget=11)) in (10, 11)
    assert len(await found_by(database, "acme", rare, budget=1)) == 1
    assert await found_by(database, "acme", rare | common, budget=0) == []


@pytest.mark.parametrize("asked", [{}, {0: 0.0}, {2**31 - 1: 1.0, -(2**31): 1e30}])
async def test_odd_questions_find_nothing(asked: dict[int, float], database: Database) -> None:
    await repository.save_ticket(database, "acme", numbered(1))
    assert await found_by(database, "acme", asked) == []
