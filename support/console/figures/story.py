"""A ticket's story: the result of `diagnose`, limited to the viewer's rights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from storage.by_hand import Details, Listed
from storage.jobs import ALREADY_ENHANCED, DUPLICATE, FORGOTTEN
from storage.models import JobState
from storage.rejections import RefusedLately
from support.console.figures.tenants import own_words
from support.console.figures.wording import Tone
from support.diagnose.facts import Facts, reading_of
from support.diagnose.judging import judge
from support.diagnose.printing import Evidence, document, evidence, log_line, not_checked
from support.diagnose.reasons import cause_of
from support.diagnose.verdicts import Diagnosis, VerdictCode
from support.show_job import trace_id

_TONES: dict[VerdictCode, Tone] = {
    **dict.fromkeys((VerdictCode.DELIVERED, VerdictCode.ALREADY_ENHANCED), "ok"),
    VerdictCode.IN_PROGRESS: "info",
    **dict.fromkeys(
        (
            VerdictCode.RATE_HELD,
            VerdictCode.WAITING_BACKLOG,
            VerdictCode.ANOTHER_JOB,
            VerdictCode.TICKET_GONE,
            VerdictCode.LEFT_OUT,
            VerdictCode.NOTHING_FOUND,
            VerdictCode.DRY_RUN,
            VerdictCode.FORGOTTEN,
            VerdictCode.NOTE_REMOVED,
        ),
        "warn",
    ),
}
"""Of those that are not here something has to be mended."""


@dataclass(frozen=True, slots=True)
class RetryOffer:
    """A possible retry of a job: its cost, and a caution, empty for none."""

    job_id: str
    costs: str
    caution: str


@dataclass(frozen=True, slots=True)
class Story:
    """Content of a ticket's page. `code` is the verdict in `diagnose --json`."""

    tenant_id: str | None
    ticket_id: str
    numbers: str
    code: VerdictCode
    tone: Tone
    says: str
    means: str
    mends: Sequence[str]
    document: str
    lines: Sequence[Evidence]
    unchecked: Sequence[str]
    log_line: str
    log_command: str
    trace: str
    trace_url: str
    jobs: Sequence[Details | Listed]
    job_id: str
    """The job that the verdict is about; empty for none."""
    retry: RetryOffer | None


def story(facts: Facts, *, own: bool, jaeger_url: str | None) -> Story:
    """Diagnose the facts and describe them; `own` hides other tenants' data."""
    if own:
        facts = _without_causes(facts)
    diagnosis = judge(facts)
    shown = _of_the_tenant(facts) if own else facts
    line, command = log_line(facts)
    trace = (trace_id(facts.job) if facts.job else None) or ""
    return Story(
        tenant_id=facts.tenant_id,
        ticket_id=facts.ticket_id,
        numbers=_numbers(facts),
        code=diagnosis.verdict,
        tone=_TONES.get(diagnosis.verdict, "bad"),
        says=_says(facts, shown, diagnosis),
        means=diagnosis.verdict.means,
        mends=diagnosis.mends,
        document=document(diagnosis),
        lines=_lines(facts, shown),
        unchecked=not_checked(facts),
        log_line=line,
        log_command=command,
        trace=trace,
        # Jaeger shows the traces of all tenants to every visitor.
        trace_url=f"{jaeger_url}/trace/{trace}" if jaeger_url and trace and not own else "",
        jobs=_jobs(facts),
        job_id=str(facts.job.id) if facts.job else "",
        retry=None if facts.job is None else retry_offer(facts.job),
    )


def retry_offer(job: Details) -> RetryOffer | None:
    """Return the retry of a job; None if it is impossible or useless."""
    if job.state not in (JobState.FAILED, JobState.SKIPPED) or job.reason in (DUPLICATE, FORGOTTEN):
        return None
    return RetryOffer(str(job.id), costs(answered=job.answered), caution(job.reason))


def caution(reason: str | None) -> str:
    """Return the argument against retrying a job with this reason; empty for none."""
    cause = cause_of(reason)
    if cause.verdict is VerdictCode.WORKER_LOST:
        return "It ended each worker that took it: do not retry it before Engineering has looked at it."
    if reason == ALREADY_ENHANCED:
        return "The ticket has its enhancement, or may have it: this makes a further note."
    return (
        "" if cause.retried else "It ends like this again, unless the ticket or its tenant's rules have changed since."
    )


def costs(*, answered: bool) -> str:
    return "GPT-4's answer is kept: nothing is paid" if answered else "GPT-4 is asked again, and paid"


def _without_causes(facts: Facts) -> Facts:
    """Remove causes of signature mismatches that reveal another tenant."""
    webhooks = facts.webhooks
    if webhooks is None:
        return facts
    refused = [replace(each, reason=own_words(each.reason)) for each in webhooks.refused]
    # Merged, because two identical lines would reveal that they differ.
    unread: dict[tuple[int, str], RefusedLately] = {}
    for each in webhooks.unread:
        reason = own_words(each.reason)
        before = unread.get((each.status, reason))
        count, last = (before.count, before.last_at) if before else (0, each.last_at)
        told = replace(each, reason=reason, count=count + each.count, last_at=max(last, each.last_at))
        unread[each.status, reason] = told
    return replace(facts, webhooks=replace(webhooks, refused=refused, unread=list(unread.values())))


def _of_the_tenant(facts: Facts) -> Facts:
    return replace(facts, queue=None, work=None)


def _says(facts: Facts, shown: Facts, diagnosis: Diagnosis) -> str:
    if shown is facts:
        return diagnosis.says
    told = judge(shown)
    if told.verdict is diagnosis.verdict and told.anchor == diagnosis.anchor:
        return told.says
    # The viewer may not know the evidence.
    return f"Ticket {facts.ticket_id} of {facts.tenant_id}: {diagnosis.verdict.means}."


def _lines(facts: Facts, shown: Facts) -> list[Evidence]:
    lines = evidence(shown)
    if shown is not facts and facts.queue is not None:
        lines.append(Evidence(None, f"queue: {reading_of(facts.queue.waiting)}"))
    return lines


def _numbers(facts: Facts) -> str:
    job = facts.job
    numbers = [] if job is None else [job.ticket_id, job.desk_id, job.display_id]
    others = [number for number in dict.fromkeys([*numbers, *facts.desk.numbers]) if number]
    return ", ".join(number for number in others if number != facts.ticket_id)


def _jobs(facts: Facts) -> list[Details | Listed]:
    jobs: list[Details | Listed] = [*facts.others, *([facts.job] if facts.job else [])]
    return sorted(jobs, key=lambda job: (job.accepted_at, job.id), reverse=True)
