"""A job's spans from its events, for jobs without a stored trace.

The names are those of a trace. Steps without an event between them share one span: the end of context gathering is
known only if it was incomplete or GPT-4 answered, and the due time only of the last retry, by the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

from jobs import repository
from jobs.details import Details, Happened
from observability.tracing import CONTEXT, GPT4, QUEUE, SERVICEDESK_UPDATE, WEBHOOK, WORKER
from privacy import tombstones

REFRESH = "Refresh"
"""In place of the webhook, of a job that none asked for: a further note was wanted."""
RECOVER = "Recover"
"""The same of one whose webhook never came: its ticket was found in the desk."""
PAUSE = "Pause"
"""From the end of an attempt until the next one is due: nothing waits for a worker then."""
PAUSE_AND_QUEUE = "Pause and Queue"
CONTEXT_AND_GPT4 = "Context and GPT-4"

Ending = Literal["ok", "failed", "held"]


@dataclass(slots=True)
class TimelineSpan:
    """Span of a job.

    `attempt`: its attempt, for a wait the next one; attempts held or given back do not count, so numbers may repeat.
    `end`: None while it is open, equal to `start` if only the moment is known.
    `state`: `ok` also while it is open, and for an expected skip; `held`: deferred, no failure.
    `words`: the outcome as in a trace; may be empty.
    `level`: 1 for a step of the Worker before it, else 0.
    """

    name: str
    attempt: int
    start: datetime
    end: datetime | None = None
    state: Ending = "ok"
    words: str = ""
    level: int = 0


@dataclass(frozen=True, slots=True)
class Timeline:
    """A job's spans in order, between `start` and `end` (now while a span is open).

    `goes_on`: the job has not ended.
    """

    spans: Sequence[TimelineSpan]
    start: datetime
    end: datetime
    goes_on: bool


def timeline(job: Details, events: Sequence[Happened], now: datetime) -> Timeline:
    """Build the spans of a job's row and its events, oldest first, until the database's now."""
    story = _Spans(job)
    for event in events:
        story.take(event)
    spans = story.finish()
    times = [moment for span in spans for moment in (span.start, span.end) if moment is not None]
    goes_on = any(span.end is None for span in spans)
    return Timeline(spans, min(times), max([*times, now] if goes_on else times), goes_on)


class _End(NamedTuple):
    """Effect of an event on an attempt or a wait; `waits`: another attempt follows."""

    state: Ending
    words: str = "{reason}"
    waits: bool = False


_ENDS = {
    "completed": _End("ok", "completed"),
    "skipped": _End("ok"),
    "failed": _End("failed"),
    "expired": _End("failed"),
    "retried": _End("failed", waits=True),
    "looked for once more": _End("failed", waits=True),
    "held back": _End("held", "held back: {reason}", waits=True),
    "given back": _End("held", "given back", waits=True),
    "recovered": _End("failed", waits=True),
}


class _Spans:
    def __init__(self, job: Details) -> None:
        self._job = job
        asked_by = (
            RECOVER if job.event == repository.RECOVERED else REFRESH if job.event in repository.OWN_EVENTS else WEBHOOK
        )
        self._spans = [TimelineSpan(asked_by, 0, job.accepted_at, job.accepted_at)]
        self._worker: TimelineSpan | None = None
        self._step: TimelineSpan | None = None
        self._wait: TimelineSpan | None = self._add(QUEUE, 1, job.accepted_at)
        self._answered = False
        self._posted = False

    def take(self, event: Happened) -> None:
        if event.what in _ENDS:
            self._take_end(event, _ENDS[event.what])
            return
        match event.what:
            case "claimed":
                self._end_worker(event.at, "failed", "its worker fell silent")
                if self._wait is not None:
                    self._wait.attempt = event.attempt
                self._end_wait(event.at)
                self._worker = self._add(WORKER, event.attempt, event.at)
                self._begin_step(event)
            case "retried by hand":
                self._wait = self._add(QUEUE, 1, event.at, words=event.what)
            case "published again":
                if self._wait is not None:
                    self._wait.words = "its message was lost, and published again"
            case "leaving a failure note":
                words = "a note with context only"
                self._add(SERVICEDESK_UPDATE, event.attempt, event.at, end=event.at, words=words, level=1)
            case "failure note not left":
                _end(self._spans[-1], event.at, "failed", event.what)
            case _:
                self._take_of_attempt(event)

    def _take_of_attempt(self, event: Happened) -> None:
        match event.what:
            case "refreshes":
                if self._worker is not None:
                    self._worker.words = f"a further note: {event.reason}"
            case repository.CONTEXT_INCOMPLETE:
                self._end_context(event, "failed", event.reason or "")
            case "asked" if self._step is not None and self._step.name == CONTEXT_AND_GPT4:
                self._end_context(event)
            case "answered":
                self._answered = True
                self._end_step(event.at)
                self._begin_step(event)
            case "posting":
                self._posted = True
            case "not posted":
                self._posted = False
            case "note not there":
                self._posted = False
                self._end_step(event.at, "failed", event.what)
                self._begin_step(event)

    def _take_end(self, event: Happened, ending: _End) -> None:
        words = ending.words.format(reason=event.reason or "")
        # A deferred attempt does not count; a waiting job has not begun the next one.
        counts = self._worker is None or not (ending.state == "held" or event.reason == tombstones.NAMED_FORGOTTEN)
        self._end_worker(event.at, ending.state, words)
        self._end_wait(event.at, ending.state, words)
        if event.reason == tombstones.NAMED_FORGOTTEN:
            self._answered = False
        if ending.waits:
            name = QUEUE if event.what == "given back" else PAUSE_AND_QUEUE
            self._wait = self._add(name, event.attempt + counts, event.at)

    def finish(self) -> list[TimelineSpan]:
        last = max(place for place, span in enumerate(self._spans) if span.name in (QUEUE, PAUSE_AND_QUEUE))
        wait, due_at = self._spans[last], self._job.due_at
        # Else the row has the time of a later claim, from a worker that fell silent.
        parts = [wait]
        if wait.name == PAUSE_AND_QUEUE:
            if due_at <= wait.start:
                parts = [replace(wait, name=QUEUE)]
            elif due_at <= (wait.end or self._job.asked_at):
                parts = [TimelineSpan(PAUSE, wait.attempt, wait.start, due_at), replace(wait, name=QUEUE, start=due_at)]
            elif last == len(self._spans) - 1:
                parts = [replace(wait, name=PAUSE)]
        return [*self._spans[:last], *parts, *self._spans[last + 1 :]]

    def _begin_step(self, event: Happened, name: str = "") -> None:
        name = name or (SERVICEDESK_UPDATE if self._posted or self._answered else CONTEXT_AND_GPT4)
        self._step = self._add(name, event.attempt, event.at, level=1)

    def _end_context(self, event: Happened, state: Ending = "ok", words: str = "") -> None:
        if self._step is not None:
            self._step.name = CONTEXT
        self._end_step(event.at, state, words)
        self._begin_step(event, GPT4)

    def _end_step(self, at: datetime, state: Ending = "ok", words: str = "") -> None:
        _end(self._step, at, state, words)
        self._step = None

    def _end_worker(self, at: datetime, state: Ending, words: str) -> None:
        if self._worker is None:
            return
        if state == "ok" and self._step is not None and self._step.name == CONTEXT_AND_GPT4:
            # Skipped before GPT-4 was called: no event shows whether context was read.
            self._spans.remove(self._step)
            self._step = None
        self._end_step(at, state, "" if state == "ok" else words)
        _end(self._worker, at, state, "; ".join(filter(None, (words, self._worker.words))))
        self._worker = None

    def _end_wait(self, at: datetime, state: Ending = "ok", words: str = "") -> None:
        if self._wait is not None:
            _end(self._wait, at, state, words or self._wait.words)
        self._wait = None

    def _add(self, name: str, attempt: int, start: datetime, **more: Any) -> TimelineSpan:
        self._spans.append(TimelineSpan(name, attempt, start, **more))
        return self._spans[-1]


def _end(span: TimelineSpan | None, at: datetime, state: Ending, words: str) -> None:
    if span is not None:
        # The database's clock may be set back, or a row lock waited for: no span ends before it begins.
        span.end, span.state, span.words = max(at, span.start), state, words
