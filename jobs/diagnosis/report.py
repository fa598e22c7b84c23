"""Report of a diagnosis: evidence, unchecked sources, document, trace, log line."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from jobs.details import Details, remark_of, trace_id
from jobs.diagnosis.facts import Facts
from jobs.diagnosis.verdict_codes import FAQ, Diagnosis
from jobs.diagnosis.verdict_rules import latest_without_ticket
from jobs.models import JobState
from jobs.repository import LAST_WORKER_LOST, OWN_EVENTS, RECOVERED, SIGNED_BY_PREVIOUS
from jobs.statistics import MAX_COUNTED, is_without_worker, reading_of
from observability import log_events
from observability.formats import counted, duration
from observability.log_events import Phrase

_FIRST, _LAST = 4, 10
_PRECISE_SECONDS = 60
_STEPS = {
    "claimed": "started by a worker",
    "asked": "GPT-4 called",
    "answered": "GPT-4 answered",
    "posting": "posting the note",
    "not posted": "the note was not posted",
    "completed": "the note is in the ticket",
    "held back": "paused",
    "given back": "returned by a stopping worker",
    "retried": "failed, a retry follows",
    "looked for once more": "the note was not found, a retry follows",
    "note not there": "the note was not in the ticket",
    "leaving a failure note": "writing a failure note",
    "failure note not left": "the failure note was not written",
}
"""Texts of events whose own name is too short."""
_TICKETS = {None: "", "open": "the ticket is open", "closed": "the ticket is closed", "gone": "no such ticket"}
_NOTES = {None: "", True: "our note is in the ticket", False: "our note is not in the ticket"}
_LOG_OF_STATE: dict[str, tuple[str, Phrase]] = {
    JobState.COMPLETED: ("worker", log_events.TASK_COMPLETED),
    JobState.SKIPPED: ("worker", log_events.TASK_SKIPPED),
    JobState.FAILED: ("worker", log_events.TASK_FAILED),
    JobState.RUNNING: ("worker", log_events.TASK_STARTED),
    JobState.WAITING: ("api", log_events.JOB_QUEUED),
}
_LOG_OF_EVENT = {"held back": log_events.JOB_REQUEUED, "retried": log_events.TASK_FAILED}
# The database appends the earlier reason, which no log line has.
_EARLIER = re.compile(r" \((?:last|before): .*", re.DOTALL)


class Evidence(NamedTuple):
    """One fact; `at` is None for the present state."""

    at: datetime | None
    what: str


def evidence(facts: Facts) -> list[Evidence]:
    """Return the evidence: events by time, then the present state."""
    past = [*_of_webhooks(facts), *_of_attempts(facts)]
    return [*sorted(past, key=lambda fact: fact.at or facts.read_at), *(Evidence(None, text) for text in _now(facts))]


def _of_webhooks(facts: Facts) -> Iterator[Evidence]:
    webhooks, job, missing = facts.webhooks, facts.job, facts.missing
    if facts.inbox is not None:
        yield Evidence(facts.inbox.accepted_at, f"webhook accepted, job {facts.inbox.job_id}")
    for refused in webhooks.refused[:3] if webhooks is not None else ():
        yield Evidence(refused.at, f"webhook refused: {refused.status} {refused.reason}")
    if missing is not None:
        yield Evidence(missing.created_at, "ticket created, by the desk's clock")
        yield Evidence(missing.seen_at, "ticket listed by the desk, without a webhook until then")
        if missing.missed_at is not None:
            yield Evidence(missing.missed_at, "webhook counted as missed")
    if job is not None:
        own = "ticket found in the desk without a webhook" if job.event == RECOVERED else job.event
        yield Evidence(job.accepted_at, f"{own if job.event in OWN_EVENTS else 'webhook accepted'}, job {job.id}")
        if remark_of(facts.events or ()) == SIGNED_BY_PREVIOUS:
            yield Evidence(job.accepted_at, f"webhook {SIGNED_BY_PREVIOUS}: the desk had not changed it yet")
    elif webhooks is not None:
        for refusal in webhooks.without_ticket:
            text = f"webhook without a readable ticket refused: {refusal.reason} ({refusal.count} in 24 hours)"
            yield Evidence(refusal.last_at, text)
        if webhooks.last_accepted_at is not None:
            yield Evidence(webhooks.last_accepted_at, "last accepted webhook of the tenant")


def _of_attempts(facts: Facts) -> Iterator[Evidence]:
    # The first is the webhook's, which has its own line.
    events = [event for event in facts.events or () if event.what not in ("accepted", "accepted late")]
    before = facts.job.accepted_at if facts.job else facts.read_at
    for number, event in enumerate(events):
        if number < _FIRST or number >= len(events) - _LAST:
            reason = f": {event.reason}" if event.reason else ""
            seconds = (event.at - before).total_seconds()
            took = f"{seconds:.1f}s" if seconds < _PRECISE_SECONDS else duration(seconds)
            text = f"attempt {event.attempt}: {_STEPS.get(event.what, event.what)}{reason} (after {took})"
            yield Evidence(event.at, text)
        elif number == _FIRST:
            yield Evidence(event.at, f"{len(events) - _FIRST - _LAST} more events: `ai-agents show --events`")
        before = event.at


def _now(facts: Facts) -> Iterator[str]:
    webhooks = facts.webhooks
    if facts.database_failure:
        yield f"Postgres: {facts.database_failure}"
    if facts.inbox is not None:
        yield "Redis keeps the webhook until Postgres stores it"
    if facts.job is None and webhooks is not None:
        if facts.inbox is None and not webhooks.refused:
            yield "no webhook of the ticket is known, neither accepted nor refused"
        if webhooks.shares_used_up:
            yield "more webhooks were refused in the last hour than are stored: the API's log has all of them"
    yield from _queue_and_workers(facts)
    if facts.most_running is not None:
        yield f"{facts.most_running} of the tenant's jobs run, which is its limit"
    for reason, held in facts.held.items():
        yield f"{counted(held.jobs, MAX_COUNTED)} of the tenant's jobs are paused: {reason}"
    for reason in facts.held_elsewhere:
        yield f"jobs with the same model key are paused: {reason}"
    if facts.desk.asked:
        found = [facts.desk.failure or "it answers", _TICKETS[facts.desk.ticket], _NOTES[facts.desk.note]]
        yield f"desk: {', '.join(filter(None, found))}"
    if facts.model.asked:
        yield f"model: {facts.model.failure or 'its server answers (no prompt was sent)'}"


def _queue_and_workers(facts: Facts) -> Iterator[str]:
    work, queue, started = facts.work, facts.queue, facts.last_started_at
    if queue is not None:
        yield f"queue: {queue.waiting} waiting ({reading_of(queue.waiting)}), {queue.held} with workers"
    if facts.queue_failure:
        yield f"Redis: {facts.queue_failure}"
    if work is None:
        return
    listen = "" if queue is None or queue.listening is None else f"{queue.listening} listening, "
    silent = f", {work.silent} of them without a live worker" if work.silent else ""
    gone = ", but no worker is connected to Postgres" if work.workers and is_without_worker(queue, work) else ""
    last = "no job started in the last ten minutes"
    if started:
        last = f"the last job started {duration((facts.read_at - started).total_seconds())} ago"
    yield f"workers: {listen}{work.workers} with jobs; jobs: {work.running} running{silent}{gone}; {last}"


def not_checked(facts: Facts) -> list[str]:
    """List sources that were not checked, each with the reason."""
    away, late = facts.database_failure, "the database did not answer in time"
    no_webhooks = ""
    if facts.webhooks is None and not away:
        no_webhooks = late if facts.tenant_id else "this process does not know the tenant"
    parts = {
        "jobs, refused webhooks and workers": f"Postgres: {away}" if away else "",
        "desk": "" if facts.desk.asked else facts.desk.failure,
        "model": "" if facts.model.asked else facts.model.failure,
        "queue": "this process has no address of Redis" if facts.queue is None and not facts.queue_failure else "",
        "listening workers": "Redis does not report them" if facts.queue and facts.queue.listening is None else "",
        "running jobs": "" if facts.work is not None or away else late,
        "events of the job": late if facts.events is None else "",
        "refused webhooks": no_webhooks,
    }
    return [f"{part}: {reason}" for part, reason in parts.items() if reason]


def report(facts: Facts, diagnosis: Diagnosis, jaeger_url: str | None, docs_url: str | None = None) -> dict[str, Any]:
    """Return the report as JSON fields; without `jaeger_url` and `docs_url`, trace and document have no URL."""
    line, command = log_line(facts)
    trace, link = trace_of(facts, jaeger_url)
    return {
        "verdict": diagnosis.verdict.value,
        "says": diagnosis.text,
        "do": list(diagnosis.actions),
        "document": document(diagnosis),
        "document_url": document_url(document(diagnosis), docs_url),
        "trace_id": trace or None,
        "trace_url": link or None,
        "log_line": line,
        "log_command": command,
        "because": [fact._asdict() for fact in evidence(facts)],
        "not_checked": not_checked(facts),
    }


def document(diagnosis: Diagnosis) -> str:
    """Return the path and heading of the verdict's section in the FAQ."""
    return f"{FAQ}#{diagnosis.anchor or diagnosis.verdict.anchor}"


def document_url(path: str, docs_url: str | None) -> str | None:
    """Return the URL of `docs/PAGE.md#HEADING` in the site of `make docs` at `docs_url`."""
    page, _, heading = path.removeprefix("docs/").partition("#")
    return f"{docs_url}/{page.removesuffix('.md')}.html{heading and f'#{heading}'}" if docs_url else None


def trace_of(facts: Facts, jaeger_url: str | None) -> tuple[str, str]:
    """Return trace id and Jaeger URL of the job, each empty if unknown."""
    job = facts.job or facts.inbox
    trace = job and trace_id(job)
    return trace or "", f"{jaeger_url}/trace/{trace}" if jaeger_url and trace else ""


def log_line(facts: Facts) -> tuple[str, str]:
    """Return the expected log line and a command that finds it."""
    component, phrase, known = _of_no_job(facts) if facts.job is None else _of_job(facts, facts.job)
    values = {"ticket_id": facts.ticket_id or "...", "tenant_id": facts.tenant_id or "...", **known}
    line = phrase.template.format(**values)
    if phrase is log_events.TASK_COMPLETED:
        line = line.removesuffix("s")
    pattern = f'"ticket_id: {values["ticket_id"]},"'
    if facts.job is not None:
        pattern = f'"job_id: {facts.job.id}"'
    elif phrase is log_events.WEBHOOK_REJECTED and "ticket_id" not in known:
        # The line names no ticket.
        pattern = f'"Webhook rejected" | grep "tenant_id: {facts.tenant_id},"'
    return line, f"{facts.commands.log(component)} | grep {pattern}"


_Line = tuple[str, Phrase, Mapping[str, object]]  # component, phrase and values


def _of_job(facts: Facts, job: Details) -> _Line:
    component, phrase = _LOG_OF_STATE[job.state]
    last = facts.events[-1].what if facts.events else ""
    if last in _LOG_OF_EVENT:
        component, phrase = "worker", _LOG_OF_EVENT[last]
    elif job.state == JobState.FAILED and (last == "expired" or (job.reason or "").startswith(LAST_WORKER_LOST)):
        # No worker held it: the relay in the API ended it.
        component = "api"
    reason = _EARLIER.sub("", job.reason or "...")
    return component, phrase, {"job_id": job.id, "ticket_id": job.ticket_id, "reason": reason, "seconds": ""}


def _of_no_job(facts: Facts) -> _Line:
    missing, webhooks = facts.missing, facts.webhooks
    # The desk's list has the id, whichever number was given.
    listed = {"ticket_id": missing.ticket_id} if missing is not None else {}
    if facts.inbox is not None or facts.forgotten or facts.database_failure:
        # Earlier evidence does not concern an accepted webhook, and an erased ticket gets no job.
        return "api", log_events.WEBHOOK_RECEIVED, {}
    if facts.reconcile == "poll":
        return "housekeeping", log_events.JOB_RECOVERED, {**listed, "job_id": "...", "reason": "polled"}
    if webhooks is not None and webhooks.refused:
        refused = webhooks.refused[0]
        reason = refused.reason.partition(":")[0]
        values = {"ticket_id": refused.ticket_id, "status": refused.status, "reason": reason}
        return "api", log_events.WEBHOOK_REJECTED, values
    if webhooks is not None and facts.desk.ticket != "gone" and (refusal := latest_without_ticket(webhooks)):
        values = {"status": refusal.status, "reason": refusal.reason.partition(":")[0]}
        return "api", log_events.WEBHOOK_REJECTED, values
    if missing is not None and missing.missed_at is not None:
        created = f"{missing.created_at:%Y-%m-%dT%H:%M:%SZ}"
        values = {**listed, "created": created, "reconcile": facts.reconcile or "..."}
        return "housekeeping", log_events.WEBHOOK_MISSED, values
    return "api", log_events.WEBHOOK_RECEIVED, {}
