"""Charts of the jobs of 24 hours, 7 or 30 days: bars in SVG, and a table of the same numbers."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode

from config.prices import ModelPrices, cost
from db.session import Database
from jobs.activity import BarSpeed, BarSum, speeds_of_jobs, sums_of_jobs
from jobs.models import JobState
from observability.formats import counted, duration, money

Range = Literal["24h", "7d", "30d"]
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_STEPS: dict[Range, tuple[timedelta, int]] = {"24h": (_HOUR, 24), "7d": (6 * _HOUR, 28), "30d": (_DAY, 30)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class ChartBar:
    """The jobs whose webhooks arrived between `since` and `until`."""

    since: datetime
    until: datetime
    webhooks: int = 0
    notes: int = 0
    failures: int = 0
    open: int = 0
    tokens: int = 0
    dollars: float = 0.0
    unpriced: int = 0
    half_seconds: float | None = None
    most_seconds: float | None = None

    @property
    def cost(self) -> float | None:
        """Dollars of the jobs with a price; None if no job has one."""
        return None if self.unpriced and not self.dollars else self.dollars


class Chart(NamedTuple):
    """One chart: bars as percents of the highest, with a lighter part behind each (`backs`)."""

    title: str
    total: str
    link: str
    hint: str
    css: str
    bars: Sequence[float]
    backs: Sequence[float]
    values: Sequence[str]
    highest: str


@dataclass(frozen=True, slots=True)
class Charts:
    """All charts of a range. `query` has the tenant's filter."""

    range: Range
    bars: Sequence[ChartBar]
    speed: BarSpeed
    query: dict[str, str] = field(default_factory=dict)

    def link(self, bar: ChartBar | None = None, **also: str) -> str:
        """Return the list of the jobs of a bar, or of all bars."""
        since, until = (bar.since, bar.until.isoformat()) if bar else (self.bars[0].since, "")
        given = {**self.query, **also, "since": since.isoformat(), "until": until, "range": self.range}
        return f"/?{urlencode({name: value for name, value in given.items() if value})}#jobs"

    @property
    def charts(self) -> list[Chart]:
        # The days of these hours in any time zone.
        first, last = self.bars[0].since - 12 * _HOUR, datetime.now(UTC) + 14 * _HOUR
        days = {"from": str(first.date()), "to": str(last.date())}
        report = f"/report?{urlencode({**self.query, **days})}"
        half, most = self.speed.half_seconds, self.speed.most_seconds
        speed = "-" if half is None or most is None else f"{duration(half)} / {duration(most)}"
        unpriced, spent = self._total("unpriced"), self._total("dollars")
        unpriced_hint = f"without {counted(unpriced)} jobs of models without a price" if unpriced else ""
        open_jobs = f"/?{urlencode({**self.query, 'state': 'open'})}#jobs"
        return [
            self._chart("webhooks", "webhooks", link=self.link()),
            self._chart("notes", "notes", link=self.link(state="completed"), css="t-note"),
            self._chart("failures", "failures", link=self.link(state="failed"), css="t-failed"),
            self._chart(
                "time to note",
                "half_seconds",
                back="most_seconds",
                link=self.link(state="completed"),
                total=speed,
                hint="half of the notes / 95 %",
                as_text=duration,
            ),
            self._chart(
                "open jobs",
                "open",
                link=open_jobs,
                total=counted(self.bars[-1].open),
                hint="now; bars: at their end",
                css="t-held",
            ),
            self._chart("tokens", "tokens", link=report, css="t-model"),
            self._chart(
                "cost",
                "cost",
                link=report,
                total="-" if unpriced and not spent else money(spent),
                hint=unpriced_hint,
                css="t-model",
                as_text=money,
            ),
        ]

    def _total(self, name: str) -> Any:
        return sum(getattr(bar, name) for bar in self.bars)

    def _chart(
        self,
        title: str,
        name: str,
        *,
        link: str,
        back: str = "",
        total: str = "",
        hint: str = "",
        css: str = "t-work",
        as_text: Callable[[Any], str] = counted,
    ) -> Chart:
        values, backs = ([getattr(bar, each) or 0 for bar in self.bars] if each else [] for each in (name, back))
        highest = max(*values, *backs)
        scale = 100 / highest if highest else 0
        heights, back_heights = ([round(value * scale, 1) for value in each] for each in (values, backs))
        names = (name, back) if back else (name,)
        given = [[getattr(bar, each) for each in names] for bar in self.bars]
        texts = [" / ".join("-" if value is None else as_text(value) for value in each) for each in given]
        total = total or counted(sum(values))
        return Chart(title, total, link, hint, css, heights, back_heights, texts, as_text(highest))


async def read_charts(database: Database, tenant_id: str | None, chosen: Range, prices: ModelPrices) -> Charts:
    """Return the charts of all tenants (None) or one, up to now."""
    step, count = _STEPS[chosen]
    now = datetime.now(UTC)
    since = _EPOCH + (now - _EPOCH) // step * step - (count - 1) * step
    sums, speeds, (speed, *_) = await asyncio.gather(
        sums_of_jobs(database, tenant_id, since, step, count),
        speeds_of_jobs(database, tenant_id, since, step, count),
        speeds_of_jobs(database, tenant_id, since, step * count, 1),
    )
    bars = [ChartBar(since + number * step, since + (number + 1) * step) for number in range(count)]
    for each in sums:
        _add(bars[each.bar], each, prices)
    for bar, of_bar in zip(bars, speeds, strict=True):
        bar.half_seconds, bar.most_seconds = of_bar.half_seconds, of_bar.most_seconds
        bar.open += of_bar.carried
    return Charts(chosen, bars, speed, {"tenant": tenant_id} if tenant_id else {})


def _add(bar: ChartBar, added: BarSum, prices: ModelPrices) -> None:
    bar.webhooks += added.jobs
    bar.notes += added.jobs if added.state == JobState.COMPLETED else 0
    bar.failures += added.jobs if added.state == JobState.FAILED else 0
    bar.open += added.open
    bar.tokens += added.input_tokens + added.output_tokens
    paid = cost(prices, added.model, added.input_tokens, added.output_tokens, added.dollars)
    bar.dollars += paid or 0
    bar.unpriced += added.jobs if paid is None else 0
