"""All metrics of the system: names, labels and help texts.

The API exports them at `/metrics`; worker and housekeeping at `METRICS_PORT`, if set. Labels have few values: tenants,
fixed words, the configured model; never a ticket or a job.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial
from typing import Any
from uuid import UUID

from prometheus_client import Counter, Gauge, Histogram, Metric, disable_created_metrics

# A job takes about 45 s, of which GPT-4 takes 30.
_JOB_SECONDS = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800)
_STEP_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 45, 60, 120)
# As the GenAI conventions recommend.
_GENAI_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_GENAI_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
_WAIT_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 1800)


class CallbackGauge(Gauge):
    """Computes its series at each scrape, so that unset ones are exported too."""

    callback: Callable[[], Mapping[str, float]] | None = None
    """Callback that returns the values by label value."""

    def __init__(self, name: str, documentation: str, labelnames: Sequence[str], **options: Any) -> None:
        super().__init__(name, documentation, labelnames, **options)
        (self.labelname,) = labelnames

    def collect(self) -> Iterable[Metric]:
        (family,) = self.describe()
        for name, value in (self.callback() if self.callback is not None else {}).items():
            family.add_sample(family.name, {self.labelname: name}, float(value))
        return [family]


LABELS = {
    "tenant_id": "Tenant id as in the settings. `unknown`: webhooks without a known tenant, settings with an invalid "
    "id. `(process)`: secrets that belong to no tenant.",
    "result": "Result; the values are in each metric's description.",
    "outcome": "`completed`, `skipped` or `failed`, as in the job's row.",
    "reason": "Reason as in the row and the log line, without attempt numbers; empty for completed jobs. Held-back "
    "jobs: as in `Job requeued`. Held models: `model key refused`, `model out of credit`, `model not found` or `model "
    "not permitted`. Held desks: `desk credentials refused` or `desk notes not permitted`.",
    "secret": "`current`, `previous` (during a rotation), `token`, or `retired` (recognized and refused).",
    "setting": "Setting of a secret, without the tenant.",
    "why": "`webhook`: just accepted; `due`: a retry, or after a store outage; `lost`: its message was lost.",
    "state": "`waiting` or `running`, as in the job's row.",
    "step": "`context`, `gpt4`, `claim_check` or `update`.",
    "server": "`servicedesk` or `gpt4`. Breakers and holds: as in their log lines, `desk of acme`, `model at HOST`, "
    "`model of acme`, `fallback model at HOST`.",
    "model": "`OPENAI_MODEL` or the tenant's model. Tokens and cost: the fallback model too. Feedback: the provider's "
    "name of the model that answered; `other` beyond 20 values.",
    "direction": "`input` or `output`.",
    "prompt": "Prompt version of the note; empty if unknown, `other` beyond 20 values.",
    "vote": "`useful` or `not useful`.",
    "place": "Route of a console page, like `/jobs/{job_id}`; `other` for unknown paths.",
    "status": "HTTP status of the response.",
    "what": "`answers`, `copies` or `jobs`.",
    "gen_ai_operation_name": "`chat`.",
    "gen_ai_provider_name": "`openai`, the API.",
    "gen_ai_request_model": "As `model`.",
    "gen_ai_token_type": "`input` or `output`.",
    "error_type": "Type of the failure; empty for answers.",
}
"""Every label and its values."""

OUTCOMES = ("completed", "skipped", "failed")
"""How a job ends."""

# Creation timestamps would double the series, and no query uses them.
disable_created_metrics()  # type: ignore[no-untyped-call]


# -- Every process ----------------------------------------------------------------------------------------------------
SPAN_EXPORTS = Counter(
    "ai_agents_span_exports", "Span batches sent to the collector, by result: ok, failed.", ["result"]
)

TENANT_UNUSABLE = CallbackGauge(
    "ai_agents_tenant_settings_unusable", "1 while a tenant's settings are invalid, else 0.", ["tenant_id"]
)

# -- The API, and the relay in it -------------------------------------------------------------------------------------
WEBHOOKS = Counter(
    "ai_agents_webhooks",
    "Webhooks by result: accepted, duplicate, or the reason of the refusal.",
    ["tenant_id", "result"],
)
WEBHOOKS_PROVED = Counter(
    "ai_agents_webhooks_proved",
    "Verified webhooks by secret, whatever their result; `retired` counts refused ones.",
    ["tenant_id", "secret"],
)
JOBS_QUEUED = Counter("ai_agents_jobs_queued", "Messages added to the list `celery`, by cause.", ["why"])
JOBS_RECOVERED = Counter("ai_agents_jobs_recovered", "Jobs that the relay took back from a dead worker.")
INBOX_MOVED = Counter("ai_agents_inbox_events", "Events moved from Redis to Postgres.")
INBOX_UNREADABLE = Counter("ai_agents_inbox_unreadable", "Unreadable entries removed from the inbox in Redis.")
RELAYED_AT = Gauge(
    "ai_agents_relay_last_success_timestamp_seconds", "Time of the relay's last run; 0 before the first."
)
QUEUE_DEPTH = Gauge("ai_agents_queue_depth", "Jobs waiting in the list `celery` (LLEN).")
JOBS_HELD = Gauge("ai_agents_jobs_held", "Messages held by workers (HLEN unacked).")
JOBS = Gauge("ai_agents_jobs", "Jobs that have not ended, by state of their row.", ["state"])
JOBS_HELD_BACK = Gauge(
    "ai_agents_jobs_held_back",
    "Waiting jobs that were held back, by the reason in `Job requeued`.",
    ["tenant_id", "reason"],
)
OLDEST_WAITING = Gauge("ai_agents_oldest_waiting_job_seconds", "Wait of the job that has been due longest.")
WITHOUT_OUTCOME = Gauge(
    "ai_agents_accepted_without_outcome",
    "Accepted jobs without an outcome a minute after their deadline; must stay 0.",
)

FEEDBACK = Counter(
    "ai_agents_feedback",
    "Votes on notes; a changed vote counts again.",
    ["tenant_id", "prompt", "model", "vote"],
)

# -- The worker, and for jobs past their deadline the relay -----------------------------------------------------------
JOBS_ENDED = Counter(
    "ai_agents_jobs_ended",
    "Ended jobs by outcome and reason; a job retried by hand counts again.",
    ["tenant_id", "outcome", "reason"],
)
JOB_SECONDS = Histogram(
    "ai_agents_job_duration_seconds",
    "Time from acceptance to the end of a job; a job retried by hand counts again, to its new end.",
    ["tenant_id", "outcome"],
    buckets=_JOB_SECONDS,
)
ATTEMPTS = Counter(
    "ai_agents_job_attempts",
    "Attempts by result: completed, skipped, failed, retried, held back, given back, claim lost.",
    ["tenant_id", "result"],
)
WAIT_SECONDS = Histogram(
    "ai_agents_queue_wait_seconds", "Time from when a job was due until a worker claimed it.", buckets=_WAIT_SECONDS
)
MESSAGES_WITHOUT_ROW = Counter(
    "ai_agents_messages_without_row",
    "Messages of jobs in neither store, lost in a failover of Postgres.",
)
MESSAGES_UNREADABLE = Counter("ai_agents_messages_unreadable", "Unreadable messages removed from the list `celery`.")
STEP_SECONDS = Histogram(
    "ai_agents_step_duration_seconds",
    "Duration of one step of an attempt, by result: ok, skipped, held back, failed, stopped (the attempt ended).",
    ["step", "result"],
    buckets=_STEP_SECONDS,
)
CALLS = Counter(
    "ai_agents_external_calls",
    "Calls to a tenant's desk and to GPT-4, by result: ok, failed.",
    ["server", "tenant_id", "result"],
)
CALL_SECONDS = Histogram(
    "ai_agents_external_call_duration_seconds",
    "Duration of one call to a desk (label `tenant_id`) or to a model, with its repair (label `model`).",
    ["server", "tenant_id", "model"],
    buckets=_STEP_SECONDS,
)
IN_FLIGHT = Gauge("ai_agents_jobs_in_flight", "Running jobs of this process.")
CONCURRENCY = Gauge("ai_agents_worker_concurrency", "Maximum jobs that this process runs at once.")
GPT4_TOKENS = Counter(
    "ai_agents_gpt4_tokens",
    "Billed tokens, including those of unusable answers.",
    ["tenant_id", "model", "direction"],
)
GPT4_COST = Counter(
    "ai_agents_gpt4_cost_dollars",
    "Cost in dollars as reported by the provider; absent if it reports none.",
    ["tenant_id", "model"],
)
_GENAI = ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"]
GENAI_SECONDS = Histogram(
    "gen_ai_client_operation_duration_seconds",
    "Duration of a model request, as in `ai_agents_external_call_duration_seconds`, and by failure.",
    [*_GENAI, "error_type"],
    buckets=_GENAI_SECONDS,
)
GENAI_FIRST_CHUNK_SECONDS = Histogram(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "Time to the first content of a streamed answer.",
    _GENAI,
    buckets=_GENAI_SECONDS,
)
GENAI_TOKENS = Histogram(
    "gen_ai_client_token_usage",
    "Tokens of a usable answer, with its repair.",
    [*_GENAI, "gen_ai_token_type"],
    buckets=_GENAI_TOKENS,
)
FALLBACK_ANSWERS = Counter("ai_agents_gpt4_fallback_answers", "Answers of the fallback model.", ["tenant_id"])
UNCHECKED_ANSWERS = Counter(
    "ai_agents_unchecked_answers", "Answers whose check failed or had no time left.", ["tenant_id"]
)
SPENDING_USED = CallbackGauge(
    "ai_agents_spending_used_ratio",
    "Used part of a tenant's daily spending limit, as this process knows it; from 1 on its jobs wait.",
    ["tenant_id"],
)
BREAKER_OPEN = Gauge("ai_agents_breaker_open", "1 from the opening of a breaker until a call succeeds.", ["server"])
MODEL_HELD = Gauge(
    "ai_agents_model_held",
    "1 while a model's jobs are held until an operator acts; 0 once a call succeeds, or ten minutes after the last "
    "refused call.",
    ["server", "reason"],
)
DESK_HELD = Gauge(
    "ai_agents_desk_held",
    "1 while a desk's jobs are held until an operator acts; 0 once a call succeeds, or ten minutes after the last "
    "refused call.",
    ["server", "reason"],
)

# -- Housekeeping -----------------------------------------------------------------------------------------------------
SYNCS = Counter(
    "ai_agents_syncs",
    "Syncs of a desk by result: completed; without solutions (refused by the desk); failed.",
    ["tenant_id", "result"],
)
SYNCED_AT = Gauge(
    "ai_agents_sync_last_success_timestamp_seconds", "Time of a desk's last completed sync.", ["tenant_id"]
)
OLDEST_COPY_SEEN_AT = Gauge(
    "ai_agents_oldest_copy_seen_timestamp_seconds",
    "Time at which the desk last listed the copy that has been unlisted longest; now if there is no copy.",
    ["tenant_id"],
)
COPIED_TICKETS = Gauge("ai_agents_copied_tickets", "Copied tickets of a desk.", ["tenant_id"])
COPIES_TO_READ = Gauge(
    "ai_agents_copies_to_read", "Tickets and solutions that a desk lists and that are not copied yet.", ["tenant_id"]
)
COPIES_TO_EMBED = Gauge("ai_agents_copies_to_embed", "Copies without an embedding.", ["tenant_id"])
COPIES_REACH = Gauge(
    "ai_agents_copies_reach_back_timestamp_seconds",
    "Time since which all tickets of a desk are copied; now if none is.",
    ["tenant_id"],
)
COPY_READ_AT = Gauge(
    "ai_agents_copy_last_read_timestamp_seconds",
    "Time at which a ticket or solution was last copied; 0 before the first.",
    ["tenant_id"],
)
OF_COPIES = (
    *(SYNCED_AT, OLDEST_COPY_SEEN_AT, COPIED_TICKETS, COPIES_TO_READ, COPIES_TO_EMBED, COPIES_REACH, COPY_READ_AT),
)
SECRET_AGE = Gauge(
    "ai_agents_secret_age_seconds",
    "Time since a secret was first seen. Several processes may export it: use the maximum.",
    ["tenant_id", "setting"],
)
RECONCILED_AT = Gauge(
    "ai_agents_reconcile_last_success_timestamp_seconds",
    "Time of the last comparison of a tenant's new tickets with its jobs; before the first, time of its start.",
    ["tenant_id"],
)
RECONCILE_FOUND = Counter(
    "ai_agents_reconcile_found",
    "Findings of reconciliation: missed (no webhook), recovered (job created), note removed, reopened (after a skip).",
    ["tenant_id", "result"],
)
MISSED_TICKETS = Gauge(
    "ai_agents_reconcile_missed_tickets",
    "Tickets of the last hour without a webhook and without a job.",
    ["tenant_id"],
)
MISSED_SINCE_WEBHOOK = Gauge(
    "ai_agents_reconcile_missed_since_webhook", "Missed webhooks since the last accepted one.", ["tenant_id"]
)
LAST_WEBHOOK_AT = Gauge(
    "ai_agents_reconcile_last_webhook_timestamp_seconds", "Time of a tenant's last accepted webhook.", ["tenant_id"]
)
OF_RECONCILING = (RECONCILED_AT, MISSED_TICKETS, MISSED_SINCE_WEBHOOK, LAST_WEBHOOK_AT)
PURGED = Counter("ai_agents_purged", "Rows and texts purged by age.", ["what"])
TAKEN_UP = Histogram(
    "ai_agents_note_taken_up_ratio",
    "Part of a closed ticket's resolution that its note's steps contain, 0 to 1.",
    ["tenant_id", "prompt", "model"],
    buckets=(0.1, 0.25, 0.5, 0.75, 0.9, 1),
)

# -- The console ------------------------------------------------------------------------------------------------------
CONSOLE_REQUESTS = Counter(
    "ai_agents_console_requests", "Requests to the console, by page and status.", ["place", "status"]
)
CONSOLE_LOGINS = Counter(
    "ai_agents_console_logins",
    "Console logins by result: ok, wrong token, too many failures, no role, not vouched for and provider away "
    "(OpenID), logout, logout not recorded.",
    ["result"],
)

# At 0 from the start, so that the first one is an increase.
for _result in ("ok", "failed"):
    SPAN_EXPORTS.labels(_result)
for _why in ("webhook", "due", "lost"):
    JOBS_QUEUED.labels(_why)


UNKNOWN_TENANT = "unknown"
"""Label of webhooks without a known tenant."""
MAX_VALUES = 20
_MAX_VALUE_LENGTH = 80


@cache
def series(counter: Counter, *labels: str) -> Counter:
    """Cache the series of a never cleared counter: a lookup costs three increments."""
    return counter.labels(*labels)


def webhook(result: str, tenant_id: str | None = None) -> None:
    """Count a webhook; pass `tenant_id` only for a known tenant."""
    series(WEBHOOKS, tenant_id or UNKNOWN_TENANT, result).inc()


@cache
def expect_outcomes(tenant_id: str, *outcomes: str) -> None:
    """Export outcomes (default: all) at 0, so that the first one is an increase.

    Called at the process's start for each tenant: a job may fail before the first scrape.
    """
    for outcome in outcomes or OUTCOMES:
        JOB_SECONDS.labels(tenant_id, outcome)


def job_ended(tenant_id: str, job_id: UUID, outcome: str, reason: str = "") -> None:
    """Count a job's end and its time since acceptance, which is in its id (UUIDv7)."""
    JOBS_ENDED.labels(tenant_id, outcome, reason).inc()
    accepted_at = (job_id.int >> 80) / 1000
    # Another host's clock may be ahead.
    JOB_SECONDS.labels(tenant_id, outcome).observe(max(0.0, time.time() - accepted_at))


def tokens_paid(tenant_id: str, model: str, tokens: tuple[int, int], cost: float | None) -> None:
    """Count (input, output) tokens of a call, and its dollars if reported."""
    for direction, count in zip(("input", "output"), tokens, strict=True):
        GPT4_TOKENS.labels(tenant_id, model, direction).inc(count)
    if cost is not None:
        GPT4_COST.labels(tenant_id, model).inc(cost)


def model_answered(provider: str, model: str, tokens: tuple[int, int], first_seconds: float) -> None:
    """Record an answer's (input, output) tokens; `first_seconds` is 0 if it was not streamed."""
    labels = ("chat", provider, model)
    for direction, count in zip(("input", "output"), tokens, strict=True):
        GENAI_TOKENS.labels(*labels, direction).observe(count)
    if first_seconds:
        GENAI_FIRST_CHUNK_SECONDS.labels(*labels).observe(first_seconds)


def held_back(jobs: Mapping[tuple[str, str], int]) -> None:
    """Replace the numbers of held jobs: (tenant, reason) -> count."""
    JOBS_HELD_BACK.clear()
    for labels, count in jobs.items():
        JOBS_HELD_BACK.labels(*labels).set(count)


def secret_ages(since: Mapping[tuple[str, str], datetime]) -> None:
    """Replace the ages of secrets: (tenant, setting) -> first seen."""
    SECRET_AGE.clear()
    for (tenant_id, setting), moment in since.items():
        # A retired secret gives no access, whatever its age.
        if setting != "RETIRED_WEBHOOK_SECRET":
            # The database's clock may be ahead.
            age = partial(lambda at: max(0.0, time.time() - at), moment.timestamp())
            SECRET_AGE.labels(tenant_id, setting).set_function(age)


def server_gone(server: str) -> None:
    """Remove the series of a desk or model endpoint that is no longer used."""
    for gauge in (BREAKER_OPEN, MODEL_HELD, DESK_HELD):
        gauge.remove_by_labels({"server": server})


def purged(**counts: int) -> None:
    """Count purged rows by kind of row."""
    for kind, count in counts.items():
        PURGED.labels(kind).inc(count)


class FewValues:
    """Limits a label to the first values, each cut; later values become `other`."""

    def __init__(self, most: int = MAX_VALUES) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, value: str) -> str:
        short = value[:_MAX_VALUE_LENGTH]
        if short not in self._known and len(self._known) >= self._most:
            return "other"
        self._known.add(short)
        return short


_prompts, _models = FewValues(), FewValues()


def voted(tenant_id: str, prompt: str, model: str, vote: str) -> None:
    """Count a technician's vote on a note."""
    FEEDBACK.labels(tenant_id, _prompts.of(prompt), _models.of(model), vote).inc()


def taken_up(tenant_id: str, prompt: str, model: str, ratio: float) -> None:
    """Record the share of a resolution, 0 to 1, that the note's steps contain."""
    TAKEN_UP.labels(tenant_id, _prompts.of(prompt), _models.of(model)).observe(ratio)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Time one step of an attempt; expected exceptions set its `result`."""
    began = time.monotonic()
    result = "stopped"
    try:
        yield
        result = "ok"
    except Exception as failure:
        result = str(getattr(failure, "result", "failed"))
        raise
    finally:
        STEP_SECONDS.labels(name, result).observe(time.monotonic() - began)


class Call:
    """A running call; mark it if its answer is a failure."""

    failed = False


@contextmanager
def external_call(
    server: str, tenant_id: str, failures: type[Exception], *, model: str = "", provider: str = ""
) -> Iterator[Call]:
    """Count and time one call to a tenant's desk, or to a `model` of a `provider`.

    Only `failures` are the server's: calls that we held back or ended ourselves are not counted.
    """
    call, began, is_counted, error_type = Call(), time.monotonic(), False, ""
    try:
        yield call
        is_counted = True
    except failures as failure:
        call.failed = is_counted = True
        error_type = type(failure).__name__
        raise
    finally:
        if is_counted:
            CALLS.labels(server, tenant_id, "failed" if call.failed else "ok").inc()
            # A model's latency does not depend on the tenant.
            labels = ("", model) if model else (tenant_id, "")
            seconds = time.monotonic() - began
            CALL_SECONDS.labels(server, *labels).observe(seconds)
            if model:
                GENAI_SECONDS.labels("chat", provider, model, error_type).observe(seconds)
