"""What one look found: a row that names what it is about, what was seen, and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a row ends."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not checked"
    """It can't be seen without a change, was not asked for, or stands behind something that has failed."""


BEHIND = "something above has failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy` is what to do, of a row that has failed; `tenant_id` empty for all."""

    name: str
    state: State
    seen: str
    remedy: str = ""
    tenant_id: str = ""


class Findings:
    """The rows of one subject: each of `names` is not checked until something is known of it."""

    def __init__(self, names: Iterable[str], tenant_id: str = "", why_not: str = BEHIND) -> None:
        self._tenant_id = tenant_id
        self._rows = {name: Finding(name, State.NOT_CHECKED, why_not, tenant_id=tenant_id) for name in names}

    def ok(self, seen: str, *names: str) -> None:
        """These are in order."""
        self._set(State.OK, seen, "", names)

    def failed(self, name: str, seen: str, remedy: str) -> None:
        """This one is not, and that is to be done."""
        self._set(State.FAILED, seen, remedy, [name])

    def not_checked(self, why: str, *names: str) -> None:
        """Nobody looked at these."""
        self._set(State.NOT_CHECKED, why, "", names)

    def _set(self, state: State, seen: str, remedy: str, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._rows:
                raise KeyError(name)
            self._rows[name] = Finding(name, state, seen, remedy, self._tenant_id)

    @property
    def all(self) -> list[Finding]:
        """The rows in their order."""
        return list(self._rows.values())
