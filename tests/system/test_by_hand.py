"""Operating by hand: the verbs for operators on a running system, and the purge by housekeeping."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from devstack.system import System
from support.cli import main
from tests.documents.readme import blocks
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.by_hand import failed_job, on, run

NOBODY = str(uuid4())


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system that has copied the tickets of its desks."""
    with System(tmp_path_factory.mktemp("by_hand"), settings=SHORT, openai_seconds=0.3) as running:
        wait_for(lambda: "Sync completed: tenant_id=globex" in housekeeping_log(running))
        yield running


def housekeeping_log(system: System) -> str:
    """What housekeeping said so far."""
    assert system.housekeeping is not None
    return system.housekeeping.log_path.read_text(encoding="utf-8")


def at_once(system: System, *commands: str) -> "list[subprocess.CompletedProcess[str]]":
    """Run several at the same time, since each takes a second to load."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda command: on(system, *command.split()), commands))


def listed(system: System, *words: str) -> list[dict[str, Any]]:
    """What `ai-agents jobs --json` lists."""
    done = on(system, "jobs", *words, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_the_commands_to_paste_retry_a_failed_job_and_pay_once(system: System, world: World) -> None:
    """From the list to the note: one note, one question to GPT-4, the same job and trace.

    As they stand, on a job with their id; first of all, while no other ticket has their number.
    """
    block = next(block for block in blocks("sh") if block.startswith("ai-agents jobs"))
    job_id = block.split("ai-agents show ")[1].split()[0]
    ticket_id = block.split("--ticket ")[1].split()[0]
    subject = "VPN does not connect, by hand"
    row = failed_job(world, subject, id=ticket_id)
    with world.admin() as connection:
        connection.execute("UPDATE jobs SET id = %s WHERE id = %s", (job_id, row["id"]))
    world.clear_faults()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "DATABASE_URL": system.state["database_url"]}
    done = subprocess.run(["bash", "-ec", block], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for part in ("yes, by ", row["reason"], f"`ai-agents retry {job_id}`", "1 job waits again"):
        assert part in done.stdout
    line = f"Job requeued: job_id={job_id}, ticket_id={ticket_id}, reason=retried by hand"
    trace_id = row["traceparent"].split("-")[1]
    assert f"{line} | ticket_id: {ticket_id}, tenant_id: acme, job_id: {job_id}, trace_id: {trace_id}" in done.stderr
    assert subject not in done.stdout + done.stderr

    after = wait_for(lambda: (now := world.ended(ticket_id))["state"] == "completed" and now)
    assert (str(after["id"]), after["traceparent"], after["reason"]) == (job_id, row["traceparent"], None)
    assert after["deadline_at"] > row["deadline_at"]
    assert len(world.notes(ticket_id)) == 1
    assert len(world.gpt4_requests(subject)) == 1

    again = on(system, "retry", job_id, NOBODY)
    assert (again.returncode, again.stdout) == (1, "0 jobs wait again.\n")
    assert f"Not retried: {job_id}: it is completed" in again.stderr
    assert f"Not retried: {NOBODY}: no job has this id" in again.stderr


def test_all_that_failed_of_one_tenant_is_tried_again_and_no_other(system: System, world: World) -> None:
    """`retry --failed` takes what `jobs --state failed` lists; its JSON is all of its standard output."""
    rows = [failed_job(world, f"Mailbox is full {number}", "globex") for number in range(2)]
    other = failed_job(world, "Mailbox is full elsewhere")
    world.clear_faults()
    for_globex = ("--since", "5m", "--tenant", "globex")
    with world.admin() as connection:
        # An older webhook of the same ticket failed too: its note would be a second one.
        connection.execute(
            "INSERT INTO jobs (id, tenant_id, ticket_id, state, accepted_at, due_at, deadline_at, finished_at)"
            " SELECT gen_random_uuid(), tenant_id, ticket_id, state, accepted_at - interval '1 second', due_at,"
            " deadline_at, finished_at FROM jobs WHERE id = %s",
            (rows[0]["id"],),
        )
    ids = [job["job_id"] for job in listed(system, "--state", "failed", *for_globex)]
    assert len(ids) == len(rows) + 1
    ids = [job_id for job_id in ids if job_id in {str(row["id"]) for row in rows}]
    asked = on(system, "retry", "--failed", *for_globex)
    assert (asked.returncode, world.job(rows[0]["ticket_id"], "globex")["state"]) == (2, "failed")
    assert "give --yes to retry these without being asked" in asked.stderr
    assert all(job_id in asked.stdout for job_id in ids)
    # What is left out does not count for the limit: it is among the oldest each time.
    done = on(system, "retry", "--failed", *for_globex, "--limit", "2", "--json", "--yes")
    assert (done.returncode, "1 left out" in done.stderr) == (0, True)
    assert [job["job_id"] for job in json.loads(done.stdout)] == ids[::-1]
    for row in rows:
        ticket_id = row["ticket_id"]
        wait_for(lambda ticket_id=ticket_id: world.ended(ticket_id, "globex")["state"] == "completed")  # type: ignore[misc]
        assert len(world.notes(ticket_id, "globex")) == 1
    assert world.job(other["ticket_id"])["state"] == "failed"
    none = on(system, "retry", "--failed", *for_globex)
    assert (none.returncode, none.stdout, none.stderr) == (
        0,
        "0 jobs wait again.\n",
        "1 left out: another job of the ticket did it, or may.\n",
    )


def test_the_list_is_a_table_for_people_and_lines_for_pipes(system: System, world: World) -> None:
    """A head and one line a job; what is left out or not there is said on standard error."""
    tickets = []
    for number in range(2):
        # One after the other: of two webhooks at once either may be accepted first.
        tickets.append(world.create_ticket(f"Printer prints blank pages {number}"))
        world.ended(tickets[-1])
    piped, nothing, limited, unknown = at_once(
        system, f"jobs --ticket {tickets[1]}", "jobs --tenant nobody", "jobs --limit 2 --json", f"show {NOBODY}"
    )
    head, line = piped.stdout.splitlines()
    assert head.split() == ["JOB", "TENANT", "TICKET", "STATE", "TRY", "AGE", "TIME", "REASON"]
    assert line.split()[:5] == [str(world.job(tickets[1])["id"]), "acme", tickets[1], "completed", "1"]
    assert len(line) <= 100
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "No job matches.\n")
    assert [job["ticket_id"] for job in json.loads(limited.stdout)] == tickets[::-1]
    assert "there are more: see --limit" in limited.stderr
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert f"No job has the id {NOBODY}" in unknown.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["show", "12345"],
        ["retry"],
        ["retry", "12345"],
        ["retry", "--failed"],
        ["retry", NOBODY, "--failed", "--since", "2h"],
        ["retry", NOBODY, "--tenant", "acme"],
        ["jobs", "--since", "yesterday"],
        ["jobs", "--state", "lost"],
        ["jobs", "--limit", "0"],
    ],
)
def test_what_is_not_understood_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Before any setting is asked for."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert f"ai-agents {words[0]}: error: " in printed.err


def test_a_missing_setting_is_status_78_and_a_database_that_is_away_75() -> None:
    """With a sentence on standard error: standard output is for JSON."""
    missing = run("jobs", "--json")
    assert (missing.returncode, missing.stdout) == (78, "")
    assert "Start refused: DATABASE_URL is missing" in missing.stderr
    away = run("show", NOBODY, DATABASE_URL="postgresql://ai_agents@127.0.0.1:1/ai_agents")
    assert (away.returncode, away.stdout) == (75, "")
    assert "Start refused: the database does not answer" in away.stderr


def test_a_mistake_of_ours_is_status_70(system: System, world: World) -> None:
    """Never 1, which says something about a job."""
    with world.admin() as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION list_jobs FROM ai_agents")
    try:
        done = on(system, "jobs", "--json")
    finally:
        with world.admin() as connection:
            connection.execute("GRANT EXECUTE ON FUNCTION list_jobs TO ai_agents")
    assert (done.returncode, done.stdout) == (70, "")
    assert "Process error: unexpected failure | exception: " in done.stderr


def test_housekeeping_purges_what_is_old_and_keeps_what_the_desk_lists(system: System, world: World) -> None:
    """Old answers, old rows, and copies that no desk lists; a copy that is still listed becomes young again."""
    tickets = [world.create_ticket(f"Screen flickers {number}") for number in range(2)]
    for ticket_id in tickets:
        assert world.ended(ticket_id)["state"] == "completed"
    with world.admin() as connection:
        for ticket_id, days in zip(tickets, (31, 91), strict=True):
            connection.execute(
                "UPDATE jobs SET finished_at = now() - make_interval(days => %s) WHERE ticket_id = %s",
                (days, ticket_id),
            )
        connection.execute(
            "INSERT INTO tickets (tenant_id, ticket_id, subject, description, resolution, status)"
            " VALUES ('acme', 'gone', 's', 'd', 'r', 'Closed')"
        )
        connection.execute("UPDATE tickets SET synced_at = now() - interval '31 days'")
        (copies,) = connection.execute("SELECT count(*) FROM tickets").fetchone() or (0,)
    assert system.housekeeping is not None
    system.restart(system.housekeeping)
    wait_for(lambda: "Purged by age: answers=2, copies=1, jobs=1" in housekeeping_log(system))
    assert (world.job(tickets[0])["enhancement"], world.job(tickets[1])) == (None, {})
    with world.admin() as connection:
        left = connection.execute("SELECT ticket_id FROM tickets").fetchall()
    assert len(left) >= copies - 1 > 0
    assert ("gone",) not in left
