"""The identifiers of the request or job at hand: on each of its lines, and on each of its spans."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from opentelemetry import trace

TAGS = ("ticket_id", "tenant_id", "job_id")
"""The identifiers that each span of a trace carries, as strings."""

# One variable for all, and never changed in place: lines and spans read it far more often than it is written.
_bound: ContextVar[Mapping[str, str]] = ContextVar("identifiers", default=MappingProxyType({}))
_tags: ContextVar[Mapping[str, str]] = ContextVar("tags", default=MappingProxyType({}))


def bind(**identifiers: str) -> None:
    """Add identifiers to the lines and spans that follow in this context, and to the span that is open now."""
    _set({**_bound.get(), **identifiers})
    span = trace.get_current_span()
    for name in TAGS:
        if name in identifiers:
            span.set_attribute(name, identifiers[name])


@contextmanager
def bound(**identifiers: str) -> Iterator[None]:
    """The same for a block; what was bound before comes back after it."""
    before = _bound.get()
    _set({**before, **identifiers})
    try:
        yield
    finally:
        # All of it, what `bind` added inside as well: the next request may come over the same connection.
        _set(before)


def _set(identifiers: Mapping[str, str]) -> None:
    _bound.set(identifiers)
    _tags.set({name: identifiers[name] for name in TAGS if name in identifiers})


def current() -> Mapping[str, str]:
    """The identifiers that are bound in this context."""
    return _bound.get()


def tags() -> Mapping[str, str]:
    """Those of them that spans carry."""
    return _tags.get()
