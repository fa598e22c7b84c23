"""Faults beside the verdict's own, and the time of a refusal that is not new."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from config.tenant_names import setting_suffix
from integrations.resilience import DeskHoldReason, HoldReason
from storage.by_hand import Happened
from storage.models import JobState
from support.diagnose.diagnosis import SEE_WORKERS, Diagnosis
from support.diagnose.facts import Facts, nobody_works
from support.diagnose.reasons import CAUSES, JobCause, known_cause
from support.diagnose.refusals import clock
from support.diagnose.verdicts import VerdictCode

_NEW = timedelta(minutes=1)
"""A hold is tried every 30 s: after twice that, nothing shows whether it still holds."""
_MODEL = {VerdictCode.MODEL_FAILING, VerdictCode.MODEL_HELD}
_DESK = {VerdictCode.DESK_FAILING, VerdictCode.RATE_HELD, VerdictCode.TENANT_CLOSED}


def with_other_faults(facts: Facts, found: Diagnosis) -> Diagnosis:
    """Return the diagnosis of an open or failed job with its other faults."""
    job = facts.job
    if job is None or job.state in (JobState.COMPLETED, JobState.SKIPPED) or found.verdict is VerdictCode.DELIVERED:
        return found
    if job.state == JobState.WAITING and found.verdict is not VerdictCode.NO_WORKER and _lacks_workers(facts):
        found = _beside(found, "no worker is there to take its job", SEE_WORKERS)
    for fault, reason in [
        *(_of_model(facts) if found.verdict not in _MODEL else ()),
        *(_of_desk(facts) if found.verdict not in _DESK else ()),
    ]:
        cause = known_cause(reason)
        found = _beside(found, fault, "" if cause is None else mends_of(facts, cause))
    return found


def _beside(found: Diagnosis, fault: str, mends: str) -> Diagnosis:
    more = [mends] if mends and mends not in found.mends else []
    return replace(found, says=f"{found.says} Besides, {fault}.", mends=[*found.mends, *more])


def _lacks_workers(facts: Facts) -> bool:
    # Workers can't listen at a read-only Redis.
    takes_nothing = facts.queue is not None and facts.queue.takes_nothing
    return nobody_works(facts.queue, facts.work) and not takes_nothing


def mends_of(facts: Facts, cause: JobCause) -> str:
    return cause.mends.format(
        tenant=facts.tenant_id,
        ticket=facts.ticket_id,
        job=facts.job.id if facts.job else "",
        suffix=setting_suffix(facts.tenant_id) if facts.tenant_id else "<TENANT>",
    )


def _of_model(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.model.asked and facts.model.failure:
        yield f"the model's server fails just now: {facts.model.failure}", ""
        return
    if held := _held(facts, HoldReason) or _held_elsewhere(facts) or _met(facts, HoldReason, until="answered"):
        yield held


def _of_desk(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.desk.asked:
        if facts.desk.failure:
            yield f"the desk fails just now: {facts.desk.failure}", facts.desk.failure
        return
    if held := _held(facts, DeskHoldReason) or _met(facts, DeskHoldReason, until="asked"):
        yield held


def _held(facts: Facts, reasons: type[HoldReason] | type[DeskHoldReason]) -> tuple[str, str] | None:
    if reason := next((reason for reason in reasons if reason in facts.held), None):
        return f"jobs of the client wait: {_held_since(facts, reason, facts.held[reason].last_at)}", reason
    return None


def _held_elsewhere(facts: Facts) -> tuple[str, str] | None:
    answered_at = max((event.at for event in facts.events or () if event.what == "answered"), default=None)
    for reason, last_at in facts.held_elsewhere.items():
        if answered_at is None or answered_at < last_at:
            return f"jobs with the same model key wait: {_held_since(facts, reason, last_at)}", reason
    return None


def _met(facts: Facts, reasons: type[HoldReason] | type[DeskHoldReason], until: str) -> tuple[str, str] | None:
    for event in reversed(facts.events or ()):
        if event.what == until:
            return None
        if event.reason in set(reasons):
            return f"it was last refused at {clock(event.at, facts.asked_at)}: {event.reason}", event.reason or ""
    return None


def _held_since(facts: Facts, reason: str, last_at: datetime) -> str:
    if facts.asked_at - last_at < _NEW:
        return reason
    return f"last refused at {clock(last_at, facts.asked_at)} ({reason})"


def as_of_then(facts: Facts, cause: JobCause) -> str:
    holds = next((reason for reason in (*HoldReason, *DeskHoldReason) if CAUSES.get(reason) is cause), None)
    seen: list[Happened] = [event for event in facts.events or () if event.reason == holds]
    if holds is None or not seen or facts.asked_at - seen[-1].at < _NEW:
        return cause.says
    begins = "waits" if facts.job is not None and facts.job.state == JobState.WAITING else "has no enhancement"
    return f"{begins}: last refused at {clock(seen[-1].at, facts.asked_at)} ({holds})"
