"""Operators' input and output: times, tables, job histories, next actions."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from integrations.resilience import DeskHoldReason, HoldReason
from storage.by_hand import Details, Happened
from storage.jobs import ALREADY_ENHANCED, DRY_RUN, DUPLICATE, FORGOTTEN, LEFT_OUT, SIGNED_BY_PREVIOUS
from support.cli import main
from support.show_job import for_machines, next_step, note_text, story
from support.tables import as_json
from tests.support.known import JOB_ID, NOW, job

WAITING = job("waiting")
FAILED = replace(WAITING, state="failed", reason="ServiceDesk Plus API error: 401", attempt=8, finished_at=NOW)


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((None, None), "124 of tenant acme, event"),
        (("123640000000240013", "124"), "124 of tenant acme, in the desk 123640000000240013, event"),
        (("124", "7"), "124 of tenant acme, shown to people as 7, event"),
    ],
)
def test_a_story_tells_both_numbers_of_a_ticket(numbers: tuple[str | None, str | None], told: str) -> None:
    job = replace(WAITING, desk_id=numbers[0], display_id=numbers[1])
    assert told in story(job)
    assert (for_machines(job)["desk_id"], for_machines(job)["display_id"]) == numbers


KEY = "SERVICEDESK_API_KEY_ACME, in the cloud SERVICEDESK_REFRESH_TOKEN_ACME"
NEXT = [
    (WAITING, "in the queue for attempt 1 for 3s"),
    (replace(WAITING, attempt=2, due_at=NOW + timedelta(seconds=12)), "waits for attempt 3, due in 12s"),
    *(
        (replace(WAITING, due_at=NOW + timedelta(seconds=12), reason=reason.value), f"due in 12s: {mend}")
        for reason, mend in zip(HoldReason, ("give the model", "add credit", "mend", "ask"), strict=True)
    ),
    *(
        (replace(WAITING, due_at=NOW + timedelta(seconds=12), reason=reason.value), f"{mend}, and it goes on by itself")
        for reason, mend in zip(
            DeskHoldReason, (f"desk a valid key ({KEY})", f"({KEY}) the right to add notes"), strict=True
        )
    ),
    (replace(WAITING, published_at=None), "the relay, in the API, queues it within seconds"),
    (
        replace(WAITING, published_at=None, due_at=NOW - timedelta(seconds=40)),
        "due for 40s and not queued: see whether the API runs and Redis answers",
    ),
    (replace(WAITING, deadline_at=NOW), "its deadline has passed"),
    (
        replace(WAITING, state="running", attempt=1, lease_until=NOW + timedelta(seconds=9)),
        "a worker is at attempt 1: wait",
    ),
    (replace(WAITING, state="running", attempt=1, lease_until=NOW), "its worker fell silent"),
    (replace(WAITING, state="completed"), "nothing: the note is in the ticket"),
    (replace(WAITING, state="skipped", reason=DUPLICATE), "nothing: another job does the work"),
    (replace(WAITING, state="skipped", reason=FORGOTTEN), "its ticket was forgotten"),
    (replace(WAITING, state="skipped", reason="closed"), f"`ai-agents retry {JOB_ID}`"),
    (replace(WAITING, state="skipped", reason=LEFT_OUT), "unless the ticket or its tenant's rules have changed since"),
    (replace(WAITING, state="skipped", reason=ALREADY_ENHANCED), f"wanted, `ai-agents retry {JOB_ID}`"),
    (
        replace(WAITING, state="skipped", reason=ALREADY_ENHANCED, dry_run_job=UUID(int=7)),
        f"`ai-agents retry {JOB_ID}`; a dry run of it: `ai-agents show {UUID(int=7)}`",
    ),
    (replace(WAITING, state="skipped", reason=DRY_RUN, answered=True), "posts this answer unpaid"),
    (replace(WAITING, state="skipped", reason=DRY_RUN), "asks GPT-4 again"),
    (FAILED, f"mend what the reason names, then `ai-agents retry {JOB_ID}`"),
    (replace(FAILED, answered=True), "the answer of GPT-4 is kept"),
]


@pytest.mark.parametrize(("job", "says"), NEXT)
def test_one_sentence_says_what_follows_or_what_to_do(job: Details, says: str) -> None:
    assert says in next_step(job)
    assert f"next      {next_step(job)}" in story(job)


def test_a_story_tells_each_step() -> None:
    ended = replace(
        FAILED,
        started_at=NOW - timedelta(seconds=2),
        model="gpt-6-luna",
        note_attempted_at=NOW - timedelta(seconds=1),
        lease_owner="host:1",
        lease_until=NOW,
    )
    assert story(ended).splitlines()[:-1] == [
        f"Job       {JOB_ID}: failed",
        "ticket    124 of tenant acme, event ticket.created",
        "accepted  2026-03-01 09:29:57 UTC, 3s ago",
        "queued    2026-03-01 09:29:57 UTC, 3s ago",
        "started   2026-03-01 09:29:58 UTC, 2s ago, attempt 8",
        "answered  yes, erased since",
        "note      not confirmed: posting began 2026-03-01 09:29:59 UTC, 1s ago",
        "ended     2026-03-01 09:30:00 UTC, 0s ago, 3s after it was accepted",
        "reason    ServiceDesk Plus API error: 401",
        "deadline  2026-03-01 10:00:00 UTC, in 30m00s",
        "trace     0af7651916cd43dd8448eb211c80319c",
        "lease     host:1, until 2026-03-01 09:30:00 UTC",
    ]
    assert "answered  yes, by gpt-6-luna" in story(replace(ended, answered=True))
    assert "note      in the ticket, as 7" in story(replace(ended, note_id="7"))


def test_a_job_tells_that_its_webhook_was_signed_by_the_previous_secret() -> None:
    told = story(FAILED, None, None, SIGNED_BY_PREVIOUS)
    assert ", 3s ago, signed by the previous secret: the desk still had the old one" in told
    assert for_machines(FAILED, None, None, SIGNED_BY_PREVIOUS)["remark"] == SIGNED_BY_PREVIOUS
    assert "previous secret" not in story(FAILED)


def test_a_job_tells_its_events_behind_its_story_when_asked() -> None:
    events = [Happened(NOW, 0, "accepted", None), Happened(NOW, 1, "held back", "desk unavailable")]
    assert story(FAILED, events).removeprefix(story(FAILED)).splitlines() == [
        *("", ""),
        "AT                       TRY  WHAT       REASON",
        "2026-03-01 09:30:00 UTC  0    accepted",
        "2026-03-01 09:30:00 UTC  1    held back  desk unavailable",
    ]
    told = json.loads(as_json(for_machines(FAILED, events)))
    assert told.pop("events")[1] == {
        "at": "2026-03-01T09:30:00.000Z",
        "attempt": 1,
        "what": "held back",
        "reason": "desk unavailable",
    }
    assert told == json.loads(as_json(for_machines(FAILED)))


# Line ends, cursor commands, direction marks, invisible characters, and a lone surrogate.
COMMANDS = "\n\r\x1b\x07\x7f\x9b\u200e\u200f\u202a\u202e\u2066\u2069\ufeff\u2028\ud800"


def test_nothing_from_outside_speaks_to_the_terminal() -> None:
    """The model's name and the note's id are external."""
    job = replace(FAILED, model=f"gpt{COMMANDS}", note_id=f"7{COMMANDS}", answered=True)
    told = story(job)
    assert not any(character in told for character in COMMANDS if character != "\n")
    assert told.count("\n") == story(replace(job, model="gpt", note_id="7")).count("\n")
    machine = as_json({"model": job.model, "name": "Zoë"})
    assert not any(character in machine for character in COMMANDS if character != "\n")
    assert json.loads(machine) == {"model": job.model, "name": "Zoë"}
    machine.encode()


def test_the_note_of_a_dry_run_is_lines_of_text_behind_the_story() -> None:
    """The model's text must be neither markup nor a terminal command."""
    texts = {"summary": f"Mail <b> &amp;#27; full{COMMANDS[1:]}.\nTwo lines", "likely_cause": "", "documents": []}
    similar = [{"ticket_id": "7", "relevance": "The same."}]
    answer, job = texts | {"next_steps": ["One", "Two"], "similar_tickets": similar}, replace(FAILED, model="gpt")
    note = note_text(answer, replace(job, model=f"gpt{COMMANDS[1:]}"))
    lines = note.splitlines()
    assert lines[1:] == [
        *("Ideas of the model, not from your desk", "- One", "- Two", "From your desk", "- #7: The same."),
        *("In short: Mail <b> &amp;#27; full.", "Two lines", f"Ref {JOB_ID}"),
    ]
    assert lines[0].startswith("Enhancement (written by gpt;")
    asked = note_text(answer, replace(job, refresh="asked"))
    assert asked.startswith("Updated because it was asked for.\nEnhancement")
    assert "a further one: asked" in story(replace(job, refresh="asked"))
    assert story(FAILED, None, note) == f"{story(FAILED)}\n\nWithout the dry run the ticket's note would be:\n\n{note}"
    assert for_machines(FAILED, None, note) == for_machines(FAILED) | {"dry_run_note": note}


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--tenant", "acme"],
        ["--ticket", "7"],
        ["--tenant", "Acme!", "--ticket", "7"],
        ["--tenant", "acme", "--ticket", " "],
        ["--tenant", "acme", "--requester", "Robin"],
        ["--tenant", "acme", "--ticket", "7", "--all"],
        ["--tenant", "acme", "--ticket", "7", "--json"],
    ],
)
def test_what_is_not_understood_erases_nothing(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 before any setting is read; the output omits the address."""
    with pytest.raises(SystemExit) as ended:
        main(["forget", *words])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert "ai-agents forget: error: " in printed.err
    assert "Robin" not in printed.err


@pytest.mark.parametrize(
    "words",
    [
        ["show", "12345"],
        ["retry"],
        ["retry", "12345"],
        ["retry", "--failed"],
        ["retry", str(JOB_ID), "--failed", "--since", "2h"],
        ["retry", str(JOB_ID), "--tenant", "acme"],
        ["jobs", "--since", "yesterday"],
        ["jobs", "--state", "lost"],
        ["jobs", "--limit", "0"],
        ["documents", "add", "handbook.md"],
        ["documents", "add", "--tenant", "acme"],
        ["documents", "remove", "--tenant", "acme"],
        ["documents", "list", "handbook.md", "--tenant", "acme"],
        ["documents", "delete", "handbook.md", "--tenant", "acme"],
    ],
)
def test_what_is_not_understood_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert re.search(rf"ai-agents( {words[0]}( add| remove)?)?: error: ", printed.err)
