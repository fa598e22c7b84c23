"""Durations of an attempt's steps and of outgoing calls, as metrics."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from observability import metrics


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
        metrics.STEP_SECONDS.labels(name, result).observe(time.monotonic() - began)


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
            metrics.CALLS.labels(server, tenant_id, "failed" if call.failed else "ok").inc()
            # A model's latency does not depend on the tenant.
            whose = ("", model) if model else (tenant_id, "")
            metrics.CALL_SECONDS.labels(server, *whose).observe(time.monotonic() - began)
