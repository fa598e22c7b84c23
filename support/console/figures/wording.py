"""Counts and states as shown on pages."""

from dataclasses import dataclass
from typing import Literal

from storage.models import JobState

Tone = Literal["ok", "warn", "bad", "info"]
"""The colour of a word, which says the same without it."""
_TONES: dict[str, Tone] = {
    JobState.COMPLETED: "ok",
    JobState.SKIPPED: "info",
    JobState.FAILED: "bad",
    JobState.RUNNING: "info",
    JobState.WAITING: "warn",
}


@dataclass(frozen=True, slots=True)
class StateWord:
    """A word with its tone."""

    text: str
    tone: Tone


def counted(count: int, most: int | None = None) -> str:
    """Return a count, limited to `most`."""
    return f"{count:,}" if most is None or count < most else f"{most:,} or more"


def state_word(state: str) -> StateWord:
    return StateWord(state, _TONES.get(state, "info"))


def percent(part: float | None) -> str:
    """Return a fraction as a percentage, 100 only if complete; `-` for None."""
    if part is None:
        return "-"
    return f"{int(part * 1000) / 10:g} %"
