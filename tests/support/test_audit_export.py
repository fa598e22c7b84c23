"""`ai-agents audit`: records as a table, and as JSON Lines for who keeps them elsewhere."""

import json

import pytest

from devstack.postgres import Postgres
from tests.kit.postgres import Store
from tests.storage.exchanges import ANSWER, SENT
from tests.support.keeping import kept, typed

pytestmark = pytest.mark.usefixtures("untouched_logging")


async def test_records_are_exported_a_line_each_without_the_hash_of_a_person(store: Store, server: Postgres) -> None:
    jobs = [await kept(store, "101"), await kept(store, ticket_id="8")]
    done = await typed(server.url, "audit", "--tenant", "acme", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = map(json.loads, done.stdout.splitlines())
    assert [first["job_id"], second["job_id"]] == [*map(str, jobs)]
    assert (first["sent"], first["answer"], first["cost"]) == (SENT, ANSWER, 0.002)
    assert first["sources"][0] == {"id": "T101", "kind": "ticket", "number": "101", "title": "Mailbox full"}
    assert "requester" not in first
    of_ticket = await typed(server.url, "audit", "--tenant", "acme", "--ticket", "8", "--since", "1h", "--json")
    assert [json.loads(line)["ticket_id"] for line in of_ticket.stdout.splitlines()] == ["8"]


async def test_people_get_a_table_without_the_texts(store: Store, server: Postgres) -> None:
    job_id = await kept(store, "101")
    done = await typed(server.url, "audit", "--tenant", "acme", "--job", str(job_id))
    head, row = done.stdout.splitlines()
    assert head.split() == ["AT", "JOB", "TICKET", "PROMPT", "MASKING", "TOKENS", "DOLLARS", "SOURCES", "MODEL"]
    assert row.split()[3:] == [str(job_id), "7", "2", "personal", "1020", "0.0020", "2", "m-1", "at", "model.example"]
    assert "mailbox" not in done.stdout.lower()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "No audit record matches. acme keeps none: see AUDIT_DAYS_ACME."),
        ({"AUDIT_DAYS_ACME": "30"}, "No audit record matches."),
        ({"AUDIT_DAYS_ACME": "many"}, "No audit record matches."),
    ],
)
async def test_without_a_record_it_says_so(settings: dict[str, str], told: str, store: Store, server: Postgres) -> None:
    other = await kept(store)
    store.table.run("UPDATE audit_records SET tenant_id = 'globex' WHERE job_id = %s", other)
    done = await typed(server.url, "audit", "--tenant", "acme", more=settings)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (0, "", told)
