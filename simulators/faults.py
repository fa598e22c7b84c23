"""Faults on demand: the failure, the matching requests and the number of times."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Fault(BaseModel):
    """A fault ordered by a test.

    `times` is the number of requests it hits; null: until it is cleared. A subclass lists its kinds in `options`:
    kind -> the fields that apply to it.
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
    """Return a status whose response may carry a body. Raises ValueError for others."""
    # Clients read no body after these statuses, and would parse it as the next response.
    if code in {204, 205, 304} or code < 200:
        raise ValueError(f"an answer with status {code} has no body, so it can't be simulated")
    return code


F = TypeVar("F", bound=Fault)


@dataclass(slots=True)
class OrderedFault(Generic[F]):
    """An ordered fault with its hit count."""

    fault: F
    used: int = 0

    @property
    def exhausted(self) -> bool:
        return self.fault.times is not None and self.used >= self.fault.times


class FaultBook(Generic[F]):
    """The ordered faults; the oldest unexhausted match applies, so orders form sequences."""

    def __init__(self) -> None:
        self._ordered: list[OrderedFault[F]] = []

    def order(self, fault: F) -> None:
        self._ordered.append(OrderedFault(fault))

    def take(self, fits: Callable[[F], bool]) -> F | None:
        """Return the first matching fault and count the hit, or None."""
        for ordered in self._ordered:
            if not ordered.exhausted and fits(ordered.fault):
                ordered.used += 1
                return ordered.fault
        return None

    def holds(self, fault: F) -> bool:
        return any(ordered.fault is fault for ordered in self._ordered)

    def clear(self) -> None:
        self._ordered.clear()

    def listing(self) -> list[dict[str, Any]]:
        """Return all faults in order with `used` and `exhausted`, exhausted ones included."""
        return [
            ordered.fault.model_dump(exclude_unset=True) | {"used": ordered.used, "exhausted": ordered.exhausted}
            for ordered in self._ordered
        ]
