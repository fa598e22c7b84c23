"""A job's spans, derived from its events alone."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.details import Happened
from jobs.diagnosis import timeline as module
from jobs.diagnosis.timeline import Timeline, TimelineSpan, timeline
from jobs.repository import ANOTHER_FIRST, CONTEXT_INCOMPLETE, CONTEXT_LATE, RECOVERED, REFRESH_BY_HAND
from privacy.tombstones import NAMED_FORGOTTEN
from tests.jobs.diagnosis.known import NOW, ago, job

ROOT = Path(__file__).resolve().parents[3]
# This event gives no span a time.
NO_SPAN = {"accepted"}

FIRST = "60 0 accepted; 50 1 claimed"
ANSWERED = f"{FIRST}; 20 1 answered; 18 1 posting"
DONE = f"{ANSWERED}; 15 1 completed"


def told(state: str, events: str, **row: Any) -> Timeline:
    """Return the timeline of a job accepted a minute ago; events are `<seconds ago> <attempt> <what>[: <reason>]`."""
    happened = []
    for event in events.split("; "):
        seconds, attempt, words = event.split(" ", 2)
        what, _, reason = words.partition(": ")
        happened.append(Happened(ago(float(seconds)), int(attempt), what, reason or None))
    return timeline(job(state, **({"accepted_at": ago(60), "due_at": ago(60)} | row)), happened, NOW)


def line(span: TimelineSpan) -> str:
    """Return a span as text; times in seconds since the webhook, `>` for a step of an attempt."""
    begin, end = ((m - ago(60)).total_seconds() if m else None for m in (span.start, span.end))
    lasted = f"{begin:g}-{'' if end is None else f'{end:g}'}"
    marks = "" if span.state == "ok" else f" {span.state}"
    return f"{'>' * span.level}{span.name} {span.attempt}: {lasted}{marks}{f' ({span.words})' if span.words else ''}"


BEGUN = "Webhook 0: 0-0 | Queue 1: 0-10"
STEPS = ">Context and GPT-4 1: 10-40 | >ServiceDesk Update 1: 40-45"
RETRIED = f"{FIRST}; 45 1 retried: OpenAI API: 429"
REFUSED = "Worker 1: 10-15 failed (OpenAI API: 429) | >Context and GPT-4 1: 10-15 failed (OpenAI API: 429)"
CASES: dict[str, tuple[Timeline, str]] = {
    "completed": (told("completed", DONE), f"{BEGUN} | Worker 1: 10-45 (completed) | {STEPS}"),
    "the event of the answer tells when it was asked for, and context took too long": (
        told("completed", DONE.replace("20 1", f"30 1 {CONTEXT_INCOMPLETE}: {CONTEXT_LATE}; 29.5 1 asked; 20 1")),
        f"{BEGUN} | Worker 1: 10-45 (completed) | >Context 1: 10-30 failed (context gathering timeout)"
        " | >GPT-4 1: 30-40 | >ServiceDesk Update 1: 40-45",
    ),
    "the event of the answer tells when it was asked for": (
        told("completed", DONE.replace("20 1", "45 1 asked; 20 1")),
        f"{BEGUN} | Worker 1: 10-45 (completed) | >Context 1: 10-15 | >GPT-4 1: 15-40 | >ServiceDesk Update 1: 40-45",
    ),
    "waits for a worker": (told("waiting", "60 0 accepted"), "Webhook 0: 0-0 | Queue 1: 0-"),
    "is asked about just now": (told("running", FIRST), f"{BEGUN} | Worker 1: 10- | >Context and GPT-4 1: 10-"),
    "GPT-4 fails once, and the row tells when the retry was due": (
        told("completed", f"{RETRIED}; 40 2 claimed; 20 2 answered; 9 2 completed", due_at=ago(43)),
        f"{BEGUN} | {REFUSED} | Pause 2: 15-17 | Queue 2: 17-20 | Worker 2: 20-51 (completed)"
        " | >Context and GPT-4 2: 20-40 | >ServiceDesk Update 2: 40-51",
    ),
    "the desk is down twice: what is paid for is kept, and a hold does not count": (
        told(
            "waiting",
            f"{ANSWERED}; 17 1 not posted; 16 1 retried: desk down; 12 2 claimed; 11 2 held back: desk unavailable",
            due_at=NOW + timedelta(seconds=4),
        ),
        f"{BEGUN} | Worker 1: 10-44 failed (desk down) | >Context and GPT-4 1: 10-40"
        " | >ServiceDesk Update 1: 40-44 failed (desk down) | Pause and Queue 2: 44-48"
        " | Worker 2: 48-49 held (held back: desk unavailable)"
        " | >ServiceDesk Update 2: 48-49 held (held back: desk unavailable)"
        " | Pause 2: 49- (held back: desk unavailable)",
    ),
    "a worker stops, and the next one goes on": (
        told("running", f"{FIRST}; 40 1 given back; 39 1 claimed", due_at=ago(40)),
        f"{BEGUN} | Worker 1: 10-20 held (given back) | >Context and GPT-4 1: 10-20 held (given back)"
        " | Queue 1: 20-21 | Worker 1: 21- | >Context and GPT-4 1: 21-",
    ),
    "a worker is killed while it posts, and the note turns out not to be there": (
        told(
            "completed",
            f"{ANSWERED}; 12 1 recovered: worker lost; 10 2 claimed; 8 2 note not there; 7 2 posting; 6 2 completed",
            due_at=ago(12),
        ),
        f"{BEGUN} | Worker 1: 10-48 failed (worker lost) | >Context and GPT-4 1: 10-40"
        " | >ServiceDesk Update 1: 40-48 failed (worker lost) | Queue 2: 48-50 | Worker 2: 50-54 (completed)"
        " | >ServiceDesk Update 2: 50-52 failed (note not there) | >ServiceDesk Update 2: 52-54",
    ),
    "another worker takes over from one that fell silent": (
        told("running", f"{FIRST}; 5 2 claimed", due_at=ago(6)),
        f"{BEGUN} | Worker 1: 10-55 failed (worker lost)"
        " | >Context and GPT-4 1: 10-55 failed (worker lost) | Worker 2: 55- | >Context and GPT-4 2: 55-",
    ),
    "the ticket is gone: no failure, and nothing tells whether context was sought": (
        told("skipped", f"{FIRST}; 49 1 skipped: ticket not found"),
        f"{BEGUN} | Worker 1: 10-11 (ticket not found)",
    ),
    "a duplicate that waited in Redis has no attempt": (
        told("skipped", "30 0 accepted; 30 0 skipped: duplicate webhook"),
        "Webhook 0: 0-0 | Queue 1: 0-30 (duplicate webhook)",
    ),
    "another job of its ticket comes first": (
        told("waiting", f"60 0 accepted; 50 0 held back: {ANOTHER_FIRST}", due_at=ago(2)),
        f"Webhook 0: 0-0 | Queue 1: 0-10 held (held back: {ANOTHER_FIRST})"
        f" | Pause 1: 10-58 (held back: {ANOTHER_FIRST}) | Queue 1: 58-",
    ),
    "its deadline passes in the queue, after its message was lost": (
        told("failed", "60 0 accepted; 40 0 published again; 10 0 expired: deadline passed"),
        "Webhook 0: 0-0 | Queue 1: 0-50 failed (deadline passed)",
    ),
    "its message was lost": (
        told("waiting", "60 0 accepted; 40 0 published again"),
        "Webhook 0: 0-0 | Queue 1: 0- (message lost and published again)",
    ),
    "it failed, with a note that says so, and a person had it retried": (
        told(
            "waiting",
            f"{FIRST}; 45 1 failed: x; 44.5 1 leaving a failure note; 44 1 failure note not left; 20 0 retried by hand",
            due_at=ago(20),
        ),
        f"{BEGUN} | Worker 1: 10-15 failed (x) | >Context and GPT-4 1: 10-15 failed (x)"
        " | >ServiceDesk Update 1: 15.5-16 failed (failure note not left) | Queue 1: 40- (retried by hand)",
    ),
    "its answer named what was forgotten, and is asked for again": (
        told("running", f"{FIRST}; 20 1 answered; 19 1 recovered: {NAMED_FORGOTTEN}; 18 1 claimed", due_at=ago(19)),
        f"{BEGUN} | Worker 1: 10-41 failed ({NAMED_FORGOTTEN}) | >Context and GPT-4 1: 10-40"
        f" | >ServiceDesk Update 1: 40-41 failed ({NAMED_FORGOTTEN}) | Queue 1: 41-42 | Worker 1: 42-"
        " | >Context and GPT-4 1: 42-",
    ),
    "a further note that a person asked for": (
        told("completed", DONE.replace("20 1", "49 1 refreshes: asked; 20 1"), event=REFRESH_BY_HAND),
        f"Refresh 0: 0-0 | Queue 1: 0-10 | Worker 1: 10-45 (completed; another note: asked) | {STEPS}",
    ),
    "its webhook never came, and its ticket was found in the desk": (
        told("waiting", "60 0 accepted", event=RECOVERED),
        "Recover 0: 0-0 | Queue 1: 0-",
    ),
    "the database's clock was set back while it ran": (
        told("skipped", f"{FIRST}; 51 1 skipped: forgotten"),
        f"{BEGUN} | Worker 1: 10-10 (forgotten)",
    ),
    "forgotten while it waits for its next attempt": (
        told("skipped", f"{RETRIED}; 44 1 skipped: forgotten", due_at=ago(30)),
        f"{BEGUN} | {REFUSED} | Pause 2: 15-16 (forgotten)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_spans_of_a_job_whose_story_is(case: str) -> None:
    known, spans = CASES[case]
    assert [line(span) for span in known.spans] == spans.split(" | ")


def test_a_timeline_goes_up_to_now_while_something_goes_on_and_else_to_the_end() -> None:
    going_on, ended = told("running", FIRST), told("completed", DONE)
    assert (going_on.start, going_on.end, going_on.goes_on) == (ago(60), NOW, True)
    assert (ended.start, ended.end, ended.goes_on) == (ago(60), ago(15), False)
    # An event of a later release is passed over.
    assert told("completed", DONE.replace("15 1", "16 1 praised; 15 1")) == ended


def test_each_event_that_the_database_writes_has_a_place_in_the_timeline() -> None:
    functions = (ROOT / "jobs" / "functions.sql").read_text(encoding="utf-8")
    claims = (ROOT / "jobs" / "claims.py").read_text(encoding="utf-8")
    pattern = r"(?:attempt|\b0|\+ 1), (?:CASE WHEN \S+ THEN )?'([a-z ]+)'(?: ELSE '([a-z ]+)')?"
    written = {what for found in re.findall(pattern, functions) for what in found if what}
    written |= set(re.findall(r"event=\"([a-z ]+)\"", claims))
    assert {"accepted", "claimed", "held back", "answered", "recovered", "not posted", "failed"} <= written
    known = set(re.findall(r"(?:case )?\"([a-z ]+)\":", Path(module.__file__).read_text(encoding="utf-8")))
    assert written - NO_SPAN <= known
