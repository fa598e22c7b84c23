"""Output of a diagnosis: text with a first line for the client, or JSON."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from observability import phrases
from observability.phrases import Phrase
from storage.by_hand import Details
from storage.models import JobState
from support.diagnose.diagnosis import Diagnosis
from support.diagnose.evidence import evidence, not_checked
from support.diagnose.facts import Facts
from support.diagnose.reasons import ENDED_UNHELD
from support.diagnose.refusals import unread_since
from support.diagnose.verdicts import FAQ, MEANINGS
from support.show_job import trace_id
from support.tables import clean, when

_INDENT = " " * 10
_LOGS = (
    "kubectl logs deployment/ai-agents-{of} -n ai-agents-production --since=24h --all-pods=true --ignore-errors=true"
)
_OF_STATES: dict[str, tuple[str, Phrase]] = {
    JobState.COMPLETED: ("worker", phrases.TASK_COMPLETED),
    JobState.SKIPPED: ("worker", phrases.TASK_SKIPPED),
    JobState.FAILED: ("worker", phrases.TASK_FAILED),
    JobState.RUNNING: ("worker", phrases.TASK_STARTED),
    JobState.WAITING: ("api", phrases.JOB_QUEUED),
}

_OF_EVENTS = {"held back": phrases.JOB_REQUEUED, "retried": phrases.TASK_FAILED}
# The database appends the reason before, which no log line has.
_KEPT = re.compile(r" \((?:last|before): .*", re.DOTALL)


def for_people(facts: Facts, diagnosis: Diagnosis, jaeger_url: str | None) -> str:
    line, command = log_line(facts)
    parts = [
        ("verdict", [f"{diagnosis.verdict} (exit status {diagnosis.verdict.status})"]),
        ("because", [f"{when(fact.at) if fact.at else 'now':<23}  {fact.what}" for fact in evidence(facts)]),
        ("unchecked", not_checked(facts)),
        ("do", diagnosis.mends or ["nothing"]),
        ("document", [document(diagnosis)]),
        ("trace", [part for part in _trace(facts, jaeger_url) if part]),
        ("log", [line, command]),
        ("others", _others(facts)),
    ]
    lines = [diagnosis.says, ""]
    for name, told in parts:
        lines += [f"{name if not number else '':<{len(_INDENT)}}{clean(each)}" for number, each in enumerate(told)]
    return "\n".join([clean(lines[0]), *lines[1:]])


def for_machines(facts: Facts, diagnosis: Diagnosis, jaeger_url: str | None) -> dict[str, Any]:
    line, command = log_line(facts)
    trace, link = _trace(facts, jaeger_url)
    job = facts.job
    return {
        "verdict": diagnosis.verdict.value,
        "exit_status": diagnosis.verdict.status,
        "says": diagnosis.says,
        "do": list(diagnosis.mends),
        "tenant_id": facts.tenant_id,
        "ticket_id": facts.ticket_id or None,
        "job_id": job.id if job else facts.inbox.job_id if facts.inbox else None,
        "state": job.state if job else None,
        "reason": job.reason if job else None,
        "document": document(diagnosis),
        "trace_id": trace or None,
        "trace_url": link or None,
        "log_line": line,
        "log_command": command,
        "because": [{"at": fact.at, "what": fact.what} for fact in evidence(facts)],
        "not_checked": not_checked(facts),
        "events": [asdict(event) for event in facts.events or ()],
        "others": [{"job_id": other.id, "state": other.state, "reason": other.reason} for other in facts.others],
    }


def document(diagnosis: Diagnosis) -> str:
    return f"{FAQ}#{diagnosis.anchor or MEANINGS[diagnosis.verdict].anchor}"


def _trace(facts: Facts, jaeger_url: str | None) -> tuple[str, str]:
    known = facts.job or facts.inbox
    found = trace_id(known) if known else None
    return found or "", f"{jaeger_url}/trace/{found}" if jaeger_url and found else ""


def log_line(facts: Facts) -> tuple[str, str]:
    """Return the actual or expected log line, and a command that finds it."""
    found = _of_no_job(facts) if facts.job is None else _of_job(facts, facts.job)
    values = {"ticket_id": facts.ticket_id or "...", "tenant_id": facts.tenant_id or "...", **found.values}
    line = found.phrase.template.format(**values)
    if found.phrase is phrases.TASK_COMPLETED:
        line = line.removesuffix("s")
    by = found.by or f'"ticket_id: {values["ticket_id"]},"'
    return line, f"{_LOGS.format(of=found.of)} | grep {by}"


class _Line(NamedTuple):
    """Component, phrase and values of a log line.

    `by` is the search term; the ticket's number if empty.
    """

    of: str
    phrase: Phrase
    values: Mapping[str, object]
    by: str = ""


def _of_job(facts: Facts, job: Details) -> _Line:
    of, phrase = _OF_STATES[job.state]
    last = facts.events[-1].what if facts.events else ""
    if last in _OF_EVENTS:
        of, phrase = "worker", _OF_EVENTS[last]
    elif job.state == JobState.FAILED and (last == "expired" or (job.reason or "").startswith(ENDED_UNHELD)):
        # No worker held it: the relay, in the API, ended it.
        of = "api"
    reason = _KEPT.sub("", job.reason or "...")
    values = {"job_id": job.id, "ticket_id": job.ticket_id, "reason": reason, "seconds": ""}
    return _Line(of, phrase, values, f'"job_id: {job.id}"')


def _of_no_job(facts: Facts) -> _Line:
    """Return the line by the verdict's evidence, in the same order."""
    if facts.inbox is not None or facts.forgotten or facts.database_failure:
        # Earlier evidence does not concern an accepted webhook, and an erased ticket gets no job.
        return _Line("api", phrases.WEBHOOK_RECEIVED, {})
    missing = facts.missing
    # The desk's list has the id, whichever number was given.
    listed = {"ticket_id": missing.ticket_id} if missing is not None else {}
    if facts.reconcile == "poll":
        return _Line("housekeeping", phrases.JOB_RECOVERED, {**listed, "job_id": "...", "reason": "polled"})
    if facts.webhooks is not None and facts.webhooks.refused:
        refused = facts.webhooks.refused[0]
        reason = refused.reason.partition(":")[0]
        values = {"ticket_id": refused.ticket_id, "status": refused.status, "reason": reason}
        return _Line("api", phrases.WEBHOOK_REJECTED, values)
    unread = None if facts.webhooks is None or facts.desk.ticket == "gone" else unread_since(facts.webhooks)
    if unread is not None:
        # The line names no ticket.
        by = f'"Webhook rejected" | grep "tenant_id: {facts.tenant_id},"'
        values = {"status": unread.status, "reason": unread.reason.partition(":")[0]}
        return _Line("api", phrases.WEBHOOK_REJECTED, values, by)
    if missing is not None and missing.missed_at is not None:
        created = f"{missing.created_at:%Y-%m-%dT%H:%M:%SZ}"
        values = {**listed, "created": created, "reconcile": facts.reconcile or "..."}
        return _Line("housekeeping", phrases.WEBHOOK_MISSED, values)
    return _Line("api", phrases.WEBHOOK_RECEIVED, {})


def _others(facts: Facts) -> Sequence[str]:
    if not facts.others:
        return []
    told = [f"{job.id} {job.state}" + (f" ({job.reason})" if job.reason else "") for job in facts.others[:3]]
    more = len(facts.others) - len(told)
    return [", ".join(told) + (f", and {more} more: `ai-agents jobs --ticket {facts.ticket_id}`" if more > 0 else "")]
