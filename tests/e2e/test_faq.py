"""The FAQ's steps 1 to 4, word for word, for a healthy job and for each failure that the FAQ names, 30 jobs at once."""

import re
from typing import Any

import pytest

from devstack.system import System
from tests.e2e import faq
from tests.e2e.faq import Support
from tests.e2e.world import World, wait_for

HEALTHY = [
    r"Task started: job_id=<J>, ticket_id=<T>",
    r"LangGraph workflow initiated",
    r"Context gathered: ticket_history=Yes, docs=Yes",
    r"GPT-4 API call: status=200",
    r"ServiceDesk Plus ticket updated: ticket_id=<T>",
    r"Task completed: job_id=<J>, duration=\d+s",
]
JOBS = 30


def assert_story(lines: list[str], patterns: list[str], ticket_id: str, job_id: str) -> None:
    """The phrases occur in the lines, in this order, one line each."""
    rest = iter(lines)
    for pattern in patterns:
        wanted = re.compile(pattern.replace("<J>", job_id).replace("<T>", ticket_id) + r"(?![0-9])")
        assert any(wanted.search(line) for line in rest), f"{pattern!r} is not (in order) in:\n" + "\n".join(lines)


def test_a_healthy_run_has_no_line_with_error_from_the_first_to_the_last(
    world: World, system: System, support: Support
) -> None:
    """Comes first: `grep -i error` over the logs of processes that only saw healthy jobs finds nothing."""
    tickets = [world.create_ticket() for _ in range(3)]
    for ticket_id in tickets:
        assert world.ended(ticket_id)["state"] == "completed"
    assert support.type(faq.CAUSE_3) == []
    assert system.housekeeping is not None
    for process in (system.api, system.workers[0], system.housekeeping):
        assert "error" not in process.log_path.read_text(encoding="utf-8").lower()


def test_the_steps_find_what_they_expect_for_thirty_healthy_jobs_at_once(world: World, support: Support) -> None:
    """Steps 1 to 4 for each of 30 tickets whose jobs ran interleaved; each ticket has its one note."""
    tenants = ["acme" if number % 2 else "globex" for number in range(JOBS)]
    tickets = [(world.create_ticket(tenant=tenant), tenant) for tenant in tenants]
    for ticket_id, tenant in tickets:
        assert world.ended(ticket_id, tenant)["state"] == "completed"
        notes = world.notes(ticket_id, tenant)
        assert len(notes) == 1
        assert f"Ref {world.job(ticket_id, tenant)['id']}" in notes[0]
    for ticket_id, tenant in tickets[::5]:
        received = support.type(faq.STEP_1, ticket_id=ticket_id)
        assert any(f"Webhook received: ticket_id={ticket_id}, tenant_id=" in line for line in received)
        job_id = str(world.job(ticket_id, tenant)["id"])
        assert any(f"Job queued: job_id={job_id}" in line for line in support.type(faq.STEP_2, ticket_id=ticket_id))
        lines = support.type(faq.STEP_4, job_id=job_id)
        assert_story(lines, HEALTHY, ticket_id, job_id)
        assert len(lines) == len(HEALTHY), lines
    assert support.type(faq.STEP_3) == ["(integer) 0"]


CALLS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "GPT-4 timeout": ("openai", {"kind": "silence"}, [r"GPT-4 API call failed: timeout after 2s"]),
    "GPT-4 429": ("openai", {"kind": "status", "code": 429}, [r"OpenAI API error: 429 Rate Limit"]),
    "desk timeout": ("desk", {"kind": "silence", "operation": "add_note"}, [r"ServiceDesk Plus API timeout"]),
    "desk 500": ("desk", {"kind": "status", "code": 500}, [r"ServiceDesk Plus API error: 500"]),
}
RETRIED = r"Task failed: job_id=<J>, ticket_id=<T>, reason=.*will be retried"


def test_each_failure_of_a_call_is_found_among_thirty_jobs_and_its_job_still_ends_well(
    world: World, support: Support
) -> None:
    """The fault hits the first attempt only: the log names it, says that a retry follows, and the note comes."""
    tickets: dict[str, str] = {}
    for name, (server, fault, _) in CALLS.items():
        # The fault is there before the webhook is: the ticket comes into being first, its webhook after.
        subject = f"VPN does not connect, case {name}"
        tickets[name] = world.create_ticket(subject, send_webhook=False)
        if server == "openai":
            world.openai_fault(match=subject, times=1, **fault)
        else:
            world.desk_fault(ticket_id=tickets[name], tenant="acme", times=1, **fault)
    for ticket_id in tickets.values():
        world.send_webhook(ticket_id)
    others = [world.create_ticket() for _ in range(JOBS - len(tickets))]
    for ticket_id in [*others, *tickets.values()]:
        assert world.ended(ticket_id)["state"] == "completed"
        assert len(world.notes(ticket_id)) == 1
    for name, (_, _, phrases) in CALLS.items():
        ticket_id = tickets[name]
        job_id = support.job_of(ticket_id)
        lines = support.type(faq.STEP_4, job_id=job_id)
        started = HEALTHY[0]
        assert_story(lines, [started, *phrases, RETRIED, started, HEALTHY[-1]], ticket_id, job_id)
        # Support greps for the failure alone, too: each of these lines says error in its level or its text.
        assert all("error" in line.lower() for line in lines if re.search("|".join([*phrases, "Task failed"]), line))
        assert world.job(ticket_id)["attempt"] == 2
    assert support.type(faq.CAUSE_4, ticket_id=tickets["desk 500"])


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ("deleted", r"Ticket not found: <T>"),
        ("trashed", r"Ticket deleted/closed"),
        ("closed", r"Ticket deleted/closed"),
    ],
)
def test_a_ticket_that_is_gone_ends_its_job_as_skipped(
    world: World, support: Support, change: str, phrase: str
) -> None:
    """Expected, not a failure: no `Task failed`, no retry, no call of GPT-4, and no line with error."""
    subject = f"Printer jams, {change}"
    ticket_id = world.create_ticket(subject, send_webhook=False)
    if change == "trashed":
        world.change_ticket(ticket_id, is_trashed=True)
    elif change == "closed":
        world.change_ticket(ticket_id, status="Closed")
    else:
        world.delete_ticket(ticket_id)
    assert world.post_webhook(ticket_id).status_code == 202
    assert world.ended(ticket_id)["state"] == "skipped"
    job_id = support.job_of(ticket_id)
    lines = support.type(faq.STEP_4, job_id=job_id)
    assert_story(lines, [HEALTHY[0], phrase, r"Task skipped: job_id=<J>, ticket_id=<T>, reason="], ticket_id, job_id)
    assert not any("error" in line.lower() or "Task failed" in line for line in lines)
    assert world.gpt4_requests(subject) == []


def test_a_context_timeout_is_told_and_the_job_goes_on_with_less(world: World, support: Support) -> None:
    """The documents can't be read (a locked table stands for slow queries); the history is found all the same."""
    with world.admin() as connection:
        connection.execute("LOCK TABLE passages IN ACCESS EXCLUSIVE MODE")
        ticket_id = world.create_ticket()
        row = world.ended(ticket_id)
        connection.rollback()
    assert row["state"] == "completed"
    job_id = support.job_of(ticket_id)
    lines = support.type(faq.STEP_4, job_id=job_id)
    story = [
        HEALTHY[0],
        r"Context gathering timeout after 1.5s",
        r"Context gathered: ticket_history=Yes, docs=No",
        *HEALTHY[3:],
    ]
    assert_story(lines, story, ticket_id, job_id)


def test_a_job_that_can_not_succeed_ends_as_failed_with_its_reason(world: World, support: Support) -> None:
    """An invalid key is not retried: one attempt, one `Task failed`, the reason in the row."""
    ticket_id = world.create_ticket(send_webhook=False)
    world.desk_fault(ticket_id=ticket_id, tenant="acme", kind="status", code=401)
    world.send_webhook(ticket_id)
    row = world.ended(ticket_id)
    world.clear_faults()
    assert (row["state"], row["attempt"], row["reason"]) == ("failed", 1, "ServiceDesk Plus API: 401")
    job_id = support.job_of(ticket_id)
    failed = r"Task failed: job_id=<J>, ticket_id=<T>, reason=ServiceDesk Plus API: 401; not retried"
    lines = support.type(faq.STEP_4, job_id=job_id)
    assert_story(lines, [HEALTHY[0], r"ServiceDesk Plus API error: 401", failed], ticket_id, job_id)


def test_step_3_tells_the_backlog(world: World, system: System, support: Support) -> None:
    """With no worker running, each waiting job counts; and none when they are done."""
    system.workers[0].stop(8)
    tickets = [world.create_ticket() for _ in range(5)]
    for ticket_id in tickets:
        wait_for(lambda ticket_id=ticket_id: support.job_of(ticket_id))  # type: ignore[misc]
    assert support.type(faq.STEP_3) == ["(integer) 5"]
    system.restart(system.workers[0])
    for ticket_id in tickets:
        assert world.ended(ticket_id)["state"] == "completed"
    assert support.type(faq.STEP_3) == ["(integer) 0"]


def test_a_webhook_that_was_refused_is_in_the_log_and_nothing_is_queued(world: World, support: Support) -> None:
    """Step 1 finds the refusal, marked as not verified; step 2 finds nothing."""
    ticket_id = world.create_ticket(send_webhook=False)
    world.send_webhook(ticket_id, wrong_signature=True)
    lines = wait_for(lambda: support.type(faq.STEP_1, ticket_id=ticket_id))
    assert len(lines) == 1
    assert "Webhook rejected: status=403, reason=signature mismatch" in lines[0]
    assert "verified: no" in lines[0]
    assert support.type(faq.STEP_2, ticket_id=ticket_id) == []
    assert world.job(ticket_id) == {}


def test_no_line_has_a_secret_or_text_of_a_ticket(world: World, system: System) -> None:
    """Comes last: all that the processes printed, healthy and not."""
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
