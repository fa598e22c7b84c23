"""First page: the list of jobs with its filters and pages, charts, figures that lead to lists, and the note."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any, get_args
from urllib.parse import parse_qsl
from uuid import UUID

import pytest

from config.prices import ModelPrice
from console.charts import Range, read_charts
from jobs.repository import DRY_RUN
from tests.console.site import OF_ACME, OF_GLOBEX, OPERATOR, READER, SUPPORT, Query, Visits
from tests.kit.postgres import Store, Table

pytestmark = pytest.mark.usefixtures("worker_session")
_ROW = re.compile(r'<tr><th scope="row"><a id="job-([0-9a-f-]{36})"')
PRICES = {"gpt-4.1": ModelPrice(2, 8)}
ACCEPTED = "now() - interval '{} minutes'"


def query_of(link: str) -> dict[str, str]:
    return dict(parse_qsl(unescape(link).partition("?")[2]))


async def ended(store: Store, minutes: float, state: str = "completed", **columns: Any) -> UUID:
    times: dict[str, Any] = {"accepted_at": ACCEPTED.format(minutes), "finished_at": ACCEPTED.format(minutes - 1)}
    return await store.accept(state=state, **times, **columns)


@pytest.fixture
async def jobs(store: Store) -> dict[str, UUID]:
    return {
        "note": await ended(store, 90, model="gpt-4.1", input_tokens=3000, output_tokens=500),
        "theirs": await ended(store, 80, tenant_id="globex", ticket_id="7", model="other", input_tokens=10),
        "model": await ended(store, 70, "failed", reason="GPT-4 timeout", ticket_id="101", desk_id="101"),
        "desk": await ended(store, 60, "failed", reason="ServiceDesk Plus timeout", display_id="55", desk_id="900055"),
        "dry": await ended(store, 50, "skipped", reason=DRY_RUN, dollars=0.25, input_tokens=1),
        "due": await store.accept(accepted_at=ACCEPTED.format(40)),
        "later": await store.accept(
            accepted_at=ACCEPTED.format(30), reason="GPT-4 timeout", due_at="now() + interval '1 hour'"
        ),
        "running": await store.accept(
            accepted_at=ACCEPTED.format(20), state="running", lease_until="now() + interval '1 minute'"
        ),
    }


def shown(html: str, jobs: dict[str, UUID]) -> list[str]:
    names = {str(job_id): name for name, job_id in jobs.items()}
    return [names[job_id] for job_id in _ROW.findall(html)]


NEWEST_FIRST = ["running", "later", "due", "dry", "desk", "model", "theirs", "note"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, NEWEST_FIRST),
        ({"tenant": "globex"}, ["theirs"]),
        ({"state": "open"}, ["running", "later", "due"]),
        ({"state": "due"}, ["due"]),
        ({"state": "later"}, ["later"]),
        ({"state": "waiting"}, ["later", "due"]),
        ({"state": "failed"}, ["desk", "model"]),
        ({"cause": "model_failing"}, ["later", "model"]),
        ({"cause": "model_failing", "state": "failed", "tenant": "acme"}, ["model"]),
        ({"cause": "dry_run"}, ["dry"]),
        ({"cause": "worker_lost"}, []),
        ({"ticket": "#55"}, ["desk"]),
        ({"ticket": "900055"}, ["desk"]),
        ({"ticket": "101", "state": "completed"}, []),
        ({"since": "75m"}, ["running", "later", "due", "dry", "desk", "model"]),
        ({"since": "75m", "until": "45m"}, ["dry", "desk", "model"]),
        ({"since": "2999-01-01"}, []),
    ],
)
async def test_jobs_are_listed_newest_first_and_filtered(
    query: Query, expected: Sequence[str], jobs: dict[str, UUID], visits: Visits
) -> None:
    assert shown(await visits.html("/", query=query), jobs) == expected
    # What is polled has the same filter.
    html = await visits.html("/live/jobs", query=query)
    assert shown(html, jobs) == expected
    assert ("No job matches." in html) is (not expected)


async def test_a_row_has_state_cause_duration_model_and_cost(jobs: dict[str, UUID], visits: Visits) -> None:
    visits.services = replace(visits.services, prices=PRICES)
    html = await visits.html("/", SUPPORT)
    for told in (
        "<td>gpt-4.1</td>",
        '$0.0100 <span class="hint whole">3,500 tokens</span>',
        "$0.2500 ",
        '- <span class="hint whole">10 tokens</span>',  # a model without a price
        "<td>1m00s</td>",
        'GPT-4 timeout <span class="hint">due in ',
        '<span class="hint">so far</span>',
    ):
        assert told in html, told
    assert f"/tickets/acme/101?job={jobs['model']}" in html


async def test_pages_follow_each_other_without_a_gap(table: Table, visits: Visits) -> None:
    table.run(
        "INSERT INTO jobs (id, tenant_id, ticket_id, accepted_at, deadline_at, state, finished_at)"
        " SELECT gen_random_uuid(), 'acme', n, now() - n / 10 * interval '1 minute', now(), 'completed', now()"
        " FROM generate_series(1, 60) n"
    )
    path, seen = "/?state=completed", list[str]()
    while path:
        answer = await visits.page("/", query=query_of(path))
        seen += _ROW.findall(answer.text)
        older = re.search(r'href="([^"#]+)#jobs" rel="next"', answer.text)
        path = older[1] if older else ""
        # Another page than the first one is not polled.
        assert ('hx-get="/live/jobs' in answer.text) is (len(seen) == 25)
    assert len(seen) == len({*seen}) == 60


async def test_two_viewers_of_one_page_see_what_they_may(jobs: dict[str, UUID], store: Store, visits: Visits) -> None:
    store.table.change(jobs["note"], enhancement='{"subject": "Printer <b> on fire"}')
    store.table.change(jobs["theirs"], enhancement='{"subject": "Their secret"}')
    assert "Printer &lt;b&gt; on fire" in await visits.html("/", READER)
    assert "Their secret" in await visits.html("/live/jobs", READER)
    for visitor in (SUPPORT, OPERATOR, OF_ACME):
        html = await visits.html("/", visitor)
        assert "on fire" not in html
        assert '<th scope="col">Subject</th>' not in html
    own = await visits.html("/", OF_ACME)
    assert shown(own, jobs) == [name for name in NEWEST_FIRST if name != "theirs"]
    assert "globex" not in own
    assert shown(await visits.html("/", OF_GLOBEX), jobs) == ["theirs"]
    for path in ("/", "/live/jobs", "/live/queue"):
        assert await visits.status(path, OF_GLOBEX, query={"tenant": "acme"}) == 404


@pytest.mark.parametrize(
    "query",
    [
        {"state": "done"},
        {"cause": "nothing"},
        {"ticket": "12a"},
        {"ticket": "1" * 21},
        {"since": "yesterday"},
        {"until": "9" * 41},
        {"reason": "a\0b"},
        {"range": "1y"},
        {"before": "2026-01-01T00:00", "before_id": "1"},
    ],
)
async def test_a_filter_that_can_not_be_read_is_refused(query: Query, visits: Visits) -> None:
    assert await visits.status("/", query=query) == 400


async def test_each_figure_leads_to_its_list(jobs: dict[str, UUID], visits: Visits) -> None:
    html = await visits.html("/", OPERATOR)
    counts = {"due": ("1", "job is due"), "later": ("1", "job is due later"), "running": ("1", "job runs")}
    for state, (count, label) in counts.items():
        assert re.search(rf'href="/\?state={state}#jobs"><b>{count}</b> {label}</a>', html), label
        assert shown(await visits.html("/", query={"state": state}), jobs) == [state]
    for title, expected in (("webhooks", NEWEST_FIRST), ("notes", ["theirs", "note"]), ("failures", ["desk", "model"])):
        (link,) = re.findall(rf'href="([^"]+)#jobs"><b>{len(expected)}</b> {title}</a>', html)
        assert shown(await visits.html("/", query=query_of(link)), jobs) == expected


async def test_a_reason_for_waiting_leads_to_its_jobs_only(jobs: dict[str, UUID], store: Store, visits: Visits) -> None:
    for reason in ("GPT-4 Rate Limit", "GPT-4 & timeout"):
        jobs[reason] = await store.accept(reason=reason, due_at="now() + interval '1 hour'")
    links = re.findall(r'<a id="why-\d" href="([^"]+)#jobs">1</a>', await visits.html("/", OPERATOR))
    lists = [await visits.html("/", OPERATOR, query=query_of(link)) for link in links]
    assert sorted(shown(html, jobs) for html in lists) == [["GPT-4 & timeout"], ["GPT-4 Rate Limit"], ["later"]]
    assert any("Only jobs with the reason “GPT-4 &amp; timeout”." in html for html in lists)


async def test_reason_and_cause_are_combined(jobs: dict[str, UUID], visits: Visits) -> None:
    lists = [{"reason": "GPT-4 timeout", "cause": cause} for cause in ("model_failing", "worker_lost")]
    found = [shown(await visits.html("/", query=query), jobs) for query in lists]
    assert found == [["later", "model"], []]


async def test_a_tenant_without_settings_can_be_chosen(visits: Visits) -> None:
    for path in ("/", "/report", "/failures"):
        assert "<option selected>initech</option>" in await visits.html(path, OPERATOR, query={"tenant": "initech"})


async def test_open_jobs_are_the_same_in_each_range(store: Store, visits: Visits) -> None:
    for hours in (2, 6, 12, 20, 23):
        await store.accept(accepted_at=f"now() - interval '{hours} hours'")
    for chosen in get_args(Range):
        assert (await read_charts(visits.services.database, None, chosen, {})).bars[-1].open == 5


async def test_an_unknown_cost_is_not_shown_as_zero(store: Store, visits: Visits) -> None:
    await ended(store, 5, model="unpriced", input_tokens=10)
    html = await visits.html("/", OPERATOR)
    assert re.search(r"<title>[0-9: -]+: -</title>", html.partition("</b> cost</a>")[2])
    await ended(store, 4, dollars=0.7)
    assert "$0.7000" in (await visits.html("/", OPERATOR)).partition('id="jobs"')[2]


async def test_charts_have_the_numbers_of_their_jobs(store: Store, visits: Visits) -> None:
    """One hour, by hand: five webhooks, two notes of 60 and 600 s, a failure, a job that was open at its end."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    priced: dict[str, Any] = {"model": "gpt-4.1-2025-04-14", "input_tokens": 1_000_000, "output_tokens": 500_000}

    async def job(minute: int, seconds: float | None, state: str, **columns: Any) -> None:
        at = hour + timedelta(minutes=minute)
        finished = None if seconds is None else at + timedelta(seconds=seconds)
        await store.accept(accepted_at=at, finished_at=finished, state=state, **columns)

    await job(1, 60, "completed", **priced)
    await job(2, 600, "completed", dollars=0.5, input_tokens=10, model="other")
    await job(3, 5, "failed", input_tokens=7, model="other")
    await job(59, 120, "skipped")  # ended in the next hour
    await job(58, None, "waiting")
    await job(-1, 7200, "completed", tenant_id="globex")  # of the hour before, ended in the next one
    charts = await read_charts(visits.services.database, None, "24h", PRICES)
    bar = next(bar for bar in charts.bars if bar.since == hour)
    assert (bar.webhooks, bar.notes, bar.failures, bar.open) == (5, 2, 1, 3)
    assert (bar.half_seconds, bar.most_seconds) == (60, 600)
    assert (bar.tokens, bar.dollars, bar.unpriced) == (1_500_017, 2 + 4 + 0.5, 1)
    last = charts.bars[-1]
    assert (last.since + timedelta(hours=1) > datetime.now(UTC), last.open) == (True, 1)
    of_acme = await read_charts(visits.services.database, "acme", "7d", PRICES)
    assert sum(bar.webhooks for bar in of_acme.bars) == 5
    assert {(bar.until - bar.since) for bar in of_acme.bars} == {timedelta(hours=6)}
    months = await read_charts(visits.services.database, "globex", "30d", {})
    assert [len(months.bars), sum(bar.notes for bar in months.bars)] == [30, 1]


async def test_charts_without_jobs_and_by_range(visits: Visits) -> None:
    html = await visits.html("/", query={"range": "30d"})
    assert "No job yet: no webhook has been accepted." in html
    assert '<a href="/?range=30d" aria-current="true">30 days</a>' in html
    assert "<b>-</b> time to note" in html
    assert "highest 0" in html
    assert not re.search('<rect class="t-(work|note)', html)


async def test_without_the_database_each_part_says_so(away: Any, redis: Any) -> None:
    html = await Visits(away, redis).page("/", OPERATOR)
    for part in ("Jobs", "Charts"):
        assert f"{part} unknown: the database did not answer in time." in html.text
