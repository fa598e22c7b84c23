"""Every phrase, word for word: a phrase that changes is a visible change here (contract, log lines, 6)."""

import re
from string import Formatter

import pytest

from observability import phrases
from observability.phrases import Phrase

# name -> template, level, whether it is printed at any LOG_LEVEL
WORD_FOR_WORD: dict[str, tuple[str, str, bool]] = {
    "WEBHOOK_RECEIVED": ("Webhook received: ticket_id={ticket_id}, tenant_id={tenant_id}", "info", True),
    "WEBHOOK_DUPLICATE": ("Webhook duplicate: job_id={job_id}, ticket_id={ticket_id}", "info", True),
    "WEBHOOK_REJECTED": ("Webhook rejected: status={status}, reason={reason}", "warning", True),
    "WEBHOOK_NOT_TAKEN": ("Webhook rejected: status={status}, reason={reason}", "error", True),
    "CROWDED": ("Too many connections: those whose senders are silent longest are closed", "warning", False),
    "JOB_QUEUED": ("Job queued: job_id={job_id}, ticket_id={ticket_id}", "info", True),
    "JOB_REQUEUED": ("Job requeued: job_id={job_id}, ticket_id={ticket_id}, reason={reason}", "warning", True),
    "TASK_STARTED": ("Task started: job_id={job_id}, ticket_id={ticket_id}", "info", True),
    "WORKFLOW_INITIATED": ("LangGraph workflow initiated", "info", True),
    "CONTEXT_GATHERED": ("Context gathered: ticket_history={ticket_history}, docs={docs}", "info", True),
    "CONTEXT_TIMEOUT": ("Context gathering timeout after {seconds}s", "warning", True),
    "GPT4_ANSWERED": ("GPT-4 API call: status={status}", "info", True),
    "GPT4_ANSWER_KEPT": ("GPT-4 answer of an earlier attempt used", "info", False),
    "GPT4_TIMEOUT": ("GPT-4 API call failed: timeout after {seconds}s", "error", True),
    "OPENAI_FAILED": ("OpenAI API error: {reason}", "error", True),
    "TICKET_UPDATED": ("ServiceDesk Plus ticket updated: ticket_id={ticket_id}", "info", True),
    "DESK_TIMEOUT": ("ServiceDesk Plus API timeout", "error", True),
    "DESK_FAILED": ("ServiceDesk Plus API error: {reason}", "error", True),
    "BREAKER_OPENED": (
        "Breaker error: {server} failed {count} times in a row, jobs held back for {seconds}s",
        "error",
        False,
    ),
    "BREAKER_CLOSED": ("Breaker closed: {server} is back", "info", False),
    "TICKET_NOT_FOUND": ("Ticket not found: {ticket_id}", "info", True),
    "TICKET_CLOSED": ("Ticket deleted/closed", "info", True),
    "FAILURE_NOTE_LEFT": ("Note with context only left: ticket_id={ticket_id}", "info", False),
    "FAILURE_NOTE_REFUSED": (
        "Note with context only not left: ticket_id={ticket_id}, reason={reason}",
        "warning",
        False,
    ),
    "TASK_COMPLETED": ("Task completed: job_id={job_id}, duration={seconds}s", "info", True),
    "TASK_SKIPPED": ("Task skipped: job_id={job_id}, ticket_id={ticket_id}, reason={reason}", "info", True),
    "TASK_FAILED": ("Task failed: job_id={job_id}, ticket_id={ticket_id}, reason={reason}", "error", True),
    "MESSAGE_FAILED": ("Message error: job_id={job_id}, reason={reason}", "error", True),
    "SETTINGS_REFUSED": ("Start refused: {reason}", "error", True),
    "PROCESS_STARTING": ("{process} starting", "info", False),
    "PROCESS_READY": ("{process} ready.", "info", True),
    "PROCESS_STOPPING": ("{process} stopping", "info", False),
    "PROCESS_STOPPED": ("{process} stopped", "info", False),
    "PROCESS_FAILED": ("Process error: unexpected failure", "error", True),
    "SERVER_AWAITED": ("Waiting for {server}", "warning", False),
    "WORKER_STUCK": ("Worker error: {reason}; it ends, to be started anew", "error", True),
    "HOUSEKEEPING_STUCK": ("Housekeeping error: {reason}; it ends, to be started anew", "error", True),
    "TENANT_UNUSABLE": ("Tenant settings unusable, the ones before stay: {reason}", "warning", False),
    "TENANT_CLOSED": ("Tenant settings unusable, the tenant is closed: {reason}", "error", False),
    "DATABASE_UNREACHABLE": ("Database error: {reason}", "error", True),
    "REDIS_UNREACHABLE": ("Redis error: {reason}", "error", True),
    "DATABASE_NEWER": (
        "Database newer than this release: revision={revision}, needed={needed}",
        "warning",
        False,
    ),
    "REDIS_MAY_EVICT": (
        "Redis may drop jobs and events: its maxmemory-policy is {policy}, set it to noeviction",
        "warning",
        False,
    ),
    "RELAY_FAILED": ("Relay error: unexpected failure", "error", True),
    "INBOX_USED": ("Event kept in Redis until the database is back", "warning", False),
    "INBOX_EMPTIED": ("Events moved from Redis to the database: {count}", "info", False),
    "REQUEST_FAILED": ("Webhook error: unexpected failure", "error", True),
    "EXPORT_FAILING": ("Trace export failing: the collector does not take spans", "warning", False),
    "MIGRATED": ("Database migrated: revision={revision}", "info", False),
    "ERASED": (
        "Erased: tenant_id={tenant_id}, copies={copies}, answers={answers}, jobs={jobs}, keys={keys}",
        "info",
        False,
    ),
    "PURGED": ("Purged by age: answers={answers}, copies={copies}, jobs={jobs}", "info", False),
    "PURGE_FAILED": ("Purge error: what={what}, reason={reason}", "error", False),
    "SYNC_COMPLETED": (
        "Sync completed: tenant_id={tenant_id}, tickets={tickets}, passages={passages}, removed={removed}",
        "info",
        False,
    ),
    "SYNC_FAILED": ("Sync error: tenant_id={tenant_id}, reason={reason}", "error", False),
}
# The lines of the contract as support sees them, filled in.
OF_THE_FAQ = [
    ("WEBHOOK_RECEIVED", "Webhook received: ticket_id=12345, tenant_id=acme"),
    ("JOB_QUEUED", "Job queued: job_id=J, ticket_id=12345"),
    ("WEBHOOK_REJECTED", "Webhook rejected: status=403, reason=signature mismatch"),
    ("TASK_STARTED", "Task started: job_id=J, ticket_id=12345"),
    ("WORKFLOW_INITIATED", "LangGraph workflow initiated"),
    ("CONTEXT_GATHERED", "Context gathered: ticket_history=Yes, docs=No"),
    ("GPT4_ANSWERED", "GPT-4 API call: status=200"),
    ("TICKET_UPDATED", "ServiceDesk Plus ticket updated: ticket_id=12345"),
    ("TASK_COMPLETED", "Task completed: job_id=J, duration=45s"),
    ("GPT4_TIMEOUT", "GPT-4 API call failed: timeout after 30s"),
    ("OPENAI_FAILED", "OpenAI API error: 429 Rate Limit"),
    ("DESK_TIMEOUT", "ServiceDesk Plus API timeout"),
    ("DESK_FAILED", "ServiceDesk Plus API error: 500"),
    ("TICKET_NOT_FOUND", "Ticket not found: 12345"),
    ("TICKET_CLOSED", "Ticket deleted/closed"),
    ("CONTEXT_TIMEOUT", "Context gathering timeout after 30s"),
]
DEFINED = {name: value for name, value in vars(phrases).items() if isinstance(value, Phrase)}


def test_every_phrase_is_written_down_here_word_for_word() -> None:
    now = {name: (phrase.template, phrase.level, phrase.promised) for name, phrase in DEFINED.items()}
    assert now == WORD_FOR_WORD


@pytest.mark.parametrize(("name", "shown"), OF_THE_FAQ)
def test_a_line_of_the_faq_reads_as_the_contract_has_it(name: str, shown: str) -> None:
    phrase = DEFINED[name]
    places = [place for _, place, _, _ in Formatter().parse(phrase.template) if place]
    pattern = re.escape(phrase.template)
    for place in places:
        pattern = pattern.replace(re.escape(f"{{{place}}}"), "(.+)")
    assert re.fullmatch(pattern, shown)
    assert phrase.promised


def test_the_word_that_support_greps_for_is_in_failures_only() -> None:
    healthy = [phrase for phrase in DEFINED.values() if phrase.level != "error"]
    assert [phrase.template for phrase in healthy if "error" in phrase.template.lower()] == []
    assert len(healthy) < len(DEFINED)


def test_no_two_phrases_of_a_level_read_alike() -> None:
    kinds = [(phrase.template, phrase.level) for phrase in DEFINED.values()]
    assert len(set(kinds)) == len(kinds)
