"""Counting what takes more than one call of one metric."""

import time
from collections.abc import Mapping
from datetime import datetime
from functools import cache, partial
from uuid import UUID

from prometheus_client import Counter

from observability import metrics

UNKNOWN_TENANT = "unknown"
"""Stands for the tenant where none of ours is named."""


@cache
def series(counter: Counter, *labels: str) -> Counter:
    """Return one series of a counter that is never cleared: to look for it takes three times as long as to count."""
    return counter.labels(*labels)


def webhook(result: str, tenant_id: str | None = None) -> None:
    """Count a webhook; `tenant_id` only of a known tenant."""
    series(metrics.WEBHOOKS, tenant_id or UNKNOWN_TENANT, result).inc()


@cache
def expect_outcomes(tenant_id: str, *outcomes: str) -> None:
    """Show these counts at 0, or all, so that the first one is seen as an increase.

    From a process's start for each tenant of then: a job that fails at once is over before anybody has asked.
    """
    for outcome in outcomes or metrics.OUTCOMES:
        metrics.JOB_SECONDS.labels(tenant_id, outcome)


def job_ended(tenant_id: str, job_id: UUID, outcome: str, reason: str = "") -> None:
    """Count a job's end, and its time since it was accepted: its id (UUIDv7) tells when that was."""
    metrics.JOBS_ENDED.labels(tenant_id, outcome, reason).inc()
    accepted_at = (job_id.int >> 80) / 1000
    # Another host's clock may be ahead.
    metrics.JOB_SECONDS.labels(tenant_id, outcome).observe(max(0.0, time.time() - accepted_at))


def tokens_paid(tenant_id: str, model: str, tokens: tuple[int, int], cost: float | None) -> None:
    """Count the tokens (input, output) of one paid answer, and its cost where that is told."""
    for direction, count in zip(("input", "output"), tokens, strict=True):
        metrics.GPT4_TOKENS.labels(tenant_id, model, direction).inc(count)
    if cost is not None:
        metrics.GPT4_COST.labels(tenant_id, model).inc(cost)


def held_back(jobs: Mapping[tuple[str, str], int]) -> None:
    """Tell how many jobs wait held back, by tenant and reason; of others nothing any more."""
    metrics.JOBS_HELD_BACK.clear()
    for labels, count in jobs.items():
        metrics.JOBS_HELD_BACK.labels(*labels).set(count)


def secret_ages(since: Mapping[tuple[str, str], datetime]) -> None:
    """Show since when each secret is known, by tenant and setting, and no other."""
    metrics.SECRET_AGE.clear()
    for (tenant_id, setting), moment in since.items():
        # A retired one opens nothing, however old it is.
        if setting != "RETIRED_WEBHOOK_SECRET":
            # The database's clock may be ahead.
            age = partial(lambda at: max(0.0, time.time() - at), moment.timestamp())
            metrics.SECRET_AGE.labels(tenant_id, setting).set_function(age)


def server_gone(server: str) -> None:
    """Show nothing more of a server that nobody calls any more: a model whose settings are gone, or a tenant's desk."""
    for gauge in (metrics.BREAKER_OPEN, metrics.MODEL_HELD, metrics.DESK_HELD):
        gauge.remove_by_labels({"server": server})


def purged(**counts: int) -> None:
    """Count what a purge deleted, by what it was."""
    for what, count in counts.items():
        metrics.PURGED.labels(what).inc(count)
