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
from jobs.intake import RECOVER_SPAN, REFRESH_SPAN
from observability.tracing import CONTEXT, GPT4, QUEUE, SERVICEDESK_UPDATE, WEBHOOK, WORKER
from privacy import tombstones

PAUSE = "Pause"  # from the end of an attempt until the next one is due
PAUSE_AND_QUEUE = "Pause and Queue"
CONTEXT_AND_GPT4 = "Context and GPT-4"
_HELD = "held back: "

Ending = Literal["ok", "failed", "held"]


@dataclass(slots=True)
class TimelineSpan:
    """Span of a job. Attempts held or given back do not count, so numbers may repeat."""

    name: str
    attempt: int  # for a wait the next one
    start: datetime
    end: datetime | None = None  # None while it is open, equal to `start` if only the moment is known
    state: Ending = "ok"  # `ok` also while it is open, and for an expected skip; `held`: deferred, no failure
    words: str = ""  # the outcome as in a trace; may be empty
    level: int = 0  # 1 for a step of the Worker before it, else 0

    @property
    def is_hold(self) -> bool:
        """True for the wait after a held attempt."""
        is_wait = self.name in (PAUSE, PAUSE_AND_QUEUE)
        return is_wait and self.state == "ok" and self.words.startswith(_HELD)


@dataclass(frozen=True, slots=True)
class Timeline:
    """A job's spans in order."""

    spans: Sequence[TimelineSpan]
    start: datetime
    end: datetime  # now while a span is open
    goes_on: bool  # the job has not ended


def timeline(job: Details, events: Sequence[Happened], now: datetime) -> Timeline:
    """Build spans of a job's row and events, oldest first, until the database's now."""
    builder = _SpanBuilder(job)
    for event in events:
        builder.take(event)
    spans = builder.finish()
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
    "held back": _End("held", _HELD + "{reason}", waits=True),
    "given back": _End("held", "given back", waits=True),
    "recovered": _End("failed", waits=True),
}


class _SpanBuilder:
    """Spans in order; `_open` has the unfinished Worker, its step and the wait."""

    def __init__(self, job: Details) -> None:
        self._job = job
        own = RECOVER_SPAN if job.event == repository.RECOVERED else REFRESH_SPAN
        origin = own if job.event in repository.OWN_EVENTS else WEBHOOK
        self._spans = [TimelineSpan(origin, 0, job.accepted_at, job.accepted_at)]
        self._open: dict[Literal["worker", "step", "wait"], TimelineSpan] = {}
        self._open["wait"] = self._add(QUEUE, 1, job.accepted_at)
        self._answered = self._posted = False

    def take(self, event: Happened) -> None:
        match event.what:
            case end if end in _ENDS:
                self._take_end(event, _ENDS[end])
            case "claimed":
                self._end_worker(event.at, "failed", "worker lost")
                if wait := self._open.get("wait"):
                    wait.attempt = event.attempt
                self._end("wait", event.at)
                self._open["worker"] = self._add(WORKER, event.attempt, event.at)
                self._begin_step(event)
            case "retried by hand":
                self._open["wait"] = self._add(QUEUE, 1, event.at, words=event.what)
            case "published again":
                if wait := self._open.get("wait"):
                    wait.words = "message lost and published again"
            case "leaving a failure note":
                words = "a note with related content only"
                self._add(SERVICEDESK_UPDATE, event.attempt, event.at, end=event.at, words=words, level=1)
            case "failure note not left":
                _end(self._spans[-1], event.at, "failed", event.what)
            case _:
                self._take_of_attempt(event)

    def _take_of_attempt(self, event: Happened) -> None:
        match event.what:
            case "refreshes":
                if worker := self._open.get("worker"):
                    worker.words = f"another note: {event.reason}"
            case repository.CONTEXT_INCOMPLETE:
                self._end_context(event, "failed", event.reason or "")
            case "asked":
                if (step := self._open.get("step")) and step.name == CONTEXT_AND_GPT4:
                    self._end_context(event)
            case "answered":
                self._answered = True
                self._end("step", event.at)
                self._begin_step(event)
            case "posting":
                self._posted = True
            case "not posted":
                self._posted = False
            case "note not there":
                self._posted = False
                self._end("step", event.at, "failed", event.what)
                self._begin_step(event)

    def _take_end(self, event: Happened, ending: _End) -> None:
        words = ending.words.format(reason=event.reason or "")
        # A deferred attempt does not count; a waiting job has not begun the next one.
        is_repeated = ending.state == "held" or event.reason == tombstones.NAMED_FORGOTTEN
        counts = "worker" not in self._open or not is_repeated
        self._end_worker(event.at, ending.state, words)
        self._end("wait", event.at, ending.state, words)
        if event.reason == tombstones.NAMED_FORGOTTEN:
            self._answered = False
        if ending.waits:
            name = QUEUE if event.what == "given back" else PAUSE_AND_QUEUE
            # A hold may last for hours, so the wait has its reason too.
            reason = words if event.what == "held back" else ""
            self._open["wait"] = self._add(name, event.attempt + counts, event.at, words=reason)

    def finish(self) -> list[TimelineSpan]:
        last = max(place for place, span in enumerate(self._spans) if span.name in (QUEUE, PAUSE_AND_QUEUE))
        wait, due_at = self._spans[last], self._job.due_at
        # Otherwise the row has the time of a later claim, after a lost worker.
        parts = [wait]
        if wait.name == PAUSE_AND_QUEUE:
            if due_at <= wait.start:
                parts = [replace(wait, name=QUEUE)]
            elif due_at <= (wait.end or self._job.read_at):
                held, words = (wait.words, "") if wait.is_hold else ("", wait.words)
                pause = TimelineSpan(PAUSE, wait.attempt, wait.start, due_at, words=held)
                parts = [pause, replace(wait, name=QUEUE, start=due_at, words=words)]
            elif last == len(self._spans) - 1:
                parts = [replace(wait, name=PAUSE)]
        return [*self._spans[:last], *parts, *self._spans[last + 1 :]]

    def _begin_step(self, event: Happened, name: str = "") -> None:
        name = name or (SERVICEDESK_UPDATE if self._posted or self._answered else CONTEXT_AND_GPT4)
        self._open["step"] = self._add(name, event.attempt, event.at, level=1)

    def _end_context(self, event: Happened, state: Ending = "ok", words: str = "") -> None:
        if step := self._open.get("step"):
            step.name = CONTEXT
        self._end("step", event.at, state, words)
        self._begin_step(event, GPT4)

    def _end_worker(self, at: datetime, state: Ending, words: str) -> None:
        worker, step = self._open.get("worker"), self._open.get("step")
        if worker is None:
            return
        if state == "ok" and step is not None and step.name == CONTEXT_AND_GPT4:
            # Skipped before GPT-4 was called: no event shows whether context was read.
            self._spans.remove(self._open.pop("step"))
        self._end("step", at, state, "" if state == "ok" else words)
        self._end("worker", at, state, "; ".join(filter(None, (words, worker.words))))

    def _end(
        self, kind: Literal["worker", "step", "wait"], at: datetime, state: Ending = "ok", words: str = ""
    ) -> None:
        if span := self._open.pop(kind, None):
            _end(span, at, state, words or span.words)

    def _add(self, name: str, attempt: int, start: datetime, **more: Any) -> TimelineSpan:
        self._spans.append(TimelineSpan(name, attempt, start, **more))
        return self._spans[-1]


def _end(span: TimelineSpan, at: datetime, state: Ending, words: str) -> None:
    # The database's clock may be set back, or a row lock waited for: no span ends before it begins.
    span.end, span.state, span.words = max(at, span.start), state, words
