"""The page of the value report, its files, and its viewers."""

from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from redis.asyncio import Redis

from console.sessions import User
from db.session import Database
from jobs.report.document import read_report
from jobs.report.render import to_csv, to_part
from tests.console.site import OF_ACME, OF_GLOBEX, SUPPORT, Visits
from tests.jobs.report_tenant import ACME, FIGURES, ODD, PERIOD, PRICES, fill
from tests.kit.postgres import Store

SETTINGS: dict[str, Any] = {
    "WEBHOOK_SECRET_ACME": "a" * 32,
    "WEBHOOK_SECRET_GLOBEX": "g" * 32,
    "acme.report.timezone": "Europe/Berlin",
    "acme.report.minutes_per_note": 7,
}
DAYS = {"from": "2026-10-24", "to": "2026-10-25"}


@pytest.fixture
async def visits(store: Store, redis: Redis) -> Visits:
    await fill(store)
    return opened(store.database, redis)


def opened(database: Database, redis: Redis) -> Visits:
    visits = Visits(database, redis, SETTINGS)
    visits.services = replace(visits.services, prices=PRICES)
    return visits


async def test_page_and_files_have_the_same_figures(store: Store, visits: Visits) -> None:
    report = await read_report(store.database, [ACME], PERIOD, prices=PRICES)
    html = await visits.html("/report", query=DAYS | {"tenant": "acme"})
    assert str(to_part(report)) in html
    assert ODD not in html
    answer = await visits.page("/report.csv", query=DAYS | {"tenant": "acme"})
    assert answer.content.decode() == to_csv(report)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="report-acme-2026-10-24-2026-10-25.csv"'
    (acme,) = (await visits.page("/report.json", query=DAYS | {"tenant": "acme"})).json()["tenants"]
    assert acme == acme | FIGURES


@pytest.mark.parametrize(
    ("user", "query", "tenants"),
    [
        (SUPPORT, {}, ["acme", "globex"]),
        (SUPPORT, {"tenant": "globex"}, ["globex"]),
        (OF_ACME, {}, ["acme"]),
        (OF_ACME, {"tenant": "acme"}, ["acme"]),
        (OF_GLOBEX, {}, ["globex"]),
    ],
)
async def test_users_of_a_tenant_see_that_tenant_only(
    user: User, query: dict[str, str], tenants: list[str], visits: Visits
) -> None:
    found = (await visits.page("/report.json", user, query=DAYS | query)).json()
    assert [each["tenant_id"] for each in found["tenants"]] == tenants
    html = await visits.html("/report", user, query=DAYS | query)
    assert ('<select id="tenant"' in html) == (user is SUPPORT)
    assert ("globex" in html) == (user is SUPPORT or "globex" in tenants)
    for ending in ("", ".csv", ".json"):
        assert await visits.status(f"/report{ending}", OF_ACME, query={"tenant": "globex"}) == 404


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"from": "2026-11-02", "to": "2026-11-01"}, "The first day, 2026-11-02, is after the last one, 2026-11-01."),
        ({"from": "yesterday"}, "'yesterday' is not a day like 2026-11-01, of the years 2000 to 2100"),
        ({"to": "0001-01-01"}, "'0001-01-01' is not a day like 2026-11-01"),
        ({"minutes": "481"}, "'481' is not a number of minutes from 0 to 480"),
        ({"minutes": "nan"}, "'nan' is not a number of minutes"),
        ({"minutes": "<b>"}, "'<b>' is not a number of minutes"),
    ],
)
async def test_a_wrong_query_is_refused_with_the_reason(query: dict[str, str], sentence: str, visits: Visits) -> None:
    for path in ("/report", "/report.csv"):
        page = await visits.page(path, query=query)
        assert page.status_code == 400
        assert sentence in unescape(page.text)
        assert "<b>" not in page.text


async def test_the_assumption_is_a_field_of_the_form_and_kept_in_the_links(visits: Visits) -> None:
    html = unescape(await visits.html("/report", query=DAYS | {"minutes": "2.5"}))
    assert 'name="minutes" type="number" min="0" max="480" step="any" value="2.5"' in html
    assert 'href="/report.csv?from=2026-10-24&to=2026-10-25&minutes=2.5"' in html
    assert 'href="/report?tenant=globex&from=2026-10-24&to=2026-10-25&minutes=2.5"' in html
    assert "<dd>5 min</dd>" in html
    assert "<dd>14 min</dd>" in await visits.html("/report", query=DAYS | {"minutes": " "})


async def test_without_the_database_the_page_says_so(away: Database, redis: Redis) -> None:
    visits = opened(away, redis)
    page = await visits.page("/report", query=DAYS)
    assert page.status_code == 200
    assert "Report unknown: the database did not answer in time." in page.text
    assert await visits.status("/report.csv", query=DAYS) == 503
