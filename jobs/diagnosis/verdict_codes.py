"""Verdicts with their meanings and headings in the FAQ."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from config.exit_codes import OF_VERDICTS

FAQ = "docs/support/faq/faq-enhancements-not-received.md"
_GPT4, _DESK = "1-gpt-4-api-timeouterror", "2-servicedesk-plus-api-unavailable"
_OTHER, _ELSE = "another-job-has-it", "5-anything-else"


class VerdictCode(StrEnum):
    """Verdict of a diagnosis, as in `--json`, ordered by exit status after the first."""

    means: str  # for documents and tables
    anchor: str  # heading in the FAQ

    def __new__(cls, code: str, means: str, anchor: str) -> Self:
        verdict = str.__new__(cls, code)
        verdict._value_ = code
        verdict.means = means
        verdict.anchor = anchor
        return verdict

    DELIVERED = "delivered", "the note is in the ticket", "nothing-is-wrong"
    IN_PROGRESS = "in_progress", "the job continues by itself", "slow-but-in-progress"
    WAITING_BACKLOG = "waiting_backlog", "the job waits in the queue behind other jobs", "too-few-workers"
    NO_WORKER = "no_worker", "the job waits, and no worker takes jobs", "resolution-worker-crashes"
    WEBHOOK_MISSING = "webhook_missing", "no webhook arrived for the ticket", "never-sent"
    WEBHOOK_REJECTED = "webhook_rejected", "the webhook arrived and was refused", "resolution-webhook-delivery-failure"
    TICKET_GONE = "ticket_gone", "the ticket is closed, deleted, or unknown to the desk", "3-invalid-ticket-id"
    MODEL_FAILING = "model_failing", "the model fails, or refused this request", _GPT4
    DESK_FAILING = "desk_failing", "the desk fails, is unreachable, or refuses our requests", _DESK
    CONTEXT_FAILING = (
        "context_failing",
        "related content was not found in time: the note has less detail, or is missing",
        "4-context-gathering-timeout",
    )
    TENANT_CLOSED = "tenant_closed", "a setting of the tenant must be fixed on our side", "tenant-closed"
    MODEL_HELD = (
        "model_held",
        "all jobs of the model are paused until an operator acts or the daily limit resets",
        _GPT4,
    )
    RATE_HELD = "rate_held", "the desk's rate limit is reached: the job continues by itself", _DESK
    ALREADY_ENHANCED = "already_enhanced", "another job has already enhanced the ticket", _OTHER
    ANOTHER_JOB = "another_job", "another job handles the ticket", _OTHER
    LEFT_OUT = "left_out", "the tenant's rules exclude the ticket", "left-out"
    NOTHING_FOUND = "nothing_found", "no related content was found, and the tenant wants no note then", "nothing-found"
    DRY_RUN = "dry_run", "the tenant has dry runs: the note was generated and not posted", "dry-run"
    FORGOTTEN = "forgotten", "the ticket or its requester was erased on request", "forgotten"
    NOTE_REMOVED = "note_removed", "the note was posted, and later removed from the ticket", "nothing-is-wrong"
    NOT_QUEUED = "not_queued", "the job is due and not in the queue: Redis or the API is the cause", "not-queued"
    DEADLINE_PASSED = "deadline_passed", "no worker finished the job before its deadline", "ended-at-its-deadline"
    WORKER_LOST = "worker_lost", "each worker that took the job crashed", _ELSE
    DATABASE_FAILING = "database_failing", "Postgres does not answer, or did not answer the workers", "database-down"
    FAILED = "failed", "the job failed for another reason", _ELSE
    HELD_OUT = "held_out", "the ticket belongs to the share without a note, for comparison", "held-out"

    @property
    def status(self) -> int:
        """Return the exit status of `ai-agents diagnose`."""
        return OF_VERDICTS[self]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Verdict with its texts."""

    verdict: VerdictCode
    text: str  # for the client
    actions: Sequence[str] = ()  # the operator's next steps
    anchor: str = ""  # overrides the verdict's
