"""The value report of tenants: its figures for machines, and its sections for people."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from config.prices import ModelPrices
from config.tenants import Tenant
from db.session import Database
from jobs.diagnosis.verdict_codes import VerdictCode
from jobs.feedback import TRIAGE_FIELDS, Vote
from jobs.report.facts import MIN_COMPARED, Facts, ResolutionTimes, percentile, read_facts
from jobs.report.period import Period
from observability.formats import counted, duration, money, percent


@dataclass(frozen=True, slots=True)
class TenantReport:
    """One tenant's part. `minutes` are assumed for each used note."""

    tenant_id: str
    zone: str
    minutes: float
    facts: Facts
    oldest: datetime | None = None
    """Time of the oldest stored job."""


@dataclass(frozen=True, slots=True)
class Report:
    """The parts of all chosen tenants, and their sum."""

    period: Period
    tenants: Sequence[TenantReport]
    total: Facts = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", sum((each.facts for each in self.tenants), Facts()))

    @property
    def scope(self) -> str:
        return self.tenants[0].tenant_id if len(self.tenants) == 1 else f"{len(self.tenants)} tenants"

    @property
    def zones(self) -> str:
        """The time zones of the days, which may differ between tenants."""
        return ", ".join(sorted({each.zone for each in self.tenants})) or "UTC"

    @property
    def minutes(self) -> float | None:
        """The assumption, if it is the same for all tenants."""
        values = {each.minutes for each in self.tenants}
        return values.pop() if len(values) == 1 else None

    @property
    def kept_since(self) -> date | None:
        """The day of the oldest stored job, if the period begins earlier."""
        days = [each.oldest.astimezone(ZoneInfo(each.zone)).date() for each in self.tenants if each.oldest is not None]
        return min(days) if days and min(days) > self.period.first else None


async def read_report(
    database: Database,
    tenants: Iterable[Tenant],
    period: Period,
    *,
    prices: ModelPrices,
    zone: str | None = None,
    minutes: float | None = None,
) -> Report:
    """Read the facts of each tenant. `zone` and `minutes` replace the tenants' settings.

    Raises one of DATABASE_FAILURES.
    """
    parts = []
    for tenant in sorted(tenants, key=lambda each: each.id):
        of_zone = zone or tenant.report.timezone
        of_note = tenant.report.minutes_per_note if minutes is None else minutes
        found = await read_facts(database, tenant, *period.bounds(of_zone), prices=prices, minutes=of_note)
        parts.append(TenantReport(tenant.id, of_zone, of_note, *found))
    return Report(period, parts)


def figures(facts: Facts, *, is_sum: bool = False) -> dict[str, Any]:
    """Return the figures with stable names; unknown ones are None.

    `is_sum`: of several tenants, whose held-out tickets can't be compared with the others' tickets.
    """
    use, difference = facts.use, None if is_sum else facts.difference
    return {
        "tickets": {
            "seen": facts.seen,
            "with_note": facts.with_note,
            "coverage": _rounded(facts.coverage),
            "held_out": facts.held_out,
            "seen_before": facts.seen_before,
        },
        "tickets_without_note": dict(sorted(facts.without_note.items())),
        "notes": {"all": facts.notes, "further": facts.further_notes, "unchecked": facts.unchecked},
        "seconds_to_note": {
            "notes": facts.seconds_to_note.total(),
            "p50": percentile(facts.seconds_to_note, 0.5),
            "p95": percentile(facts.seconds_to_note, 0.95),
        },
        "votes": {
            "all": facts.votes.total(),
            "useful": facts.votes[Vote.USEFUL],
            "useful_share": _rounded(facts.useful_share),
        },
        "vote_reasons": dict(sorted(facts.vote_reasons.items())),
        "triage": {name: _shared(facts.matched[name], facts.suggested[name]) for name in TRIAGE_FIELDS},
        "taken_up": {
            "measured": facts.measured,
            "mean": _rounded(facts.mean_taken_up),
            "at_least_half": facts.taken_up_half,
        },
        "cost": {
            "input_tokens": use.input_tokens,
            "output_tokens": use.output_tokens,
            "dollars": _rounded(facts.dollars),
            "dollars_per_note": _rounded(facts.dollars_per_note, 6),
            "jobs": use.jobs,
            "jobs_without_price": use.unpriced,
        },
        "models": {
            name: {
                "jobs": model.jobs,
                "input_tokens": model.input_tokens,
                "output_tokens": model.output_tokens,
                "dollars": None if model.unpriced == model.jobs else _rounded(model.dollars),
                "jobs_without_price": model.unpriced,
            }
            for name, model in sorted(facts.models.items())
        },
        "saved": {"used_notes": facts.used, "estimated_minutes": _rounded(facts.saved_minutes, 1)},
        "resolution_hours": {
            "with_note": _of_times(facts.resolved_with_note),
            "without_note": _of_times(facts.resolved_without_note),
            "held_out": _of_times(facts.resolved_held_out),
            "not_held_out": _of_times(facts.resolved_not_held_out),
        },
        "holdout_difference_hours": dict.fromkeys(("mean", "low", "high"))
        if difference is None
        else dict(zip(("mean", "low", "high"), (round(value, 2) for value in difference), strict=True)),
    }


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def _shared(part: int, whole: int) -> dict[str, Any]:
    return {"measured": whole, "matched": part, "share": _rounded(part / whole) if whole else None}


def _of_times(times: ResolutionTimes) -> dict[str, Any]:
    return {"closed_tickets": times.tickets, "mean": _rounded(times.mean, 2), "median": times.median}


class Line(NamedTuple):
    """A figure for people. `hint` explains the label."""

    label: str
    value: str
    hint: str = ""


class Section(NamedTuple):
    """Lines of one topic, with its definition, and remarks on these figures."""

    title: str
    lines: Sequence[Line]
    definition: str
    remarks: Sequence[str] = ()


def headlines(facts: Facts) -> list[Line]:
    """Return the four figures on top."""
    return [
        Line("of the tickets have a note", percent(facts.coverage)),
        Line("until half of the notes are there", _seconds(facts, 0.5)),
        Line("of the votes are useful", percent(facts.useful_share)),
        Line("saved, estimated", _time(facts.saved_minutes)),
    ]


def sections(report: Report) -> list[Section]:
    facts = report.total
    parts = [_tickets(report), _speed(facts), _votes(facts), _triage(facts), _taken_up(facts), _cost(facts)]
    parts += [_saved(report), _resolution(facts)]
    return [*parts, _comparison(facts, len(report.tenants))] if facts.holdout_shares else parts


def tenant_rows(report: Report) -> list[tuple[str, ...]]:
    """Return the head and one row a tenant, if there are several."""
    if len(report.tenants) < 2:
        return []
    head = ("Tenant", "Tickets", "With a note", "Coverage", "p50", "Useful", "Used notes", "Time saved", "Cost")
    rows = [
        (
            each.tenant_id,
            counted(each.facts.seen),
            counted(each.facts.with_note),
            percent(each.facts.coverage),
            _seconds(each.facts, 0.5),
            percent(each.facts.useful_share),
            counted(each.facts.used),
            _time(each.facts.saved_minutes),
            _cost_of(each.facts),
        )
        for each in report.tenants
    ]
    return [head, *rows]


def _tickets(report: Report) -> Section:
    facts = report.total
    verdicts = {verdict.value: verdict for verdict in VerdictCode}
    causes = [(verdicts[code], tickets) for code, tickets in facts.without_note.most_common()]
    lines = [
        Line("Tickets seen", counted(facts.seen)),
        Line("With a note", f"{counted(facts.with_note)} ({percent(facts.coverage)})"),
        *(Line(f"Without: {_words(code)}", counted(tickets), code.means) for code, tickets in causes),
        Line("Further notes", counted(facts.further_notes), "of tickets that had one"),
    ]
    if facts.unchecked:
        lines.append(
            Line("Unchecked notes", counted(facts.unchecked), "their claims were not compared with the sources")
        )
    if facts.held_out:
        lines.append(Line("Held out", counted(facts.held_out), "without a note, for comparison; not in the coverage"))
    if facts.seen_before:
        lines.append(Line("Seen before", counted(facts.seen_before), "repeated webhooks only; not counted above"))
    remarks = []
    if report.kept_since is not None:
        remarks.append(f"The oldest stored job is of {report.kept_since}. Ended jobs are deleted after KEEP_JOBS_DAYS.")
    definition = (
        "A ticket counts once if a webhook or housekeeping made a job for it in these days. Tickets whose webhook did "
        "not arrive count for a week. The cause is that of the ticket's last job before its closing."
    )
    return Section("Tickets", lines, definition, remarks)


def _speed(facts: Facts) -> Section:
    lines = [
        Line("Half of the notes", _seconds(facts, 0.5), "p50"),
        Line("95 % of the notes", _seconds(facts, 0.95), "p95"),
    ]
    definition = "From the accepted webhook to the first note of the ticket. A retry by hand counts from the webhook."
    return Section("Time to the note", lines, definition)


def _votes(facts: Facts) -> Section:
    lines = [Line("Useful", _part(facts.votes[Vote.USEFUL], facts.votes.total()))]
    lines += [Line(f"Not useful: {reason}", counted(votes)) for reason, votes in facts.vote_reasons.most_common()]
    return Section("Votes of technicians", lines, "By the link in the note. The last vote of a note counts.")


def _triage(facts: Facts) -> Section:
    lines = [Line(name.capitalize(), _part(facts.matched[name], facts.suggested[name])) for name in TRIAGE_FIELDS]
    definition = (
        "Suggestions that the closed ticket has, of notes with one. Case and spaces do not count; an empty field does "
        "not match. A ticket is measured if it is closed while the answer is stored (KEEP_TEXT_DAYS)."
    )
    return Section("Right suggestions", lines, definition)


def _taken_up(facts: Facts) -> Section:
    lines = [
        Line("Measured notes", counted(facts.measured)),
        Line("Mean share", percent(facts.mean_taken_up)),
        Line("At least half", _part(facts.taken_up_half, facts.measured)),
    ]
    definition = (
        "The share of the resolution's words that the note's steps contain, without words of the ticket itself: an "
        "overlap of words, not a proof of use. Only closed tickets with a resolution, read while the answer is stored."
    )
    return Section("Steps in the resolution", lines, definition)


def _cost(facts: Facts) -> Section:
    use = facts.use
    lines = [
        Line("Cost", _cost_of(facts)),
        Line("Cost of a note", money(facts.dollars_per_note), "all cost, divided by tickets with a note"),
        Line("Tokens", f"{counted(use.input_tokens)} in, {counted(use.output_tokens)} out"),
    ]
    for name, model in sorted(facts.models.items(), key=lambda each: -each[1].jobs):
        tokens = f"{counted(model.input_tokens)} in, {counted(model.output_tokens)} out"
        price = "no price" if model.unpriced == model.jobs else money(model.dollars)
        lines.append(Line(name, f"{price}; {_amount(model.jobs, 'job')}; {tokens}"))
    remarks = []
    if use.unpriced:
        names = ", ".join(name for name, model in sorted(facts.models.items()) if model.unpriced)
        remarks.append(
            f"Without a price, so not in the cost: {counted(use.unpriced)} of {counted(use.jobs)} jobs, of {names}. "
            "Set MODEL_PRICES."
        )
    definition = (
        "Of all jobs, also those without a note. Dollars are those that the endpoint reported, otherwise tokens times "
        "MODEL_PRICES."
    )
    return Section("Cost of the model", lines, definition, remarks)


def _saved(report: Report) -> Section:
    facts, minutes = report.total, report.minutes
    assumed = "as set for each tenant" if minutes is None else f"{minutes:g}"
    if not report.tenants:
        assumed = "-"
    lines = [
        Line("Used notes", counted(facts.used)),
        Line("Assumed minutes for each", assumed),
        Line("Estimated time saved", _time(facts.saved_minutes)),
    ]
    definition = (
        "An assumption, not a measurement: used notes times the minutes. A note is used if it was voted useful, or if "
        "its steps have at least half of the resolution's words and no vote says “not useful”. To change the minutes: "
        "`report.minutes_per_note`, `--minutes`, or the field of the console's page."
    )
    return Section("Time saved", lines, definition)


def _resolution(facts: Facts) -> Section:
    lines = [
        Line("With a note", _hours(facts.resolved_with_note)),
        Line("Without a note", _hours(facts.resolved_without_note)),
    ]
    definition = (
        "From creation to closing, by the desk, of closed tickets only: recent days look faster. This is no "
        "experiment: tickets with and without a note differ in other ways too, so the difference is not the effect of "
        "notes. A reopened ticket keeps its time until it is closed again, but has none if its first note came later "
        "than the closing."
    )
    return Section("Resolution time", lines, definition)


def _comparison(facts: Facts, tenants: int) -> Section:
    others, held, difference = facts.resolved_not_held_out, facts.resolved_held_out, facts.difference
    lines = [Line("Held out", _hours(held)), Line("Not held out", _hours(others))]
    remarks = []
    if tenants > 1:
        remarks.append("Tickets of different tenants differ in other ways: choose one tenant for the comparison.")
    elif len(facts.holdout_shares) > 1:
        shares = ", ".join(f"{share} %" for share in sorted(facts.holdout_shares))
        remarks.append(
            f"The share changed in these days ({shares}), so there is no comparison: choose days of one share."
        )
    elif difference is None:
        remarks.append(
            f"A comparison needs {MIN_COMPARED} closed tickets in each group. There are {counted(others.tickets)} not "
            f"held out and {counted(held.tickets)} held out."
        )
    else:
        lines.append(Line("Difference of means", f"{difference.hours:+.1f} h", "negative: faster with notes"))
        lines.append(Line("95 % confidence", f"{difference.low:+.1f} h to {difference.high:+.1f} h"))
    definition = (
        "Closed tickets that passed the exclusions while `report.holdout` was on. A random part of them was chosen to "
        "get no note. A ticket stays in its group even if its job failed or a person requested its note. Welch's "
        "interval with the normal approximation. An interval with 0 in it does not show an effect."
    )
    return Section("Comparison with held-out tickets", lines, definition, remarks)


def _words(code: VerdictCode) -> str:
    return code.value.replace("_", " ")


def _part(part: int, whole: int) -> str:
    return f"{counted(part)} of {counted(whole)} ({percent(part / whole)})" if whole else "-"


def _seconds(facts: Facts, part: float) -> str:
    seconds = percentile(facts.seconds_to_note, part)
    return "-" if seconds is None else duration(seconds)


def _time(minutes: float) -> str:
    return f"{minutes:,.0f} min" if minutes < 600 else f"{minutes / 60:,.0f} h"


def _hours(times: ResolutionTimes) -> str:
    if times.mean is None or times.median is None:
        return "-"
    tickets = _amount(times.tickets, "closed ticket")
    return f"mean {times.mean:,.1f} h, median {times.median:,.1f} h; {tickets}"


def _amount(count: int, noun: str) -> str:
    return f"{counted(count)} {noun}{'s' * (count != 1)}"


def _cost_of(facts: Facts) -> str:
    return money(facts.dollars) + (" (part)" if facts.dollars is not None and facts.use.unpriced else "")
