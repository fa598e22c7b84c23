"""Timing the steps of an attempt, and the calls to the outside, into their metrics."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from observability import metrics


@contextmanager
def step(name: str) -> Iterator[None]:
    """Time one step of an attempt; an exception that is no failure names its `result`."""
    began = time.monotonic()
    result = "stopped"
    try:
        yield
        result = "ok"
    except Exception as failure:
        result = str(getattr(failure, "result", "failed"))
        raise
    finally:
        metrics.STEP_SECONDS.labels(name, result).observe(time.monotonic() - began)


class Call:
    """A call that is under way: say so if its answer is a failure."""

    failed = False


@contextmanager
def external_call(
    server: str, tenant_id: str, failures: type[Exception], *, model: str | None = None
) -> Iterator[Call]:
    """Count one call to a tenant's desk, or for a tenant to a `model`, and time it.

    Only `failures` are the server's: a call that was held back, or that we ended ourselves, counts for nothing.
    """
    call = Call()
    began = time.monotonic()
    try:
        yield call
    except failures:
        call.failed = True
        _called(server, tenant_id, model, call, began)
        raise
    _called(server, tenant_id, model, call, began)


def _called(server: str, tenant_id: str, model: str | None, call: Call, began: float) -> None:
    metrics.CALLS.labels(server, tenant_id, "failed" if call.failed else "ok").inc()
    # A model is as slow for one tenant as for another.
    whose = ("", model) if model else (tenant_id, "")
    metrics.CALL_SECONDS.labels(server, *whose).observe(time.monotonic() - began)
