"""Verdict from facts, in the FAQ's order: webhook, queue, workers, job; no I/O."""

from datetime import datetime

from config.tenant_settings import key_name
from storage.by_hand import Details
from storage.jobs import CONTEXT_INCOMPLETE, FORGOTTEN
from storage.models import JobState
from support.diagnose.diagnosis import IS_THERE, SEE_WORKERS, Diagnosis, enhance_by_hand, told, unless_closed
from support.diagnose.facts import REDIS_REFUSES, Facts, nobody_works
from support.diagnose.no_webhook import of_no_webhook
from support.diagnose.other_faults import as_of_then, mends_of, with_other_faults
from support.diagnose.readings import CRITICAL, HIGH, MODERATE
from support.diagnose.reasons import CAUSES, FAILING, OF_SETTING, JobCause, cause_of, known_cause
from support.diagnose.refusals import clock, of_refusal, of_unread, unread_since
from support.diagnose.verdicts import VerdictCode
from support.tables import duration

_LONG_SECONDS = 60.0
_STILL_SECONDS = 15.0
_RELAY_SECONDS = 10.0
_RESTART = "`kubectl rollout restart deployment/ai-agents-worker -n ai-agents-production`"
_PING = "`kubectl exec deployment/ai-agents-api -n ai-agents-production -- redis-cli -h redis PING`"
_PODS = "`kubectl get pods -n ai-agents-production | grep worker`"


def judge(facts: Facts) -> Diagnosis:
    return with_other_faults(facts, _judge(facts))


def _judge(facts: Facts) -> Diagnosis:
    job = facts.job
    if facts.database_failure:
        return _without_database(facts)
    if job is None:
        # First: a webhook would be accepted, and its job skipped.
        return _of_cause(facts, CAUSES[FORGOTTEN]) if facts.forgotten else _without_job(facts)
    if job.state == JobState.COMPLETED:
        return _completed(facts, job)
    if job.state in (JobState.FAILED, JobState.SKIPPED):
        if facts.desk.note and job.note_attempted_at is not None:
            return told(facts, VerdictCode.DELIVERED, IS_THERE)
        return _of_cause(facts, _cause_of_end(facts))
    return _running(facts, job) if job.state == JobState.RUNNING else _waiting(facts, job)


def _without_database(facts: Facts) -> Diagnosis:
    if facts.desk.note:
        return told(facts, VerdictCode.DELIVERED, IS_THERE)
    mend = "escalate to Engineering: jobs go on by themselves when Postgres answers; then look again"
    says, anchor = "can't be looked up: our database does not answer", ""
    if facts.inbox is not None:
        says = "was accepted, and waits in Redis until our database answers"
    elif facts.queue_failure:
        says = "can't be looked up: neither our database nor Redis answers"
        anchor = "redis-or-both-stores-down"
    return told(facts, VerdictCode.DATABASE_FAILING, says, mend, anchor=anchor)


def _without_job(facts: Facts) -> Diagnosis:
    if facts.inbox is not None:
        return told(facts, VerdictCode.IN_PROGRESS, "was taken, and waits in Redis until Postgres has it", "wait")
    # A polled desk needs no webhooks.
    webhooks = None if facts.reconcile == "poll" else facts.webhooks
    if webhooks is not None and webhooks.refused:
        return of_refusal(facts, webhooks)
    if facts.desk.ticket == "gone":
        says = "is unknown: no webhook of it came, and the desk has no ticket of that number"
        return told(facts, VerdictCode.TICKET_GONE, says, "see that the number, and the client, are the right ones")
    if webhooks is not None and (unread := unread_since(webhooks)):
        return of_unread(facts, unread)
    if facts.tenant_closed:
        says = "never came to us, and a setting of the client has to be mended with us"
        check = OF_SETTING.format(tenant=facts.tenant_id)
        return told(facts, VerdictCode.TENANT_CLOSED, says, check)
    return of_no_webhook(facts)


def _completed(facts: Facts, job: Details) -> Diagnosis:
    if facts.desk.ticket == "gone":
        return told(facts, VerdictCode.TICKET_GONE, "had its enhancement, and is in the desk no more")
    if facts.desk.note is False:
        says = "had its enhancement, and somebody has removed the note since"
        return told(
            facts,
            VerdictCode.NOTE_REMOVED,
            says,
            unless_closed(facts, "if a new note is wanted, " + enhance_by_hand(facts)),
        )
    if _lacks_context(facts):
        says = "has its enhancement, and it says less: what could have helped was not found in time"
        return told(facts, VerdictCode.CONTEXT_FAILING, says, "look at slow queries; escalate to Engineering")
    if facts.desk.note or job.finished_at is None:
        return told(facts, VerdictCode.DELIVERED, IS_THERE)
    says = f"has its enhancement: the note was put into the ticket at {clock(job.finished_at, facts.asked_at)}"
    return told(facts, VerdictCode.DELIVERED, says)


def _lacks_context(facts: Facts) -> bool:
    looked = [event.what for event in facts.events or () if event.what in (CONTEXT_INCOMPLETE, "answered")]
    return CONTEXT_INCOMPLETE in looked[-2:]


def _of_cause(facts: Facts, cause: JobCause) -> Diagnosis:
    job = facts.job
    mends, says = [mends_of(facts, cause)], as_of_then(facts, cause)
    if job is not None and job.state == JobState.WAITING and cause.verdict is not VerdictCode.IN_PROGRESS:
        is_due = job.due_at <= facts.asked_at
        says += "; the next try comes at any moment" if is_due else f"; the next try is {_at(job.due_at, facts)}"
        says += _by_itself(facts)
    elif job is not None and job.state in (JobState.FAILED, JobState.SKIPPED) and cause.retried:
        mends.append(f"then `ai-agents retry {job.id}`" + (" (GPT-4's answer is kept)" if job.answered else ""))
    elif cause.verdict is VerdictCode.TICKET_GONE and facts.desk.ticket == "open" and job is not None:
        says += "; it is open now"
        mends.append(f"if it is to be enhanced after all, `ai-agents retry {job.id}`")
    return told(facts, cause.verdict, says, *mends, anchor=cause.anchor)


def _by_itself(facts: Facts) -> str:
    return "" if nobody_works(facts.queue, facts.work) else ", by itself"


def _at(moment: datetime, facts: Facts) -> str:
    return f"at {moment:%H:%M:%S} UTC, in {duration((moment - facts.asked_at).total_seconds())}"


def _cause_of_end(facts: Facts) -> JobCause:
    """Return the cause of an ended job; for a passed deadline the failure before it."""
    cause = cause_of(facts.job.reason if facts.job else None)
    if cause.verdict is VerdictCode.DEADLINE_PASSED:
        met = [known_cause(event.reason or "") for event in facts.events or ()]
        failing = [each for each in met if each is not None and each.verdict in FAILING]
        return failing[-1] if failing else cause
    if cause.verdict is VerdictCode.FAILED and _lacks_context(facts):
        says = "has no enhancement: what could help was not found in time"
        return JobCause(VerdictCode.CONTEXT_FAILING, says, "look at slow queries; escalate to Engineering")
    return cause


def _running(facts: Facts, job: Details) -> Diagnosis:
    if job.lease_until is not None and job.lease_until > facts.asked_at and not nobody_works(facts.queue, facts.work):
        if facts.queue is not None and facts.queue.listening == 0:
            # A full worker does not listen either.
            sure = duration((job.lease_until - facts.asked_at).total_seconds())
            says = f"is with a worker that is not heard of at the queue, attempt {job.attempt}: it is full, or gone"
            return told(facts, VerdictCode.IN_PROGRESS, f"{says}, which is certain in {sure}", f"wait for {sure}")
        return told(facts, VerdictCode.IN_PROGRESS, f"is being enhanced just now, attempt {job.attempt}", "wait")
    if _redis_takes_nothing(facts):
        return _redis_is_stuck(facts)
    if nobody_works(facts.queue, facts.work):
        return _no_worker(facts, "its worker ended in the middle of it, and there is no other")
    says = "goes on by itself: its worker fell silent, and it is queued again for the next one that is free"
    return told(facts, VerdictCode.IN_PROGRESS, says, "wait a minute", anchor="crashing")


def _waiting(facts: Facts, job: Details) -> Diagnosis:
    due_for = (facts.asked_at - job.due_at).total_seconds()
    if job.deadline_at <= facts.asked_at and facts.most_running is None:
        return told(facts, VerdictCode.DEADLINE_PASSED, "has run out of time, and its job is about to be ended", "wait")
    if due_for < 0:
        cause = known_cause(job.reason or "")
        if cause is not None:
            return _of_cause(facts, cause)
        return told(facts, VerdictCode.IN_PROGRESS, f"is tried {_at(job.due_at, facts)}{_by_itself(facts)}", "wait")
    return _not_queued(facts, job, due_for) or _in_queue(facts, job, due_for)


def _not_queued(facts: Facts, job: Details, due_for: float) -> Diagnosis | None:
    """Return the obstacle that keeps a due job out of the queue, or None."""
    if facts.queue_failure:
        anchor = "redis-refuses-us" if facts.queue_failure == REDIS_REFUSES else "redis-or-both-stores-down"
        says = f"is accepted, and waits for Redis: {facts.queue_failure}"
        mend = "bring Redis back, a P1 incident: the job then goes on by itself"
        return told(facts, VerdictCode.NOT_QUEUED, says, mend, anchor=anchor)
    if _redis_takes_nothing(facts) and (job.published_at is None or nobody_works(facts.queue, facts.work)):
        return _redis_is_stuck(facts)
    if job.published_at is None and due_for > _RELAY_SECONDS:
        says = f"is accepted, and its job is not queued though it is due for {duration(due_for)}"
        return told(facts, VerdictCode.NOT_QUEUED, says, f"{_PING}; see that the API runs")
    return None


def _redis_takes_nothing(facts: Facts) -> bool:
    return facts.queue is not None and facts.queue.takes_nothing


def _redis_is_stuck(facts: Facts) -> Diagnosis:
    says = "is accepted, and waits for Redis, which has no room left, can't write to its disk, or is read-only"
    mend = "escalate to Engineering as a P1: the job then goes on by itself"
    return told(facts, VerdictCode.NOT_QUEUED, says, mend, anchor="redis-takes-nothing")


def _in_queue(facts: Facts, job: Details, due_for: float) -> Diagnosis:
    if nobody_works(facts.queue, facts.work):
        return _no_worker(facts, "no worker is there to take its job")
    if _takes_nothing(facts, due_for):
        says = "waits: no worker has a job, and none takes one"
        return told(facts, VerdictCode.NO_WORKER, says, _RESTART, anchor="alive-but-taking-nothing")
    if facts.most_running is not None:
        says = f"waits until one of the client's jobs ends: {facts.most_running} are at work, and no more may be"
        mend = f"wait: {key_name(facts.tenant_id, 'jobs.most_running')} says how many, not the workers"
        return told(facts, VerdictCode.WAITING_BACKLOG, says, mend)
    cause = known_cause(job.reason or "")
    if cause is not None and cause.verdict in FAILING:
        return _of_cause(facts, cause)
    depth = facts.queue.waiting if facts.queue else None
    if due_for >= _LONG_SECONDS or (depth is not None and depth >= MODERATE):
        many = "" if depth is None else f", of which {depth} wait"
        says = f"waits for its turn for {duration(due_for)}, behind other jobs{many}"
        return told(facts, VerdictCode.WAITING_BACKLOG, says, *_scaled(depth))
    says, mend = "and its turn comes", "wait"
    if facts.queue is not None and facts.queue.listening == 0:
        # A full worker does not listen either; the expiry of its leases decides.
        says = "and no worker is heard of there: all are full, or gone, which is certain within a minute"
        mend = f"{_PODS} tells whether they run; look again in a minute"
    return told(facts, VerdictCode.IN_PROGRESS, f"is in the queue for {duration(due_for)}, {says}", mend)


def _scaled(depth: int | None) -> list[str]:
    if depth is None or depth <= HIGH:
        return ["wait, and keep an eye on it"]
    stop = "kubectl annotate scaledobject ai-agents-worker -n ai-agents-production autoscaling.keda.sh/paused=true"
    scale = "kubectl scale deployment/ai-agents-worker -n ai-agents-production --replicas=10"
    return [f"`{stop} --overwrite`", f"`{scale}`", *(["a P1 incident"] if depth > CRITICAL else [])]


def _no_worker(facts: Facts, why: str) -> Diagnosis:
    return told(facts, VerdictCode.NO_WORKER, f"waits: {why}", SEE_WORKERS)


def _takes_nothing(facts: Facts, due_for: float) -> bool:
    """Return True if workers take no job though this one, or many, are due.

    A worker that has room begins a job at once.
    """
    is_long = facts.queue is not None and facts.queue.waiting >= MODERATE
    if facts.work is None or facts.work.workers or (due_for < _STILL_SECONDS and not is_long):
        return False
    started = facts.last_started_at
    return started is None or (facts.asked_at - started).total_seconds() >= _STILL_SECONDS
