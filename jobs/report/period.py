"""The days of a report, in a tenant's time zone."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DEFAULT_DAYS = 30
_DAY = timedelta(days=1)


class PeriodError(ValueError):
    """Days in the wrong order; the text is for people."""


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `first` to `last`, both inclusive."""

    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"

    @property
    def week(self) -> str:
        """The ISO week of the first day: `2026-W48`."""
        year, number, _ = self.first.isocalendar()
        return f"{year}-W{number:02}"

    def bounds(self, zone: str) -> tuple[datetime, datetime]:
        """Return the start of the first day and the end of the last one, in UTC."""
        first, end = (
            datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC) for day in (self.first, self.last + _DAY)
        )
        return first, end


def chosen_period(first: date | None, last: date | None, zones: Iterable[str], now: datetime) -> Period:
    """Return the days from `first` to `last`. Raises PeriodError.

    Without `last`: until yesterday, the last day that is over in all time zones, or `first` if that is later. Without
    `first`: 30 days.
    """
    last = last or max(_today(zones, now) - _DAY, first or date.min)
    first = first or last - (DEFAULT_DAYS - 1) * _DAY
    if first > last:
        raise PeriodError(f"The first day, {first}, is after the last one, {last}.")
    return Period(first, last)


def last_week(zone: str, now: datetime) -> Period:
    """Return the last ISO week that is over in the time zone."""
    today = _today([zone], now)
    monday = today - (today.weekday() + 7) * _DAY
    return Period(monday, monday + 6 * _DAY)


def _today(zones: Iterable[str], now: datetime) -> date:
    return min((now.astimezone(ZoneInfo(zone)).date() for zone in zones), default=now.astimezone(UTC).date())
