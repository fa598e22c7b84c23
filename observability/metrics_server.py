"""HTTP server for a process's Prometheus metrics and its readiness."""

import errno
import json
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    make_wsgi_app,
)

from observability import metrics

_ALL = (metrics.SPAN_EXPORTS, metrics.TENANT_UNUSABLE)
_ENDS = (metrics.JOBS_ENDED, metrics.JOB_SECONDS)
_CALLS = (metrics.CALLS, metrics.CALL_SECONDS, metrics.BREAKER_OPEN, metrics.DESK_HELD)
PROCESSES: dict[str, tuple[Counter | Gauge | Histogram, ...]] = {
    "api": (
        *_ALL,
        metrics.WEBHOOKS,
        metrics.WEBHOOKS_PROVED,
        metrics.JOBS_QUEUED,
        metrics.JOBS_RECOVERED,
        metrics.INBOX_MOVED,
        metrics.INBOX_UNREADABLE,
        metrics.RELAYED_AT,
        metrics.QUEUE_DEPTH,
        metrics.JOBS_HELD,
        metrics.JOBS,
        metrics.JOBS_HELD_BACK,
        metrics.OLDEST_WAITING,
        metrics.WITHOUT_OUTCOME,
        metrics.FEEDBACK,
        metrics.SECRET_AGE,
        *_ENDS,
    ),
    "worker": (
        *_ALL,
        metrics.INBOX_MOVED,
        metrics.INBOX_UNREADABLE,
        metrics.ATTEMPTS,
        metrics.WAIT_SECONDS,
        metrics.MESSAGES_WITHOUT_ROW,
        metrics.MESSAGES_UNREADABLE,
        metrics.STEP_SECONDS,
        metrics.IN_FLIGHT,
        metrics.CONCURRENCY,
        metrics.GPT4_TOKENS,
        metrics.UNCHECKED_ANSWERS,
        metrics.GPT4_COST,
        metrics.GENAI_SECONDS,
        metrics.GENAI_FIRST_CHUNK_SECONDS,
        metrics.GENAI_TOKENS,
        metrics.FALLBACK_ANSWERS,
        metrics.SPENDING_USED,
        metrics.MODEL_HELD,
        metrics.SECRET_AGE,
        *_ENDS,
        *_CALLS,
    ),
    "housekeeping": (
        *_ALL,
        *_CALLS,
        metrics.SYNCS,
        *metrics.OF_COPIES,
        metrics.SECRET_AGE,
        metrics.RECONCILE_FOUND,
        *metrics.OF_RECONCILING,
        metrics.PURGED,
        metrics.TAKEN_UP,
    ),
    "console": (*_ALL, metrics.CONSOLE_REQUESTS, metrics.CONSOLE_LOGINS),
}
"""Metrics of each process: it exports none that only another process counts."""

Ready = Callable[[], tuple[bool, Mapping[str, str]]]
"""Returns readiness, and the states for the answer."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class PortError(Exception):
    """`METRICS_PORT` can't be bound; the text contains the fix."""


@cache
def _registry(process: str) -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in (*PROCESSES[process], PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    return registry


def render(process: str) -> bytes:
    """Return the metrics of a process in the Prometheus text format."""
    return generate_latest(_registry(process))


def serve(process: str, port: int | None, ready: Ready, host: str = "") -> Callable[[], None]:
    """Serve the metrics at `port` of an address, by default of all; return a function to stop it.

    `/ready` answers 200 if `ready` returns True, else 503, also if it raises; each request calls it in a thread.
    Without a port nothing is served. Raises PortError.
    """
    if port is None:
        return lambda: None
    try:
        server = make_server(host, port, _app(process, ready), server_class=_Server, handler_class=_Handler)
    except OSError as failure:
        problem = "is in use already" if failure.errno == errno.EADDRINUSE else "can't be listened on"
        raise PortError(f"METRICS_PORT is wrong: the port {problem}") from failure
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


def _app(process: str, ready: Ready) -> WSGIApplication:
    metrics_app = make_wsgi_app(_registry(process))

    def app(environment: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environment["PATH_INFO"] != "/ready":
            return metrics_app(environment, start_response)  # type: ignore[no-any-return]  # untyped in the library
        is_ready, state = _readiness(ready)
        status = "200 OK" if is_ready else "503 Service Unavailable"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(state).encode()]

    return app


def _readiness(ready: Ready) -> tuple[bool, Mapping[str, str]]:
    try:
        return ready()
    except Exception as failure:  # noqa: BLE001 -- wsgiref would print a traceback
        return False, {"status": "not ready", "failure": type(failure).__name__}


class _Server(ThreadingMixIn, WSGIServer):
    """Server for IPv4 and IPv6 where available, unless it has an address; no traceback for a lost scraper."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], *args: Any) -> None:
        host = address[0]
        has_v6 = ":" in host or (not host and socket.has_dualstack_ipv6())
        self.address_family = socket.AF_INET6 if has_v6 else socket.AF_INET
        super().__init__(address, *args)

    def server_bind(self) -> None:
        """Accept IPv4 too: the default depends on the machine."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a traceback would not be in the log's format."""


class _Handler(WSGIRequestHandler):
    """Logs no requests."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name
        """Log nothing."""
