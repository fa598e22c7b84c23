"""Metric updates that need more than one call."""

import time
from collections.abc import Mapping
from datetime import datetime
from functools import cache, partial
from uuid import UUID

from prometheus_client import Counter

from observability import metrics

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
    series(metrics.WEBHOOKS, tenant_id or UNKNOWN_TENANT, result).inc()


@cache
def expect_outcomes(tenant_id: str, *outcomes: str) -> None:
    """Export these outcomes (default: all) at 0, so that the first one is an increase.

    Called at the process's start for each tenant: a job may fail before the first scrape.
    """
    for outcome in outcomes or metrics.OUTCOMES:
        metrics.JOB_SECONDS.labels(tenant_id, outcome)


def job_ended(tenant_id: str, job_id: UUID, outcome: str, reason: str = "") -> None:
    """Count a job's end and its time since acceptance, which is in its id (UUIDv7)."""
    metrics.JOBS_ENDED.labels(tenant_id, outcome, reason).inc()
    accepted_at = (job_id.int >> 80) / 1000
    # Another host's clock may be ahead.
    metrics.JOB_SECONDS.labels(tenant_id, outcome).observe(max(0.0, time.time() - accepted_at))


def tokens_paid(tenant_id: str, model: str, tokens: tuple[int, int], cost: float | None) -> None:
    for direction, count in zip(("input", "output"), tokens, strict=True):
        metrics.GPT4_TOKENS.labels(tenant_id, model, direction).inc(count)
    if cost is not None:
        metrics.GPT4_COST.labels(tenant_id, model).inc(cost)


def held_back(jobs: Mapping[tuple[str, str], int]) -> None:
    metrics.JOBS_HELD_BACK.clear()
    for labels, count in jobs.items():
        metrics.JOBS_HELD_BACK.labels(*labels).set(count)


def secret_ages(since: Mapping[tuple[str, str], datetime]) -> None:
    metrics.SECRET_AGE.clear()
    for (tenant_id, setting), moment in since.items():
        # A retired secret gives no access, whatever its age.
        if setting != "RETIRED_WEBHOOK_SECRET":
            # The database's clock may be ahead.
            age = partial(lambda at: max(0.0, time.time() - at), moment.timestamp())
            metrics.SECRET_AGE.labels(tenant_id, setting).set_function(age)


def server_gone(server: str) -> None:
    for gauge in (metrics.BREAKER_OPEN, metrics.MODEL_HELD, metrics.DESK_HELD):
        gauge.remove_by_labels({"server": server})


def purged(**counts: int) -> None:
    for what, count in counts.items():
        metrics.PURGED.labels(what).inc(count)


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
    metrics.FEEDBACK.labels(tenant_id, _prompts.of(prompt), _models.of(model), vote).inc()


def taken_up(tenant_id: str, prompt: str, model: str, ratio: float) -> None:
    metrics.TAKEN_UP.labels(tenant_id, _prompts.of(prompt), _models.of(model)).observe(ratio)
