"""Verdict from facts, in the FAQ's order: webhook, queue, workers, job; no I/O."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from config.tenants import key_name, setting_suffix
from integrations.resilience import DeskHoldReason, HoldReason
from jobs.details import Details, Happened
from jobs.diagnosis.causes import CAUSES, CHECK_SETTINGS, FAILING, JobCause, cause_of, known_cause
from jobs.diagnosis.facts import Facts
from jobs.diagnosis.verdict_codes import Diagnosis, VerdictCode
from jobs.models import JobState
from jobs.rejections import RefusalCount, WebhookResults
from jobs.repository import CONTEXT_INCOMPLETE
from jobs.statistics import CRITICAL, HIGH, MODERATE, REDIS_REFUSES, is_without_worker
from observability.formats import duration
from privacy.tombstones import FORGOTTEN

_LONG_WAIT_SECONDS = 60.0
_IDLE_SECONDS = 15.0
_RELAY_DELAY_SECONDS = 10.0
# A hold is probed every 30 s: if it was not renewed within two probes, it may be over.
_HOLD_RENEWED_WITHIN = timedelta(minutes=1)
_DELIVERED_TEXT = "has its enhancement: the note is in the ticket"
_SLOW_QUERIES = "check for slow queries; escalate to Engineering"
_EXCLUDED = "the tenant's rules exclude it, or the desk does not show it to us"
_NO_WORKER = "no worker is running to take its job"
_ROTATION = "docs/runbooks/secret-rotation.md"
_CORRECT = "ask the client to correct the webhook: docs/runbooks/WEBHOOK_TROUBLESHOOTING_RUNBOOK.md"
_SEND_AGAIN = "then ask the client to send the webhook again"
_WAIT_FOR_RECONCILIATION = (
    "jobs of new tickets are created automatically once fewer jobs wait (docs/reconcile.md): check again after "
    "twice RECONCILE_INTERVAL_SECONDS. For an older ticket, ask the client to send the webhook again"
)
_COMPARE_SECRET = f"ask the client to compare the desk's secret with WEBHOOK_SECRET_{{suffix}} ({_ROTATION})"
_COMPARE_TOKEN = "ask the client to compare the desk's token with WEBHOOK_TOKEN_{suffix}"  # noqa: S105 -- a setting
_STEPS_OF_REFUSALS = {
    "signature mismatch": _COMPARE_SECRET,
    "signature missing": _COMPARE_SECRET,
    "token mismatch": _COMPARE_TOKEN,
    "token missing": _COMPARE_TOKEN,
    "too many jobs waiting": "find the source of so many webhooks; Engineering may raise {most_waiting}",
    "stale timestamp": "ask the client to set the clock of their server",
    "timestamp missing": "ask the client to send a signed timestamp",
    "unknown tenant": "ask the client to send the tenant id exactly as `{tenant}` in the webhook",
}
_ANCHORS = {403: "refused-with-403", 429: "too-many-jobs-waiting", 404: "wrong-address", 405: "wrong-address"}
_MODEL = {VerdictCode.MODEL_FAILING, VerdictCode.MODEL_HELD}
_DESK = {VerdictCode.DESK_FAILING, VerdictCode.RATE_HELD, VerdictCode.TENANT_CLOSED}


def judge(facts: Facts) -> Diagnosis:
    """Return the diagnosis; other faults found are added to its text and actions."""
    return _with_other_faults(facts, _judge(facts))


def _judge(facts: Facts) -> Diagnosis:
    job = facts.job
    if facts.database_failure:
        return _diagnose_database_outage(facts)
    if job is None:
        # Checked first: webhooks of an erased ticket are accepted, but their jobs are skipped.
        return _diagnose_cause(facts, CAUSES[FORGOTTEN]) if facts.forgotten else _diagnose_missing_job(facts)
    if job.state == JobState.COMPLETED:
        return _completed(facts, job)
    if job.state in (JobState.FAILED, JobState.SKIPPED):
        if facts.desk.note and job.note_attempted_at is not None:
            return _verdict(facts, VerdictCode.DELIVERED, _DELIVERED_TEXT)
        return _diagnose_cause(facts, _cause_of_end(facts))
    return _running(facts, job) if job.state == JobState.RUNNING else _waiting(facts, job)


def _verdict(facts: Facts, verdict: VerdictCode, text: str, *actions: str, anchor: str = "") -> Diagnosis:
    tenant = f" of {facts.tenant_id}" if facts.tenant_id else ""
    ticket = f"Ticket {facts.ticket_id}" if facts.ticket_id else "The job's ticket"
    end = "" if text.endswith("?") else "."
    return Diagnosis(verdict, f"{ticket}{tenant} {text}{end}", [action for action in actions if action], anchor)


def _start_workers(facts: Facts) -> str:
    return f"{facts.commands.check_workers} shows the reason; the job continues by itself when a worker runs"


def _enhance_by_hand(facts: Facts, way: str) -> str:
    if facts.desk.ticket == "closed":
        return "it is closed in the desk: it gets a note only after it is reopened"
    return way.format(f"`ai-agents enhance --tenant {facts.tenant_id} --ticket {facts.ticket_id}`")


def clock(moment: datetime, now: datetime) -> str:
    """Format a time of today as `09:14 UTC`, any other with its date."""
    return f"{moment:%H:%M} UTC" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%M} UTC"


def _diagnose_database_outage(facts: Facts) -> Diagnosis:
    if facts.desk.note:
        return _verdict(facts, VerdictCode.DELIVERED, _DELIVERED_TEXT)
    action = "escalate to Engineering: jobs continue by themselves when Postgres answers; then check again"
    text, anchor = "can't be looked up: our database does not answer", ""
    if facts.inbox is not None:
        text = "was accepted, and waits in Redis until our database answers"
    elif facts.queue_failure:
        text = "can't be looked up: neither our database nor Redis answers"
        anchor = "redis-or-both-stores-down"
    return _verdict(facts, VerdictCode.DATABASE_FAILING, text, action, anchor=anchor)


def _diagnose_missing_job(facts: Facts) -> Diagnosis:
    if facts.inbox is not None:
        text = "was accepted, and waits in Redis until Postgres stores it"
        return _verdict(facts, VerdictCode.IN_PROGRESS, text, "wait")
    # A polled desk needs no webhooks.
    webhooks = None if facts.reconcile == "poll" else facts.webhooks
    if webhooks is not None and webhooks.refused:
        return _diagnose_refusal(facts, webhooks)
    if facts.desk.ticket == "gone":
        text = "is unknown: no webhook arrived for it, and the desk has no ticket with this number"
        return _verdict(facts, VerdictCode.TICKET_GONE, text, "check the number and the tenant")
    if webhooks is not None and (refusal := latest_without_ticket(webhooks)):
        last = clock(refusal.last_at, facts.read_at)
        text = f"has no enhancement: the client's webhooks arrive and are refused, last at {last}: {refusal.reason}"
        anchor = _ANCHORS.get(refusal.status, "refused-for-its-form")
        return _verdict(facts, VerdictCode.WEBHOOK_REJECTED, text, _CORRECT, _SEND_AGAIN, anchor=anchor)
    if facts.tenant_closed:
        text = "did not reach us, and a setting of the tenant must be fixed on our side"
        return _verdict(facts, VerdictCode.TENANT_CLOSED, text, CHECK_SETTINGS.format(tenant=facts.tenant_id))
    return _diagnose_polled(facts) if facts.reconcile == "poll" else _diagnose_no_webhook(facts)


def latest_without_ticket(webhooks: WebhookResults) -> RefusalCount | None:
    """Return the latest refusal without a ticket if no accepted webhook followed."""
    last = webhooks.last_accepted_at
    # The sender of a 403 is unknown; other refusals are stored only after authentication.
    found = [refusal for refusal in webhooks.without_ticket if refusal.status != 403]
    return next((refusal for refusal in found if last is None or refusal.last_at > last), None)


def _diagnose_refusal(facts: Facts, webhooks: WebhookResults) -> Diagnosis:
    last = webhooks.refused[0]
    kind, _, cause = last.reason.partition(": ")
    if kind == "tenant closed":
        text = "has no enhancement: its webhook arrived, and a setting of the tenant must be fixed on our side"
        check = CHECK_SETTINGS.format(tenant=facts.tenant_id)
        return _verdict(facts, VerdictCode.TENANT_CLOSED, text, check, _SEND_AGAIN, anchor="refused-with-403")
    since = f"since {clock(webhooks.since or last.at, facts.read_at)}"
    text = f"has no enhancement: its webhook has been refused {since}: {last.reason}"
    if kind == "signature mismatch":
        why = f": {cause.replace('signed with', 'it is signed with', 1)}" if cause else ""
        text = f"has no enhancement: the signature of its webhook has been wrong {since}{why}"
    if webhooks.last_accepted_at is not None and webhooks.last_accepted_at > last.at:
        over = "later webhooks were accepted: ask the client to send this one again"
        return _verdict(
            facts, VerdictCode.WEBHOOK_REJECTED, text, _WAIT_FOR_RECONCILIATION if last.status == 429 else over
        )
    action = _STEPS_OF_REFUSALS.get(kind, _CORRECT)
    if kind == "signature mismatch" and "retired secret" in cause:
        action = f"ask the client to set the current secret in the desk (WEBHOOK_SECRET_{{suffix}}; {_ROTATION})"
    action = action.format(
        tenant=facts.tenant_id,
        suffix=setting_suffix(facts.tenant_id or ""),
        most_waiting=key_name(facts.tenant_id, "jobs.most_waiting"),
    )
    anchor = _ANCHORS.get(last.status, "refused-for-its-form")
    again = _WAIT_FOR_RECONCILIATION if last.status == 429 else _SEND_AGAIN
    return _verdict(facts, VerdictCode.WEBHOOK_REJECTED, text, action, again, anchor=anchor)


def _diagnose_no_webhook(facts: Facts) -> Diagnosis:
    missing = facts.missing
    text = "did not reach us: no webhook arrived that names the tenant or has its secret"
    if missing is not None:
        arrived = ", without a webhook"
        if missing.missed_at is not None:
            arrived = f", and no webhook arrived by {clock(missing.missed_at, facts.read_at)}"
        text = f"did not reach us: it was seen in the desk at {clock(missing.seen_at, facts.read_at)}{arrived}"
    elif facts.tenant_id is not None and facts.webhooks is None:
        text = "has no job; whether its webhook was refused is unknown"
    name = key_name(facts.tenant_id, "reconcile")
    if missing is None or facts.reconcile is None:
        job_creation = _check_rules_action(facts)
    elif missing.left_out:
        job_creation = f"no job is created: {_EXCLUDED}"
    elif facts.reconcile == "on":
        job_creation = (
            f"{name} is on: its job is created automatically, within a limit per minute; wait, unless the "
            "ticket is older than RECONCILE_WINDOW_HOURS or was erased"
        )
    else:
        job_creation = f"{name} is `report`; with `on`, such a ticket gets a job without a webhook"
    return _verdict(
        facts,
        VerdictCode.WEBHOOK_MISSING,
        text,
        job_creation,
        f"{facts.commands.check_api} when the ticket was created? If not, ask the client to send the webhook again",
        "ask the client to check that the webhook is enabled and its address is right, and to send it again",
        "add --tenant to check the desk too"
        if facts.tenant_id is None
        else _enhance_by_hand(facts, "{} creates a job without a webhook"),
    )


def _check_rules_action(facts: Facts) -> str:
    if not facts.has_rules or facts.missing is not None:
        return ""
    return f"check whether {key_name(facts.tenant_id, 'tickets')} excludes it: such a ticket gets no job"


def _diagnose_polled(facts: Facts) -> Diagnosis:
    text = "has no job yet: the client's desk sends no webhooks and is polled for new tickets"
    if facts.missing is not None:
        text += f"; this one was seen at {clock(facts.missing.seen_at, facts.read_at)}"
        if facts.missing.left_out:
            check = f"to include it, check {key_name(facts.tenant_id, 'tickets')} and the rights of our key"
            by_hand = _enhance_by_hand(facts, "then run {}, because polling skips it from now on")
            return _verdict(facts, VerdictCode.LEFT_OUT, f"{text}, and {_EXCLUDED}", check, by_hand)
    return _verdict(
        facts,
        VerdictCode.WEBHOOK_MISSING,
        text,
        _check_rules_action(facts),
        "wait for RECONCILE_INTERVAL_SECONDS, and check again",
        "check that housekeeping runs, and its log for `Reconcile error`",
        _enhance_by_hand(facts, "{} creates the job at once"),
    )


def _completed(facts: Facts, job: Details) -> Diagnosis:
    if facts.desk.ticket == "gone":
        return _verdict(facts, VerdictCode.TICKET_GONE, "had its enhancement, and is no longer in the desk")
    if facts.desk.note is False:
        text = "had its enhancement, and the note was removed from the ticket later"
        by_hand = _enhance_by_hand(facts, "for a new note, run {}")
        return _verdict(facts, VerdictCode.NOTE_REMOVED, text, by_hand)
    if _lacks_context(facts):
        text = "has its enhancement with less detail: related content was not found in time"
        return _verdict(facts, VerdictCode.CONTEXT_FAILING, text, _SLOW_QUERIES)
    text = _DELIVERED_TEXT
    if not facts.desk.note and job.finished_at is not None:
        text = f"has its enhancement: the note was added to the ticket at {clock(job.finished_at, facts.read_at)}"
    return _verdict(facts, VerdictCode.DELIVERED, f"{text}{', its claims not checked' if job.is_unchecked else ''}")


def _lacks_context(facts: Facts) -> bool:
    results = [event.what for event in facts.events or () if event.what in (CONTEXT_INCOMPLETE, "answered")]
    return CONTEXT_INCOMPLETE in results[-2:]


def _cause_of_end(facts: Facts) -> JobCause:
    cause = cause_of(facts.job.reason if facts.job else None)
    if cause.verdict is VerdictCode.DEADLINE_PASSED:
        causes = [known_cause(event.reason or "") for event in facts.events or ()]
        failing = [each for each in causes if each is not None and each.verdict in FAILING]
        return failing[-1] if failing else cause
    if cause.verdict is VerdictCode.FAILED and _lacks_context(facts):
        text = "has no enhancement: related content was not found in time"
        return JobCause(VerdictCode.CONTEXT_FAILING, text, _SLOW_QUERIES)
    return cause


def _diagnose_cause(facts: Facts, cause: JobCause) -> Diagnosis:
    job = facts.job
    actions, text = [_action_of(facts, cause)], _text_of(facts, cause)
    if job is not None and job.state == JobState.WAITING and cause.verdict is not VerdictCode.IN_PROGRESS:
        is_due = job.due_at <= facts.read_at
        text += f"; the next attempt is {'due now' if is_due else _at(job.due_at, facts)}"
    elif job is not None and job.state in (JobState.FAILED, JobState.SKIPPED) and cause.retried:
        actions.append(f"then run `ai-agents retry {job.id}`" + (" (GPT-4's answer is kept)" if job.answered else ""))
    elif cause.verdict is VerdictCode.TICKET_GONE and facts.desk.ticket == "open" and job is not None:
        text += "; it is open now"
        actions.append(f"to enhance it now, run `ai-agents retry {job.id}`")
    return _verdict(facts, cause.verdict, text, *actions)


def _action_of(facts: Facts, cause: JobCause) -> str:
    return cause.action_for(facts.tenant_id, facts.ticket_id, facts.job.id if facts.job else "")


def _text_of(facts: Facts, cause: JobCause) -> str:
    """Return the cause's text; for a hold not renewed lately, its last refusal."""
    hold_reason = next((reason for reason in (*HoldReason, *DeskHoldReason) if CAUSES.get(reason) is cause), None)
    seen: list[Happened] = [event for event in facts.events or () if event.reason == hold_reason]
    if hold_reason is None or not seen or facts.read_at - seen[-1].at < _HOLD_RENEWED_WITHIN:
        return cause.text
    begins = "is paused" if facts.job is not None and facts.job.state == JobState.WAITING else "has no enhancement"
    return f"{begins}: last refused at {clock(seen[-1].at, facts.read_at)} ({hold_reason})"


def _at(moment: datetime, facts: Facts) -> str:
    return f"at {moment:%H:%M:%S} UTC, in {duration((moment - facts.read_at).total_seconds())}"


def _running(facts: Facts, job: Details) -> Diagnosis:
    has_lease = job.lease_until is not None and job.lease_until > facts.read_at
    if has_lease and not is_without_worker(facts.queue, facts.work):
        if facts.queue is not None and facts.queue.listening == 0:
            # A full worker does not listen either.
            lease_left = duration((job.lease_until - facts.read_at).total_seconds()) if job.lease_until else ""
            text = (
                f"is with a worker that does not listen to the queue, attempt {job.attempt}: the worker is full or "
                f"lost; this is clear in {lease_left}"
            )
            return _verdict(facts, VerdictCode.IN_PROGRESS, text, f"wait for {lease_left}")
        return _verdict(facts, VerdictCode.IN_PROGRESS, f"is being enhanced now, attempt {job.attempt}", "wait")
    if _redis_takes_nothing(facts):
        return _diagnose_stuck_redis(facts)
    if is_without_worker(facts.queue, facts.work):
        text = "waits: its worker was lost during the attempt, and no other worker is running"
        return _verdict(facts, VerdictCode.NO_WORKER, text, _start_workers(facts))
    text = "continues by itself: its worker was lost, and the job is queued again for the next free worker"
    return _verdict(facts, VerdictCode.IN_PROGRESS, text, "wait a minute", anchor="crashing")


def _waiting(facts: Facts, job: Details) -> Diagnosis:
    due_for = (facts.read_at - job.due_at).total_seconds()
    if job.deadline_at <= facts.read_at and facts.most_running is None:
        return _verdict(facts, VerdictCode.DEADLINE_PASSED, "is past its deadline, and its job is about to end", "wait")
    if due_for < 0:
        cause = known_cause(job.reason or "")
        if cause is not None:
            return _diagnose_cause(facts, cause)
        return _verdict(facts, VerdictCode.IN_PROGRESS, f"has its next attempt {_at(job.due_at, facts)}", "wait")
    if facts.queue_failure:
        anchor = "redis-refuses-us" if facts.queue_failure == REDIS_REFUSES else "redis-or-both-stores-down"
        text = f"is accepted, and waits for Redis: {facts.queue_failure}"
        action = "restore Redis, a P1 incident: the job then continues by itself"
        return _verdict(facts, VerdictCode.NOT_QUEUED, text, action, anchor=anchor)
    if _redis_takes_nothing(facts) and (job.published_at is None or is_without_worker(facts.queue, facts.work)):
        return _diagnose_stuck_redis(facts)
    if job.published_at is None and due_for > _RELAY_DELAY_SECONDS:
        text = f"is accepted, and its job is not queued although it was due {duration(due_for)} ago"
        return _verdict(facts, VerdictCode.NOT_QUEUED, text, f"{facts.commands.check_redis}; check that the API runs")
    return _in_queue(facts, job, due_for)


def _redis_takes_nothing(facts: Facts) -> bool:
    return facts.queue is not None and facts.queue.takes_nothing


def _diagnose_stuck_redis(facts: Facts) -> Diagnosis:
    text = "is accepted, and waits for Redis, which is out of memory, can't write to its disk, or is read-only"
    action = "escalate to Engineering as a P1: the job then continues by itself"
    return _verdict(facts, VerdictCode.NOT_QUEUED, text, action, anchor="redis-takes-nothing")


def _in_queue(facts: Facts, job: Details, due_for: float) -> Diagnosis:
    depth = facts.queue.waiting if facts.queue else None
    is_long = depth is not None and depth >= MODERATE
    if is_without_worker(facts.queue, facts.work):
        return _verdict(facts, VerdictCode.NO_WORKER, f"waits: {_NO_WORKER}", _start_workers(facts))
    if _workers_take_nothing(facts, is_due_long=is_long or due_for >= _IDLE_SECONDS):
        text = "waits: no worker has a job, and none takes one"
        return _verdict(
            facts, VerdictCode.NO_WORKER, text, facts.commands.restart_workers, anchor="alive-but-taking-nothing"
        )
    if facts.most_running is not None:
        text = f"waits until one of the tenant's jobs ends: {facts.most_running} run, which is its limit"
        action = f"wait: {key_name(facts.tenant_id, 'jobs.most_running')} is the limit, more workers do not help"
        return _verdict(facts, VerdictCode.WAITING_BACKLOG, text, action)
    cause = known_cause(job.reason or "")
    if cause is not None and cause.verdict in FAILING:
        return _diagnose_cause(facts, cause)
    if due_for >= _LONG_WAIT_SECONDS or is_long:
        many = "" if depth is None else f"; {depth} wait in total"
        text = f"has waited for {duration(due_for)} behind other jobs{many}"
        actions = ["wait, and check again"]
        if depth is not None and depth > HIGH:
            actions = [*facts.commands.add_workers, *(["a P1 incident"] if depth > CRITICAL else [])]
        return _verdict(facts, VerdictCode.WAITING_BACKLOG, text, *actions)
    text, action = "and is next", "wait"
    if facts.queue is not None and facts.queue.listening == 0:
        # A full worker does not listen either; the expiry of its leases decides.
        text = "and no worker listens: all are full or lost; this is clear within a minute"
        action = f"{facts.commands.check_workers} shows whether they run; check again in a minute"
    return _verdict(facts, VerdictCode.IN_PROGRESS, f"has been in the queue for {duration(due_for)}, {text}", action)


def _workers_take_nothing(facts: Facts, *, is_due_long: bool) -> bool:
    if facts.work is None or facts.work.workers or not is_due_long:
        return False
    # A worker with a free slot starts a job at once.
    started = facts.last_started_at
    return started is None or (facts.read_at - started).total_seconds() >= _IDLE_SECONDS


def _with_other_faults(facts: Facts, found: Diagnosis) -> Diagnosis:
    job = facts.job
    if job is None or job.state in (JobState.COMPLETED, JobState.SKIPPED) or found.verdict is VerdictCode.DELIVERED:
        return found
    faults: list[tuple[str, str]] = []
    # With a read-only Redis, workers do not listen either.
    lacks_workers = is_without_worker(facts.queue, facts.work) and not _redis_takes_nothing(facts)
    if job.state == JobState.WAITING and found.verdict is not VerdictCode.NO_WORKER and lacks_workers:
        faults.append((_NO_WORKER, _start_workers(facts)))
    for fault, reason in [
        *(_faults_of_model(facts) if found.verdict not in _MODEL else ()),
        *(_faults_of_desk(facts) if found.verdict not in _DESK else ()),
    ]:
        cause = known_cause(reason)
        faults.append((fault, "" if cause is None else _action_of(facts, cause)))
    for fault, action in faults:
        more = [action] if action and action not in found.actions else []
        found = replace(found, text=f"{found.text} Also, {fault}.", actions=[*found.actions, *more])
    return found


def _faults_of_model(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.model.asked and facts.model.failure:
        yield f"the model's server fails now: {facts.model.failure}", ""
        return
    answered_at = max((event.at for event in facts.events or () if event.what == "answered"), default=None)
    elsewhere = (
        (f"jobs with the same model key are paused: {_held_since(facts, reason, last_at)}", reason)
        for reason, last_at in facts.held_elsewhere.items()
        if answered_at is None or answered_at < last_at
    )
    if fault := _held(facts, HoldReason) or next(elsewhere, None) or _last_refusal(facts, HoldReason, until="answered"):
        yield fault


def _faults_of_desk(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.desk.asked:
        if facts.desk.failure:
            yield f"the desk fails now: {facts.desk.failure}", facts.desk.failure
    elif fault := _held(facts, DeskHoldReason) or _last_refusal(facts, DeskHoldReason, until="asked"):
        yield fault


def _held(facts: Facts, reasons: type[HoldReason] | type[DeskHoldReason]) -> tuple[str, str] | None:
    if reason := next((reason for reason in reasons if reason in facts.held), None):
        return f"jobs of the tenant are paused: {_held_since(facts, reason, facts.held[reason].last_at)}", reason
    return None


def _held_since(facts: Facts, reason: str, last_at: datetime) -> str:
    if facts.read_at - last_at < _HOLD_RENEWED_WITHIN:
        return reason
    return f"last refused at {clock(last_at, facts.read_at)} ({reason})"


def _last_refusal(facts: Facts, reasons: type[HoldReason] | type[DeskHoldReason], until: str) -> tuple[str, str] | None:
    for event in reversed(facts.events or ()):
        if event.what == until:
            return None
        if event.reason in set(reasons):
            return f"it was last refused at {clock(event.at, facts.read_at)}: {event.reason}", event.reason or ""
    return None
