"""Faults on demand: the failure, the matching requests and the number of times."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class Fault(BaseModel):
    """A fault ordered by a test.

    `times` is the number of requests it hits; null: until it is cleared. A subclass lists its kinds in `options`:
    kind -> the fields that apply to it.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    options: ClassVar[Mapping[str, frozenset[str]]] = {}
    selectors: ClassVar[frozenset[str]] = frozenset()

    kind: str
    times: int | None = Field(default=None, ge=1)
    used: int = Field(default=0, exclude=True)

    @model_validator(mode="after")
    def _check_kind_and_fields(self) -> Self:
        if self.kind not in self.options:
            raise ValueError(f"unknown kind {self.kind!r}; known: {', '.join(sorted(self.options))}")
        allowed = self.options[self.kind] | self.selectors | {"kind", "times"}
        for name in sorted(self.model_fields_set - allowed):
            raise ValueError(f"field {name!r} means nothing for kind {self.kind!r}")
        return self

    @property
    def exhausted(self) -> bool:
        return self.times is not None and self.used >= self.times


def _check_has_body(code: int) -> int:
    # Clients read no body after these statuses, and would parse it as the next response.
    if code in {204, 205, 304} or code < 200:
        raise ValueError(f"an answer with status {code} has no body, so it can't be simulated")
    return code


Status = Annotated[int, AfterValidator(_check_has_body), Field(ge=300, le=599)]
F = TypeVar("F", bound=Fault)


class FaultBook(Generic[F]):
    """The ordered faults; the oldest match that is not exhausted applies."""

    def __init__(self) -> None:
        self._ordered: list[F] = []

    def order(self, fault: F) -> None:
        self._ordered.append(fault)

    def take(self, fits: Callable[[F], bool]) -> F | None:
        fault = next((ordered for ordered in self._ordered if not ordered.exhausted and fits(ordered)), None)
        if fault is not None:
            fault.used += 1
        return fault

    def holds(self, fault: F) -> bool:
        return any(ordered is fault for ordered in self._ordered)

    def clear(self) -> None:
        self._ordered.clear()

    def listing(self) -> list[dict[str, Any]]:
        """Return all faults in order, exhausted ones included."""
        return [
            fault.model_dump(exclude_unset=True) | {"used": fault.used, "exhausted": fault.exhausted}
            for fault in self._ordered
        ]
