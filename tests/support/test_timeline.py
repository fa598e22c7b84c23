"""A job's spans, derived from its events alone."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.by_hand import Happened
from storage.jobs import ANOTHER_FIRST, ASKED_BY_HAND, CONTEXT_INCOMPLETE, CONTEXT_LATE, NAMED_FORGOTTEN, RECOVERED
from support import timeline as module
from support.timeline import Timeline, TimelineSpan, timeline
from tests.support.known import NOW, ago, job

ROOT = Path(__file__).resolve().parents[2]
# This event gives no span a time.
NO_SPAN = {"accepted"}

FIRST = [(60.0, 0, "accepted"), (50.0, 1, "claimed")]
ANSWERED = [*FIRST, (20.0, 1, "answered"), (18.0, 1, "posting")]
DONE = [*ANSWERED, (15.0, 1, "completed")]


def told(state: str, events: list[Any], reason: str | None = None, **row: Any) -> Timeline:
    """Return the timeline of a job accepted a minute ago; offsets in seconds."""
    of = job(state, reason, **({"accepted_at": ago(60), "due_at": ago(60)} | row))
    return timeline(of, [Happened(ago(e[0]), e[1], e[2], e[3] if len(e) > 3 else None) for e in events], NOW)


def line(span: TimelineSpan) -> str:
    """Return a span as one line; times in seconds since the webhook."""
    begin, end = ((m - ago(60)).total_seconds() if m else None for m in (span.start, span.end))
    lasted = f"{begin:g}-{'' if end is None else f'{end:g}'}"
    marks = "" if span.state == "ok" else f" {span.state}"
    return f"{'  ' * span.level}{span.name} {span.attempt}: {lasted}{marks}{f' ({span.words})' if span.words else ''}"


CASES: list[tuple[str, Timeline, list[str]]] = [
    (
        "completed",
        told("completed", DONE),
        [
            *("Webhook 0: 0-0", "Queue 1: 0-10", "Worker 1: 10-45 (completed)"),
            *("  Context and GPT-4 1: 10-40", "  ServiceDesk Update 1: 40-45"),
        ],
    ),
    (
        "the event of the answer tells when it was asked for",
        told("completed", [*FIRST, (45.0, 1, "asked"), *DONE[2:]]),
        [
            *("Webhook 0: 0-0", "Queue 1: 0-10", "Worker 1: 10-45 (completed)"),
            *("  Context 1: 10-15", "  GPT-4 1: 15-40", "  ServiceDesk Update 1: 40-45"),
        ],
    ),
    ("waits for a worker", told("waiting", FIRST[:1]), ["Webhook 0: 0-0", "Queue 1: 0-"]),
    (
        "is asked about just now",
        told("running", FIRST),
        ["Webhook 0: 0-0", "Queue 1: 0-10", "Worker 1: 10-", "  Context and GPT-4 1: 10-"],
    ),
    (
        "context took too long",
        told("completed", [*FIRST, (30.0, 1, CONTEXT_INCOMPLETE, CONTEXT_LATE), (29.5, 1, "asked"), *DONE[2:]]),
        [
            *("Webhook 0: 0-0", "Queue 1: 0-10", "Worker 1: 10-45 (completed)"),
            *("  Context 1: 10-30 failed (context gathering timeout)", "  GPT-4 1: 30-40"),
            "  ServiceDesk Update 1: 40-45",
        ],
    ),
    (
        "GPT-4 fails once, and the row tells when the retry was due",
        told(
            "completed",
            [
                *FIRST,
                (45.0, 1, "retried", "OpenAI API: 429"),
                (40.0, 2, "claimed"),
                (20.0, 2, "answered"),
                (9, 2, "completed"),
            ],
            due_at=ago(43),
        ),
        [
            *("Webhook 0: 0-0", "Queue 1: 0-10", "Worker 1: 10-15 failed (OpenAI API: 429)"),
            *("  Context and GPT-4 1: 10-15 failed (OpenAI API: 429)", "Pause 2: 15-17", "Queue 2: 17-20"),
            *("Worker 2: 20-51 (completed)", "  Context and GPT-4 2: 20-40", "  ServiceDesk Update 2: 40-51"),
        ],
    ),
    (
        "the desk is down twice: what is paid for is kept, and a hold does not count",
        told(
            "waiting",
            [
                *(*ANSWERED, (17.0, 1, "not posted"), (16.0, 1, "retried", "ServiceDesk Plus API: 500")),
                *((12.0, 2, "claimed"), (11.0, 2, "held back", "desk unavailable")),
            ],
            due_at=NOW + timedelta(seconds=4),
        ),
        [
            *("Webhook 0: 0-0", "Queue 1: 0-10", "Worker 1: 10-44 failed (ServiceDesk Plus API: 500)"),
            "  Context and GPT-4 1: 10-40",
            "  ServiceDesk Update 1: 40-44 failed (ServiceDesk Plus API: 500)",
            *("Pause and Queue 2: 44-48", "Worker 2: 48-49 held (held back: desk unavailable)"),
            *("  ServiceDesk Update 2: 48-49 held (held back: desk unavailable)", "Pause 2: 49-"),
        ],
    ),
    (
        "a worker stops, and the next one goes on",
        told("running", [*FIRST, (40.0, 1, "given back"), (39.0, 1, "claimed")], due_at=ago(40)),
        [
            *("Webhook 0: 0-0", "Queue 1: 0-10", "Worker 1: 10-20 held (given back)"),
            *("  Context and GPT-4 1: 10-20 held (given back)", "Queue 1: 20-21", "Worker 1: 21-"),
            "  Context and GPT-4 1: 21-",
        ],
    ),
    (
        "a worker is killed while it posts, and the note turns out not to be there",
        told(
            "completed",
            [
                *(*ANSWERED, (12.0, 1, "recovered", "worker lost"), (10.0, 2, "claimed"), (8.0, 2, "note not there")),
                *((7.0, 2, "posting"), (6.0, 2, "completed")),
            ],
            due_at=ago(12),
        ),
        [
            *(
                "Webhook 0: 0-0",
                "Queue 1: 0-10",
                "Worker 1: 10-48 failed (worker lost)",
                "  Context and GPT-4 1: 10-40",
            ),
            *("  ServiceDesk Update 1: 40-48 failed (worker lost)", "Queue 2: 48-50", "Worker 2: 50-54 (completed)"),
            *("  ServiceDesk Update 2: 50-52 failed (note not there)", "  ServiceDesk Update 2: 52-54"),
        ],
    ),
    (
        "another worker takes over from one that fell silent",
        told("running", [*FIRST, (5.0, 2, "claimed")], due_at=ago(6)),
        [
            *("Webhook 0: 0-0", "Queue 1: 0-10", "Worker 1: 10-55 failed (its worker fell silent)"),
            "  Context and GPT-4 1: 10-55 failed (its worker fell silent)",
            *("Worker 2: 55-", "  Context and GPT-4 2: 55-"),
        ],
    ),
    (
        "the ticket is gone: no failure, and nothing tells whether context was sought",
        told("skipped", [*FIRST, (49.0, 1, "skipped", "ticket not found")]),
        ["Webhook 0: 0-0", "Queue 1: 0-10", "Worker 1: 10-11 (ticket not found)"],
    ),
    (
        "a duplicate that waited in Redis has no attempt",
        told("skipped", [(30.0, 0, "accepted"), (30.0, 0, "skipped", "duplicate webhook")]),
        ["Webhook 0: 0-0", "Queue 1: 0-30 (duplicate webhook)"],
    ),
    (
        "another job of its ticket comes first",
        told("waiting", [FIRST[0], (50.0, 0, "held back", ANOTHER_FIRST)], due_at=ago(2)),
        ["Webhook 0: 0-0", f"Queue 1: 0-10 held (held back: {ANOTHER_FIRST})", "Pause 1: 10-58", "Queue 1: 58-"],
    ),
    (
        "its deadline passes in the queue, after its message was lost",
        told("failed", [FIRST[0], (40.0, 0, "published again"), (10.0, 0, "expired", "deadline passed")]),
        ["Webhook 0: 0-0", "Queue 1: 0-50 failed (deadline passed)"],
    ),
    (
        "its message was lost",
        told("waiting", [FIRST[0], (40.0, 0, "published again")]),
        ["Webhook 0: 0-0", "Queue 1: 0- (its message was lost, and published again)"],
    ),
    (
        "it failed, with a note that says so, and a person had it retried",
        told(
            "waiting",
            [
                *(*FIRST, (45.0, 1, "failed", "GPT-4 timeout"), (44.5, 1, "leaving a failure note")),
                *((44.0, 1, "failure note not left"), (20.0, 0, "retried by hand")),
            ],
            due_at=ago(20),
        ),
        [
            *("Webhook 0: 0-0", "Queue 1: 0-10", "Worker 1: 10-15 failed (GPT-4 timeout)"),
            "  Context and GPT-4 1: 10-15 failed (GPT-4 timeout)",
            *("  ServiceDesk Update 1: 15.5-16 failed (failure note not left)", "Queue 1: 40- (retried by hand)"),
        ],
    ),
    (
        "its answer named what was forgotten, and is asked for again",
        told(
            "running",
            [*FIRST, (20.0, 1, "answered"), (19.0, 1, "recovered", NAMED_FORGOTTEN), (18.0, 1, "claimed")],
            due_at=ago(19),
        ),
        [
            *("Webhook 0: 0-0", "Queue 1: 0-10", f"Worker 1: 10-41 failed ({NAMED_FORGOTTEN})"),
            *("  Context and GPT-4 1: 10-40", f"  ServiceDesk Update 1: 40-41 failed ({NAMED_FORGOTTEN})"),
            *("Queue 1: 41-42", "Worker 1: 42-", "  Context and GPT-4 1: 42-"),
        ],
    ),
    (
        "a further note that a person asked for",
        told("completed", [*FIRST, (49.0, 1, "refreshes", "asked"), *DONE[2:]], event=ASKED_BY_HAND),
        [
            *("Refresh 0: 0-0", "Queue 1: 0-10", "Worker 1: 10-45 (completed; a further note: asked)"),
            *("  Context and GPT-4 1: 10-40", "  ServiceDesk Update 1: 40-45"),
        ],
    ),
    (
        "its webhook never came, and its ticket was found in the desk",
        told("waiting", FIRST[:1], event=RECOVERED),
        ["Recover 0: 0-0", "Queue 1: 0-"],
    ),
    (
        "the database's clock was set back while it ran",
        told("skipped", [*FIRST, (51.0, 1, "skipped", "forgotten")]),
        ["Webhook 0: 0-0", "Queue 1: 0-10", "Worker 1: 10-10 (forgotten)"],
    ),
    (
        "forgotten while it waits for its next attempt",
        told(
            "skipped",
            [*FIRST, (45.0, 1, "retried", "OpenAI API: 429"), (44.0, 1, "skipped", "forgotten")],
            due_at=ago(30),
        ),
        [
            *("Webhook 0: 0-0", "Queue 1: 0-10", "Worker 1: 10-15 failed (OpenAI API: 429)"),
            *("  Context and GPT-4 1: 10-15 failed (OpenAI API: 429)", "Pause 2: 15-16 (forgotten)"),
        ],
    ),
]


@pytest.mark.parametrize(("what", "known", "spans"), CASES, ids=[case[0] for case in CASES])
def test_the_spans_of_a_job_whose_story_is(what: str, known: Timeline, spans: list[str]) -> None:
    assert [line(span) for span in known.spans] == spans, what


def test_a_timeline_goes_up_to_now_while_something_goes_on_and_else_to_the_end() -> None:
    going_on, ended = told("running", FIRST), told("completed", DONE)
    assert (going_on.start, going_on.end, going_on.goes_on) == (ago(60), NOW, True)
    assert (ended.start, ended.end, ended.goes_on) == (ago(60), ago(15), False)


def test_each_event_that_the_database_writes_has_a_place_in_the_timeline() -> None:
    functions = (ROOT / "storage" / "functions.sql").read_text(encoding="utf-8")
    claims = (ROOT / "storage" / "claims.py").read_text(encoding="utf-8")
    pattern = r"(?:attempt|\b0|\+ 1), (?:CASE WHEN \S+ THEN )?'([a-z ]+)'(?: ELSE '([a-z ]+)')?"
    written = {what for found in re.findall(pattern, functions) for what in found if what}
    written |= set(re.findall(r"what=\"([a-z ]+)\"", claims))
    assert {"accepted", "claimed", "held back", "answered", "recovered", "not posted", "failed"} <= written
    known = set(re.findall(r"(?:case )?\"([a-z ]+)\":", Path(module.__file__).read_text(encoding="utf-8")))
    assert written - NO_SPAN <= known


def test_an_event_of_a_later_release_is_passed_over() -> None:
    assert told("completed", [*ANSWERED, (16.0, 1, "praised"), *DONE[4:]]) == told("completed", DONE)
