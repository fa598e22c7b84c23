"""Every metric of the system, once: its name, its labels, and what it counts.

The API gives them at `/metrics`; a worker and housekeeping give theirs at `METRICS_PORT`, where that is set. Labels
have few values: tenants, our own fixed words, models; never a ticket or a job.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest, start_http_server

# A job takes about 45 s, of which GPT-4 takes 30.
_JOB_SECONDS = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800)
_STEP_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 45, 60, 120)
_WAIT_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 1800)

# -- The API, and the relay in it -------------------------------------------------------------------------------------
WEBHOOKS = Counter(
    "ai_agents_webhooks",
    "Webhooks by what became of them: accepted, duplicate, or the reason of the refusal; unknown tenants as one.",
    ["tenant_id", "result"],
)
JOBS_QUEUED = Counter("ai_agents_jobs_queued", "Messages put into the list `celery`, by why.", ["why"])
QUEUE_DEPTH = Gauge("ai_agents_queue_depth", "Jobs that wait in the list `celery`: what LLEN says.")
JOBS_HELD = Gauge("ai_agents_jobs_held", "Messages in workers' hands: what HLEN unacked says.")
JOBS = Gauge("ai_agents_jobs", "Rows that have not ended, by state.", ["state"])
OLDEST_WAITING = Gauge("ai_agents_oldest_waiting_job_seconds", "How long the job that is due longest has waited.")
WITHOUT_OUTCOME = Gauge(
    "ai_agents_accepted_without_outcome",
    "Accepted jobs a minute past their deadline that have not ended: stays 0.",
)
INBOX_MOVED = Counter("ai_agents_inbox_events", "Events that waited in Redis and became rows.")

# -- The worker -------------------------------------------------------------------------------------------------------
JOBS_ENDED = Counter(
    "ai_agents_jobs_ended",
    "Jobs by outcome (completed, skipped, failed) and reason; the relay counts those that it ends.",
    ["tenant_id", "outcome", "reason"],
)
ATTEMPTS = Counter(
    "ai_agents_job_attempts",
    "Attempts by result: completed, skipped, failed, retried, held back, given back.",
    ["tenant_id", "result"],
)
JOB_SECONDS = Histogram(
    "ai_agents_job_duration_seconds", "From acceptance to the end.", ["tenant_id", "outcome"], buckets=_JOB_SECONDS
)
WAIT_SECONDS = Histogram(
    "ai_agents_queue_wait_seconds", "From when a job was due until a worker claimed it.", buckets=_WAIT_SECONDS
)
STEP_SECONDS = Histogram(
    "ai_agents_step_duration_seconds",
    "One step of an attempt: context, gpt4, update.",
    ["step", "result"],
    buckets=_STEP_SECONDS,
)
IN_FLIGHT = Gauge("ai_agents_jobs_in_flight", "Jobs that run in this process.")
CONCURRENCY = Gauge("ai_agents_worker_concurrency", "Jobs that this process may run at once.")
GPT4_TOKENS = Counter("ai_agents_gpt4_tokens", "Tokens paid for.", ["tenant_id", "model", "direction"])
GPT4_COST = Counter("ai_agents_gpt4_cost_dollars", "What the provider says it cost.", ["tenant_id", "model"])
BREAKER_OPEN = Gauge("ai_agents_breaker_open", "1 while a breaker keeps calls back.", ["kind", "name"])

# -- Housekeeping -----------------------------------------------------------------------------------------------------
SYNCS = Counter("ai_agents_syncs", "Copies of a desk's tickets and solutions, by result.", ["tenant_id", "result"])
SYNCED_AT = Gauge("ai_agents_sync_last_success_timestamp_seconds", "When a desk was last copied.", ["tenant_id"])

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition() -> bytes:
    """All of this process's metrics in Prometheus's text format."""
    return generate_latest(REGISTRY)


def serve(port: int | None) -> None:
    """Give this process's metrics at `port` of every address; not at all without one. Raises OSError if it is taken."""
    if port is not None:
        start_http_server(port)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Time one step of an attempt."""
    began = monotonic()
    result = "failed"
    try:
        yield
        result = "ok"
    except Exception as failure:
        if getattr(failure, "expected", False):
            result = "skipped"
        raise
    finally:
        STEP_SECONDS.labels(name, result).observe(monotonic() - began)
