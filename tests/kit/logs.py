"""Logging and spans of this process, restored after the test."""

import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from config.settings import LogSettings
from observability.logging import start_logging

StartLog = Callable[..., io.StringIO]


def lines_of(stream: io.StringIO) -> list[str]:
    """Return all lines once there is one: the answer's line may follow it."""
    end = time.monotonic() + 5
    while not (lines := stream.getvalue().splitlines()):
        assert time.monotonic() < end, "no line within 5 s"
        time.sleep(0.002)
    return lines


@pytest.fixture
def untouched_logging() -> Iterator[None]:
    """Reset logging to its state before configuration, and again after the test."""
    root, manager = logging.getLogger(), logging.root.manager
    handlers, level, hooks = list(root.handlers), root.level, (sys.excepthook, threading.excepthook)
    known = [logger for logger in manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    states = [(logger, logger.level, logger.propagate, list(logger.handlers)) for logger in known]
    structlog.reset_defaults()
    for logger in known:
        # Another test's server in this process may have silenced its loggers.
        _set_level(logger, logging.NOTSET)
    yield
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    for made in manager.loggerDict.values():
        if isinstance(made, logging.Logger) and made not in known:
            _set_level(made, logging.NOTSET)
    for logger, its_level, propagate, its_handlers in states:
        _set_level(logger, its_level)
        logger.propagate = propagate
        logger.handlers[:] = its_handlers
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks


def _set_level(logger: logging.Logger, level: int) -> None:
    # Each change empties the caches of all loggers.
    if logger.level != level:
        logger.setLevel(level)


@pytest.fixture
def start_log(untouched_logging: None) -> StartLog:  # noqa: ARG001 -- puts everything back
    def start(log_format: str = "text", log_level: str = "INFO") -> io.StringIO:
        stream = io.StringIO()
        settings = LogSettings.model_validate({"log_format": log_format, "log_level": log_level})
        start_logging(settings, stream)
        return stream

    return start


@pytest.fixture
def log(start_log: StartLog) -> io.StringIO:
    return start_log()


@cache
def _exporter() -> InMemorySpanExporter:
    # A process can set its provider only once.
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = _exporter()
    exporter.clear()
    yield exporter
    exporter.clear()
