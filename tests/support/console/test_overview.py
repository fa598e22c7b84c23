"""The first page: queue, causes, tenants; for one tenant, and without a store."""

import re

import pytest
from redis.asyncio import Redis

from dispatch.message import QUEUE
from dispatch.queue import open_redis
from storage import rejections
from storage.job_figures import MOST_A_REASON
from storage.jobs import WORKER_LOST
from storage.session import Database
from support.console.routes.overview import live_queue, overview
from support.console.routes.tenants import tenant
from support.diagnose.facts import reading_of
from tests.kit.postgres import Store
from tests.support.console.visits import MISSED, OF_ACME, OF_GLOBEX, OPERATOR, SUPPORT, Visits

pytestmark = pytest.mark.usefixtures("worker_session")


@pytest.mark.parametrize(
    ("waiting", "reading"),
    [(0, "normal"), (19, "normal"), (20, "moderate"), (49, "moderate"), (50, "high"), (100, "high"), (101, "critical")],
)
def test_the_queue_is_read_as_the_faq_reads_it(waiting: int, reading: str) -> None:
    assert reading_of(waiting) == reading


async def test_the_first_page_tells_queue_workers_causes_and_tenants(store: Store, redis: Redis) -> None:
    await redis.lpush(QUEUE, *["message"] * 51)
    await store.accept()
    await store.accept(reason="desk unavailable", due_at="now() + interval '1 minute'")
    await store.accept(state="running", lease_owner="w", lease_until="now() + interval '1 minute'")
    await store.accept(tenant_id="globex", state="failed", reason="GPT-4 timeout", finished_at="now()")
    html = await Visits(store.database, redis).html(overview, OPERATOR)
    for told in (
        '<span class="tag tag-warn">high</span>',
        "<b>51</b> messages wait in Redis",
        "<b>0</b> workers listen for more",
        "<b>1</b> job runs",
        "<b>1</b> worker has jobs",
        "<b>1</b> job is due",
        "<b>1</b> job waits for a later time",
        '<a href="/failures?cause=model_failing">model failing</a>',
        "desk unavailable",
        '<a href="/tenants/globex">globex</a></th><td><span class="tag tag-bad">failures</span></td>',
        "<td>1 failed, success rate 0 %</td>",
        "<td>1 wait: desk unavailable</td>",
    ):
        assert told in html, told


async def test_more_than_is_counted_is_told_so(store: Store, redis: Redis) -> None:
    store.table.run(
        "INSERT INTO jobs (id, tenant_id, ticket_id, reason, due_at, deadline_at)"
        " SELECT gen_random_uuid(), 'acme', n, 'desk busy', now() + interval '1 hour', now() + interval '1 day'"
        " FROM generate_series(1, %s) n",
        MOST_A_REASON + 1,
    )
    visits = Visits(store.database, redis)
    assert "<td>1,000 or more</td>" in await visits.html(live_queue)
    # Counts of a single tenant go higher.
    assert "<td>1,001</td>" in await visits.html(live_queue, OF_ACME)


async def test_a_tenant_whose_webhooks_are_refused_is_told(store: Store, redis: Redis) -> None:
    visits = Visits(store.database, redis)
    await rejections.record(store.database, "acme", "1", 403, "signature mismatch", proved=False)
    told = "its last webhook was refused 0s ago: signature mismatch"
    assert told in await visits.html(overview)
    await store.accept()
    assert told not in await visits.html(overview)
    assert "well" in await visits.html(overview)


async def test_of_many_tenants_those_are_shown_that_need_a_look(store: Store, redis: Redis) -> None:
    settings = {f"WEBHOOK_SECRET_T{number}": "s" * 32 for number in range(30)}
    visits = Visits(store.database, redis, settings)
    assert "All of them are well." in await visits.html(overview)
    await store.accept(tenant_id="t29", state="failed", reason="GPT-4 timeout", finished_at="now()")
    html = await visits.html(overview)
    assert re.findall(r'href="/tenants/(\w+)"', html) == ["t29"]
    assert "The others are well." in html


async def test_workers_that_are_missing_or_silent_are_told(store: Store, redis: Redis) -> None:
    visits = Visits(store.database, redis)
    without = await visits.html(live_queue)
    assert "none has a job, and none listens for one" in without
    assert "the workers keep up" not in without
    await store.accept(state="running", lease_owner="w", lease_until="now() - interval '1 minute'")
    assert "1 job&#39;s worker has fallen silent" in await visits.html(live_queue)
    await store.accept(state="running", lease_owner="w", lease_until="now() + interval '1 minute'")
    assert "none listens" not in await visits.html(live_queue)
    assert "silent" not in await visits.html(live_queue, OF_ACME)


async def test_without_a_worker_nothing_is_called_normal_or_well(store: Store, redis: Redis) -> None:
    await redis.lpush(QUEUE, "message")
    await store.accept(reason=WORKER_LOST)
    visits = Visits(store.database, redis)
    for visitor in (SUPPORT, OF_ACME):
        html = await visits.html(overview, visitor)
        assert "at a standstill</span>" in html
        assert "normal</span>" not in html
        assert "<td>it goes on by itself once a worker runs</td>" in html
    html = await visits.html(overview)
    assert '<a href="/tenants/acme">acme</a></th><td><span class="tag tag-bad">stands</span></td>' in html
    assert "<td>1 due that nobody takes; 1 wait: worker lost</td>" in html
    assert '<a href="/tenants/globex">globex</a></th><td><span class="tag tag-ok">well</span></td>' in html
    # Another tenant's job waits; this tenant's users see the queue only.
    assert "at a standstill</span>" in await visits.html(live_queue, OF_GLOBEX)
    assert "once a worker runs" in await visits.html(tenant, OF_ACME, path={"tenant_id": "acme"})
    await store.accept(state="running", lease_owner="w", lease_until="now() + interval '1 minute'")
    html = await visits.html(overview)
    assert "normal</span>" in html
    assert "<td>nothing: it goes on by itself</td>" in html
    assert "nobody takes" not in html


async def test_webhooks_that_never_came_are_told_and_their_tenant_is_not_well(store: Store, redis: Redis) -> None:
    visits = Visits(store.database, redis)
    store.table.run(MISSED, "200", "10 minutes")
    store.table.run(MISSED, "201", "3 hours")
    told = '<span class="tag tag-warn">missed</span></td><td>2 webhooks missed, the last one 10m ago</td>'
    assert told in await visits.html(overview)
    await store.accept(ticket_id="200", state="completed", finished_at="now()")
    html = await visits.html(overview)
    assert '<span class="tag tag-ok">well</span></td><td>1 webhook missed, the last one 3h ago</td>' in html


async def test_a_redis_that_takes_nothing_is_told(store: Store, redis: Redis) -> None:
    await redis.config_set("maxmemory", "1")
    try:
        html = await Visits(store.database, redis).html(live_queue, OF_ACME)
    finally:
        await redis.config_set("maxmemory", "0")
    assert "no job gets into the queue" in html


async def test_the_queue_alone_renews_itself_and_the_first_page_may_be_still(database: Database, redis: Redis) -> None:
    visits = Visits(database, redis)
    part = await visits.html(live_queue)
    assert part.lstrip().startswith('<section id="queue"')
    assert 'hx-get="/live/queue"' in part
    assert "<html" not in part
    assert "hx-get" not in await visits.html(overview, query={"still": "yes"})


async def test_one_tenants_people_see_a_reading_and_their_own_jobs_alone(store: Store, redis: Redis) -> None:
    await redis.lpush(QUEUE, *["message"] * 137)
    for _ in range(83):
        await store.accept(tenant_id="globex", reason="desk credentials refused")
    await store.accept(tenant_id="globex", state="failed", reason="GPT-4 timeout", finished_at="now()")
    await store.accept(tenant_id="globex", state="running", lease_owner="w", lease_until="now() + interval '1 minute'")
    await store.accept()
    visits = Visits(store.database, redis)
    for handler in (overview, live_queue):
        html = await visits.html(handler, OF_ACME)
        assert "critical</span>" in html
        assert "<b>1</b> job waits" in html
        assert "<b>0</b> jobs run" in html
        for hidden in ("globex", ">137<", ">83<", ">84<", "credentials", "GPT-4", "workers have"):
            assert hidden not in html, hidden


async def test_without_the_database_what_redis_tells_is_shown(redis: Redis, unused_tcp_port: int) -> None:
    await redis.lpush(QUEUE, "message")
    away = Database(f"postgresql://a:b@127.0.0.1:{unused_tcp_port}/ai_agents", application_name="tests")
    try:
        for visitor in (OPERATOR, OF_ACME):
            html = (await Visits(away, redis).page(overview, visitor)).html
            assert "normal</span>" in html
            assert "Not known just now" in html
            assert "well</span>" not in html
    finally:
        await away.close()


async def test_without_redis_what_the_database_tells_is_shown(store: Store, unused_tcp_port: int) -> None:
    await store.accept()
    redis = open_redis(f"redis://127.0.0.1:{unused_tcp_port}/0")
    try:
        html = await Visits(store.database, redis).html(overview)
    finally:
        await redis.aclose()
    assert "Redis was asked, and it does not answer" in html
    assert "<b>1</b> job is due" in html
    assert '<a href="/tenants/acme">acme</a></th><td><span class="tag tag-bad">stands</span></td>' in html


async def test_what_can_be_focused_in_the_part_that_is_renewed_has_an_id(store: Store, redis: Redis) -> None:
    """The focus is restored by id; keyboard users would lose it every five seconds."""
    await store.accept(reason="desk unavailable", due_at="now() + interval '1 minute'")
    html = await Visits(store.database, redis).html(live_queue)
    can_be_focused = re.findall(r'<(?:a|button|input|select|summary)\b[^>]*>|<[^>]* tabindex="0"[^>]*>', html)
    assert len(can_be_focused) == 2
    assert [tag for tag in can_be_focused if ' id="' not in tag] == []
