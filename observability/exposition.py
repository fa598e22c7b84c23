"""Giving the metrics of a process: those that it counts, in Prometheus's text format."""

import errno
from collections.abc import Callable
from functools import cache

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    generate_latest,
    start_http_server,
)
from prometheus_client.metrics import MetricWrapperBase

from observability import metrics

_ENDS = (metrics.JOBS_ENDED, metrics.JOB_SECONDS)
_CALLS = (metrics.CALLS, metrics.CALL_SECONDS, metrics.BREAKER_OPEN)
PROCESSES: dict[str, tuple[MetricWrapperBase, ...]] = {
    "api": (
        metrics.SPAN_EXPORTS,
        metrics.WEBHOOKS,
        metrics.JOBS_QUEUED,
        metrics.JOBS_RECOVERED,
        metrics.INBOX_MOVED,
        metrics.RELAYED_AT,
        metrics.QUEUE_DEPTH,
        metrics.JOBS_HELD,
        metrics.JOBS,
        metrics.OLDEST_WAITING,
        metrics.WITHOUT_OUTCOME,
        *_ENDS,
    ),
    "worker": (
        metrics.SPAN_EXPORTS,
        metrics.INBOX_MOVED,
        metrics.ATTEMPTS,
        metrics.WAIT_SECONDS,
        metrics.STEP_SECONDS,
        metrics.IN_FLIGHT,
        metrics.CONCURRENCY,
        metrics.GPT4_TOKENS,
        metrics.GPT4_COST,
        *_ENDS,
        *_CALLS,
    ),
    "housekeeping": (metrics.SPAN_EXPORTS, *_CALLS, metrics.SYNCS, metrics.SYNCED_AT, metrics.PURGED),
}
"""What each process gives: nothing at 0 that another one counts."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class PortUnusable(Exception):
    """`METRICS_PORT` can't be listened on; the text says what to mend."""


@cache
def _registry(process: str) -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in (*PROCESSES[process], PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    return registry


def of(process: str) -> bytes:
    """The metrics of the process in Prometheus's text format."""
    return generate_latest(_registry(process))


def serve(process: str, port: int | None) -> Callable[[], None]:
    """Give the process's metrics at `port` of every address, until its end or until what is returned is called.

    Not at all without a port. Raises PortUnusable.
    """
    if port is None:
        return lambda: None
    try:
        server, thread = start_http_server(port, registry=_registry(process))
    except OSError as failure:
        what = "is in use already" if failure.errno == errno.EADDRINUSE else "can't be listened on"
        raise PortUnusable(f"METRICS_PORT is wrong: the port {what}") from failure
    # It would print a traceback for each scraper that hangs up: not in the log's format, and nobody's fault here.
    setattr(server, "handle_error", lambda *_: None)  # noqa: B010 -- a method, for the type checker

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end
