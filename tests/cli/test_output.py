"""Input and output of the command: times, tables, job histories, next actions, exit statuses."""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cli.arguments import moment
from cli.database import run_within
from cli.main import main
from cli.pilot.postgres import Postgres
from cli.show import for_machines, for_people, next_step
from cli.terminal import as_json, table
from integrations.resilience import DeskHoldReason, HoldReason
from jobs.details import Details, Happened
from jobs.repository import ALREADY_ENHANCED, DRY_RUN, DUPLICATE, HELD_OUT, LEFT_OUT, SIGNED_BY_PREVIOUS
from observability.formats import age, duration
from privacy.tombstones import FORGOTTEN
from tests.jobs.diagnosis.known import JOB_ID, NOW, ago, job
from workflow.note import to_text

MARCH = datetime(2026, 3, 1, 3, 0, 0, tzinfo=UTC)


def test_a_time_is_so_long_ago_or_an_iso_time_in_utc_unless_it_names_a_zone() -> None:
    for given, seconds in (("45s", 45), ("30m", 1800), ("2h", 7200), ("3d", 259_200)):
        assert abs((datetime.now(UTC) - moment(given)).total_seconds() - seconds) < 5
    for given in ("2026-03-01T03:00", "2026-03-01 03:00:00Z", "2026-03-01T04:00:00+01:00"):
        assert (moment(given), moment("2026-03-01")) == (MARCH, MARCH.replace(hour=0))
    for given in ("", "2", "h", "2w", "-2h", "1.5h", "yesterday", "999999d", "9999999h", "2026-13-01"):
        with pytest.raises(argparse.ArgumentTypeError, match="neither like 2h, 30m or 3d nor an ISO time"):
            moment(given)


def test_spans_of_time_are_short_and_never_negative() -> None:
    told = ["0s", "0s", "59s", "1m05s", "2h10m", "4d03h"]
    assert [duration(seconds) for seconds in (-1, 0, 59.9, 65, 7800, 356_400)] == told
    assert [age(seconds) for seconds in (-1, 9, 200, 7800, 356_400)] == ["0s", "9s", "3m", "2h", "4d"]


def test_a_table_has_one_line_a_row_and_a_second_in_a_narrow_terminal() -> None:
    rows = [("1", "acme", "short"), ("22", "a", "a reason of some length"), ("3", "globex", "")]
    assert table(("JOB", "TENANT", "REASON"), rows, None).splitlines() == [
        "JOB  TENANT  REASON",
        "1    acme    short",
        "22   a       a reason of some length",
        "3    globex",
    ]
    narrow = table(("JOB", "TENANT", "REASON"), rows, 25).splitlines()
    assert narrow[2:] == ["22   a", "    a reason of some length", "3    globex"]


WAITING = job("waiting")
FAILED = replace(WAITING, state="failed", reason="ServiceDesk Plus API error: 401", attempt=8, finished_at=NOW)
SOON: dict[str, Any] = {"due_at": NOW + timedelta(seconds=12)}
AT_WORK: dict[str, Any] = {"state": "running", "attempt": 1}


def skipped(reason: str, **more: Any) -> Details:
    return replace(WAITING, state="skipped", reason=reason, **more)


KEY = "`ai-agents check --tenant acme` names its setting; it then resumes by itself"
FIXES = ["give the model", "add credit", "correct the model", "ask"]
DESK_FIXES = [f"tenant's desk a valid key: {KEY}", f"the right to add notes: {KEY}"]
NEXT = [
    (WAITING, "attempt 1 queued for 3s, behind older jobs"),
    (replace(WAITING, attempt=2, **SOON), "attempt 3 is due in 12s"),
    *((replace(WAITING, reason=each, **SOON), fix) for each, fix in zip(HoldReason, FIXES, strict=True)),
    *((replace(WAITING, reason=each, **SOON), fix) for each, fix in zip(DeskHoldReason, DESK_FIXES, strict=True)),
    (replace(WAITING, published_at=None), "attempt 1 is due: the relay (in the API) queues it within seconds"),
    (replace(WAITING, published_at=None, due_at=ago(40)), "due for 40s but not queued: check that the API runs"),
    (replace(WAITING, deadline_at=NOW), "its deadline has passed"),
    (replace(WAITING, lease_until=NOW + timedelta(seconds=9), **AT_WORK), "wait: a worker runs attempt 1"),
    (replace(WAITING, lease_until=NOW, **AT_WORK), "its worker is lost"),
    (replace(WAITING, state="completed"), "nothing: the note is in the ticket"),
    (skipped(DUPLICATE), "nothing: another job handles its webhook"),
    (skipped(FORGOTTEN), "the data of its ticket was erased"),
    (skipped("closed"), f"`ai-agents retry {JOB_ID}`"),
    (skipped(LEFT_OUT), "unless the ticket or the tenant's rules have changed"),
    (skipped(ALREADY_ENHANCED), f"for a second note, `ai-agents retry {JOB_ID}`"),
    (skipped(ALREADY_ENHANCED, dry_run_job=UUID(int=7)), f"; a dry run of it: `ai-agents show {UUID(int=7)}`"),
    (skipped(DRY_RUN, answered=True), "posts this answer without a new call"),
    (skipped(HELD_OUT), f"for a note, `ai-agents retry {JOB_ID}`"),
    (skipped(DRY_RUN), "calls GPT-4 again"),
    (FAILED, f"fix the reason, then `ai-agents retry {JOB_ID}`"),
    (replace(FAILED, answered=True), "the answer of GPT-4 is reused"),
]


@pytest.mark.parametrize(("job", "says"), NEXT)
def test_one_sentence_says_what_follows_or_what_to_do(job: Details, says: str) -> None:
    assert says in next_step(job)
    assert f"next      {next_step(job)}" in for_people(job)


def test_a_story_tells_each_step() -> None:
    ended = replace(FAILED, started_at=ago(2), model="gpt-6-luna", note_attempted_at=ago(1))
    ended = replace(ended, lease_owner="host:1", lease_until=NOW)
    assert for_people(ended).splitlines()[:-1] == [
        f"Job       {JOB_ID}: failed",
        "ticket    124 of tenant acme, event ticket.created",
        "accepted  2026-03-01 09:29:57 UTC, 3s ago",
        "queued    2026-03-01 09:29:57 UTC, 3s ago",
        "started   2026-03-01 09:29:58 UTC, 2s ago, attempt 8",
        "answered  yes, erased since",
        "note      not confirmed: posting started 2026-03-01 09:29:59 UTC, 1s ago",
        "ended     2026-03-01 09:30:00 UTC, 0s ago, 3s after it was accepted",
        "reason    ServiceDesk Plus API error: 401",
        "deadline  2026-03-01 10:00:00 UTC, in 30m00s",
        "trace     0af7651916cd43dd8448eb211c80319c",
        "lease     host:1, until 2026-03-01 09:30:00 UTC",
    ]
    assert "answered  yes, by gpt-6-luna" in for_people(replace(ended, answered=True))
    unchecked = replace(ended, answered=True, is_unchecked=True)
    assert "answered  yes, by gpt-6-luna, claims not checked" in for_people(unchecked)
    assert "note      in the ticket, as 7" in for_people(replace(ended, note_id="7"))
    assert "a further one: asked" in for_people(replace(ended, refresh="asked"))
    of_cloud = replace(ended, desk_id="123640000000240013", display_id="124")
    assert "124 of tenant acme, desk id 123640000000240013, event" in for_people(of_cloud)
    assert for_machines(of_cloud).items() >= {"desk_id": "123640000000240013", "display_id": "124"}.items()
    of_cloud = replace(ended, desk_id="124", display_id="7")
    assert "124 of tenant acme, display id 7, event" in for_people(of_cloud)


def test_a_job_tells_its_events_and_the_remark_on_its_webhook() -> None:
    events = [Happened(NOW, 0, "accepted", None), Happened(NOW, 1, "held back", "desk unavailable")]
    assert for_people(FAILED, events).removeprefix(for_people(FAILED)).splitlines()[2:] == [
        "AT                       TRY  EVENT      REASON",
        "2026-03-01 09:30:00 UTC  0    accepted",
        "2026-03-01 09:30:00 UTC  1    held back  desk unavailable",
    ]
    document = json.loads(as_json(for_machines(FAILED, events)))
    held_back = {"at": "2026-03-01T09:30:00.000Z", "attempt": 1, "what": "held back", "reason": "desk unavailable"}
    assert document.pop("events")[1] == held_back
    assert document == json.loads(as_json(for_machines(FAILED)))
    by_previous = for_people(FAILED, None, None, SIGNED_BY_PREVIOUS)
    assert ", 3s ago, signed by the previous secret: the desk still used the old secret" in by_previous
    assert for_machines(FAILED, None, None, SIGNED_BY_PREVIOUS)["remark"] == SIGNED_BY_PREVIOUS
    assert "previous secret" not in for_people(FAILED)


# Line ends, cursor commands, direction marks, invisible characters, and a lone surrogate.
COMMANDS = "\n\r\x1b\x07\x7f\x9b\u200e\u200f\u202a\u202e\u2066\u2069\ufeff\u2028\ud800"


def test_text_from_outside_does_not_control_the_terminal() -> None:
    job = replace(FAILED, model=f"gpt{COMMANDS}", note_id=f"7{COMMANDS}", answered=True)
    page = for_people(job)
    assert not any(character in page for character in COMMANDS if character != "\n")
    assert page.count("\n") == for_people(replace(job, model="gpt", note_id="7")).count("\n")
    machine = as_json({"model": job.model, "name": "Zoë"})
    assert not any(character in machine for character in COMMANDS if character != "\n")
    assert json.loads(machine) == {"model": job.model, "name": "Zoë"}
    machine.encode()


def test_a_dry_runs_note_is_plain_text_after_the_events() -> None:
    sources = [{"id": "T1", "kind": "ticket", "number": "7", "gives": "The same."}]
    answer: dict[str, Any] = {"next_steps": [{"text": "One"}, {"text": "Two"}], "sources": sources}
    answer["summary"] = f"Mail <b> &amp;#27; full{COMMANDS[1:]}.\nTwo lines"
    job = replace(FAILED, model="gpt")
    note = to_text(answer, job.id, f"gpt{COMMANDS[1:]}")
    first, *lines = note.splitlines()
    assert first == "Cause not known yet"
    assert lines == [
        *("General advice, no source: ", "- One", "- Two", "Found for this ticket: ", "#7: The same."),
        *("In short: Mail <b> &amp;#27; full.", "Two lines", f"Written by gpt, please check - Ref {JOB_ID}"),
    ]
    asked = to_text(answer, job.id, job.model or "", "asked")
    assert asked.startswith("Updated on request.\nCause not known yet\n")
    shown = f"{for_people(FAILED)}\n\nNote that was not posted (dry run):\n\n{note}"
    assert for_people(FAILED, None, note) == shown
    assert for_machines(FAILED, None, note) == for_machines(FAILED) | {"dry_run_note": note}


@pytest.mark.parametrize(
    "words",
    [
        *("show 12345", "retry", "retry 12345", "retry --failed", f"retry {JOB_ID} --failed --since 2h"),
        *(f"retry {JOB_ID} --tenant acme", "jobs --since yesterday", "jobs --state lost", "jobs --limit 0"),
        *("documents add handbook.md", "documents add --tenant acme", "documents remove --tenant acme"),
        *("documents list handbook.md --tenant acme", "documents delete handbook.md --tenant acme"),
        *("diagnose", "diagnose --tenant acme", "diagnose --ticket 12a", "diagnose --job 7"),
        *(f"diagnose --ticket 7 --job {JOB_ID}", "diagnose --ticket 7 --tenant A!", "trace", "trace --ticket 12a"),
        *("trace --job 1", f"trace --ticket 1 --job {JOB_ID}", "trace --traces="),
        *("forget", "forget --tenant acme", "forget --ticket 7", "forget --tenant Acme! --ticket 7"),
        *("forget --tenant acme --ticket= ", "forget --tenant acme --requester Robin"),
        *("forget --tenant acme --ticket 7 --all", "forget --tenant acme --ticket 7 --json"),
        *("signing-kit --tenant acme --form script --url api.example.com/webhook",),
        *(f"signing-kit --tenant acme --form script --url https://{url}" for url in ("a.b", "a.b/webhook?x=1")),
        "signing-kit --tenant acme --form script --url https://a'b/webhook",
    ],
)
def test_unknown_arguments_exit_with_status_2(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split(" "))
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert "error: " in printed.err
    assert "Robin" not in printed.err
    assert ("ends in /webhook" in printed.err) == ("--url" in words)


FULL = Path("/dev/full")
KIT = "signing-kit --tenant acme --url https://api.example.com/webhook --form"


def printed(words: str, output: int, **settings: str) -> "subprocess.CompletedProcess[str]":
    command, error = [sys.executable, "-m", "cli.main", *words.split()], subprocess.PIPE
    settings["PATH"] = os.environ["PATH"]
    return subprocess.run(command, env=settings, stdout=output, stderr=error, text=True, check=False, timeout=60)


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("words", "unbuffered"), [(f"{KIT} token", ""), ("migrate", ""), ("jobs --json", "1"), (f"{KIT} script", "1")]
)
def test_a_full_disk_is_status_70_with_its_reason(words: str, unbuffered: str, server: Postgres) -> None:
    settings = {"DATABASE_URL": server.url, "DATABASE_ADMIN_URL": server.admin_url, "PYTHONUNBUFFERED": unbuffered}
    with FULL.open("wb") as full:
        result = printed(words, full.fileno(), **settings)
    assert (result.returncode, "Traceback" in result.stderr, "Exception ignored" in result.stderr) == (70, False, False)
    assert result.stderr.endswith("The output can't be written: No space left on device.\n")


@pytest.mark.parametrize(("words", "status"), [(f"{KIT} script", 0), ("check --json", 78)])
def test_a_reader_that_has_left_changes_no_status(words: str, status: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = printed(words, writing)
    os.close(writing)
    assert (result.returncode, result.stderr) == (status, "")


def test_a_closed_output_is_refused_before_anything_is_done() -> None:
    command = ["sh", "-c", '"$@" >&-', "-", sys.executable, "-m", "cli.main", "migrate"]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (70, "The output can't be written: it is closed.\n")


async def look_up(hangs: threading.Event | None = None) -> str:
    """Return a value from a thread of the loop; a hanging thread is abandoned."""
    loop = asyncio.get_running_loop()
    if hangs is not None:
        loop.run_in_executor(None, hangs.wait)
    return await loop.run_in_executor(None, lambda: "found")


async def hang(until: threading.Event) -> None:
    """Block the loop and ignore cancellation, like a driver whose server is frozen."""
    until.wait()


def test_work_leaves_with_its_result_or_failure_and_waits_for_nothing() -> None:
    assert run_within(60, look_up()) == "found"
    with pytest.raises(LookupError, match="of the work"):
        run_within(60, fail())
    until = threading.Event()
    try:
        assert run_within(60, look_up(until)) == "found"
        with pytest.raises(TimeoutError):
            run_within(0.01, hang(until))
    finally:
        until.set()


async def fail() -> None:
    raise LookupError("of the work")
