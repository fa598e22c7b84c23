"""Documented operator commands on a running system, and housekeeping's purge."""

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from devstack.system import System
from tests.documents.documents import ROOT, MarkdownFile
from tests.documents.readme import blocks
from tests.kit.loaded import LoadedPrograms
from tests.kit.receiver import TOKEN
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.by_hand import Answer, failed_job, here, on, run, typed

NOBODY = str(uuid4())
HAS_PSQL = shutil.which("psql") is not None
DEBUGGING = MarkdownFile(ROOT / "docs" / "dev" / "debugging.md").blocks("sh")
pytestmark = pytest.mark.usefixtures("untouched_logging")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    """Start a system in a folder, as `make dev` does.

    The last test starts its housekeeping.
    """
    folder = tmp_path_factory.mktemp("by_hand") / ".devstack"
    settings = SHORT | {"WEBHOOK_TOKEN_ACME": TOKEN}
    with System(
        folder, settings=settings, openai_seconds=0.3, housekeeping=False, traces=True, launch=loaded
    ) as running:
        yield running
        running.housekeeping.stop(8)


def say(system: System, *words: str) -> Answer:
    return here(*words, DATABASE_URL=system.state["database_url"])


def listed(system: System, *words: str) -> list[dict[str, Any]]:
    done = say(system, "jobs", *words, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_the_commands_to_paste_retry_a_failed_job_and_pay_once(system: System, world: World) -> None:
    """From the list to the note: one note, one GPT-4 call, the same job and trace.

    The commands run unchanged on a job with their id, so this test is the first: no other ticket has their number
    yet.
    """
    block = next(block for block in blocks("sh") if block.startswith("ai-agents jobs"))
    job_id = block.split("ai-agents show ")[1].split()[0]
    ticket_id = block.split("--ticket ")[1].split()[0]
    subject = "VPN does not connect, by hand"
    row = failed_job(world, subject, id=ticket_id)
    with world.admin() as connection:
        connection.execute("UPDATE jobs SET id = %s WHERE id = %s", (job_id, row["id"]))
    world.clear_faults()
    done = typed(block, system.folder, DATABASE_URL=system.state["database_url"])
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

    again = say(system, "retry", job_id, NOBODY)
    assert (again.returncode, again.stdout) == (1, "0 jobs wait again.\n")
    assert f"Not retried: {job_id}: it is completed" in again.stderr
    assert f"Not retried: {NOBODY}: no job has this id" in again.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_commands_of_documents_do_what_these_say(system: System, world: World) -> None:
    """A signed webhook, a grep for a ticket's story, and a job debugged step by step.

    It uses the ticket that was retried before, whose number they all have.
    """
    by_hand, *checks = (block for block in blocks("sh") if block.startswith("body="))
    grep = next(block for block in blocks("sh") if block.startswith("grep "))
    ticket_id = grep.split("ticket_id: ")[1].split(",")[0]
    job_id = str(world.ended(ticket_id)["id"])
    folder = system.folder.parent
    key = system.state["tenants"]["acme"]
    known = {"API_URL": system.state["api_url"], "WEBHOOK_SECRET_ACME": key, "WEBHOOK_TOKEN_ACME": TOKEN}
    sent = typed(by_hand, folder, **known).stdout
    assert "202" in sent.splitlines()[0]
    assert '"job_id"' in sent
    assert len(checks) == 2
    for check in checks:
        verified = typed(check, folder, **known).stdout
        assert "200" in verified.splitlines()[0]
        assert json.loads(verified.splitlines()[-1]) == {"status": "verified", "tenant_id": "acme"}
    assert system.api.log_path.read_text("utf-8").count("Webhook checked: tenant_id=acme | ") == 2
    found = typed(grep, folder).stdout
    for phrase in ("Webhook received", "Job queued", "Task started", "Task completed"):
        assert phrase in found
    steps = "\n".join(block.text for block in DEBUGGING if HAS_PSQL or "psql" not in block.text)
    debugged = typed(steps.replace("01936b2e-7c1a-7000-8000-0123456789ab", job_id), folder).stdout
    for told in (f"{job_id}: completed", "Task completed", "chat/completions", f"requests/{ticket_id}/notes"):
        assert told in debugged
    assert re.search(r" UTC +1 +claimed$", debugged, re.MULTILINE)
    assert re.search(r"^ *(?:[|`]--|[├└]──) Worker .* ok +worker +\|.*#", debugged, re.MULTILINE)
    assert not HAS_PSQL or re.search(r"^state +\| completed$", debugged, re.MULTILINE)


def test_all_that_failed_of_one_tenant_is_tried_again_and_no_other(system: System, world: World) -> None:
    """`retry --failed` takes the list of `jobs --state failed`; stdout is JSON only."""
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
    asked = say(system, "retry", "--failed", *for_globex)
    assert (asked.returncode, world.job(rows[0]["ticket_id"], "globex")["state"]) == (2, "failed")
    assert "give --yes to retry these without being asked" in asked.stderr
    assert all(job_id in asked.stdout for job_id in ids)
    # Excluded jobs do not count for the limit: they are among the oldest each time.
    done = on(system, "retry", "--failed", *for_globex, "--limit", "2", "--json", "--yes")
    assert (done.returncode, "1 left out" in done.stderr) == (0, True)
    assert [job["job_id"] for job in json.loads(done.stdout)] == ids[::-1]
    for row in rows:
        ticket_id = row["ticket_id"]
        wait_for(lambda ticket_id=ticket_id: world.ended(ticket_id, "globex")["state"] == "completed")  # type: ignore[misc]
        assert len(world.notes(ticket_id, "globex")) == 1
    assert world.job(other["ticket_id"])["state"] == "failed"
    none = say(system, "retry", "--failed", *for_globex)
    assert (none.returncode, none.stdout, none.stderr) == (
        0,
        "0 jobs wait again.\n",
        "1 left out: another job of the ticket did it, or may.\n",
    )


def test_the_list_is_a_table_for_people_and_lines_for_pipes(system: System, world: World) -> None:
    """A head and one line a job; excluded and missing jobs are named on stderr."""
    tickets = []
    for number in range(2):
        # In sequence: of two concurrent webhooks either may be accepted first.
        tickets.append(world.create_ticket(f"Printer prints blank pages {number}"))
        world.ended(tickets[-1])
    piped = on(system, "jobs", "--ticket", tickets[1])
    words = ("jobs --tenant nobody", "jobs --limit 2 --json", f"show {NOBODY}")
    nothing, limited, unknown = (say(system, *each.split()) for each in words)
    head, line = piped.stdout.splitlines()
    assert head.split() == ["JOB", "TENANT", "TICKET", "STATE", "TRY", "AGE", "TIME", "REASON"]
    assert line.split()[:5] == [str(world.job(tickets[1])["id"]), "acme", tickets[1], "completed", "1"]
    assert len(line) <= 100
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "No job matches.\n")
    assert [job["ticket_id"] for job in json.loads(limited.stdout)] == tickets[::-1]
    assert "there are more: see --limit" in limited.stderr
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert f"No job has the id {NOBODY}" in unknown.stderr


def test_what_a_dry_run_would_have_written_is_shown_and_no_other_answer(system: System, world: World) -> None:
    """A job with another reason, or one that waits again, shows none."""
    job_id = str(world.ended(world.create_ticket("Projector stays dark"))["id"])
    with world.admin() as connection:
        for state, reason in (("skipped", "ticket closed"), ("waiting", "dry run"), ("skipped", "dry run")):
            connection.execute(
                "UPDATE jobs SET state = %s, reason = %s, note_id = NULL, due_at = now() + interval '1 hour'"
                " WHERE id = %s",
                (state, reason, job_id),
            )
            connection.commit()
            shown, machine = say(system, "show", job_id), say(system, "show", job_id, "--json", "--events")
            is_there = (state, reason) == ("skipped", "dry run")
            assert ("the ticket's note would be:\n\nEnhancement (written by" in shown.stdout) is is_there
            assert ("dry_run_note" in json.loads(machine.stdout)) is is_there
            assert (f"Ref {job_id}" in shown.stdout, shown.stderr) == (is_there, "")


def test_a_missing_setting_is_status_78_and_a_database_that_is_away_75() -> None:
    """With a sentence on stderr, since stdout is for JSON."""
    missing = run("jobs", "--json")
    assert (missing.returncode, missing.stdout) == (78, "")
    assert "Start refused: DATABASE_URL is missing" in missing.stderr
    away = here("show", NOBODY, DATABASE_URL="postgresql://ai_agents@127.0.0.1:1/ai_agents")
    assert (away.returncode, away.stdout) == (75, "")
    assert "Start refused: the database does not answer" in away.stderr


def test_a_mistake_of_ours_is_status_70(system: System, world: World) -> None:
    """Never 1, which describes a job."""
    with world.admin() as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION list_jobs FROM ai_agents")
    try:
        done = on(system, "jobs", "--json")
    finally:
        with world.admin() as connection:
            connection.execute("GRANT EXECUTE ON FUNCTION list_jobs TO ai_agents")
    assert (done.returncode, done.stdout) == (70, "")
    assert "Process error: unexpected failure | exception: " in done.stderr


@pytest.mark.slow
def test_housekeeping_purges_what_is_old_and_keeps_what_the_desk_lists(system: System, world: World) -> None:
    """Old answers, old rows and unlisted copies go; a listed copy is renewed."""
    tickets = [world.create_ticket(f"Screen flickers {number}") for number in range(2)]
    for ticket_id in tickets:
        assert world.ended(ticket_id)["state"] == "completed"
    with world.admin() as connection:
        for ticket_id, days in zip(tickets, (31, 91), strict=True):
            connection.execute(
                "UPDATE jobs SET finished_at = now() - make_interval(days => %s) WHERE ticket_id = %s",
                (days, ticket_id),
            )
        for ticket_id in (*tickets, "gone"):
            connection.execute(
                "INSERT INTO tickets (tenant_id, ticket_id, subject, description, resolution, status, synced_at)"
                " VALUES ('acme', %s, 's', 'd', 'r', 'Closed', now() - interval '31 days')",
                (ticket_id,),
            )
    process = system.housekeeping
    system.restart(process)
    wait_for(lambda: "Purged by age: answers=2, copies=1, jobs=1" in process.output())
    assert (world.job(tickets[0])["enhancement"], world.job(tickets[1])) == (None, {})
    with world.admin() as connection:
        left = {row[0] for row in connection.execute("SELECT ticket_id FROM tickets").fetchall()}
    assert left >= {*tickets}
    assert "gone" not in left
