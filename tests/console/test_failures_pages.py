"""Failures by cause and one by one; retries and their preview."""

import re
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

import httpx2
import psycopg
import pytest
from redis.asyncio import Redis

from cli.pilot.postgres import Postgres
from console.routes.failures import MAX_RETRIED
from console.sessions import User
from db.session import Database
from tests.console.site import OF_ACME, OF_GLOBEX, OPERATOR, SUPPORT, Visits
from tests.kit.logs import StartLog
from tests.kit.postgres import Store

BY_MODEL = {"cause": "model_failing"}
PREVIEW, RETRY = "/failures/preview", "/failures/retry"
DESK_TIMEOUT = "ServiceDesk Plus timeout"
ANSWER = '{"summary": "S"}'
OPERATOR_OF_ACME = replace(OF_ACME, role="operator")


async def failed(store: Store, reason: str = "GPT-4 timeout", *, minutes: int = 1, **columns: Any) -> UUID:
    ticket = columns.pop("ticket_id", str(uuid4().int)[:9])
    ended = f"now() - interval '{minutes} minutes'"
    return await store.accept(ticket_id=ticket, state="failed", reason=reason, finished_at=ended, **columns)


def state(store: Store, job_id: UUID) -> str:
    return str(store.table.job(job_id)["state"])


def shown(page: httpx2.Response) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/tickets/[a-z]+/[0-9]+\?job=([0-9a-f-]+)">', page.text)


async def test_failures_are_told_by_cause_and_each_leads_to_its_ticket(store: Store, visits: Visits) -> None:
    model = await failed(store, "OpenAI API: 500 Internal Server Error", ticket_id="1")
    desk = await failed(store, DESK_TIMEOUT, ticket_id="2", minutes=2)
    late = await failed(store, f"deadline passed (last: {DESK_TIMEOUT})", ticket_id="3", minutes=3)
    theirs = await failed(store, tenant_id="globex", minutes=4)
    await failed(store, minutes=60 * 25)
    page = await visits.page("/failures")
    assert shown(page) == [str(each) for each in (model, desk, late, theirs)]
    causes = re.findall(r"\?cause=(\w+).*?</th>\s*<td[^>]*>(\d+)</td>", page.text)
    assert causes == [("desk_failing", "2"), ("model_failing", "2")]
    for query, expected in (
        ({"cause": "desk_failing"}, [desk, late]),
        ({"tenant": "acme", "cause": "model_failing"}, [model]),
        ({"since": "150s"}, [model, desk]),
        ({"state": "skipped"}, []),
        ({"cause": "dry_run"}, []),
    ):
        assert shown(await visits.page("/failures", query=query)) == [str(each) for each in expected], query


async def test_one_tenants_people_see_their_own_failures_alone(store: Store, visits: Visits) -> None:
    own, theirs = await failed(store), await failed(store, tenant_id="globex")
    page = await visits.page("/failures", OF_ACME)
    assert shown(page) == [str(own)]
    assert [hidden in page.text for hidden in ("globex", str(theirs))] == [False, False]
    for tenant in ("globex", "nobody", "<b>"):
        assert await visits.status("/failures", OF_ACME, query={"tenant": tenant}) == 404


async def test_pages_follow_each_other_without_a_gap(store: Store, visits: Visits) -> None:
    wanted = [str(await failed(store, minutes=minutes)) for minutes in range(1, 121)]
    seen: list[str] = []
    following: list[str] = ["/failures?since=24h&cause=model_failing"]
    while following:
        query = dict(parse_qsl(urlsplit(unescape(following[0])).query))
        assert (query["since"], query["cause"]) == ("24h", "model_failing")
        page = await visits.page("/failures", query=query)
        seen += shown(page)
        following = re.findall(r'<a href="([^"]+)" rel="next">', page.text)
    assert seen == wanted


async def test_what_can_not_be_read_is_refused(database: Database, redis: Redis) -> None:
    visits = Visits(database, redis)
    for name, values in (
        ("since", ("yesterday", "<script>", "9999999d")),
        ("state", ("completed",)),
        ("cause", ("'; DROP TABLE jobs",)),
        ("before", ("x", "2026-03-01", "2026-03-01T09:30_x")),
        ("before_id", ("x",)),
    ):
        for value in values:
            assert await visits.status("/failures", OPERATOR, query={name: value}) == 400, value
    for query in ({"cause": "nothing"}, {**BY_MODEL, "state": "skipped"}):
        assert await visits.status(PREVIEW, OPERATOR, query=query) == 400
    for jobs in ("", ",", "x", "1 OR 1=1", ",".join([str(UUID(int=7))] * (MAX_RETRIED + 1))):
        assert await visits.status(RETRY, OPERATOR, form={"jobs": jobs}) in (400, 404)


async def test_a_preview_shows_which_jobs_how_many_and_what_they_cost(store: Store, visits: Visits) -> None:
    paid = await failed(store, ticket_id="1")
    kept = await failed(store, ticket_id="2", enhancement=ANSWER, minutes=2)
    theirs = await failed(store, tenant_id="globex", ticket_id="3", minutes=3)
    await failed(store, DESK_TIMEOUT, ticket_id="4")
    done = await failed(store, ticket_id="5")
    await store.accept(ticket_id="5", state="completed", finished_at="now()", model="m", input_tokens=1000)
    page = await visits.page(PREVIEW, OPERATOR, query=BY_MODEL)
    assert shown(page) == [str(each) for each in (paid, kept, theirs)]
    for told in (
        "Retry 3 jobs?",
        "acme (2), globex (1)",
        "1: GPT-4's answer is kept, no cost; 2: GPT-4 is called again, paid, about 1,000 tokens, by the last notes"
        " (a model has no price in MODEL_PRICES); 1 of them without an estimate: their tenants have no note yet",
        "1: another job of the ticket may add the note",
        f'<input type="hidden" name="jobs" value="{paid},{kept},{theirs}">',
    ):
        assert told in page.text, told
    assert [state(store, each) for each in (paid, kept, theirs, done)] == ["failed"] * 4


async def test_a_preview_says_what_speaks_against_it_as_a_tickets_page_does(store: Store, visits: Visits) -> None:
    for reason in ("worker lost at its last attempt", "worker lost at its last attempt (before: x)", "GPT-4 timeout"):
        await failed(store, reason)
    told = "2 of them: Each worker that took this job crashed."
    assert told in await visits.html(PREVIEW, OPERATOR, query={"cause": ["worker_lost", "model_failing"]})
    mind = '<span class="tag tag-warn">caution</span>'
    assert mind not in await visits.html(PREVIEW, OPERATOR, query=BY_MODEL)


async def test_a_retry_does_what_the_preview_showed(store: Store, visits: Visits, start_log: StartLog) -> None:
    first, second = await failed(store, ticket_id="1"), await failed(store, ticket_id="2", minutes=2)
    page = await visits.page(PREVIEW, OPERATOR, query=BY_MODEL)
    ids = re.findall(r'name="jobs" value="([^"]+)"', page.text)[0]
    later = await failed(store, ticket_id="3")
    await store.accept(ticket_id="2")
    log = start_log()
    html = await visits.html(RETRY, OPERATOR, form={"jobs": ids})
    assert "1 job is queued for a retry" in html
    assert "another job of the ticket may add the note" in html
    assert [state(store, each) for each in (first, second, later)] == ["waiting", "failed", "failed"]
    assert f"Job requeued: job_id={first}, ticket_id=1, reason=retried by hand" in log.getvalue()
    again = await visits.html(RETRY, OPERATOR, form={"jobs": str(first)})
    assert "0 jobs are queued for a retry" in again


@pytest.mark.parametrize("visitor", [SUPPORT, OF_ACME])
async def test_several_at_once_are_an_operators(visitor: User, store: Store, visits: Visits) -> None:
    job_id = await failed(store)
    assert await visits.status(PREVIEW, visitor, query=BY_MODEL) == 403
    assert await visits.status(RETRY, visitor, form={"jobs": str(job_id)}) == 403
    assert state(store, job_id) == "failed"
    assert "/failures/preview" not in await visits.html("/failures", visitor)


async def test_an_operator_of_one_tenant_retries_that_ones_jobs_alone(store: Store, visits: Visits) -> None:
    own, theirs = await failed(store), await failed(store, tenant_id="globex")
    page = await visits.page(PREVIEW, OPERATOR_OF_ACME, query=BY_MODEL)
    assert shown(page) == [str(own)]
    assert await visits.status(PREVIEW, OPERATOR_OF_ACME, query={**BY_MODEL, "tenant": "globex"}) == 404
    unknown = uuid4()
    form = {"jobs": f"{theirs},{unknown},{own}"}
    html = await visits.html(RETRY, OPERATOR_OF_ACME, form=form)
    assert "1 job is queued for a retry" in html
    assert html.count("no job has this id") == 2
    assert "globex" not in html
    assert [state(store, each) for each in (own, theirs)] == ["waiting", "failed"]


async def test_at_most_so_many_are_shown_at_a_time(store: Store, visits: Visits) -> None:
    store.table.run(
        "INSERT INTO jobs (id, tenant_id, ticket_id, state, reason, deadline_at, finished_at)"
        " SELECT gen_random_uuid(), 'acme', n, 'failed', 'GPT-4 timeout', now(), now() - n * interval '1 second'"
        " FROM generate_series(1, %s) n",
        MAX_RETRIED + 1,
    )
    page = await visits.page(PREVIEW, OPERATOR, query=BY_MODEL)
    assert len(shown(page)) == MAX_RETRIED
    assert f"At most {MAX_RETRIED} jobs are retried at a time" in page.text
    without_a_cause = await visits.html(PREVIEW, OPERATOR)
    assert ("Choose at least one cause" in without_a_cause, 'name="jobs"' in without_a_cause) == (True, False)


@pytest.mark.parametrize("visitor", [SUPPORT, OF_ACME, OPERATOR])
async def test_one_job_is_retried_by_whoever_sees_it(visitor: User, store: Store, visits: Visits) -> None:
    job_id = await failed(store, ticket_id="1")
    path = f"/jobs/{job_id}/retry"
    for wanted in (path, f"/jobs/{uuid4()}/retry", "/jobs/x/retry", "/jobs/../../retry"):
        assert await visits.status(wanted, OF_GLOBEX, form={}) == 404
    assert state(store, job_id) == "failed"
    assert await visits.leads(path, visitor, form={}) == f"/tickets/acme/1?job={job_id}"
    assert state(store, job_id) == "waiting"
    again = await visits.page(path, visitor, form={})
    assert again.status_code == 409
    assert "it is waiting already" in again.text


async def test_a_job_that_is_no_longer_failed_shows_its_state(store: Store, visits: Visits) -> None:
    """A form sent twice must not report that another job did it."""
    job_id = await failed(store)
    for now, why in (
        ("waiting", "it is waiting already"),
        ("running", "it is running: a worker has it"),
        ("completed", "it is completed: its note is in the ticket"),
        ("skipped", "it was skipped: retry it on the page of its ticket"),
    ):
        store.table.change(job_id, state=now)
        html = await visits.html(RETRY, OPERATOR, form={"jobs": str(job_id)})
        assert [words in html for words in ("0 jobs are queued for a retry", why, "another job")] == [True, True, False]
        assert state(store, job_id) == now


async def test_a_preview_goes_on_behind_what_can_not_be_retried(store: Store, visits: Visits) -> None:
    store.table.run(
        "INSERT INTO jobs (id, tenant_id, ticket_id, state, reason, deadline_at, finished_at)"
        " SELECT gen_random_uuid(), 'acme', n, state, 'GPT-4 timeout', now(), now() - n * interval '1 second'"
        " FROM generate_series(1, 1002) n, unnest(ARRAY['failed', 'completed']) state"
        " WHERE state = 'failed' OR n <= 1001"
    )
    html = await visits.html(PREVIEW, OPERATOR, query=BY_MODEL)
    assert "None of the checked jobs can be retried." in html
    assert '<input type="hidden" name="cause" value="model_failing">' in html
    done_by_others = r"(\d+): another job of the ticket may add the note"
    seen = [*re.findall(done_by_others, html)]
    # A thousand, or as many as fit the time.
    while older := re.findall(r'name="(before|before_id)" value="([^"]+)"', html):
        html = await visits.html(PREVIEW, OPERATOR, query=BY_MODEL | dict(older))
        seen += re.findall(done_by_others, html)
    assert sum(map(int, seen)) == 1001
    assert "Retry 1 job?" in html
    assert "acme/1002?job=" in html


@pytest.mark.parametrize("limit", ["lock_seconds", "statement_seconds"])
async def test_a_retry_breaks_off(limit: str, store: Store, server: Postgres, redis: Redis, away: Database) -> None:
    page = await Visits(away, redis).page(RETRY, OPERATOR, form={"jobs": str(uuid4())})
    assert (page.status_code, "Jobs that are not in the list were not retried" in page.text) == (503, True)
    first, second, third = [await failed(store) for _ in range(3)]
    with psycopg.connect(server.superuser_url) as somebody:
        somebody.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", (second,))
        impatient = Database(server.url, application_name="tests", **{limit: 0.2})  # type: ignore[arg-type]  # seconds
        page = await Visits(impatient, redis).page(RETRY, OPERATOR, form={"jobs": f"{first},{second},{third}"})
        await impatient.close()
    assert page.status_code == 503
    assert "1 job is queued for a retry" in page.text
    assert page.text.count("unknown: the database did not answer") == 1
    assert page.text.count(f">{second}<") == 1
    assert f'<input type="hidden" name="jobs" value="{third}">' in page.text
    assert [store.table.job(each)["state"] for each in (first, second, third)] == ["waiting", "failed", "failed"]
