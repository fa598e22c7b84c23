"""The identifiers of the request or job at hand: on each of its lines, and on each of its spans."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from opentelemetry import trace

TAGS = ("ticket_id", "tenant_id", "job_id", "desk_id", "display_id")
"""The identifiers that each span of a trace carries, as strings."""


class _Block:
    """What is bound in a block. Mappings are exchanged and never changed: they are read far more often than written."""

    __slots__ = ("identifiers", "tags")

    def __init__(self, identifiers: Mapping[str, str]) -> None:
        self.bind(identifiers)

    def bind(self, identifiers: Mapping[str, str]) -> None:
        self.identifiers = identifiers
        self.tags: Mapping[str, str] = {name: identifiers[name] for name in TAGS if name in identifiers}


_NOTHING = _Block(MappingProxyType({}))
_block: ContextVar[_Block] = ContextVar("identifiers", default=_NOTHING)


def bind(**identifiers: str) -> None:
    """Add identifiers to the lines and spans that follow in this block, and to the span that is open now.

    In all of the block, whichever of its tasks this runs in: what a step of the graph learns holds for those behind it.
    """
    block = _block.get()
    if block is _NOTHING:
        block = _Block({})
        _block.set(block)
    block.bind({**block.identifiers, **identifiers})
    trace.get_current_span().set_attributes({name: identifiers[name] for name in TAGS if name in identifiers})


@contextmanager
def bound(**identifiers: str) -> Iterator[None]:
    """Bind identifiers in a block; what was bound before comes back after it."""
    before = _block.get()
    _block.set(_Block({**before.identifiers, **identifiers}))
    try:
        yield
    finally:
        # All of it, what `bind` added inside as well: the next request may come over the same connection.
        _block.set(before)


def current() -> Mapping[str, str]:
    """Return the identifiers that are bound in this context."""
    return _block.get().identifiers


def tags() -> Mapping[str, str]:
    """Those of them that spans carry."""
    return _block.get().tags


def other_numbers(ticket_id: str, desk_id: str | None, display_id: str | None) -> dict[str, str]:
    """Return the numbers of a ticket that its webhook did not name, as identifiers beside the `ticket_id`."""
    numbers = {"desk_id": desk_id, "display_id": display_id}
    return {name: number for name, number in numbers.items() if number and number != ticket_id}
