"""Formats of durations, times and amounts for command, console and diagnoses."""

import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
_AGO = re.compile(r"(\d{1,6})([smhd])")


def duration(seconds: float) -> str:
    """Format seconds as `9s`, `3m05s`, `2h10m` or `4d03h`; never negative."""
    whole = max(0, int(seconds))
    for (unit, size), (next_unit, next_size) in pairwise(_UNITS):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // next_size:02}{next_unit}"
    return f"{whole}s"


def age(seconds: float) -> str:
    """Format seconds in the greatest unit only: `9s`, `3m`, `2h`, `4d`."""
    whole = max(0, int(seconds))
    return next((f"{whole // size}{unit}" for unit, size in _UNITS if whole >= size), "0s")


def when(moment: datetime) -> str:
    """Format a time as `2026-01-31 12:00:00 UTC`; `moment` must be in UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def ago(at: datetime) -> str:
    """Format the distance from now: `3m ago`, or `in 3m`."""
    seconds = (datetime.now(UTC) - at).total_seconds()
    return f"{age(seconds)} ago" if seconds >= 0 else f"in {age(-seconds)}"


def clock(at: datetime) -> str:
    """Format a UTC time; today's without its date."""
    return f"{at:%H:%M:%S}" if at.date() == datetime.now(UTC).date() else f"{at:%Y-%m-%d %H:%M:%S}"


def parse_moment(given: str) -> datetime:
    """Parse `45s`, `30m`, `2h`, `3d` or an ISO time (default UTC). Raises ValueError."""
    try:
        if ago := _AGO.fullmatch(given):
            return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * dict(_UNITS)[ago[2]])
        moment = datetime.fromisoformat(given)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{given!r} is neither like 2h, 30m or 3d nor an ISO time") from None


def parse_day(given: str) -> date:
    """Parse a day like `2026-11-01`, of the years 2000 to 2100. Raises ValueError."""
    try:
        day = date.fromisoformat(given)
    except ValueError:
        day = date.min
    if not 2000 <= day.year <= 2100:
        raise ValueError(f"{given!r} is not a day like 2026-11-01, of the years 2000 to 2100")
    return day


def counted(count: int, most: int | None = None) -> str:
    """Format a count with separators; `1,000 or more` for a limited one."""
    return f"{count:,}" if most is None or count < most else f"{most:,} or more"


def percent(part: float | None) -> str:
    """Return a fraction as a percentage, 100 only if complete; `-` for None."""
    return "-" if part is None else f"{int(part * 1000) / 10:g} %"


def money(amount: float | None) -> str:
    """Format dollars as `$1,234.50`, below one dollar as `$0.0004`; `-` for None."""
    return "-" if amount is None else f"${amount:,.4f}" if 0 < amount < 1 else f"${amount:,.2f}"


def dollars(cost: float | None) -> str:
    """Format a cost in dollars with four decimals; `-` for None."""
    return "-" if cost is None else f"{cost:.4f}"


def clean(text: str) -> str:
    """Replace control characters, direction marks and lone surrogates, for terminals."""
    return "".join(character if character.isprintable() else "?" for character in text)
