"""Export of spans from the process."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

# More spans than the queue holds, and more batches than fit the time.
PROGRAM = """
from config.environment import settle_environment
settle_environment()
import json, time
from config.settings import LogSettings
from observability import metrics, tracing
from observability.logging import start_logging
start_logging(LogSettings())
traces = tracing.Tracing("ai-agents-worker")
began = time.monotonic()
for _ in range(5000):
    with tracing.span("Worker"):
        pass
made = time.monotonic()
traces.close()
failed = metrics.SPAN_EXPORTS.labels("failed").collect()[0].samples[0].value
print(json.dumps({"took": made - began, "made": made, "failed": failed}))
"""


@contextmanager
def _refusing() -> Iterator[int]:
    """Yield a port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    yield port


@contextmanager
def _silent() -> Iterator[int]:
    """Yield a port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as deaf:
        yield deaf.getsockname()[1]


@pytest.mark.parametrize("collector", [_refusing, _silent])
def test_a_collector_that_takes_no_spans_costs_one_line_and_seconds_at_the_end(
    collector: Callable[[], AbstractContextManager[int]],
) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    with collector() as port:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_BSP_SCHEDULE_DELAY": "50"}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM],
            env=kept | settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        ended = time.monotonic()
    assert (done.returncode, done.stderr) == (0, "")
    line, told = done.stdout.splitlines()
    assert line.endswith("Trace export failing: the collector does not take spans")
    assert "error" not in line.lower()
    times = json.loads(told)
    # An export gives up after 3 s, and none was waited for.
    assert times["took"] < 2
    assert times["failed"] > 0
    assert ended - times["made"] < 8
