"""Verdicts: the FAQ's causes, their meanings and headings."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from config.exit_codes import OF_VERDICTS

FAQ = "docs/support/faq/faq-enhancements-not-received.md"
_GPT4, _DESK = "1-gpt-4-api-timeouterror", "2-servicedesk-plus-api-unavailable"
_OTHER, _ELSE = "another-job-has-it", "5-anything-else"


class VerdictCode(StrEnum):
    """Verdict on a ticket, as in `--json`: its meaning for the document, and its heading in the FAQ.

    In the order of the exit statuses, but for the first.
    """

    means: str
    anchor: str

    def __new__(cls, code: str, means: str, anchor: str) -> Self:
        verdict = str.__new__(cls, code)
        verdict._value_ = code
        verdict.means = means
        verdict.anchor = anchor
        return verdict

    DELIVERED = "delivered", "the note is in the ticket", "nothing-is-wrong"
    IN_PROGRESS = "in_progress", "its job goes on by itself", "slow-but-in-progress"
    WAITING_BACKLOG = "waiting_backlog", "its job waits behind others, and workers take them", "too-few-workers"
    NO_WORKER = "no_worker", "its job waits, and no worker takes any", "resolution-worker-crashes"
    WEBHOOK_MISSING = "webhook_missing", "no webhook of it came", "no-webhook-for-this-ticket"
    WEBHOOK_REJECTED = "webhook_rejected", "its webhook came and was refused", "resolution-webhook-delivery-failure"
    TICKET_GONE = (
        "ticket_gone",
        "the ticket was closed or deleted, or the desk has none of that number",
        "3-invalid-ticket-id",
    )
    MODEL_FAILING = "model_failing", "the model fails, or refused this one", _GPT4
    DESK_FAILING = "desk_failing", "the desk fails, is not reached, or refuses us", _DESK
    CONTEXT_FAILING = (
        "context_failing",
        "what could have helped was not found in time: the note, if it is there, says less",
        "4-context-gathering-timeout",
    )
    TENANT_CLOSED = "tenant_closed", "a setting of the tenant has to be mended with us", "tenant-closed"
    MODEL_HELD = "model_held", "all jobs of the model wait until somebody acts, or the day's limit is over", _GPT4
    RATE_HELD = "rate_held", "the desk has had its calls of this minute, or throttles us: the job's turn comes", _DESK
    ALREADY_ENHANCED = "already_enhanced", "the ticket has its enhancement, by another job", _OTHER
    ANOTHER_JOB = "another_job", "another job of the ticket has the story", _OTHER
    LEFT_OUT = "left_out", "the tenant's rules leave such tickets out", "left-out"
    NOTHING_FOUND = "nothing_found", "nothing was like it, and the tenant wants no note then", "nothing-found"
    DRY_RUN = "dry_run", "the tenant has dry runs: the note was made and not left", "dry-run"
    FORGOTTEN = "forgotten", "somebody had the ticket or its requester erased", "forgotten"
    NOTE_REMOVED = "note_removed", "the note was in the ticket, and is there no more", "nothing-is-wrong"
    NOT_QUEUED = "not_queued", "its job is due and not in the queue: Redis, or the API", "does-redis-answer"
    DEADLINE_PASSED = "deadline_passed", "no worker ended its job in time", "ended-at-its-deadline"
    WORKER_LOST = "worker_lost", "its job ended each worker that took it", _ELSE
    DATABASE_FAILING = "database_failing", "Postgres does not answer, or did not answer the workers", "database-down"
    FAILED = "failed", "its job failed for another reason", _ELSE

    @property
    def status(self) -> int:
        return OF_VERDICTS[self]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Verdict with its texts.

    `text` can be pasted to a client, `actions` are the operator's actions, `anchor` is a heading of the FAQ (default:
    the verdict's).
    """

    verdict: VerdictCode
    text: str
    actions: Sequence[str] = ()
    anchor: str = ""
