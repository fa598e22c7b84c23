"""The phrases that support greps for, literally; a change must be visible."""

from observability import phrases
from observability.phrases import Phrase

# name -> template, level
WORD_FOR_WORD: dict[str, tuple[str, str]] = {
    "WEBHOOK_RECEIVED": ("Webhook received: ticket_id={ticket_id}, tenant_id={tenant_id}", "info"),
    "WEBHOOK_DUPLICATE": ("Webhook duplicate: job_id={job_id}, ticket_id={ticket_id}", "info"),
    "WEBHOOK_REJECTED": ("Webhook rejected: status={status}, reason={reason}", "warning"),
    "WEBHOOK_NOT_TAKEN": ("Webhook rejected: status={status}, reason={reason}", "error"),
    "JOB_QUEUED": ("Job queued: job_id={job_id}, ticket_id={ticket_id}", "info"),
    "JOB_REQUEUED": ("Job requeued: job_id={job_id}, ticket_id={ticket_id}, reason={reason}", "warning"),
    "TASK_STARTED": ("Task started: job_id={job_id}, ticket_id={ticket_id}", "info"),
    "WORKFLOW_INITIATED": ("LangGraph workflow initiated", "info"),
    "CONTEXT_GATHERED": ("Context gathered: ticket_history={ticket_history}, docs={docs}", "info"),
    "CONTEXT_TIMEOUT": ("Context gathering timeout after {seconds}s", "warning"),
    "GPT4_ANSWERED": ("GPT-4 API call: status={status}", "info"),
    "GPT4_TIMEOUT": ("GPT-4 API call failed: timeout after {seconds}s", "error"),
    "OPENAI_FAILED": ("OpenAI API error: {reason}", "error"),
    "TICKET_UPDATED": ("ServiceDesk Plus ticket updated: ticket_id={ticket_id}", "info"),
    "DESK_TIMEOUT": ("ServiceDesk Plus API timeout", "error"),
    "DESK_FAILED": ("ServiceDesk Plus API error: {reason}", "error"),
    "TICKET_NOT_FOUND": ("Ticket not found: {ticket_id}", "info"),
    "TICKET_CLOSED": ("Ticket deleted/closed", "info"),
    "TASK_COMPLETED": ("Task completed: job_id={job_id}, duration={seconds}s", "info"),
    "TASK_SKIPPED": ("Task skipped: job_id={job_id}, ticket_id={ticket_id}, reason={reason}", "info"),
    "TASK_FAILED": ("Task failed: job_id={job_id}, ticket_id={ticket_id}, reason={reason}", "error"),
    "MESSAGE_FAILED": ("Message error: job_id={job_id}, reason={reason}", "error"),
    "SETTINGS_REFUSED": ("Start refused: {reason}", "error"),
    "PROCESS_READY": ("{process} ready.", "info"),
    "PROCESS_FAILED": ("Process error: unexpected failure", "error"),
    "WORKER_STUCK": ("Worker error: {reason}; it ends, to be started anew", "error"),
    "HOUSEKEEPING_STUCK": ("Housekeeping error: {reason}; it ends, to be started anew", "error"),
    "DATABASE_UNREACHABLE": ("Database error: {reason}", "error"),
    "REDIS_UNREACHABLE": ("Redis error: {reason}", "error"),
    "RELAY_FAILED": ("Relay error: unexpected failure", "error"),
    "REQUEST_FAILED": ("Webhook error: unexpected failure", "error"),
}
DEFINED = {name: value for name, value in vars(phrases).items() if isinstance(value, Phrase)}


def test_each_promised_phrase_is_written_down_here_word_for_word() -> None:
    now = {name: (phrase.template, phrase.level) for name, phrase in DEFINED.items() if phrase.promised}
    assert now == WORD_FOR_WORD


def test_the_word_that_support_greps_for_is_in_failures_only() -> None:
    healthy = [phrase for phrase in DEFINED.values() if phrase.level != "error"]
    assert [phrase.template for phrase in healthy if "error" in phrase.template.lower()] == []
    assert len(healthy) < len(DEFINED)


def test_no_two_phrases_of_a_level_read_alike() -> None:
    kinds = [(phrase.template, phrase.level) for phrase in DEFINED.values()]
    assert len(set(kinds)) == len(kinds)
