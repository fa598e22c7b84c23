"""All metrics of the system: names, labels and help texts.

The API exports them at `/metrics`; worker and housekeeping at `METRICS_PORT`, if set. Labels have few values: tenants,
fixed words, the configured model; never a ticket or a job.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial
from uuid import UUID

from prometheus_client import Counter, Gauge, Histogram, Metric, disable_created_metrics

# A job takes about 45 s, of which GPT-4 takes 30.
_JOB_SECONDS = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800)
_STEP_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 45, 60, 120)
_WAIT_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 1800)


class CallbackGauge(Gauge):
    """Computes its series at each scrape, so that unset ones are exported too."""

    ask: Callable[[], Mapping[str, float]] | None = None
    """What answers: value by value of the one label."""

    def collect(self) -> Iterable[Metric]:
        (family,) = self.describe()
        (label,) = self._labelnames
        for name, value in (self.ask() if self.ask is not None else {}).items():
            family.add_sample(family.name, {label: name}, float(value))
        return [family]


LABELS = {
    "tenant_id": "A tenant, as the settings name it; `unknown` for webhooks that name none of them, and for settings "
    "whose tenant id can't be one; `(process)` for a secret that is no tenant's.",
    "result": "How it ended; each metric has its own few words.",
    "outcome": "`completed`, `skipped` or `failed`, as in the row.",
    "reason": "The reason in the row and in the log line, without its numbers of tries; empty for what was completed. "
    "Of what was held back: as in `Job requeued`. Of a held model: `model key refused`, `model out of credit`, `model "
    "not found` or `model not permitted`; of a held desk: `desk credentials refused` or `desk notes not permitted`.",
    "secret": "`current`, `previous` (while a rotation is open), `token`, or `retired`: refused, and recognised.",
    "setting": "A secret's setting, without its tenant.",
    "why": "`webhook`: just accepted; `due`: a retry, or a store was away; `lost`: its message was lost.",
    "state": "`waiting` or `running`, as in the row.",
    "step": "`context`, `gpt4` or `update`.",
    "server": "`servicedesk` or `gpt4`; for breakers the words of their log lines, `desk of acme`, `model at HOST`, "
    "`model of acme`, `fallback model at HOST`.",
    "model": "`OPENAI_MODEL`, or what a tenant has in its place; of tokens and cost, the fallback's too. Of feedback, "
    "the one that answered, as the provider calls it; `other` past 20.",
    "direction": "`input` or `output`.",
    "prompt": "The version of the prompt that a note was written with; empty where it is not known, `other` past 20.",
    "vote": "`useful` or `not useful`.",
    "place": "An address of the console, as its pages are listed: `/jobs/{job_id}`; `other` for what there is not.",
    "status": "The status of an answer.",
    "what": "`answers`, `copies` or `jobs`.",
}
"""Every label, and what values it has."""

OUTCOMES = ("completed", "skipped", "failed")
"""How a job ends."""

# Creation timestamps would double the series, and no query uses them.
disable_created_metrics()  # type: ignore[no-untyped-call]


# -- Every process ----------------------------------------------------------------------------------------------------
SPAN_EXPORTS = Counter(
    "ai_agents_span_exports", "Batches of spans that were sent to the collector, by result: ok, failed.", ["result"]
)

TENANT_UNUSABLE = CallbackGauge(
    "ai_agents_tenant_settings_unusable", "1 while a tenant's settings have to be mended, 0 while not.", ["tenant_id"]
)

# -- The API, and the relay in it -------------------------------------------------------------------------------------
WEBHOOKS = Counter(
    "ai_agents_webhooks",
    "Webhooks by what became of them: accepted, duplicate, or the reason of the refusal.",
    ["tenant_id", "result"],
)
WEBHOOKS_PROVED = Counter(
    "ai_agents_webhooks_proved",
    "Webhooks by the secret that proves them, whatever became of them; and those that the retired one signed.",
    ["tenant_id", "secret"],
)
JOBS_QUEUED = Counter("ai_agents_jobs_queued", "Messages put into the list `celery`, by why.", ["why"])
JOBS_RECOVERED = Counter("ai_agents_jobs_recovered", "Jobs that the relay made wait again: their worker fell silent.")
INBOX_MOVED = Counter(
    "ai_agents_inbox_events", "Events that waited in Redis and became rows, by the relay or a worker."
)
INBOX_UNREADABLE = Counter(
    "ai_agents_inbox_unreadable", "Entries of the inbox that are no events and were removed, by the relay or a worker."
)
RELAYED_AT = Gauge("ai_agents_relay_last_success_timestamp_seconds", "When the relay last came round; 0 before.")
QUEUE_DEPTH = Gauge("ai_agents_queue_depth", "Jobs that wait in the list `celery`: what LLEN says.")
JOBS_HELD = Gauge("ai_agents_jobs_held", "Messages in workers' hands: what HLEN unacked says.")
JOBS = Gauge("ai_agents_jobs", "Rows that have not ended, by state.", ["state"])
JOBS_HELD_BACK = Gauge(
    "ai_agents_jobs_held_back",
    "Rows that wait because their job was held back, by the reason of its `Job requeued`.",
    ["tenant_id", "reason"],
)
OLDEST_WAITING = Gauge("ai_agents_oldest_waiting_job_seconds", "How long the job that is due longest has waited.")
WITHOUT_OUTCOME = Gauge(
    "ai_agents_accepted_without_outcome",
    "Accepted jobs a minute past their deadline that have not ended: stays 0.",
)

FEEDBACK = Counter(
    "ai_agents_feedback",
    "Votes on notes; one that is changed to the other counts once more.",
    ["tenant_id", "prompt", "model", "vote"],
)

# -- The worker, and for jobs past their deadline the relay -----------------------------------------------------------
JOBS_ENDED = Counter(
    "ai_agents_jobs_ended",
    "Jobs by outcome and reason; one that is retried by hand ends once more.",
    ["tenant_id", "outcome", "reason"],
)
JOB_SECONDS = Histogram(
    "ai_agents_job_duration_seconds",
    "From acceptance to the end, in wall-clock time; of one that is retried by hand, to its new end.",
    ["tenant_id", "outcome"],
    buckets=_JOB_SECONDS,
)
ATTEMPTS = Counter(
    "ai_agents_job_attempts",
    "Attempts by result: completed, skipped, failed, retried, held back, given back, claim lost.",
    ["tenant_id", "result"],
)
WAIT_SECONDS = Histogram(
    "ai_agents_queue_wait_seconds", "From when a job was due until a worker claimed it.", buckets=_WAIT_SECONDS
)
MESSAGES_WITHOUT_ROW = Counter(
    "ai_agents_messages_without_row",
    "Messages whose job is in neither store: lost with the last commits of a Postgres that failed over.",
)
MESSAGES_UNREADABLE = Counter(
    "ai_agents_messages_unreadable", "Messages in the list `celery` that are not a job's and were removed."
)
STEP_SECONDS = Histogram(
    "ai_agents_step_duration_seconds",
    "One step of an attempt, by result: ok, skipped, held back, failed, stopped (by the attempt's end).",
    ["step", "result"],
    buckets=_STEP_SECONDS,
)
CALLS = Counter(
    "ai_agents_external_calls",
    "Calls to a tenant's desk, and to GPT-4 for it, by result: ok, failed.",
    ["server", "tenant_id", "result"],
)
CALL_SECONDS = Histogram(
    "ai_agents_external_call_duration_seconds",
    "One call to a tenant's desk, or one question to a model with its repair; the other label is empty.",
    ["server", "tenant_id", "model"],
    buckets=_STEP_SECONDS,
)
IN_FLIGHT = Gauge("ai_agents_jobs_in_flight", "Jobs that run in this process.")
CONCURRENCY = Gauge("ai_agents_worker_concurrency", "Jobs that this process may run at once.")
GPT4_TOKENS = Counter(
    "ai_agents_gpt4_tokens",
    "Tokens paid for, those of unusable answers too.",
    ["tenant_id", "model", "direction"],
)
GPT4_COST = Counter(
    "ai_agents_gpt4_cost_dollars",
    "What the provider says it cost; nothing where it says nothing.",
    ["tenant_id", "model"],
)
FALLBACK_ANSWERS = Counter(
    "ai_agents_gpt4_fallback_answers", "Answers of the fallback model, in place of the first.", ["tenant_id"]
)
SPENDING_USED = CallbackGauge(
    "ai_agents_spending_used_ratio",
    "Which part of its limit for the day a tenant's jobs have spent, as far as the process knows; from 1 on they wait.",
    ["tenant_id"],
)
BREAKER_OPEN = Gauge("ai_agents_breaker_open", "1 from a breaker's opening until a call works again.", ["server"])
MODEL_HELD = Gauge(
    "ai_agents_model_held",
    "1 while a model's jobs are held back until somebody acts: until a call works again, or none was refused for ten "
    "minutes.",
    ["server", "reason"],
)
DESK_HELD = Gauge(
    "ai_agents_desk_held",
    "1 while a desk's jobs are held back until somebody acts: until a call works again, or none was refused for ten "
    "minutes.",
    ["server", "reason"],
)

# -- Housekeeping -----------------------------------------------------------------------------------------------------
SYNCS = Counter(
    "ai_agents_syncs",
    "Copies of a desk's tickets and solutions by result: completed; without solutions, which the desk refuses; failed.",
    ["tenant_id", "result"],
)
SYNCED_AT = Gauge("ai_agents_sync_last_success_timestamp_seconds", "When a desk was last copied.", ["tenant_id"])
OLDEST_COPY_SEEN_AT = Gauge(
    "ai_agents_oldest_copy_seen_timestamp_seconds",
    "When the desk last showed the copy that it has not shown for the longest; now, without copies.",
    ["tenant_id"],
)
COPIED_TICKETS = Gauge("ai_agents_copied_tickets", "Tickets of a desk that were read.", ["tenant_id"])
COPIES_TO_READ = Gauge(
    "ai_agents_copies_to_read", "Tickets and solutions that a desk lists and that are still to be read.", ["tenant_id"]
)
COPIES_TO_EMBED = Gauge("ai_agents_copies_to_embed", "Copies whose embedding is still to be made.", ["tenant_id"])
COPIES_REACH = Gauge(
    "ai_agents_copies_reach_back_timestamp_seconds",
    "Since when all of a desk's tickets are copied; now, where none is.",
    ["tenant_id"],
)
COPY_READ_AT = Gauge("ai_agents_copy_last_read_timestamp_seconds", "When a copy was last read, or 0.", ["tenant_id"])
OF_COPIES = (
    *(SYNCED_AT, OLDEST_COPY_SEEN_AT, COPIED_TICKETS, COPIES_TO_READ, COPIES_TO_EMBED, COPIES_REACH, COPY_READ_AT),
)
SECRET_AGE = Gauge(
    "ai_agents_secret_age_seconds",
    "How long a secret that is set has been known. Several processes may tell of one: take the most.",
    ["tenant_id", "setting"],
)
RECONCILED_AT = Gauge(
    "ai_agents_reconcile_last_success_timestamp_seconds",
    "When a tenant's new tickets were last compared with its jobs; before that, when that was first begun.",
    ["tenant_id"],
)
RECONCILE_FOUND = Counter(
    "ai_agents_reconcile_found",
    "What was found, by result: missed (a webhook), recovered (a job was made), note removed, reopened (after a skip).",
    ["tenant_id", "result"],
)
MISSED_TICKETS = Gauge(
    "ai_agents_reconcile_missed_tickets",
    "Tickets whose webhook was missed within the last hour and that have no job.",
    ["tenant_id"],
)
MISSED_SINCE_WEBHOOK = Gauge(
    "ai_agents_reconcile_missed_since_webhook", "Webhooks missed since the last one was accepted.", ["tenant_id"]
)
LAST_WEBHOOK_AT = Gauge(
    "ai_agents_reconcile_last_webhook_timestamp_seconds", "When a tenant's last webhook was accepted.", ["tenant_id"]
)
OF_RECONCILING = (RECONCILED_AT, MISSED_TICKETS, MISSED_SINCE_WEBHOOK, LAST_WEBHOOK_AT)
PURGED = Counter("ai_agents_purged", "Rows and texts purged by age.", ["what"])
TAKEN_UP = Histogram(
    "ai_agents_note_taken_up_ratio",
    "Which part of what a closed ticket's resolution says stands in its note's steps, 0 to 1.",
    ["tenant_id", "prompt", "model"],
    buckets=(0.1, 0.25, 0.5, 0.75, 0.9, 1),
)

# -- The console ------------------------------------------------------------------------------------------------------
CONSOLE_REQUESTS = Counter(
    "ai_agents_console_requests", "Requests of the console's pages, by their answers.", ["place", "status"]
)
CONSOLE_LOGINS = Counter(
    "ai_agents_console_logins",
    "Logins to the console by result: ok; wrong token; too many failures; no role; not vouched for, or provider away, "
    "of an OpenID provider; logout, or logout not recorded.",
    ["result"],
)

# At 0 from the start, so that the first one is an increase.
for _result in ("ok", "failed"):
    SPAN_EXPORTS.labels(_result)
for _why in ("webhook", "due", "lost"):
    JOBS_QUEUED.labels(_why)


UNKNOWN_TENANT = "unknown"
"""Stands for the tenant where none of ours is named."""
MOST_VALUES = 20
_LONGEST_VALUE = 80


@cache
def series(counter: Counter, *labels: str) -> Counter:
    """Return a series of a counter that is never cleared: a lookup takes as long as three increments."""
    return counter.labels(*labels)


def webhook(result: str, tenant_id: str | None = None) -> None:
    """Count a webhook; pass `tenant_id` only for a known tenant."""
    series(WEBHOOKS, tenant_id or UNKNOWN_TENANT, result).inc()


@cache
def expect_outcomes(tenant_id: str, *outcomes: str) -> None:
    """Export these outcomes (default: all) at 0, so that the first one is an increase.

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
    for direction, count in zip(("input", "output"), tokens, strict=True):
        GPT4_TOKENS.labels(tenant_id, model, direction).inc(count)
    if cost is not None:
        GPT4_COST.labels(tenant_id, model).inc(cost)


def held_back(jobs: Mapping[tuple[str, str], int]) -> None:
    JOBS_HELD_BACK.clear()
    for labels, count in jobs.items():
        JOBS_HELD_BACK.labels(*labels).set(count)


def secret_ages(since: Mapping[tuple[str, str], datetime]) -> None:
    SECRET_AGE.clear()
    for (tenant_id, setting), moment in since.items():
        # A retired secret gives no access, whatever its age.
        if setting != "RETIRED_WEBHOOK_SECRET":
            # The database's clock may be ahead.
            age = partial(lambda at: max(0.0, time.time() - at), moment.timestamp())
            SECRET_AGE.labels(tenant_id, setting).set_function(age)


def server_gone(server: str) -> None:
    for gauge in (BREAKER_OPEN, MODEL_HELD, DESK_HELD):
        gauge.remove_by_labels({"server": server})


def purged(**counts: int) -> None:
    for what, count in counts.items():
        PURGED.labels(what).inc(count)


class FewValues:
    """Limits a label to the first values, each cut; later values become `other`."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, value: str) -> str:
        short = value[:_LONGEST_VALUE]
        if short not in self._known and len(self._known) >= self._most:
            return "other"
        self._known.add(short)
        return short


_prompts, _models = FewValues(), FewValues()


def voted(tenant_id: str, prompt: str, model: str, vote: str) -> None:
    FEEDBACK.labels(tenant_id, _prompts.of(prompt), _models.of(model), vote).inc()


def taken_up(tenant_id: str, prompt: str, model: str, ratio: float) -> None:
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
    server: str, tenant_id: str, failures: type[Exception], *, model: str | None = None
) -> Iterator[Call]:
    """Count and time one call to a tenant's desk, or to a `model`.

    Only `failures` are the server's: calls that we held back or ended ourselves are not counted.
    """
    call, began, is_counted = Call(), time.monotonic(), False
    try:
        yield call
        is_counted = True
    except failures:
        call.failed = is_counted = True
        raise
    finally:
        if is_counted:
            CALLS.labels(server, tenant_id, "failed" if call.failed else "ok").inc()
            # A model's latency does not depend on the tenant.
            whose = ("", model) if model else (tenant_id, "")
            CALL_SECONDS.labels(server, *whose).observe(time.monotonic() - began)
