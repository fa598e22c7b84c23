"""`ai-agents audit`: records as a table and as JSON Lines."""

import json
from uuid import uuid4

import pytest

from devstack.postgres import Postgres
from storage import history
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
    names = ["AT", "JOB", "TICKET", "PROMPT", "MASKING", "TOKENS", "DOLLARS", "SOURCES", "ANSWER", "MODEL"]
    assert head.split() == names
    told = [str(job_id), "7", "2", "personal", "1020", "0.0020", "2", "yes", "m-1", "at", "model.example"]
    assert row.split()[3:] == told
    assert "mailbox" not in done.stdout.lower()


async def test_what_was_asked_in_vain_says_why_there_is_no_answer(store: Store, server: Postgres) -> None:
    await kept(store, answer=None, reason="OpenAI API: content filter")
    done = await typed(server.url, "audit", "--tenant", "acme")
    assert "  OpenAI API: content filter  " in done.stdout
    done = await typed(server.url, "audit", "--tenant", "acme", "--json")
    told = json.loads(done.stdout)
    assert (told["answer"], told["reason"]) == (None, "OpenAI API: content filter")


async def test_no_hash_of_whoever_wrote_a_source_is_exported(store: Store, server: Postgres) -> None:
    text = {"ticket_id": "101", "subject": "s", "description": "", "resolution": "r", "status": "Closed"}
    await history.save_ticket(store.database, "acme", text, "jordan.reyes@acme.example")
    await kept(store, "101")
    assert "requester" in store.table.run("SELECT sources FROM audit_records")[0]["sources"][0]
    done = await typed(server.url, "audit", "--tenant", "acme", "--json")
    assert "requester" not in done.stdout


async def test_a_job_without_a_record_has_a_status_of_its_own(store: Store, server: Postgres) -> None:
    job_id = await kept(store)
    for words, status in ((("--job", str(uuid4())), 1), (("--job", str(job_id)), 0), (("--ticket", "99"), 0)):
        assert (await typed(server.url, "audit", "--tenant", "acme", *words)).returncode == status


async def test_records_past_their_days_are_not_exported_where_those_are_known(store: Store, server: Postgres) -> None:
    await kept(store)
    store.table.run("UPDATE audit_records SET at = now() - interval '31 days'")
    for days, lines in ((30, 0), (32, 1), ("many", 1)):
        done = await typed(server.url, "audit", "--tenant", "acme", "--json", more={"acme.audit_days": days})
        assert len(done.stdout.splitlines()) == lines


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"acme.audit_days": 0}, "No audit record matches. acme keeps none: see acme.audit_days in tenants.toml."),
        ({"acme.audit_days": 30}, "No audit record matches."),
        ({"acme.audit_days": "many"}, "No audit record matches."),
    ],
)
async def test_without_a_record_it_says_so(
    settings: dict[str, object], told: str, store: Store, server: Postgres
) -> None:
    other = await kept(store)
    store.table.run("UPDATE audit_records SET tenant_id = 'globex' WHERE job_id = %s", other)
    done = await typed(server.url, "audit", "--tenant", "acme", more=settings)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (0, "", told)
