"""Overview and tenants' pages: queue, causes and health, for one tenant, and without a store."""

import asyncio
import io
import re
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from config.tenants import DeskSettings, Tenant
from console.panels import in_time, settings_word, summarize
from console.queries import MAX_PER_REASON
from console.templating import StateWord
from db.session import Database
from integrations.llm.spending import SPENDING_LIMIT
from integrations.resilience import DeskHoldReason
from jobs import rejections
from jobs.missed_webhooks import MissedCount
from jobs.queue import QUEUE, open_redis
from jobs.rejections import RefusedTenant
from jobs.repository import WORKER_LOST
from jobs.statistics import MAX_COUNTED, reading_of
from tests.console.site import MISSED, OF_ACME, OF_GLOBEX, OPERATOR, SETTINGS, SUPPORT, Visits
from tests.jobs.diagnosis.known import NOW, ago
from tests.kit.postgres import Store

pytestmark = pytest.mark.usefixtures("worker_session")


def test_the_queue_is_read_as_the_faq_reads_it() -> None:
    readings = ["normal", "normal", "moderate", "moderate", "high", "high", "critical"]
    assert [reading_of(waiting) for waiting in (0, 19, 20, 49, 50, 100, 101)] == readings


async def test_the_first_page_tells_of_queue_causes_and_tenants(store: Store, redis: Redis, visits: Visits) -> None:
    await redis.lpush(QUEUE, *["message"] * 51)
    await store.accept()
    await store.accept(reason="desk unavailable", due_at="now() + interval '1 minute'")
    await store.accept(state="running", lease_owner="w", lease_until="now() + interval '1 minute'")
    await store.accept(tenant_id="globex", state="failed", reason="GPT-4 timeout", finished_at="now()")
    html = await visits.html("/", OPERATOR)
    for told in (
        '<span class="tag tag-warn">high</span>',
        "<b>51</b> messages wait in Redis",
        "<b>0</b> workers listen for jobs",
        "<b>1</b> job runs",
        "<b>1</b> worker has jobs",
        "<b>1</b> job is due",
        "<b>1</b> job is due later",
        '<a href="/failures?cause=model_failing">model failing</a>',
        "desk unavailable",
        '<a href="/tenants/globex">globex</a></th><td><span class="tag tag-bad">down</span></td>',
        "<td>1 failed, success rate 0 %</td>",
        "<td>1 waiting: desk unavailable</td>",
    ):
        assert told in html, told


async def test_more_than_is_counted_is_told_so_and_what_can_be_focused_has_an_id(store: Store, visits: Visits) -> None:
    store.table.run(
        "INSERT INTO jobs (id, tenant_id, ticket_id, reason, due_at, deadline_at)"
        " SELECT gen_random_uuid(), 'acme', n, 'desk busy', now() + interval '1 hour', now() + interval '1 day'"
        " FROM generate_series(1, %s) n",
        MAX_PER_REASON + 1,
    )
    assert ">1,000 or more</a></td>" in await visits.html("/live/queue")
    # Counts of a single tenant go higher.
    assert ">1,001</a></td>" in await visits.html("/live/queue", OF_ACME)
    # The focus is restored by id; keyboard users would lose it every five seconds.
    html = await visits.html("/live/queue")
    can_be_focused = re.findall(r'<(?:a|button|input|select|summary)\b[^>]*>|<[^>]* tabindex="0"[^>]*>', html)
    assert len(can_be_focused) == 10
    assert [tag for tag in can_be_focused if ' id="' not in tag] == []


async def test_of_many_tenants_those_are_shown_that_need_a_look(store: Store, redis: Redis) -> None:
    settings = {f"WEBHOOK_SECRET_T{number}": "s" * 32 for number in range(30)}
    visits = Visits(store.database, redis, settings)
    assert "All tenants are healthy." in await visits.html("/")
    await store.accept(tenant_id="t29", state="failed", reason="GPT-4 timeout", finished_at="now()")
    html = await visits.html("/")
    assert re.findall(r'href="/tenants/(\w+)"', html) == ["t29"]
    assert "All other tenants are healthy." in html


async def test_workers_that_are_missing_or_silent_are_told(store: Store, visits: Visits) -> None:
    without = await visits.html("/live/queue")
    assert "no worker has a job, and none listens for one" in without
    assert "the workers keep up" not in without
    await store.accept(state="running", lease_owner="w", lease_until="now() - interval '1 minute'")
    assert "1 job has lost the worker" in await visits.html("/live/queue")
    await store.accept(state="running", lease_owner="w", lease_until="now() + interval '1 minute'")
    assert "none listens" not in await visits.html("/live/queue")
    assert "lost the worker" not in await visits.html("/live/queue", OF_ACME)


async def test_without_a_worker_nothing_is_called_normal_or_well(store: Store, redis: Redis, visits: Visits) -> None:
    await redis.lpush(QUEUE, "message")
    await store.accept(reason=WORKER_LOST)
    for visitor in (SUPPORT, OF_ACME):
        html = await visits.html("/", visitor)
        assert 'Queue: <span class="tag tag-bad">down</span>' in html
        assert "normal</span>" not in html
        assert "<td>none: continues by itself once a worker runs</td>" in html
    html = await visits.html("/")
    assert '<a href="/tenants/acme">acme</a></th><td><span class="tag tag-bad">down</span></td>' in html
    assert "<td>1 due, and no worker takes jobs; 1 waiting: worker lost</td>" in html
    assert '<a href="/tenants/globex">globex</a></th><td><span class="tag tag-ok">healthy</span></td>' in html
    # Another tenant's job waits; this tenant's users see the queue only.
    assert 'Queue: <span class="tag tag-bad">down</span>' in await visits.html("/live/queue", OF_GLOBEX)
    assert "once a worker runs" in await visits.html("/tenants/acme", OF_ACME)
    await store.accept(state="running", lease_owner="w", lease_until="now() + interval '1 minute'")
    html = await visits.html("/")
    assert "normal</span>" in html
    assert "<td>none: continues by itself</td>" in html
    assert "no worker takes" not in html


async def test_a_hold_that_a_person_ends_is_shown_with_its_step(store: Store, visits: Visits) -> None:
    later = "now() + interval '1 minute'"
    for tenant_id in ("acme", "acme", "globex"):
        await store.accept(tenant_id=tenant_id, reason=SPENDING_LIMIT, due_at=later)
    await store.accept(reason=DeskHoldReason.CREDENTIALS_REFUSED, due_at=later)
    step = "wait until midnight UTC, or raise acme.openai.daily_tokens in tenants.toml"
    html = await visits.html("/")
    assert f"<td>{step}; the same for globex</td>" in html
    assert "ask the client for a new key: SERVICEDESK_API_KEY_ACME on premises" in html
    assert f"<td>{step}</td>" in await visits.html("/tenants/acme", OF_ACME)


async def test_webhooks_that_were_refused_or_never_came_are_told(store: Store, visits: Visits) -> None:
    await rejections.record(store.database, "acme", "1", 403, "signature mismatch", proved=False)
    assert re.search(r"last webhook refused \ds ago: signature mismatch", await visits.html("/"))
    await store.accept(due_at="now() + interval '1 minute'")
    html = await visits.html("/")
    assert ["last webhook refused" in html, "healthy</span>" in html] == [False, True]
    for ticket, since in (("200", "10 minutes"), ("201", "3 hours")):
        store.table.run(MISSED, ticket, since)
    told = '<span class="tag tag-warn">degraded</span></td><td>2 webhooks missed, the last one 10m ago</td>'
    assert told in await visits.html("/")
    await store.accept(ticket_id="200", state="completed", finished_at="now()")
    html = await visits.html("/")
    assert '<span class="tag tag-ok">healthy</span></td><td>1 webhook missed, the last one 3h ago</td>' in html


async def test_the_queue_alone_renews_itself_and_the_first_page_may_be_still(database: Database, redis: Redis) -> None:
    visits = Visits(database, redis)
    part = await visits.html("/live/queue")
    assert part.lstrip().startswith('<section id="queue"')
    assert ['hx-get="/live/queue"' in part, "<html" in part] == [True, False]
    assert "hx-get" not in await visits.html("/", query={"paused": "yes"})
    await redis.config_set("maxmemory", "1")
    try:
        assert "no job gets into the queue" in await visits.html("/live/queue", OF_ACME)
    finally:
        await redis.config_set("maxmemory", "0")


async def test_one_tenants_people_see_a_reading_and_their_own_jobs(store: Store, redis: Redis, visits: Visits) -> None:
    await redis.lpush(QUEUE, *["message"] * 137)
    for _ in range(83):
        await store.accept(tenant_id="globex", reason="desk credentials refused")
    await store.accept(tenant_id="globex", state="failed", reason="GPT-4 timeout", finished_at="now()")
    await store.accept(tenant_id="globex", state="running", lease_owner="w", lease_until="now() + interval '1 minute'")
    await store.accept()
    for path in ("/", "/live/queue"):
        html = await visits.html(path, OF_ACME)
        assert "critical</span>" in html
        assert "<b>1</b> job waits" in html
        assert "<b>0</b> jobs run" in html
        for hidden in ("globex", ">137<", ">83<", ">84<", "credentials", "GPT-4", "workers have"):
            assert hidden not in html, hidden


async def test_without_the_database_what_redis_and_settings_tell_is_shown(redis: Redis, away: Database) -> None:
    await redis.lpush(QUEUE, "message")
    for visitor in (OPERATOR, OF_ACME):
        html = (await Visits(away, redis).page("/", visitor)).text
        assert "normal</span>" in html
        assert "unknown: the database did not answer in time" in html
        assert "healthy</span>" not in html
    assert "unknown: the database did not answer in time" in await Visits(away, redis).html("/tenants")
    html = await Visits(away, redis).html("/tenants/acme", OF_ACME)
    assert [words in html for words in ("valid</span>", "unknown: the database did not answer in time")] == [True, True]


async def test_without_redis_the_database_is_shown(store: Store, unused_tcp_port: int) -> None:
    await store.accept()
    redis = open_redis(f"redis://127.0.0.1:{unused_tcp_port}/0")
    try:
        html = await Visits(store.database, redis).html("/")
    finally:
        await redis.aclose()
    assert "Redis: it does not answer" in html
    assert "<b>1</b> job is due" in html
    assert '<a href="/tenants/acme">acme</a></th><td><span class="tag tag-bad">down</span></td>' in html


SIGNED_BY_ANOTHER = "signature mismatch: signed with another tenant's secret"


@pytest.fixture
async def filled(store: Store) -> Store:
    for state in ("completed", "completed", "completed", "failed"):
        await store.accept(state=state, reason="GPT-4 timeout" if state == "failed" else None, finished_at="now()")
    await store.accept(reason="model out of credit", due_at="now() + interval '1 minute'")
    await rejections.record(store.database, "acme", "7", 403, SIGNED_BY_ANOTHER, proved=False)
    store.table.run("INSERT INTO spending (tenant_id, day, tokens, dollars) VALUES ('acme', current_date, 12345, 1.5)")
    store.table.run("INSERT INTO passes (tenant_id, collection, ended_at) VALUES ('acme', 't', now())")
    return store


def visits_of(store: Store, redis: Redis, **settings: object) -> Visits:
    return Visits(store.database, redis, {**SETTINGS, **settings})


async def test_a_tenants_page_tells_its_health(filled: Store, redis: Redis) -> None:
    limits = {"acme.openai.daily_tokens": 20_000, "acme.jobs.most_running": 3}
    html = await visits_of(filled, redis, **limits).html("/tenants/acme")
    for told in (
        '<span class="tag tag-warn">degraded</span> 1 failed, success rate 75 %; ',
        "<b>75 %</b> success rate",
        '<a href="/failures?tenant=acme">1 failed</a>',
        "<b>1</b> job waits",
        "model out of credit",
        "add credit",
        "12,345 tokens, $1.50 of 20,000 tokens a day",
        "at most 3 jobs run at a time",
        "texts sent to the model are kept for 30 days",
        'tag tag-ok">valid',
        "403 signature mismatch: signed with another tenant&#39;s secret",
        '<a href="/tickets/acme/7">7</a>',
        "model_failing",
    ):
        assert told in html, told


async def test_its_own_people_see_it_without_any_other_tenant(filled: Store, redis: Redis) -> None:
    same_token = {"WEBHOOK_TOKEN_ACME": "t" * 32, "WEBHOOK_TOKEN_GLOBEX": "t" * 32}
    visits = visits_of(filled, redis, **same_token)
    problem = "WEBHOOK_TOKEN_ACME is off: it is the same as WEBHOOK_TOKEN_GLOBEX"
    assert problem in await visits.html("/tenants/acme", SUPPORT)
    own = await visits.html("/tenants/acme", OF_ACME)
    assert "403 signature mismatch," in own
    for hidden in ("another tenant", "globex", "GLOBEX"):
        assert hidden not in own, hidden
    for tenant_id, visitor in (("acme", OF_GLOBEX), ("nobody", OF_GLOBEX), ("nobody", SUPPORT)):
        assert await visits.status(f"/tenants/{tenant_id}", visitor) == 404
    assert await visits.leads("/tenants", OF_ACME) == "/tenants/acme"


async def test_webhooks_that_never_came_are_told_on_a_tenants_page(filled: Store, redis: Redis) -> None:
    visits = visits_of(filled, redis)
    assert "Missed webhooks in 24 hours</dt><dd>none known" in await visits.html("/tenants/acme", OF_ACME)
    for ticket, since in (("200", "10 minutes"), ("201", "23 hours"), ("202", "25 hours")):
        filled.table.run(MISSED, ticket, since)
    for visitor in (SUPPORT, OF_ACME):
        html = await visits.html("/tenants/acme", visitor)
        assert '<span class="tag tag-warn">2 webhooks missed</span> the last one' in html
    assert '<span class="tag tag-warn">2 webhooks missed</span>' in await visits.html("/tenants")
    assert "missed</span>" not in await visits.html("/tenants/globex", OF_GLOBEX)


async def test_all_tenants_are_listed_a_page_at_a_time(filled: Store, redis: Redis) -> None:
    many = {f"WEBHOOK_SECRET_T{number:02}": "s" * 32 for number in range(40)}
    visits = visits_of(filled, redis, **many)
    first = await visits.html("/tenants")
    assert '<a href="/tenants/acme">acme</a>' in first
    assert ">75 %</a></td>" in first
    assert 'rel="next"' in first
    following = await visits.html("/tenants", query={"after": "t22"})
    assert re.findall(r'<a href="/tenants/(\w+)">', following) == [f"t{number}" for number in range(23, 40)]
    assert 'rel="next"' not in following


def test_a_tenant_that_works_on_settings_of_before_is_told_so() -> None:
    before = Tenant("acme", webhook_secrets=("s" * 32,), usable=False)
    assert settings_word(before) == StateWord("partly valid", "warn")
    (short,) = summarize([before], NOW)
    assert short.why == "settings must be fixed"
    assert settings_word(Tenant("acme", webhook_secrets=("s" * 32,), usable=True)).text == "valid"
    assert settings_word(Tenant("acme", usable=False)).text == "closed"
    # A polled tenant needs no secret: its desk's list makes its jobs.
    desk = DeskSettings(url="http://desk", edition="onpremises")
    assert settings_word(Tenant("acme", polled=True, desk=desk, usable=False)) == StateWord("partly valid", "warn")
    assert settings_word(Tenant("acme", polled=True, usable=False)) == StateWord("closed", "bad")


REFUSED = [RefusedTenant(each, "signature mismatch", ago(180)) for each in ("acme", "polled")]
MISSED_TWO = {each: MissedCount(2, ago(180)) for each in ("acme", "polled")}
MISSED_TWO["many"] = MissedCount(70, ago(180), is_cut=True)


@pytest.mark.parametrize(
    ("ids", "more", "expected"),
    [
        # A polled desk needs no webhook.
        (["acme"], {"refused": REFUSED}, ["acme degraded: last webhook refused 3m ago: signature mismatch"]),
        (["polled"], {"refused": REFUSED}, ["polled healthy: "]),
        (["acme"], {"missed": MISSED_TWO}, ["acme degraded: 2 webhooks missed, the last one 3m ago"]),
        (["polled"], {"missed": MISSED_TWO}, ["polled healthy: "]),
        (["many"], {"missed": MISSED_TWO}, ["many degraded: 70 or more webhooks missed, the last one 3m ago"]),
        (
            ["a", "many"],
            {"due": {"a": MAX_COUNTED}},
            [
                "a down: 10,000 or more due, and no worker takes jobs",
                "many unknown: more jobs are due than are counted",
            ],
        ),
        (
            ["acme", "many", "none"],
            {"reasons": {("many", "desk busy"): MAX_PER_REASON}, "ended": {"acme": (1, 19), "many": (1, 9_999)}},
            [
                "many degraded: 9,999 or more failed, success rate 0 %; 1,000 or more waiting: desk busy",
                "acme degraded: 19 failed, success rate 5 %",
                "none healthy: ",
            ],
        ),
    ],
)
def test_a_tenants_health_in_short(ids: list[str], more: dict[str, Any], expected: list[str]) -> None:
    known = [Tenant(each, webhook_secrets=("s" * 32,), usable=True, polled=each == "polled") for each in ids]
    summary = summarize(known, NOW, **more)
    assert [f"{each.tenant_id} {each.health.text}: {each.why}" for each in summary] == expected


async def test_parts_of_a_page_have_a_time_limit(database: Database, log: io.StringIO) -> None:
    assert await in_time(database.call_for_one(text("SELECT 7"))) == 7
    assert await in_time(database.call(text("SELECT pg_sleep(5)")), 0.05) is None
    assert await in_time(asyncio.Event().wait(), 0.01) is None
    for statement, is_ours in (("SELECT pg_sleep(5)", False), ("SELECT nothing_of_that_name()", True)):
        assert await in_time(database.call_as("acme", text("SET statement_timeout = 50"), text(statement))) is None
        assert ("Database error: a part of a page could not be read" in log.getvalue()) is is_ours
        await database.call(text("RESET statement_timeout"))
