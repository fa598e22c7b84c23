"""The FAQ's names for queue lengths."""

from typing import Literal

Reading = Literal["normal", "moderate", "high", "critical"]
MODERATE, HIGH, CRITICAL = 20, 50, 100
_READINGS: tuple[tuple[int, Reading], ...] = ((CRITICAL + 1, "critical"), (HIGH, "high"), (MODERATE, "moderate"))


def reading_of(waiting: int) -> Reading:
    return next((word for least, word in _READINGS if waiting >= least), "normal")
