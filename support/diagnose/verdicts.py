"""Verdicts: the FAQ's causes, their meanings and headings."""

from dataclasses import dataclass
from enum import StrEnum

from config.exits import OF_VERDICTS

FAQ = "docs/support/faq/faq-enhancements-not-received.md"


class VerdictCode(StrEnum):
    """Verdict on a ticket, as in `--json`."""

    DELIVERED = "delivered"
    IN_PROGRESS = "in_progress"
    WAITING_BACKLOG = "waiting_backlog"
    NO_WORKER = "no_worker"
    WEBHOOK_MISSING = "webhook_missing"
    WEBHOOK_REJECTED = "webhook_rejected"
    TICKET_GONE = "ticket_gone"
    MODEL_FAILING = "model_failing"
    DESK_FAILING = "desk_failing"
    CONTEXT_FAILING = "context_failing"
    TENANT_CLOSED = "tenant_closed"
    MODEL_HELD = "model_held"
    RATE_HELD = "rate_held"
    ALREADY_ENHANCED = "already_enhanced"
    ANOTHER_JOB = "another_job"
    LEFT_OUT = "left_out"
    NOTHING_FOUND = "nothing_found"
    DRY_RUN = "dry_run"
    FORGOTTEN = "forgotten"
    NOTE_REMOVED = "note_removed"
    NOT_QUEUED = "not_queued"
    DEADLINE_PASSED = "deadline_passed"
    WORKER_LOST = "worker_lost"
    DATABASE_FAILING = "database_failing"
    FAILED = "failed"

    @property
    def status(self) -> int:
        return OF_VERDICTS[self]


@dataclass(frozen=True, slots=True)
class VerdictMeaning:
    """Meaning of a verdict for the document, and its heading (anchor) in the FAQ."""

    means: str
    anchor: str


_GPT4, _DESK = "1-gpt-4-api-timeouterror", "2-servicedesk-plus-api-unavailable"
_GONE, _OTHER = "3-invalid-ticket-id", "another-job-has-it"
MEANINGS = {
    VerdictCode.DELIVERED: VerdictMeaning("the note is in the ticket", "nothing-is-wrong"),
    VerdictCode.IN_PROGRESS: VerdictMeaning("its job goes on by itself", "slow-but-in-progress"),
    VerdictCode.WAITING_BACKLOG: VerdictMeaning(
        "its job waits behind others, and workers take them", "too-few-workers"
    ),
    VerdictCode.NO_WORKER: VerdictMeaning("its job waits, and no worker takes any", "resolution-worker-crashes"),
    VerdictCode.WEBHOOK_MISSING: VerdictMeaning("no webhook of it came", "no-webhook-for-this-ticket"),
    VerdictCode.WEBHOOK_REJECTED: VerdictMeaning(
        "its webhook came and was refused", "resolution-webhook-delivery-failure"
    ),
    VerdictCode.TICKET_GONE: VerdictMeaning(
        "the ticket was closed or deleted, or the desk has none of that number", _GONE
    ),
    VerdictCode.MODEL_FAILING: VerdictMeaning("the model fails, or refused this one", _GPT4),
    VerdictCode.DESK_FAILING: VerdictMeaning("the desk fails, is not reached, or refuses us", _DESK),
    VerdictCode.CONTEXT_FAILING: VerdictMeaning(
        "what could have helped was not found in time: the note, if it is there, says less",
        "4-context-gathering-timeout",
    ),
    VerdictCode.TENANT_CLOSED: VerdictMeaning("a setting of the tenant has to be mended with us", "tenant-closed"),
    VerdictCode.MODEL_HELD: VerdictMeaning(
        "all jobs of the model wait until somebody acts, or the day's limit is over", _GPT4
    ),
    VerdictCode.RATE_HELD: VerdictMeaning(
        "the desk has had its calls of this minute, or throttles us: the job's turn comes", _DESK
    ),
    VerdictCode.ALREADY_ENHANCED: VerdictMeaning("the ticket has its enhancement, by another job", _OTHER),
    VerdictCode.ANOTHER_JOB: VerdictMeaning("another job of the ticket has the story", _OTHER),
    VerdictCode.LEFT_OUT: VerdictMeaning("the tenant's rules leave such tickets out", "left-out"),
    VerdictCode.NOTHING_FOUND: VerdictMeaning(
        "nothing was like it, and the tenant wants no note then", "nothing-found"
    ),
    VerdictCode.DRY_RUN: VerdictMeaning("the tenant has dry runs: the note was made and not left", "dry-run"),
    VerdictCode.FORGOTTEN: VerdictMeaning("somebody had the ticket or its requester erased", "forgotten"),
    VerdictCode.NOTE_REMOVED: VerdictMeaning("the note was in the ticket, and is there no more", "nothing-is-wrong"),
    VerdictCode.NOT_QUEUED: VerdictMeaning(
        "its job is due and not in the queue: Redis, or the API", "does-redis-answer"
    ),
    VerdictCode.DEADLINE_PASSED: VerdictMeaning("no worker ended its job in time", "ended-at-its-deadline"),
    VerdictCode.WORKER_LOST: VerdictMeaning("its job ended each worker that took it", "5-anything-else"),
    VerdictCode.DATABASE_FAILING: VerdictMeaning(
        "Postgres does not answer, or did not answer the workers", "database-down"
    ),
    VerdictCode.FAILED: VerdictMeaning("its job failed for another reason", "5-anything-else"),
}
"""In the order of their exit statuses, but for the first."""
