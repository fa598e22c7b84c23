"""Times, counts and states as pages say them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from storage.models import JobState
from support.tables import age, when

Tone = Literal["ok", "warn", "bad", "info"]
"""How a word is coloured; it says the same without."""
_TONES: dict[str, Tone] = {
    JobState.COMPLETED: "ok",
    JobState.SKIPPED: "info",
    JobState.FAILED: "bad",
    JobState.RUNNING: "info",
    JobState.WAITING: "warn",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """A time: for machines, for people, how long ago it is (or in how long it comes), and without the day of today."""

    iso: str
    words: str
    ago: str
    clock: str


@dataclass(frozen=True, slots=True)
class StateWord:
    """A word with its tone."""

    text: str
    tone: Tone


def moment(at: datetime, now: datetime) -> Moment:
    """Return a time as pages show it."""
    seconds = (now - at).total_seconds()
    ago = f"{age(seconds)} ago" if seconds >= 0 else f"in {age(-seconds)}"
    clock = f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"
    return Moment(at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), when(at), ago, clock)


def moment_or_none(at: datetime | None, now: datetime) -> Moment | None:
    """Return it, or None for none."""
    return None if at is None else moment(at, now)


def counted(count: int, most: int) -> str:
    """Return a count as it is said where nobody counts beyond `most`."""
    return f"{count:,}" if count < most else f"{most:,} or more"


def state_word(state: str) -> StateWord:
    """Return a job's state with its tone."""
    return StateWord(state, _TONES.get(state, "info"))


def percent(part: float | None) -> str:
    """Return a part of one as a percentage, which is 100 only where nothing is missing; `-` for none."""
    if part is None:
        return "-"
    return f"{int(part * 1000) / 10:g} %"
