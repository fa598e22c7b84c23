"""Every row of the fault table, played at once on one real system."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from devstack.surroundings import SimulatedTenant
from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.by_hand import on
from tests.system.fault_table import (
    COMPLETED,
    DESK,
    IDLE,
    PLANTED,
    SETTLE,
    TOTAL,
    UPDATED,
    FaultRow,
    faults_of_desk,
    faults_of_gpt4,
)
from tests.system.stories import STARTED, assert_story

# Rows one after the other are at different desks and models: five failures of one in a row hold its jobs for 15 s.
SPREAD = [f"acme-{number}" for number in range(8)]
ROWS = {
    row.name: replace(row, tenant=row.tenant or SPREAD[number % len(SPREAD)])
    for number, row in enumerate([*faults_of_gpt4(), *faults_of_desk()])
}
LIMITS = {
    "OPENAI_TIMEOUT_SECONDS": str(IDLE),
    "OPENAI_DEADLINE_SECONDS": str(TOTAL),
    "SERVICEDESK_TIMEOUT_SECONDS": str(DESK),
    # Longer than the first wait and unlike a `Retry-After`, so that the table can distinguish them.
    "NOTE_SETTLE_SECONDS": str(SETTLE),
    # A job waits in the queue until its row's turn: a healthy call must stay well within the limits.
    "WORKER_CONCURRENCY": "32",
    "CONTEXT_TIMEOUT_SECONDS": "20",
}
TOLD_END = re.compile(r"Task (?:completed|skipped): |Task failed: .*; not retried")
# As long as a cloud desk's ids are: a shorter number would be a display number.
_FIRST_ID = 123_640_000_000_700_000
# Text of the servers beside the planted one.
FOREIGN = (
    *re.split(r"[<>/]+", PLANTED)[:3:2],
    "Sign in to",
    "html>",
    "PROCESSING",
    "can't help",
    "forged",
    "elsewhere",
)
FOREIGN += ("response_status", "EXTRA_KEY", "Access Denied", "invalid_", "[31m", "very long")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    """Start a system with desks of each edition, and one for each token fault."""
    others = sorted({row.tenant for row in ROWS.values()} - {*SPREAD})
    tenants = [*map(SimulatedTenant, SPREAD), *(SimulatedTenant(tenant, edition="cloud") for tenant in others)]
    folder = tmp_path_factory.mktemp("faults")
    running = System(
        folder, tenants=tenants, settings=SHORT | LIMITS, openai_seconds=0.3, housekeeping=False, launch=loaded
    )
    (worker,) = running.workers
    for tenant in tenants[: len(SPREAD)]:
        # The same key, but as the tenant's own.
        worker.environment[f"OPENAI_API_KEY_{tenant.suffix}"] = worker.environment["OPENAI_API_KEY"]
    with running:
        yield running


@pytest.fixture(scope="module")
def tickets(outside: World) -> dict[str, str]:
    """Play the whole table, and await the end of each job; return the ticket ids."""
    made = {row.name: prepare(outside, row, number) for number, row in enumerate(ROWS.values())}
    # Rows whose tickets change during the GPT-4 call are first, so that the moment is not missed.
    changing = [row for row in ROWS.values() if row.meanwhile != {}]
    for row in changing:
        assert outside.post_webhook(made[row.name], row.tenant).status_code == 202
    for row in changing:
        wait_for(lambda row=row: outside.gpt4_requests(subject_of(row)))  # type: ignore[misc]
        change(outside, row, made[row.name], row.meanwhile)
    # Then the longest, so that they are not awaited alone.
    for row in sorted(ROWS.values(), key=lambda row: -row.attempts):
        if row not in changing:
            assert outside.post_webhook(made[row.name], row.tenant).status_code == 202
    with outside.admin() as connection:
        connection.autocommit = True
        running = "SELECT count(*) FROM jobs WHERE state IN ('waiting', 'running')"
        wait_for(lambda: connection.execute(running).fetchone() == (0,), 120)
    return made


@pytest.fixture(scope="module")
def lines(system: System, tickets: dict[str, str]) -> list[str]:
    """Return the worker's lines up to the end of each job.

    They are read once, since a shell for each costs more than a job.
    """
    log = system.workers[0].log_path
    wait_for(lambda: len(TOLD_END.findall(log.read_text(encoding="utf-8"))) == len(tickets))
    return log.read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def calls(outside: World, tickets: dict[str, str]) -> dict[str, int]:
    assert tickets
    asked = [str(request) for request in outside.gpt4_requests("Printer jams, case")]
    return {name: sum(subject_of(row) in text for text in asked) for name, row in ROWS.items()}


def subject_of(row: FaultRow) -> str:
    """Return a subject that occurs in this row's ticket only."""
    return f"Printer jams, case [{row.name}]"


def prepare(outside: World, row: FaultRow, number: int) -> str:
    """Create the row's ticket, with an id unique over all desks, and order its faults."""
    ticket_id = outside.create_ticket(subject_of(row), row.tenant, send_webhook=False, id=str(_FIRST_ID + number))
    for server, fault in row.faults:
        if server == "openai":
            outside.openai_fault(match=subject_of(row), **fault)
        elif fault["operation"] == "token":
            outside.desk_fault(tenant=row.tenant, **fault)
        else:
            outside.desk_fault(tenant=row.tenant, ticket_id=ticket_id, **fault)
    change(outside, row, ticket_id, row.before)
    return ticket_id


def change(outside: World, row: FaultRow, ticket_id: str, how: object) -> None:
    if how is None:
        outside.delete_ticket(ticket_id, row.tenant)
    elif isinstance(how, dict) and how:
        outside.change_ticket(ticket_id, row.tenant, **how)


@pytest.mark.parametrize("name", ROWS)
def test_a_fault_is_told_and_decided_as_the_table_says(
    name: str, outside: World, lines: list[str], tickets: dict[str, str], calls: dict[str, int]
) -> None:
    """Phrases in order, the outcome in row and desk, and the number of GPT-4 calls."""
    row, ticket_id = ROWS[name], tickets[name]
    job = outside.job(ticket_id, row.tenant)
    own = [line for line in lines if f"job_id: {job['id']}" in line]
    end = [COMPLETED] if row.ends == "completed" else []
    assert_story(own, [STARTED, *row.told, *end], ticket_id, str(job["id"]))
    assert (job["state"], job["reason"], job["attempt"]) == (row.ends, row.reason, row.attempts)
    if row.meanwhile is not None and row.before is not None:
        assert len(outside.notes(ticket_id, row.tenant)) == row.notes
    assert calls[name] == row.calls
    # One start and one end an attempt, one update, and known failures.
    begins = ("Task started", "Task failed", "Task completed", "Task skipped", "ServiceDesk Plus ticket updated")
    said = Counter(begin for line in own for begin in begins if f" {begin}: " in f" {line}")
    failures = row.attempts - (row.ends != "failed")
    # This many concurrent faults may open a breaker: a job that is held back begins again, which is no attempt.
    held_back = sum("Job requeued: " in line and "held back for" in line for line in own)
    wanted = {"Task started": row.attempts + held_back, "Task failed": failures}
    wanted |= {"Task completed": 1, "ServiceDesk Plus ticket updated": 1} if row.ends == "completed" else {}
    wanted |= {"Task skipped": 1} if row.ends == "skipped" else {}
    assert said == Counter(wanted)
    # Each failed attempt has two lines at level ERROR: the phrase, and the decision.
    told = [line for line in own if "error" in line.lower() and "Breaker error" not in line]
    assert len(told) == 2 * failures


def test_each_fault_hit_as_often_as_it_was_ordered(outside: World, tickets: dict[str, str]) -> None:
    """Otherwise a row would have met a healthy server."""
    assert tickets
    assert [fault for fault in outside.faults() if not fault["exhausted"]] == []
    assert len(outside.faults()) == sum(len(row.faults) for row in ROWS.values())


def test_a_ticket_gets_one_note_whichever_of_its_numbers_a_webhook_names(
    system: System, outside: World, tickets: dict[str, str]
) -> None:
    """The display number is first, and is searched for.

    Support finds all by the named number.
    """
    assert tickets
    subject = "VPN does not connect, known by two numbers"
    desk_id = outside.create_ticket(subject, "cloud", send_webhook=False)
    number = outside.display_id(desk_id, "cloud")
    for named in (number, desk_id):
        assert outside.post_webhook(named, "cloud").status_code == 202
        outside.ended(named, "cloud")
    first, second = outside.job(number, "cloud"), outside.job(desk_id, "cloud")
    assert (first["state"], first["desk_id"], first["display_id"]) == ("completed", desk_id, number)
    assert (second["state"], second["reason"]) == ("skipped", "already enhanced")
    assert len(outside.notes(desk_id, "cloud")) == 1
    assert len(outside.gpt4_requests(subject)) == 1
    log = system.workers[0].log_path.read_text(encoding="utf-8").splitlines()
    told = [line for line in log if f"job_id: {first['id']}" in line]
    assert_story(told, [STARTED, r"Context gathered: .*", UPDATED, COMPLETED], number, str(first["id"]))
    began = next(index for index, line in enumerate(told) if "Context gathered: " in line)
    assert all(f"desk_id: {desk_id}" in line for line in told[began:])
    listed = on(system, "jobs", "--tenant", "cloud", "--ticket", number, "--json").stdout
    assert [str(job["id"]) in listed for job in (first, second)] == [True, True]


def test_no_line_has_text_of_a_servers_answer(system: System, tickets: dict[str, str]) -> None:
    """Runs last: no secret, markup or prose of an answer is logged at any level."""
    assert tickets
    for process in (system.api, system.workers[0]):
        text = process.log_path.read_text(encoding="utf-8")
        assert [word for word in FOREIGN if word in text] == []
