"""Operator commands on a running system: jobs, context, traces and feedback."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from cli.pilot.state_file import read_state
from cli.trace import FROM_EVENTS
from dev.stack.summary import summarise
from dev.stack.system import System
from tests.docs.documents import ROOT, MarkdownFile, first_page_blocks
from tests.kit.loaded import LoadedPrograms
from tests.kit.receiver import TOKEN
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.by_hand import Answer, failed_job, here, typed
from tests.system.collector import STEPS
from tests.system.outcomes import assert_one_note, figures

TENANTS = ("acme", "globex", "initech")
NOBODY = str(uuid4())
HAS_PSQL = shutil.which("psql") is not None
DEBUGGING = MarkdownFile(ROOT / "docs" / "dev" / "debugging.md").blocks("sh")
HANDBOOK = "# Scanner sends empty files\n\nClean the rollers of the scanner on floor two, then restart it.\n"
SUBJECT = "Scanner on floor two sends empty files"
pytestmark = pytest.mark.usefixtures("untouched_logging")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    """Start a system as `make dev ARGS="--traces"` does; until housekeeping starts, no desk is copied."""
    folder = tmp_path_factory.mktemp("by_hand") / ".devstack"
    often = {"SYNC_INTERVAL_SECONDS": "1", "acme.servicedesk.rate_per_minute": 100_000}
    settings = SHORT | often | {"WEBHOOK_TOKEN_ACME": TOKEN}
    with System(
        folder, tenants=TENANTS, settings=settings, openai_seconds=0.3, housekeeping=False, traces=True, launch=loaded
    ) as running:
        yield running
        running.housekeeping.stop(8)


def log_event(system: System, *words: str) -> Answer:
    return here(*words, DATABASE_URL=system.state["database_url"])


def test_the_commands_to_paste_retry_a_failed_job_and_pay_once(system: System, world: World) -> None:
    """They run unchanged on a job with their id, so this is the first test: no other ticket has their number yet."""
    block = next(block for block in first_page_blocks("sh") if block.startswith("ai-agents jobs"))
    job_id = block.split("ai-agents show ")[1].split()[0]
    ticket_id = block.split("--ticket ")[1].split()[0]
    subject = "VPN does not connect, by hand"
    row = failed_job(world, subject, id=ticket_id)
    with world.admin() as connection:
        connection.execute("UPDATE jobs SET id = %s WHERE id = %s", (job_id, row["id"]))
    world.clear_faults()
    done = typed(block, system.folder, DATABASE_URL=system.state["database_url"])
    for part in ("yes, by ", row["reason"], f"`ai-agents retry {job_id}`", "1 job is waiting again"):
        assert part in done.stdout
    line = f"Job requeued: job_id={job_id}, ticket_id={ticket_id}, reason=retried by hand"
    trace_id = row["traceparent"].split("-")[1]
    assert f"{line} | ticket_id: {ticket_id}, tenant_id: acme, job_id: {job_id}, trace_id: {trace_id}" in done.stderr
    assert subject not in done.stdout + done.stderr

    after = wait_for(lambda: (now := world.ended(ticket_id))["state"] == "completed" and now)
    assert (str(after["id"]), after["traceparent"], after["reason"]) == (job_id, row["traceparent"], None)
    assert after["deadline_at"] > row["deadline_at"]
    assert (len(world.notes(ticket_id)), len(world.gpt4_requests(subject))) == (1, 1)
    again = log_event(system, "retry", job_id, NOBODY)
    assert (again.returncode, again.stdout) == (1, "0 jobs are waiting again.\n")
    assert f"Not retried: {job_id}: it is completed" in again.stderr
    assert f"Not retried: {NOBODY}: no job has this id" in again.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_documented_commands_do_what_the_documents_say(system: System, world: World) -> None:
    """With the ticket that was retried before, whose number they all have."""
    by_hand, *checks = (block for block in first_page_blocks("sh") if block.startswith("body="))
    grep = next(block for block in first_page_blocks("sh") if block.startswith("grep "))
    ticket_id = grep.split("ticket_id: ")[1].split(",")[0]
    job_id = str(world.ended(ticket_id)["id"])
    folder, key = system.folder.parent, system.state["tenants"]["acme"]
    known = {"API_URL": system.state["api_url"], "WEBHOOK_SECRET_ACME": key, "WEBHOOK_TOKEN_ACME": TOKEN}
    sent = typed(by_hand, folder, **known).stdout
    assert ("202" in sent.splitlines()[0], '"job_id"' in sent) == (True, True)
    for check in checks:
        verified = typed(check, folder, **known).stdout
        assert "200" in verified.splitlines()[0]
        assert json.loads(verified.splitlines()[-1]) == {"status": "verified", "tenant_id": "acme"}
    assert system.api.log_path.read_text("utf-8").count("Webhook checked: tenant_id=acme | ") == 2
    found = typed(grep, folder).stdout
    assert all(phrase in found for phrase in ("Webhook received", "Job queued", "Task started", "Task completed"))
    steps = "\n".join(block.text for block in DEBUGGING if HAS_PSQL or "psql" not in block.text)
    debugged = typed(steps.replace("01936b2e-7c1a-7000-8000-0123456789ab", job_id), folder).stdout
    for told in (f"{job_id}: completed", "Task completed", "chat/completions", f"requests/{ticket_id}/notes"):
        assert told in debugged
    assert re.search(r" UTC +1 +claimed$", debugged, re.MULTILINE)
    assert re.search(r"^ *(?:[|`]--|[├└]──) Worker .* ok +worker +\|.*#", debugged, re.MULTILINE)
    assert not HAS_PSQL or re.search(r"^state +\| completed$", debugged, re.MULTILINE)


def test_all_that_failed_of_one_tenant_is_tried_again_and_no_other(system: System, world: World) -> None:
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
    listed = log_event(system, "jobs", "--state", "failed", *for_globex, "--json")
    ids = [job["job_id"] for job in json.loads(listed.stdout)]
    assert len(ids) == len(rows) + 1
    ids = [job_id for job_id in ids if job_id in {str(row["id"]) for row in rows}]
    retry = ("retry", "--failed", *for_globex)
    asked = log_event(system, *retry)
    assert (asked.returncode, world.job(rows[0]["ticket_id"], "globex")["state"]) == (2, "failed")
    assert "give --yes to retry these without confirmation" in asked.stderr
    assert all(job_id in asked.stdout for job_id in ids)
    # Excluded jobs do not count for the limit.
    done = log_event(system, *retry, "--limit", "2", "--json", "--yes")
    assert (done.returncode, "1 left out" in done.stderr, "Estimated cost: $" in done.stderr) == (0, True, True)
    assert [job["job_id"] for job in json.loads(done.stdout)] == ids
    for row in rows:
        ticket_id = row["ticket_id"]
        wait_for(lambda ticket_id=ticket_id: world.ended(ticket_id, "globex")["state"] == "completed")  # type: ignore[misc]
        assert len(world.notes(ticket_id, "globex")) == 1
    assert world.job(other["ticket_id"])["state"] == "failed"
    none = log_event(system, *retry)
    assert "Estimated cost" not in none.stderr
    assert (none.returncode, none.stdout) == (0, "0 jobs are waiting again.\n")
    assert none.stderr == "1 left out: another job of the ticket completed, is open, or failed later.\n"


def test_the_list_is_a_table_for_people_and_lines_for_pipes(system: System, world: World) -> None:
    tickets = []
    for number in range(2):
        # In sequence: of two concurrent webhooks either may be accepted first.
        tickets.append(world.create_ticket(f"Printer prints blank pages {number}"))
        world.ended(tickets[-1])
    piped = log_event(system, "jobs", "--ticket", tickets[1])
    words = ("jobs --tenant nobody", "jobs --limit 2 --json", f"show {NOBODY}")
    nothing, limited, unknown = (log_event(system, *each.split()) for each in words)
    head, line = piped.stdout.splitlines()
    assert head.split() == ["JOB", "TENANT", "TICKET", "STATE", "TRY", "AGE", "TIME", "REASON"]
    assert line.split()[:5] == [str(world.job(tickets[1])["id"]), "acme", tickets[1], "completed", "1"]
    assert len(line) <= 100
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "No job matches.\n")
    assert [job["ticket_id"] for job in json.loads(limited.stdout)] == tickets[::-1]
    assert "Limited to the newest 2; raise --limit for more." in limited.stderr
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert f"No job has the id {NOBODY}" in unknown.stderr


def test_a_dry_runs_answer_is_shown_and_no_other_answer(system: System, world: World) -> None:
    job_id = str(world.ended(world.create_ticket("Projector stays dark"))["id"])
    with world.admin() as connection:
        for state, reason in (("skipped", "ticket closed"), ("waiting", "dry run"), ("skipped", "dry run")):
            change = "state = %s, reason = %s, note_id = NULL, due_at = now() + interval '1 hour'"
            connection.execute(f"UPDATE jobs SET {change} WHERE id = %s".encode(), (state, reason, job_id))  # noqa: S608 -- ours
            connection.commit()
            shown, machine = log_event(system, "show", job_id), log_event(system, "show", job_id, "--json", "--events")
            is_there = (state, reason) == ("skipped", "dry run")
            assert ("Note that was not posted (dry run):\n\n" in shown.stdout) is is_there
            assert ("dry_run_note" in json.loads(machine.stdout)) is is_there
            assert (f"Ref {job_id}" in shown.stdout, shown.stderr) == (is_there, "")


def test_hindered_commands_have_their_exit_statuses(system: System, world: World) -> None:
    """Never 1, which describes a job."""
    away = {"DATABASE_URL": "postgresql://ai_agents@127.0.0.1:1/ai_agents"}
    ours = {"DATABASE_URL": system.state["database_url"]}
    with world.admin() as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION list_jobs FROM ai_agents")
    missing, lost, mistaken = (here("jobs", "--json", **settings) for settings in ({}, away, ours))
    with world.admin() as connection:
        connection.execute("GRANT EXECUTE ON FUNCTION list_jobs TO ai_agents")
    for done, status, told in (
        (missing, 78, "Start refused: DATABASE_URL is missing"),
        (lost, 75, "Start refused: the database does not answer"),
        (mistaken, 70, "Process error: unexpected failure | exception: "),
    ):
        assert (done.returncode, done.stdout, told in done.stderr) == (status, "", True)


def documents(system: System, *words: str) -> Answer:
    return here("documents", words[0], "--tenant", "acme", *words[1:], DATABASE_URL=system.state["database_url"])


def context_of(system: System, ticket_id: str, tenant: str) -> str:
    about = f"ticket_id: {ticket_id}, tenant_id: {tenant},"
    lines = system.workers[0].output().splitlines()
    return next(line for line in lines if "Context gathered" in line and about in line)


def test_a_folder_is_added_found_listed_and_removed(system: System, world: World, tmp_path: Path) -> None:
    handbook = tmp_path / "handbook.md"
    handbook.write_text(HANDBOOK)
    (tmp_path / "broken.pdf").write_text("%PDF-1.7")
    added = documents(system, "add", str(tmp_path))
    assert (added.returncode, added.stdout.splitlines()[1].split()) == (1, ["added", "1", str(handbook)])
    assert f"Not read: {tmp_path / 'broken.pdf'}: it is broken" in added.stderr
    assert "updated" in documents(system, "add", str(handbook)).stdout

    ticket_id = world.create_ticket(SUBJECT)
    assert_one_note(world, ticket_id)
    assert "docs=Yes" in context_of(system, ticket_id, "acme")
    assert "handbook: Scanner sends empty files" in str(world.notes(ticket_id))
    assert_one_note(world, elsewhere := world.create_ticket(SUBJECT, "globex"), "globex")
    assert "docs=No" in context_of(system, elsewhere, "globex")

    (body,) = json.loads(documents(system, "list", "--json").stdout)
    assert (body["path"], body["parts"]) == (str(handbook), 1)
    assert documents(system, "remove", str(handbook)).stdout == f"Removed: {handbook}\n"
    gone = documents(system, "remove", str(handbook))
    assert (gone.returncode, gone.stderr) == (1, f"Not there: {handbook}\n")
    assert "No document was added." in documents(system, "list").stderr
    assert documents(system, "add", str(tmp_path / "empty")).returncode == 1


def test_what_is_gone_from_a_folder_or_has_no_name_is_told(system: System, tmp_path: Path) -> None:
    assert documents(system, "add", "").returncode == 2
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text(HANDBOOK)
    assert documents(system, "add", f"{tmp_path}/.").returncode == 0
    (tmp_path / "b.md").unlink()
    again = documents(system, "add", str(tmp_path))
    assert (again.returncode, again.stderr) == (0, f"Removed from its folder but still searched: {tmp_path / 'b.md'}\n")
    gone = json.loads(documents(system, "remove", "--json", f"{tmp_path}//").stdout)
    assert [one["path"] for one in gone] == [str(tmp_path / "a.md"), str(tmp_path / "b.md")]
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/n\xff.md"))
    odd.write_text("x")
    answer = documents(system, "add", str(tmp_path))
    assert (answer.returncode, "its name is not UTF-8" in answer.stderr) == (1, True)


def sync(system: System, *words: str) -> Answer:
    return here("sync", *words, **system.housekeeping.environment)


def test_a_desk_is_copied_to_its_end_and_is_context_from_then_on(system: System, world: World) -> None:
    before = sync(system)
    head, *rows = (line.split() for line in before.stdout.splitlines())
    assert (before.returncode, head[:2]) == (0, ["TENANT", "TICKETS"])
    # The desk's list was never read to its end.
    assert sorted(row[:4] for row in rows) == [[tenant, "0", "0", "0+"] for tenant in TENANTS]
    done = sync(system, "--tenant", "acme")
    assert done.returncode == 0, done.stderr
    _, (_, tickets, solutions, to_read, *_) = (line.split() for line in done.stdout.splitlines())
    assert (int(tickets) > 5, int(solutions) > 3, to_read) == (True, True, "0")
    ticket_id = world.create_ticket("VPN disconnects every few minutes")
    assert_one_note(world, ticket_id)
    assert "ticket_history=Yes" in context_of(system, ticket_id, "acme")
    told = {each["tenant_id"]: each for each in json.loads(sync(system, "--json").stdout)}
    assert told.keys() == {*TENANTS}
    assert told["globex"].keys() >= {"tickets", "solutions", "to_read", "listed", "reaches_back_to", "seconds_left"}


def test_a_desk_that_does_not_answer_is_told_and_what_is_no_desk_too(system: System, world: World) -> None:
    world.desk_fault(kind="status", code=503, tenant="globex", times=99)
    failed = sync(system, "--tenant", "globex")
    assert failed.returncode == 1
    assert "Copy incomplete: ServiceDesk Plus API: 503. Run this again" in failed.stderr
    unknown = sync(system, "--tenant", "hooli")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "hooli has no desk here" in unknown.stderr


def complete(system: System, ticket_id: str, count: int = 1) -> dict[str, Any]:
    """Return the spans of a ticket once it has this many attempts."""

    def found() -> dict[str, Any]:
        done = here("trace", "--ticket", ticket_id, "--traces", system.state["traces"], "--json")
        said: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"spans": []}
        names = [span["name"] for span in said["spans"]]
        return said if "Webhook" in names and sum(name.startswith("Worker") for name in names) == count else {}

    return wait_for(found)


def test_the_trace_of_a_ticket_is_drawn_from_the_files_of_all_processes(system: System, world: World) -> None:
    ticket_id = world.create_ticket("VPN drops, in files")
    job = world.ended(ticket_id)
    body = complete(system, ticket_id)
    trace_id = job["traceparent"].split("-")[1]
    assert (body["job_id"], body["tenant_id"], body["trace_id"]) == (str(job["id"]), "acme", trace_id)
    spans = {span["name"].partition(" (")[0]: span for span in body["spans"]}
    assert spans.keys() >= set(STEPS)
    assert (spans["Webhook"]["process"], spans["Webhook"]["depth"]) == ("ai-agents-api", 0)
    assert {spans[name]["process"] for name in STEPS[1:]} == {"ai-agents-worker"}
    assert [spans[name]["depth"] for name in STEPS[1:]] == [1, 1, 2, 2, 2]
    assert spans["Worker"]["notes"] == ["outcome=completed"]
    shown = here("trace", "--job", str(job["id"]), TRACES_DIR=system.state["traces"])
    assert (shown.returncode, "VPN" in shown.stdout) == (0, False)
    assert [line for line in shown.stdout.splitlines() if line.strip("│ ") == "outcome=completed"]


def test_attempts_are_branches_of_one_tree(system: System, world: World) -> None:
    subject = "VPN drops, and GPT-4 is throttled"
    world.openai_fault(kind="status", code=429, match=subject, times=1)
    ticket_id = world.create_ticket(subject)
    job = world.ended(ticket_id)
    said = complete(system, ticket_id, 2)
    of_events = log_event(system, "trace", "--ticket", ticket_id, "--json")
    assert (of_events.returncode, of_events.stderr) == (0, "")
    body = json.loads(of_events.stdout)
    assert (body["source"], body["job_id"], body["trace_id"]) == (FROM_EVENTS, said["job_id"], said["trace_id"])
    names = [span["name"] for span in body["spans"]]
    assert names == [
        *("Webhook", "Queue", "Worker (attempt 1)", "Context and GPT-4"),
        *("Pause", "Queue", "Worker (attempt 2)", "Context", "GPT-4", "ServiceDesk Update"),
    ]
    assert job["attempt"] == 2
    for one in ("Worker (attempt 1)", "Worker (attempt 2)"):
        of_span, of_event = (next(span for span in by["spans"] if span["name"] == one) for by in (said, body))
        assert of_span["state"] == of_event["state"]
        assert of_span["notes"][0].startswith(of_event["notes"][0])
    kept, known = (
        [datetime.fromisoformat(span["start"]).timestamp() for span in by["spans"] if span["name"] == "Queue"]
        for by in (said, body)
    )
    assert kept == [pytest.approx(moment, abs=0.01) for moment in known]


def test_a_start_tells_the_spans_folder_and_settings_for_commands(system: System, world: World) -> None:
    folder, told = str(system.folder / "traces"), summarise(system, 1.0)
    state = read_state(system.folder)
    assert state is not None
    assert state["traces"] == folder
    (command,) = re.findall(rf"(\S+) trace --ticket <ID> --traces {folder}\n", told)
    assert Path(command).is_file()
    ticket_id = world.create_ticket("VPN drops, asked by hand")
    world.ended(ticket_id)
    ((line, command),) = re.findall(r"  Settings +(.+)  \(.*`(\S+) \.\.\.`\)\n", told)
    diagnose = f"{line}; {command} diagnose --tenant acme --ticket {ticket_id}"

    def asked() -> str:
        printed = typed(diagnose, Path.cwd()).stdout
        return "" if "unchecked" in printed else printed  # a busy machine is too slow for a limit

    assert "desk: it answers, our note is in the ticket" in wait_for(asked)
    assert wait_for(lambda: {path.suffixes[-2:][0] for path in Path(folder).glob("*")}) == {".traces"}


def test_a_note_is_voted_on_measured_when_its_ticket_is_closed_and_told_of(system: System, world: World) -> None:
    system.restart(system.housekeeping)
    ticket_id = world.create_ticket("VPN drops, with feedback", "initech")
    job = world.ended(ticket_id, "initech")
    link = world.feedback_link(ticket_id, "initech")
    assert link.startswith(system.state["feedback_url"] + "/f/")
    assert httpx2.get(link).status_code == 200
    world.vote(ticket_id, "not useful", "initech", reason="nothing new")
    steps = " ".join(world.steps(ticket_id, "initech"))
    world.solve(ticket_id, f"{steps} Replaced cable, port, switch and router.", "initech")
    metrics = f"http://127.0.0.1:{system.housekeeping.environment['METRICS_PORT']}/metrics"
    wait_for(lambda: "ai_agents_note_taken_up_ratio_count{" in httpx2.get(metrics).text)
    done = log_event(system, "feedback", "--tenant", "initech", "--json")
    (row,) = json.loads(done.stdout)
    assert (row["tenant_id"], row["model"], row["notes"], row["votes"]) == ("initech", job["model"], 1, 1)
    assert (row["useful_share"], row["reasons"], row["taken_up_of"]) == (0, {"nothing new": 1}, 1)
    assert 0 < row["taken_up"] < 1
    (counted,) = [name for name in figures(system) if name.startswith("ai_agents_feedback_total")]
    assert ('tenant_id="initech"' in counted, 'vote="not useful"' in counted) == (True, True)
    lines = system.api.output()
    assert f"Feedback recorded: job_id={job['id']}, vote=not useful, reason=nothing new" in lines
    assert link.rpartition("/")[2] not in lines


def test_the_figures_are_of_all_tenants_in_the_settings(system: System, world: World) -> None:
    world.ended(world.create_ticket("VPN drops, at another's", "globex"), "globex")
    known = {name: value for name, value in system.api.environment.items() if name.startswith("WEBHOOK_SECRET_")}
    done = here("feedback", "--days", "7", DATABASE_URL=system.state["database_url"], **known)
    head, *rows = done.stdout.splitlines()
    assert head.split()[:4] == ["TENANT", "PROMPT", "MODEL", "NOTES"]
    assert {row.split()[0] for row in rows} >= {"globex"}
    nobody = log_event(system, "feedback")
    assert (nobody.returncode, nobody.stdout, "Give --tenant." in nobody.stderr) == (0, "", True)
    assert "No notes in the last 30 days." in log_event(system, "feedback", "--tenant", "hooli").stderr
    assert here("feedback", "--days", "100000").returncode == 2


def test_without_a_key_there_is_neither_a_page_nor_a_link(system: System, world: World) -> None:
    off = {"FEEDBACK_URL": "", "FEEDBACK_KEY": ""}
    own = {name: system.api.environment[name] for name in off}
    for process in (system.api, *system.workers):
        system.restart(process, off)
    try:
        ticket_id = world.create_ticket("VPN drops, without feedback")
        world.ended(ticket_id)
        (note,) = world.notes(ticket_id)
        assert "useful" not in note
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(own["FEEDBACK_URL"])
    finally:
        for process in (system.api, *system.workers):
            system.restart(process, own)


@pytest.mark.slow
def test_housekeeping_purges_what_is_old_and_keeps_what_the_desk_lists(system: System, world: World) -> None:
    system.housekeeping.stop(8)
    tickets = [world.create_ticket(f"Screen flickers {number}") for number in range(2)]
    for ticket_id in tickets:
        assert world.ended(ticket_id)["state"] == "completed"
    with world.admin() as connection:
        aged = "UPDATE jobs SET finished_at = now() - make_interval(days => %s) WHERE ticket_id = %s"
        for ticket_id, days in zip(tickets, (31, 91), strict=True):
            connection.execute(aged, (days, ticket_id))
        for ticket_id in (*tickets, "gone"):
            connection.execute(
                "INSERT INTO tickets (tenant_id, ticket_id, subject, description, resolution, status, synced_at)"
                " VALUES ('acme', %s, 's', 'd', 'r', 'Closed', now() - interval '31 days')",
                (ticket_id,),
            )
    system.restart(system.housekeeping)
    wait_for(lambda: "Purged by age: answers=2, copies=1, jobs=1" in system.housekeeping.output())
    assert (world.job(tickets[0])["enhancement"], world.job(tickets[1])) == (None, {})
    with world.admin() as connection:
        left = {row[0] for row in connection.execute("SELECT ticket_id FROM tickets").fetchall()}
    assert (left >= {*tickets}, "gone" in left) == (True, False)
