"""The phrases that support greps for; `tests/kit/outside_names.txt` has each word for word."""

from observability import phrases
from observability.phrases import Phrase

PROMISED = {
    *("WEBHOOK_RECEIVED", "WEBHOOK_DUPLICATE", "WEBHOOK_REJECTED", "WEBHOOK_NOT_TAKEN", "JOB_QUEUED", "JOB_REQUEUED"),
    *("TASK_STARTED", "WORKFLOW_INITIATED", "CONTEXT_GATHERED", "CONTEXT_TIMEOUT", "GPT4_ANSWERED", "GPT4_TIMEOUT"),
    *("OPENAI_FAILED", "TICKET_UPDATED", "DESK_TIMEOUT", "DESK_FAILED", "TICKET_NOT_FOUND", "TICKET_CLOSED"),
    *("TASK_COMPLETED", "TASK_SKIPPED", "TASK_FAILED", "MESSAGE_FAILED", "SETTINGS_REFUSED", "PROCESS_READY"),
    *("PROCESS_FAILED", "WORKER_STUCK", "HOUSEKEEPING_STUCK", "DATABASE_UNREACHABLE", "REDIS_UNREACHABLE"),
    *("RELAY_FAILED", "REQUEST_FAILED"),
}
DEFINED = {name: value for name, value in vars(phrases).items() if isinstance(value, Phrase)}


def test_promised_phrases_are_these() -> None:
    """They are printed at any level."""
    assert {name for name, phrase in DEFINED.items() if phrase.promised} == PROMISED


def test_the_word_that_support_greps_for_is_in_failures_only() -> None:
    healthy = [phrase for phrase in DEFINED.values() if phrase.level != "error"]
    assert [phrase.template for phrase in healthy if "error" in phrase.template.lower()] == []
    assert len(healthy) < len(DEFINED)


def test_no_two_phrases_of_a_level_read_alike() -> None:
    kinds = [(phrase.template, phrase.level) for phrase in DEFINED.values()]
    assert len(set(kinds)) == len(kinds)
