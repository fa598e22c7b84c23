"""Every row of the fault table, all at once, on one real system."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from devstack.surroundings import SimulatedTenant
from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system import faults_of_desk, faults_of_gpt4
from tests.system.by_hand import on
from tests.system.fault_table import COMPLETED, DESK, IDLE, PLANTED, SETTLE, TOTAL, UPDATED, FaultRow
from tests.system.stories import STARTED, assert_story

ROWS = {row.name: row for row in [*faults_of_gpt4.rows(), *faults_of_desk.rows()]}
LIMITS = {
    "OPENAI_TIMEOUT_SECONDS": str(IDLE),
    "OPENAI_DEADLINE_SECONDS": str(TOTAL),
    "SERVICEDESK_TIMEOUT_SECONDS": str(DESK),
    # More than the first wait, and another than a `Retry-After`: the table tells them apart.
    "NOTE_SETTLE_SECONDS": str(SETTLE),
    # A job that is not the row's turn yet waits in the queue: a healthy call must stay well within the limits.
    "WORKER_CONCURRENCY": "32",
    "CONTEXT_TIMEOUT_SECONDS": "20",
}
TOLD_END = re.compile(r"Task (?:completed|skipped): |Task failed: .*; not retried")
# As long as a cloud desk's ids are: a shorter number would be one that people see.
_FIRST_ID = 123_640_000_000_700_000
# What the servers sent beside the planted text.
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
    """A system with a desk of each edition, and one for each fault of its tokens."""
    others = sorted({row.tenant for row in ROWS.values()} - {"acme"})
    tenants = [SimulatedTenant("acme"), *(SimulatedTenant(tenant, edition="cloud") for tenant in others)]
    folder = tmp_path_factory.mktemp("faults")
    with System(
        folder, tenants=tenants, settings=SHORT | LIMITS, openai_seconds=0.3, housekeeping=False, launch=loaded
    ) as running:
        yield running


@pytest.fixture(scope="module")
def tickets(outside: World) -> dict[str, str]:
    """Play the whole table, and wait for the end of each job; the rows' ticket ids."""
    made = {row.name: prepare(outside, row, number) for number, row in enumerate(ROWS.values())}
    # First those whose tickets change while GPT-4 writes, so that their moment is not missed.
    changing = [row for row in ROWS.values() if row.meanwhile != {}]
    for row in changing:
        assert outside.post_webhook(made[row.name], row.tenant).status_code == 202
    for row in changing:
        wait_for(lambda row=row: outside.gpt4_requests(subject_of(row)))  # type: ignore[misc]
        change(outside, row, made[row.name], row.meanwhile)
    # Then the longest, so that nobody waits for them alone.
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
    """What the worker said, the end of each job included; read once, since a shell for each costs more than a job."""
    log = system.workers[0].log_path
    wait_for(lambda: len(TOLD_END.findall(log.read_text(encoding="utf-8"))) == len(tickets))
    return log.read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def calls(outside: World, tickets: dict[str, str]) -> dict[str, int]:
    """How often GPT-4 was asked about each row's ticket."""
    assert tickets
    asked = [str(request) for request in outside.gpt4_requests("Printer jams, case")]
    return {name: sum(subject_of(row) in text for text in asked) for name, row in ROWS.items()}


def subject_of(row: FaultRow) -> str:
    """What only this row's ticket is about."""
    return f"Printer jams, case [{row.name}]"


def prepare(outside: World, row: FaultRow, number: int) -> str:
    """Make the row's ticket, with an id that no other desk gives, and order its faults."""
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
    """Do to the ticket what the row says."""
    if how is None:
        outside.delete_ticket(ticket_id, row.tenant)
    elif isinstance(how, dict) and how:
        outside.change_ticket(ticket_id, row.tenant, **how)


@pytest.mark.parametrize("name", ROWS)
def test_a_fault_is_told_and_decided_as_the_table_says(
    name: str, outside: World, lines: list[str], tickets: dict[str, str], calls: dict[str, int]
) -> None:
    """The phrases in their order, the decision in the row and in the desk, GPT-4 paid as often as it must be."""
    row, ticket_id = ROWS[name], tickets[name]
    job = outside.job(ticket_id, row.tenant)
    own = [line for line in lines if f"job_id: {job['id']}" in line]
    end = [COMPLETED] if row.ends == "completed" else []
    assert_story(own, [STARTED, *row.told, *end], ticket_id, str(job["id"]))
    assert (job["state"], job["reason"], job["attempt"]) == (row.ends, row.reason, row.attempts)
    if row.meanwhile is not None and row.before is not None:
        assert len(outside.notes(ticket_id, row.tenant)) == row.notes
    assert calls[name] == row.calls
    assert_nothing_is_doubled(row, own)


def assert_nothing_is_doubled(row: FaultRow, lines: list[str]) -> None:
    """One start and one end for each attempt, one update, and no failure that the table does not know."""
    begins = ("Task started", "Task failed", "Task completed", "Task skipped", "ServiceDesk Plus ticket updated")
    said = Counter(begin for line in lines for begin in begins if f" {begin}: " in f" {line}")
    failures = row.attempts - (row.ends != "failed")
    # So many faults at once may open a breaker: a job that is held back begins once more, which is no attempt.
    held_back = sum("Job requeued: " in line and "held back for" in line for line in lines)
    wanted = {"Task started": row.attempts + held_back, "Task failed": failures}
    wanted |= {"Task completed": 1, "ServiceDesk Plus ticket updated": 1} if row.ends == "completed" else {}
    wanted |= {"Task skipped": 1} if row.ends == "skipped" else {}
    assert said == Counter(wanted)
    # Each failed attempt has two lines at level ERROR: the phrase, and the decision.
    told = [line for line in lines if "error" in line.lower() and "Breaker error" not in line]
    assert len(told) == 2 * failures


def test_each_fault_hit_as_often_as_it_was_ordered(outside: World, tickets: dict[str, str]) -> None:
    """Else a row would have seen a healthy server."""
    assert tickets
    assert [fault for fault in outside.faults() if not fault["exhausted"]] == []
    assert len(outside.faults()) == sum(len(row.faults) for row in ROWS.values())


def test_a_ticket_gets_one_note_whichever_of_its_numbers_a_webhook_names(
    system: System, outside: World, tickets: dict[str, str]
) -> None:
    """People's number first, which is searched for; support finds all of it by the number that was named."""
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
    """Comes last: a secret, markup or prose in an answer stays out of every line, at any level."""
    assert tickets
    for process in (system.api, system.workers[0]):
        text = process.log_path.read_text(encoding="utf-8")
        assert [word for word in FOREIGN if word in text] == []
