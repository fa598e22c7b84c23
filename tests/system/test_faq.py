"""The FAQ's steps 1 to 4, word for word, for each failure that it names.

Thirty jobs run at once. Tickets that are gone are in the fault table.
"""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from dev.stack.system import System
from tests.kit.world import World, wait_for
from tests.system import faq
from tests.system.faq import HEALTHY, RETRIED, STARTED, Support, assert_story, lines_of

JOBS = 30
CALLS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "GPT-4 timeout": ("openai", {"kind": "silence"}, [r"GPT-4 API call failed: timeout after 2s"]),
    "GPT-4 429": ("openai", {"kind": "status", "code": 429}, [r"OpenAI API error: 429 Rate Limit"]),
    "desk timeout": ("desk", {"kind": "silence", "operation": "add_note"}, [r"ServiceDesk Plus API timeout"]),
    "desk 500": ("desk", {"kind": "status", "code": 500}, [r"ServiceDesk Plus API error: 500"]),
}
SLOW_CONTEXT = [
    STARTED,
    r"Context gathering timeout after 3s",
    r"Context gathered: ticket_history=Yes, docs=No",
    *HEALTHY[3:],
]
# A stand-in for slow queries: the context of globex times out, that of acme does not.
MAKE_SLOW = (
    "CREATE POLICY slow ON passages AS RESTRICTIVE FOR SELECT"
    " USING (CASE WHEN tenant_id = 'globex' THEN pg_sleep(8) IS NOT NULL ELSE true END)"
)


@pytest.fixture
def slow_documents(world: World, system: System) -> Iterator[None]:
    """Make queries of one tenant's documents take longer than a context may."""
    with world.admin() as connection:
        connection.execute(MAKE_SLOW)
    yield
    # Otherwise the next one waits for the sleeping queries, row by row.
    with psycopg.connect(system.postgres.superuser_url) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    with world.admin() as connection:
        connection.execute("DROP POLICY slow ON passages")


@pytest.mark.usefixtures("slow_documents")
def test_failures_are_found_by_the_faqs_steps(world: World, system: System, support: Support) -> None:
    tickets: dict[str, str] = {}
    for name, (server, fault, _) in CALLS.items():
        subject = f"VPN does not connect, case {name}"
        tickets[name] = world.create_ticket(subject, send_webhook=False)
        if server == "openai":
            world.openai_fault(match=subject, times=1, **fault)
        else:
            world.desk_fault(ticket_id=tickets[name], tenant="acme", times=1, **fault)
    for ticket_id in tickets.values():
        assert world.post_webhook(ticket_id).status_code == 202
    # An id of its own: two desks may use the same numbers.
    slow = world.create_ticket(tenant="globex", id="900001")
    others = [world.create_ticket() for _ in range(JOBS - len(tickets) - 1)]
    for ticket_id in [*others, *tickets.values()]:
        assert world.ended(ticket_id)["state"] == "completed"
        assert len(world.notes(ticket_id)) == 1
    for ticket_id in others:
        job_id = str(world.job(ticket_id)["id"])
        assert_story(lines_of(system.workers[0], job_id), HEALTHY, ticket_id, job_id)
    # Run for one only, since each command takes as long as a job does.
    assert support.worker_lines(others[-1]) == lines_of(system.workers[0], str(world.job(others[-1])["id"]))
    for name, (_, _, phrases) in CALLS.items():
        assert_told_and_retried(world, support, tickets[name], phrases)
    assert world.ended(slow, "globex")["state"] == "completed"
    assert_story(support.worker_lines(slow), SLOW_CONTEXT, slow, support.job_of(slow))
    assert len(world.notes(slow, "globex")) == 1
    # The FAQ's other two ways: the failures of the last lines, and all lines of a ticket.
    assert all("error" in line.lower() for line in support.type(faq.CAUSE_3))
    told = support.type(faq.CAUSE_4, ticket_id=tickets["desk 500"])
    assert any("ServiceDesk Plus API error: 500" in line for line in told)


def assert_told_and_retried(world: World, support: Support, ticket_id: str, phrases: list[str]) -> None:
    """Check for a named failure of level error, an announced retry and a completed second attempt."""
    job_id = support.job_of(ticket_id)
    lines = support.type(faq.STEP_4, job_id=job_id)
    assert_story(lines, [STARTED, *phrases, RETRIED, STARTED, HEALTHY[-1]], ticket_id, job_id)
    assert all("error" in line.lower() for line in lines if re.search("|".join([*phrases, "Task failed"]), line))
    assert world.job(ticket_id)["attempt"] == 2


def test_a_webhook_that_was_refused_is_in_the_log_and_nothing_is_queued(world: World, support: Support) -> None:
    ticket_id = world.create_ticket(send_webhook=False)
    world.send_webhook(ticket_id, wrong_signature=True)
    (line,) = wait_for(lambda: support.type(faq.STEP_1, ticket_id=ticket_id))
    assert "Webhook rejected: status=403, reason=signature mismatch" in line
    assert "verified: no" in line
    assert support.type(faq.STEP_2, ticket_id=ticket_id) == []
    assert world.job(ticket_id) == {}


def test_no_line_has_a_secret_or_text_of_a_ticket(world: World, system: System) -> None:
    """Runs after the tests that log: all output of the processes, healthy or not."""
    ticket_id = world.create_ticket("Zanzibar scanner is offline", description="<p>Quokka since this morning</p>")
    assert world.ended(ticket_id)["state"] == "completed"
    state = system.state
    secrets = [*state["tenants"].values(), *(desk["key"] for desk in state["desks"].values())]
    secrets += [state[name].split("@")[0].rpartition(":")[2] for name in ("database_url", "database_admin_url")]
    words = ["Zanzibar", "Quokka", "since this morning", "sk-devstack"]
    assert all(len(secret) > 8 for secret in secrets)
    for process in (system.api, system.workers[0], system.housekeeping):
        text = process.log_path.read_text(encoding="utf-8")
        assert [word for word in (*secrets, *words) if word in text] == []


def test_step_3_tells_the_backlog(world: World, system: System, support: Support) -> None:
    """It is the last test, because the worker has ended."""
    assert support.type(faq.STEP_3) == ["0"]
    system.workers[0].stop(8)
    tickets = [world.create_ticket() for _ in range(5)]
    for ticket_id in tickets:
        wait_for(lambda ticket_id=ticket_id: world.job(ticket_id).get("published_at"))  # type: ignore[misc]
    assert all(support.job_of(ticket_id) for ticket_id in tickets)
    assert support.type(faq.STEP_3) == ["5"]
