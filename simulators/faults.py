"""Faults on demand: what goes wrong, for which requests, and how often."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Fault(BaseModel):
    """What a test orders. `times` is how many requests it hits; null means until it is cleared.

    A subclass names its kinds in `options`: kind -> the fields that mean something for it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    options: ClassVar[Mapping[str, frozenset[str]]] = {}
    selectors: ClassVar[frozenset[str]] = frozenset()

    kind: str
    times: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _known_kind_and_fitting_fields(self) -> Self:
        if self.kind not in self.options:
            raise ValueError(f"unknown kind {self.kind!r}; known: {', '.join(sorted(self.options))}")
        allowed = self.options[self.kind] | self.selectors | {"kind", "times"}
        for name in sorted(self.model_fields_set - allowed):
            raise ValueError(f"field {name!r} means nothing for kind {self.kind!r}")
        return self


def with_a_body(code: int) -> int:
    """Check the status of an answer that carries a body. Raises ValueError for one that may have none."""
    # A client reads no body after these, and would take it for the beginning of the next answer.
    if code in {204, 205, 304} or code < 200:
        raise ValueError(f"an answer with status {code} has no body, so it can't be simulated")
    return code


F = TypeVar("F", bound=Fault)


@dataclass(slots=True)
class OrderedFault(Generic[F]):
    """A fault in the book, with the number of requests that it has hit."""

    fault: F
    used: int = 0

    @property
    def exhausted(self) -> bool:
        """True if it has hit as many requests as were ordered."""
        return self.fault.times is not None and self.used >= self.fault.times


class FaultBook(Generic[F]):
    """The ordered faults. The oldest one that fits and is not exhausted is taken: orders make sequences."""

    def __init__(self) -> None:
        self._ordered: list[OrderedFault[F]] = []

    def order(self, fault: F) -> None:
        """Add a fault."""
        self._ordered.append(OrderedFault(fault))

    def take(self, fits: Callable[[F], bool]) -> F | None:
        """Return the fault for a request, and count it; None when nothing is ordered for it."""
        for ordered in self._ordered:
            if not ordered.exhausted and fits(ordered.fault):
                ordered.used += 1
                return ordered.fault
        return None

    def holds(self, fault: F) -> bool:
        """Return True until the fault, which was ordered once, is cleared."""
        return any(ordered.fault is fault for ordered in self._ordered)

    def clear(self) -> None:
        """Remove all."""
        self._ordered.clear()

    def listing(self) -> list[dict[str, Any]]:
        """Return all faults in their order, exhausted ones too, each with `used` and `exhausted`."""
        return [
            ordered.fault.model_dump(exclude_unset=True) | {"used": ordered.used, "exhausted": ordered.exhausted}
            for ordered in self._ordered
        ]
