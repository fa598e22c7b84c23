"""The value report: its figures, its days, and its formats."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from html import unescape
from typing import Any

import pytest

from config.tenants import ReportSection, Tenant
from jobs.report.document import Report, TenantReport, figures, read_report, sections
from jobs.report.facts import Facts, ModelUse, ResolutionTimes, percentile
from jobs.report.period import Period, PeriodError, chosen_period, last_week
from jobs.report.render import to_csv, to_html, to_json
from jobs.repository import HELD_OUT
from tests.jobs.report_tenant import ACME, BEGIN, END, FIGURES, GLOBEX, ODD, PERIOD, PRICES, fill
from tests.kit.postgres import Store


async def of(store: Store, *tenants: Tenant, period: Period = PERIOD, **options: Any) -> Report:
    return await read_report(store.database, tenants, period, prices=PRICES, **options)


def values(report: Report) -> dict[tuple[str, str], str]:
    """Return the cells of a CSV by figure and detail, of its first tenant."""
    rows = [*csv.DictReader(io.StringIO(to_csv(report).removeprefix("\ufeff"), newline=""))]
    return {(row["figure"], row["detail"]): row["value"] for row in rows if row["tenant"] == rows[0]["tenant"]}


def numbers(details: Any, *path: str) -> dict[tuple[str, str], float | None]:
    """Return figures by the first name and the others, joined by blanks."""
    if not isinstance(details, dict):
        return {(path[0], " ".join(path[1:])): details}
    return {key: value for name, inner in details.items() for key, value in numbers(inner, *path, name).items()}


def shown(html: str) -> set[tuple[str, str]]:
    """Return the lines of a page, without hints."""
    found = re.findall(r"<dt>(.*?)(?: <span.*?)?</dt><dd>(.*?)</dd>", html)
    return {(unescape(label), unescape(value)) for label, value in found}


async def test_each_figure_is_that_of_the_jobs(store: Store) -> None:
    await fill(store)
    report = await of(store, ACME)
    assert figures(report.total) == FIGURES
    content = json.loads(to_json(report))
    assert content["tenants"] == [{"tenant_id": "acme", "timezone": "Europe/Berlin", "minutes_per_note": 7} | FIGURES]
    assert (content["from"], content["to"], content["total"]) == ("2026-10-24", "2026-10-25", FIGURES)


async def test_a_csv_has_the_same_figures_one_a_line(store: Store) -> None:
    await fill(store)
    cells = values(await of(store, ACME))
    period = [cells.pop(("period", name)) for name in ("first", "last", "timezone")]
    assert period == ["2026-10-24", "2026-10-25", "Europe/Berlin"]
    assert cells.pop(("assumption", "minutes_per_note")) == "7.0"
    expected = {(figure, detail.replace(ODD, f"'{ODD}")): value for (figure, detail), value in numbers(FIGURES).items()}
    assert {key: float(value) if value else None for key, value in cells.items()} == expected


async def test_a_page_has_the_same_figures_escaped_and_without_scripts(store: Store) -> None:
    await fill(store)
    html = to_html(await of(store, ACME), datetime(2026, 11, 1, tzinfo=UTC))
    expected = {
        ("Tickets seen", "8"),
        ("With a note", "4 (50 %)"),
        ("Without: webhook missing", "1"),
        ("Further notes", "1"),
        ("Unchecked notes", "1"),
        ("Held out", "1"),
        ("Seen before", "1"),
        ("Half of the notes", "20s"),
        ("95 % of the notes", "16m40s"),
        ("Useful", "1 of 2 (50 %)"),
        ("Not useful: other", "1"),
        ("Category", "1 of 2 (50 %)"),
        ("Group", "-"),
        ("Mean share", "58.3 %"),
        ("At least half", "2 of 3 (66.6 %)"),
        ("Cost", "$0.5142 (part)"),
        ("Cost of a note", "-"),
        (ODD, "no price; 1 job; 50 in, 5 out"),
        ("Used notes", "2"),
        ("Assumed minutes for each", "7"),
        ("Estimated time saved", "14 min"),
        ("With a note", "mean 30.0 h, median 20.0 h; 3 closed tickets"),
        ("Without a note", "mean 4.0 h, median 4.0 h; 1 closed ticket"),
        ("Held out", "mean 2.0 h, median 2.0 h; 1 closed ticket"),
    }
    assert expected - shown(html) == set()
    assert f"Without a price, so not in the cost: 1 of 6 jobs, of {ODD}." in unescape(html)
    assert "2026-10-24 to 2026-10-25, both days included (Europe/Berlin)" in html
    assert "Made at 2026-11-01 00:00:00 UTC" in html
    assert ODD not in html
    assert not re.search(r"<script|<link|https?://|\bon\w+=", html)


async def test_tenants_are_summed_and_shown_one_by_one(store: Store) -> None:
    await fill(store)
    report = await of(store, GLOBEX, ACME)
    assert [each.tenant_id for each in report.tenants] == ["acme", "globex"]
    total = figures(report.total)
    assert total["tickets"] == {"seen": 9, "with_note": 5, "coverage": 0.5556, "held_out": 1, "seen_before": 1}
    # Of 10, 20, 30, 40 and 1000 seconds.
    assert total["seconds_to_note"] == {"notes": 5, "p50": 30, "p95": 1000}
    assert total["models"]["router"] == {
        "jobs": 2, "input_tokens": 19, "output_tokens": 10, "dollars": 0.75, "jobs_without_price": 0
    }  # fmt: skip
    rows = [*csv.reader(io.StringIO(to_csv(report)))]
    assert list(dict.fromkeys(row[0] for row in rows[1:])) == ["(all)", "acme", "globex"]
    assert "(Europe/Berlin, UTC)" in to_html(report)
    assert re.findall(r'<th scope="row">(\w+)</th>', to_html(report)) == ["acme", "globex"]


async def test_zone_and_minutes_replace_the_settings_of_the_tenants(store: Store) -> None:
    await fill(store)
    report = await of(store, ACME, GLOBEX, zone="UTC", minutes=2.5)
    # The days end an hour later, and begin two hours later.
    assert figures(report.tenants[0].facts)["seconds_to_note"]["notes"] == 2
    assert (report.zones, report.minutes, report.total.saved_minutes) == ("UTC", 2.5, 0)


@pytest.mark.parametrize(
    "period", [PERIOD, Period(date(2040, 1, 1), date(2040, 1, 2))], ids=["without jobs", "in the future"]
)
async def test_without_jobs_there_are_zeros_and_dashes(period: Period, store: Store) -> None:
    if period != PERIOD:
        await fill(store)
    report = await of(store, ACME, period=period)
    assert figures(report.total) == figures(Facts())
    lines = {("Tickets seen", "0"), ("With a note", "0 (-)"), ("Half of the notes", "-"), ("Cost of a note", "-")}
    assert lines <= shown(to_html(report))
    assert report.kept_since is None
    assert values(report)["tickets", "coverage"] == ""


async def test_a_report_of_no_tenant_is_empty(store: Store) -> None:
    report = await of(store)
    assert json.loads(to_json(report))["tenants"] == []
    assert "0 tenants" in to_html(report)


async def test_days_before_the_oldest_job_are_named(store: Store) -> None:
    await fill(store)
    early = await of(store, ACME, period=Period(date(2026, 9, 1), PERIOD.last))
    # One second before midnight in Berlin.
    assert early.kept_since == date(2026, 10, 23)
    assert "The oldest stored job is of 2026-10-23." in to_html(early)


def times(hours: Sequence[float]) -> ResolutionTimes:
    return ResolutionTimes(sum(hours), sum(each**2 for each in hours), Counter(int(each * 10) for each in hours))


SHARE = Counter({10: 60})
TIMES: dict[str, Any] = {"resolved_not_held_out": times([1.0] * 30), "resolved_held_out": times([2.0] * 30)}


def test_held_out_tickets_are_compared_by_welchs_interval() -> None:
    """Means 15 and 25, both variances 750 / 29: the margin is 1.96 * sqrt(2 * 25.862 / 30) = 2.5736."""
    noted, held = times([10.0, 20.0] * 15), times([20.0, 30.0] * 15)
    facts = Facts(holdout_shares=SHARE, resolved_not_held_out=noted, resolved_held_out=held)
    assert figures(facts)["holdout_difference_hours"] == {"mean": -10, "low": -12.57, "high": -7.43}
    lines = shown(to_html(Report(PERIOD, [TenantReport("acme", "UTC", 5, facts)])))
    assert {("Difference of means", "-10.0 h"), ("95 % confidence", "-12.6 h to -7.4 h")} <= lines


def test_tickets_of_several_tenants_are_not_compared() -> None:
    facts = Facts(holdout_shares=SHARE, **TIMES)
    report = Report(PERIOD, [TenantReport(tenant, "UTC", 5, facts) for tenant in ("acme", "globex")])
    assert "choose one tenant for the comparison" in to_html(report)
    assert "Difference of means" not in to_html(report)
    assert values(report)["holdout_difference_hours", "mean"] == ""
    assert json.loads(to_json(report))["tenants"][0]["holdout_difference_hours"]["mean"] == -1


@pytest.mark.parametrize(("noted", "held"), [(29, 30), (30, 29)])
def test_fewer_than_30_closed_tickets_in_a_group_are_not_compared(noted: int, held: int) -> None:
    groups: dict[str, Any] = {"resolved_not_held_out": times([1.0] * noted), "resolved_held_out": times([2.0] * held)}
    report = Report(PERIOD, [TenantReport("acme", "UTC", 5, Facts(holdout_shares=SHARE, **groups))])
    assert report.total.difference is None
    assert f"There are {noted} not held out and {held} held out." in to_html(report)


def test_tickets_of_different_shares_are_not_compared() -> None:
    report = Report(PERIOD, [TenantReport("acme", "UTC", 5, Facts(holdout_shares=Counter({10: 50, 30: 10}), **TIMES))])
    assert report.total.difference is None
    assert "The share changed in these days (10 %, 30 %)" in to_html(report)


async def test_a_ticket_is_compared_by_its_decision_whatever_became_of_it(store: Store) -> None:
    async def job(ticket: str, state: str, hours: float | None = None, **columns: Any) -> None:
        seconds = None if hours is None else hours * 3600
        columns = {"accepted_at": BEGIN, "resolution_seconds": seconds} | columns
        await store.accept(ticket_id=ticket, state=state, **columns)

    held, other = {"held_out": True, "holdout": 10}, {"held_out": False, "holdout": 10}
    await job("1", "skipped", 1, reason=HELD_OUT, **held)
    await job("1", "completed", 1)  # a person requested it
    await job("2", "skipped", 2, reason=HELD_OUT, **held)
    await job("2", "skipped", reason=HELD_OUT)  # reopened
    await job("3", "failed", 3, reason="GPT-4 timeout", **other)
    await job("3", "skipped", reason="ticket deleted or closed")  # after the closing
    await job("4", "completed", 4, **other)
    await job("4", "completed", refresh="reopened")
    await job("5", "completed", 5)  # before the holdout
    await job("6", "failed", 6, reason="GPT-4 timeout", **other)
    await job("6", "completed")  # reopened
    await job("7", "waiting", held_out=False, holdout=20)
    await job("8", "skipped", 8, reason=HELD_OUT, accepted_at=BEGIN - timedelta(seconds=1), **held)
    await job("8", "skipped", 8, reason=HELD_OUT)  # its decision is not of these days
    found = (await of(store, ACME)).total
    assert (found.with_note, found.held_out, found.further_notes, found.seen) == (4, 2, 1, 6)
    assert found.without_note == {"model_failing": 1, "in_progress": 1}
    assert found.holdout_shares == {10: 5, 20: 1}
    groups = [found.resolved_held_out, found.resolved_not_held_out]
    groups += [found.resolved_with_note, found.resolved_without_note]
    assert [(group.hours, group.tickets) for group in groups] == [(3, 2), (13, 3), (10, 3), (3, 1)]


async def test_a_number_of_two_tickets_belongs_to_the_one_with_this_id(store: Store) -> None:
    await store.accept(ticket_id="100", desk_id="100", display_id="5", state="completed", accepted_at=BEGIN)
    await store.accept(ticket_id="5", state="failed", reason="GPT-4 timeout", accepted_at=BEGIN)
    assert (await of(store, ACME)).total.seen == 1
    await store.accept(ticket_id="7", desk_id="5", display_id="7", state="failed", accepted_at=BEGIN, reason="r")
    assert (await of(store, ACME)).total.seen == 2


async def test_a_model_that_is_named_like_an_unknown_one_is_added_to_it(store: Store) -> None:
    for model, tokens in ((None, 3), ("unknown model", 4)):
        await store.accept(ticket_id="1", state="failed", accepted_at=BEGIN, model=model, input_tokens=tokens)
    assert figures((await of(store, ACME)).total)["models"]["unknown model"]["input_tokens"] == 7


def test_without_held_out_tickets_there_is_no_comparison() -> None:
    assert "Comparison" not in to_html(Report(PERIOD, [TenantReport("acme", "UTC", 5, Facts(with_note=1))]))


@pytest.mark.parametrize(
    ("model", "cell"),
    [
        ("=HYPERLINK()", "'=HYPERLINK()"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'?=1"),
        ("\r=1", "'?=1"),
        (" =1", "' =1"),
        ("\uff1d1", "'\uff1d1"),
        ("x;=1", "x;'=1"),
        ("x; @1", "x;' @1"),
        ("gpt-4.1", "gpt-4.1"),
        ('a,"b"', 'a,"b"'),
        ("\x1b[31m", "?[31m"),
    ],
)
def test_no_text_of_a_csv_is_a_formula(model: str, cell: str) -> None:
    facts = Facts(models={model: ModelUse(1, 2, 3, 0.5)}, resolved_with_note=times([1.0]))
    text = to_csv(Report(PERIOD, [TenantReport("-acme", "UTC", 5, facts)]))
    assert text.startswith('\ufeff"tenant","figure","detail","value"\r\n')
    rows = [*csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))]
    assert {row[0] for row in rows[1:]} == {"'-acme"}
    assert ["'-acme", "models", f"{cell} jobs", "1"] in rows


def test_a_negative_number_of_a_csv_stays_a_number() -> None:
    report = Report(PERIOD, [TenantReport("acme", "UTC", 5, Facts(**TIMES))])
    assert values(report)["holdout_difference_hours", "mean"] == "-1.0"


def test_different_assumptions_are_not_shown_as_one() -> None:
    parts = [TenantReport("acme", "UTC", 5, Facts()), TenantReport("globex", "UTC", 6, Facts())]
    assert "as set for each tenant" in to_html(Report(PERIOD, parts))


def test_each_figure_has_a_definition() -> None:
    parts = sections(Report(PERIOD, [TenantReport("acme", "UTC", 5, Facts(holdout_shares=SHARE))]))
    assert len(parts) == 9
    assert [part.title for part in parts if len(part.definition) < 40 or not part.lines] == []


@pytest.mark.parametrize(
    ("counts", "part", "expected"),
    [({}, 0.5, None), ({7: 1}, 0.95, 7), ({1: 1, 2: 1}, 0.5, 1), ({1: 95, 9: 5}, 0.95, 1), ({1: 94, 9: 6}, 0.95, 9)],
)
def test_a_percentile_is_the_nearest_rank(counts: dict[int, int], part: float, expected: int | None) -> None:
    assert percentile(Counter(counts), part) == expected


NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)  # a Sunday; Monday in Auckland
EAST, WEST = "Pacific/Auckland", "America/Los_Angeles"


def day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


@pytest.mark.parametrize(
    ("first", "last", "zones", "expected"),
    [
        (None, None, [], "2026-10-30 to 2026-11-28"),
        (None, None, [EAST], "2026-10-31 to 2026-11-29"),
        (None, None, [EAST, WEST], "2026-10-30 to 2026-11-28"),
        ("2026-11-01", None, ["UTC"], "2026-11-01 to 2026-11-28"),
        ("2026-11-29", None, ["UTC"], "2026-11-29 to 2026-11-29"),
        (None, "2026-03-31", ["UTC"], "2026-03-02 to 2026-03-31"),
        ("2026-11-01", "2026-11-01", ["UTC"], "2026-11-01 to 2026-11-01"),
    ],
)
def test_days_that_are_not_given_are_the_last_complete_ones(
    first: str | None, last: str | None, zones: list[str], expected: str
) -> None:
    assert str(chosen_period(day(first), day(last), zones, NOW)) == expected


def test_days_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(PeriodError, match="The first day, 2026-11-02, is after the last one, 2026-11-01"):
        chosen_period(day("2026-11-02"), day("2026-11-01"), ["UTC"], NOW)


@pytest.mark.parametrize(
    ("first", "last", "zone", "hours"),
    [
        ("2026-10-25", "2026-10-25", "Europe/Berlin", 25),
        ("2026-03-29", "2026-03-29", "Europe/Berlin", 23),
        ("2026-03-29", "2026-03-29", "UTC", 24),
        # There is no midnight: the clocks go from 0:00 to 1:00.
        ("2026-03-29", "2026-03-29", "Asia/Beirut", 23),
    ],
)
def test_a_day_lasts_from_midnight_to_midnight(first: str, last: str, zone: str, hours: int) -> None:
    begin, end = Period(date.fromisoformat(first), date.fromisoformat(last)).bounds(zone)
    assert (end - begin).total_seconds() == hours * 3600
    assert PERIOD.bounds("Europe/Berlin") == (BEGIN, END)


@pytest.mark.parametrize(
    ("zone", "now", "days", "week"),
    [
        ("UTC", NOW, "2026-11-16 to 2026-11-22", "2026-W47"),
        (EAST, NOW, "2026-11-23 to 2026-11-29", "2026-W48"),
        ("UTC", datetime(2027, 1, 6, tzinfo=UTC), "2026-12-28 to 2027-01-03", "2026-W53"),
    ],
)
def test_the_last_week_is_over_in_the_zone(zone: str, now: datetime, days: str, week: str) -> None:
    found = last_week(zone, now)
    assert (str(found), found.week) == (days, week)


async def test_the_facts_of_many_tenants_are_those_of_each(store: Store) -> None:
    await fill(store)
    other = Tenant("initech", report=ReportSection(minutes_per_note=0))
    report = await of(store, ACME, GLOBEX, other)
    assert report.total == report.tenants[0].facts + report.tenants[1].facts
