"""All log lines of the system.

The phrases of the first part are an interface: support's FAQ greps for them word for word. They are printed at any
`LOG_LEVEL`. No phrase of a healthy run contains the word "error", in any case.
"""

from dataclasses import dataclass
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Phrase:
    """A line's text with `{places}` for values. `promised`: the FAQ relies on it."""

    template: str
    level: Level = "info"
    promised: bool = True


# -- The API, and the relay in it -------------------------------------------------------------------------------------
WEBHOOK_RECEIVED = Phrase("Webhook received: ticket_id={ticket_id}, tenant_id={tenant_id}")
WEBHOOK_CHECKED = Phrase("Webhook checked: tenant_id={tenant_id}", promised=False)
WEBHOOK_DUPLICATE = Phrase("Webhook duplicate: job_id={job_id}, ticket_id={ticket_id}")
WEBHOOK_REJECTED = Phrase("Webhook rejected: status={status}, reason={reason}", "warning")
WEBHOOK_NOT_TAKEN = Phrase("Webhook rejected: status={status}, reason={reason}", "error")
CROWDED = Phrase("Too many connections: those whose senders are silent longest are closed", "warning", promised=False)
JOB_QUEUED = Phrase("Job queued: job_id={job_id}, ticket_id={ticket_id}")
JOB_REQUEUED = Phrase("Job requeued: job_id={job_id}, ticket_id={ticket_id}, reason={reason}", "warning")

WEBHOOK_MISSED = Phrase(
    "Webhook missed: ticket_id={ticket_id}, tenant_id={tenant_id}, created={created}, reconcile={reconcile}",
    "warning",
    promised=False,
)
JOB_RECOVERED = Phrase("Job recovered: job_id={job_id}, ticket_id={ticket_id}, reason={reason}", promised=False)
TICKET_REOPENED = Phrase(
    "Ticket reopened after a skip: job_id={job_id}, ticket_id={ticket_id}, reconcile={reconcile}",
    "warning",
    promised=False,
)
NOTE_REMOVED = Phrase("Note removed: job_id={job_id}, ticket_id={ticket_id}", "warning", promised=False)
REFRESH_ASKED = Phrase("Refresh asked for: job_id={job_id}, ticket_id={ticket_id}, reason={reason}", promised=False)

FEEDBACK_RECORDED = Phrase("Feedback recorded: job_id={job_id}, vote={vote}, reason={reason}", promised=False)
FEEDBACK_REFUSED = Phrase("Feedback refused: job_id={job_id}, reason={reason}", promised=False)
FEEDBACK_NOT_RECORDED = Phrase("Feedback error: job_id={job_id}, reason={reason}", "error", promised=False)
FEEDBACK_LINKS_UNKNOWN = Phrase("Feedback links that are not ours: {count}", promised=False)
FEEDBACK_CROWDED = Phrase(
    "Feedback page: too many connections, the longest waiting are closed", "warning", promised=False
)
FEEDBACK_FAILED = Phrase("Feedback error: unexpected failure", "error", promised=False)

TEXTS_READ = Phrase("Job texts viewed: job_id={job_id}, visitor={visitor}", promised=False)

# -- The worker -------------------------------------------------------------------------------------------------------
TASK_STARTED = Phrase("Task started: job_id={job_id}, ticket_id={ticket_id}")
WORKFLOW_INITIATED = Phrase("LangGraph workflow initiated")
CONTEXT_GATHERED = Phrase("Context gathered: ticket_history={ticket_history}, docs={docs}")
CONTEXT_TIMEOUT = Phrase("Context gathering timeout after {seconds}s", "warning")
GPT4_ANSWERED = Phrase("GPT-4 API call: status={status}")
GPT4_ANSWER_KEPT = Phrase("GPT-4 answer of an earlier attempt reused", promised=False)
CLAIMS_NOT_CHECKED = Phrase("Claims not checked: reason={reason}", "warning", promised=False)
GPT4_TIMEOUT = Phrase("GPT-4 API call failed: timeout after {seconds}s", "error")
OPENAI_FAILED = Phrase("OpenAI API error: {reason}", "error")
FALLBACK_USED = Phrase("Fallback used: {fallback} answers in place of {server}", "warning", promised=False)
SPENDING_LIMIT_REACHED = Phrase(
    "Spending limit of today reached: tenant_id={tenant_id}, tokens={tokens}, dollars={dollars}, jobs held until it "
    "is over (UTC)",
    "warning",
    promised=False,
)
SPENDING_UNTOLD = Phrase(
    "Spending limit without effect: tenant_id={tenant_id}, the model does not report its {unit}",
    "warning",
    promised=False,
)
AUDIT_NOT_KEPT = Phrase("Audit record error: job_id={job_id}, not stored", "error", promised=False)
TICKET_UPDATED = Phrase("ServiceDesk Plus ticket updated: ticket_id={ticket_id}")
DESK_TIMEOUT = Phrase("ServiceDesk Plus API timeout", "error")
DESK_FAILED = Phrase("ServiceDesk Plus API error: {reason}", "error")
BREAKER_OPENED = Phrase(
    "Breaker error: {server} failed {count} times in a row, jobs held back for {seconds}s", "error", promised=False
)
BREAKER_CLOSED = Phrase("Breaker closed: {server} is back", promised=False)
HOLD_BEGUN = Phrase(
    "Hold error: {server}: {reason}, its jobs wait and one tries every {seconds}s", "error", promised=False
)
HOLD_ENDED = Phrase("Hold ended: {server} answers again", promised=False)
TICKET_NOT_FOUND = Phrase("Ticket not found: {ticket_id}")
TICKET_CLOSED = Phrase("Ticket deleted/closed")
FAILURE_NOTE_LEFT = Phrase("Failure note posted: ticket_id={ticket_id}", promised=False)
FAILURE_NOTE_REFUSED = Phrase(
    "Failure note not posted: ticket_id={ticket_id}, reason={reason}", "warning", promised=False
)
TASK_COMPLETED = Phrase("Task completed: job_id={job_id}, duration={seconds}s")
TASK_SKIPPED = Phrase("Task skipped: job_id={job_id}, ticket_id={ticket_id}, reason={reason}")
TASK_FAILED = Phrase("Task failed: job_id={job_id}, ticket_id={ticket_id}, reason={reason}", "error")
MESSAGE_UNREADABLE = Phrase("Queue error: message without a job removed, size={size}", "error", promised=False)
MESSAGE_FAILED = Phrase("Message error: job_id={job_id}, reason={reason}", "error")

# -- The console ------------------------------------------------------------------------------------------------------
CONSOLE_LOGIN = Phrase("Console login: visitor={visitor}, role={role}, by={by}", promised=False)
CONSOLE_LOGOUT = Phrase("Console logout: visitor={visitor}", promised=False)
CONSOLE_LOGOUT_LOST = Phrase("Console logout error: not recorded: visitor={visitor}", "error", promised=False)
CONSOLE_LOGIN_REFUSED = Phrase("Console login refused: reason={reason}", "warning", promised=False)
CONSOLE_LOGINS_FAILING = Phrase("Console logins refused in a minute: {count} and more", "warning", promised=False)
CONSOLE_PROVIDER_FAILED = Phrase("Console login error: the OpenID provider: {reason}", "error", promised=False)
CONSOLE_REFUSED = Phrase(
    "Console refused: visitor={visitor}, place={place}, reason={reason}", "warning", promised=False
)
CONSOLE_CHANGED = Phrase("Console change: visitor={visitor}, place={place}, status={status}", promised=False)
CONSOLE_SETTINGS = Phrase("Console settings: {reason}", "warning", promised=False)
CONSOLE_FAILED = Phrase("Console error: unexpected failure, id={id}", "error", promised=False)

# -- Processes: for the people who run them ---------------------------------------------------------------------------
SETTINGS_REFUSED = Phrase("Start refused: {reason}", "error")
PROCESS_STARTING = Phrase("{process} starting", promised=False)
PROCESS_READY = Phrase("{process} ready.")
PROCESS_STOPPING = Phrase("{process} stopping", promised=False)
PROCESS_STOPPED = Phrase("{process} stopped", promised=False)
PROCESS_FAILED = Phrase("Process error: unexpected failure", "error")
SERVER_AWAITED = Phrase("Waiting for {server}", "warning", promised=False)
WORKER_STUCK = Phrase("Worker error: {reason}; it ends, to be started anew", "error")
HOUSEKEEPING_STUCK = Phrase("Housekeeping error: {reason}; it ends, to be started anew", "error")
SECRETS_NOT_NEEDED = Phrase(
    "Secrets that this process does not need: {names}. Give it its own alone.", "warning", promised=False
)
TENANT_UNUSABLE = Phrase("Tenant settings unusable, the ones before stay: {reason}", "warning", promised=False)
TENANT_CLOSED = Phrase("Tenant settings unusable, the tenant is closed: {reason}", "error", promised=False)
DATABASE_UNREACHABLE = Phrase("Database error: {reason}", "error")
REDIS_UNREACHABLE = Phrase("Redis error: {reason}", "error")
REDIS_MAY_EVICT = Phrase(
    "Redis may evict jobs and events: its maxmemory-policy is {policy}, set it to noeviction", "warning", promised=False
)
DATABASE_NEWER = Phrase(
    "Database newer than this release: revision={revision}, needed={needed}", "warning", promised=False
)
RELAY_FAILED = Phrase("Relay error: unexpected failure", "error")
INBOX_USED = Phrase("Event stored in Redis until the database is back", "warning", promised=False)
INBOX_UNREADABLE = Phrase("Inbox error: invalid entries removed: {count}", "error", promised=False)
INBOX_EMPTIED = Phrase("Events moved from Redis to the database: {count}", promised=False)
REQUEST_FAILED = Phrase("Webhook error: unexpected failure", "error")
LANGSMITH_OFF = Phrase(
    "LangSmith stays off: {names} has no effect. Send traces with OTEL_EXPORTER_OTLP_ENDPOINT.",
    "warning",
    promised=False,
)
EXPORT_FAILING = Phrase("Trace export failing: the collector does not take spans", "warning", promised=False)
TRACES_NOT_KEPT = Phrase("Traces not written to files: {reason}", "warning", promised=False)
MIGRATED = Phrase("Database migrated: revision={revision}", promised=False)
ERASED = Phrase(
    "Erased: tenant_id={tenant_id}, copies={copies}, answers={answers}, jobs={jobs}, keys={keys}", promised=False
)
PURGED = Phrase("Purged by age: answers={answers}, copies={copies}, jobs={jobs}", promised=False)
SECRET_AGES_UNKNOWN = Phrase("Secret ages error: {reason}", "error", promised=False)
PURGE_FAILED = Phrase("Purge error: part={part}, reason={reason}", "error", promised=False)
REPORT_WRITTEN = Phrase("Report written: tenant_id={tenant_id}, file={file}", promised=False)
REPORTS_NOT_WRITTEN = Phrase("Reports not written: {reason}", "warning", promised=False)
SYNC_COMPLETED = Phrase(
    "Sync completed: tenant_id={tenant_id}, tickets={tickets}, passages={passages}, removed={removed},"
    " to_read={to_read}",
    promised=False,
)
SYNC_LEFT_OUT = Phrase("Sync left out: tenant_id={tenant_id}, another process copies this desk", promised=False)
SOLUTIONS_REFUSED = Phrase(
    "Solutions not copied: tenant_id={tenant_id}, reason={reason}, tickets are copied", "warning", promised=False
)
RECONCILED = Phrase(
    "Reconciled: tenant_id={tenant_id}, since={since}, missed={missed}, recovered={recovered},"
    " notes_removed={notes_removed}, reopened={reopened}",
    promised=False,
)
RECONCILE_INCOMPLETE = Phrase("Reconcile incomplete: tenant_id={tenant_id}, reason={reason}", "warning", promised=False)
RECONCILE_FAILED = Phrase("Reconcile error: tenant_id={tenant_id}, reason={reason}", "error", promised=False)
EMBEDDINGS_SENT = Phrase(
    "Embeddings: texts of tenant_id={tenant_id} are sent to {server}, model={model}", promised=False
)
EMBEDDINGS_FAILED = Phrase("Embeddings error: {reason}", "error", promised=False)
EMBEDDED = Phrase("Embeddings computed: tenant_id={tenant_id}, copies={copies}, left={left}", promised=False)
LOOK_FAILED = Phrase("Probe error: {reason}", "error", promised=False)
SYNC_FAILED = Phrase("Sync error: tenant_id={tenant_id}, reason={reason}", "error", promised=False)
