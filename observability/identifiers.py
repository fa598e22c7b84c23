"""The identifiers of the request or job at hand: on each of its lines, and on each of its spans."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from opentelemetry import trace

TAGS = ("ticket_id", "tenant_id", "job_id")
"""The identifiers that each span of a trace carries, as strings."""


def bind(**identifiers: str) -> None:
    """Add identifiers to the lines and spans that follow in this context, and to the span that is open now."""
    structlog.contextvars.bind_contextvars(**identifiers)
    span = trace.get_current_span()
    for name in TAGS:
        if name in identifiers:
            span.set_attribute(name, identifiers[name])


@contextmanager
def bound(**identifiers: str) -> Iterator[None]:
    """The same for a block; what was bound before comes back after it."""
    before = structlog.contextvars.get_contextvars()
    structlog.contextvars.bind_contextvars(**identifiers)
    try:
        yield
    finally:
        # All of it, what `bind` added inside as well: the next request may come over the same connection.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(**before)


def current() -> dict[str, str]:
    """The identifiers that are bound in this context."""
    return {name: str(value) for name, value in structlog.contextvars.get_contextvars().items()}
