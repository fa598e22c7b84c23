"""Identifiers of the current request or job, added to log lines and spans."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from opentelemetry import trace

TAGS = ("ticket_id", "tenant_id", "job_id", "desk_id", "display_id")
"""The identifiers that each span of a trace carries, as strings."""


class _Block:
    """Bound identifiers. Mappings are replaced, not changed: reads are frequent."""

    __slots__ = ("identifiers", "tags")

    def __init__(self, identifiers: Mapping[str, str]) -> None:
        self.bind(identifiers)

    def bind(self, identifiers: Mapping[str, str]) -> None:
        self.identifiers = identifiers
        self.tags: Mapping[str, str] = {name: identifiers[name] for name in TAGS if name in identifiers}


_NOTHING = _Block(MappingProxyType({}))
_block: ContextVar[_Block] = ContextVar("identifiers", default=_NOTHING)


def bind(**identifiers: str) -> None:
    """Add identifiers to the current span, and this block's later lines and spans.

    They apply to the whole block, from any of its tasks: later steps of the graph see identifiers of earlier ones.
    """
    block = _block.get()
    if block is _NOTHING:
        block = _Block({})
        _block.set(block)
    block.bind({**block.identifiers, **identifiers})
    trace.get_current_span().set_attributes({name: identifiers[name] for name in TAGS if name in identifiers})


@contextmanager
def bound(**identifiers: str) -> Iterator[None]:
    """Bind identifiers in a block and restore the previous ones after it."""
    before = _block.get()
    _block.set(_Block({**before.identifiers, **identifiers}))
    try:
        yield
    finally:
        # This also removes additions of `bind`: the next request may use the same connection.
        _block.set(before)


def current() -> Mapping[str, str]:
    return _block.get().identifiers


def tags() -> Mapping[str, str]:
    """Return the bound identifiers that spans carry."""
    return _block.get().tags


def other_ticket_ids(ticket_id: str, desk_id: str | None, display_id: str | None) -> dict[str, str]:
    """Return the ticket's numbers other than `ticket_id`, as identifiers."""
    numbers = {"desk_id": desk_id, "display_id": display_id}
    return {name: number for name, number in numbers.items() if number and number != ticket_id}
