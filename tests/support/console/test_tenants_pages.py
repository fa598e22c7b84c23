"""Tenant pages with their health, visible to permitted users only."""

from collections.abc import Mapping
from typing import Any

import pytest
from redis.asyncio import Redis

from config.tenants import DeskSettings, Tenant
from storage import rejections
from storage.job_figures import MOST_A_REASON, MOST_COUNTED
from storage.job_figures import MOST_COUNTED as MOST_DUE
from storage.reconciling import MissedLately
from storage.rejections import RefusedTenant
from storage.session import Database
from support.console.errors import NotFound
from support.console.figures.health import in_short
from support.console.figures.tenants import settings_word
from support.console.figures.wording import StateWord
from support.console.routes.tenants import tenant, tenants
from tests.kit.postgres import Store
from tests.support.console.visits import MISSED, OF_ACME, OF_GLOBEX, SETTINGS, SUPPORT, GoTo, Visits
from tests.support.known import NOW, ago

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
    html = await visits_of(filled, redis, **limits).html(tenant, path={"tenant_id": "acme"})
    for told in (
        "<b>75 %</b> success rate",
        "under 95 %",
        "3 completed, 1 failed, 0 skipped: of those that ended within 24 hours",
        "<b>1</b> job waits",
        "model out of credit",
        "add credit",
        "12,345 tokens, $1.50 of 20,000 tokens a day",
        "3 of its jobs run at a time at most",
        "what its model is told is kept for 30 days",
        'tag tag-ok">usable',
        "403 signature mismatch: signed with another tenant&#39;s secret",
        '<a href="/tickets/acme/7">7</a>',
        "model_failing",
    ):
        assert told in html, told


async def test_its_own_people_see_it_without_any_other_tenant(filled: Store, redis: Redis) -> None:
    same_token = {"WEBHOOK_TOKEN_ACME": "t" * 32, "WEBHOOK_TOKEN_GLOBEX": "t" * 32}
    visits = visits_of(filled, redis, **same_token)
    problem = "WEBHOOK_TOKEN_ACME is off: it is the same as WEBHOOK_TOKEN_GLOBEX"
    assert problem in await visits.html(tenant, SUPPORT, path={"tenant_id": "acme"})
    own = await visits.html(tenant, OF_ACME, path={"tenant_id": "acme"})
    assert "403 signature mismatch," in own
    for hidden in ("another tenant", "globex", "GLOBEX"):
        assert hidden not in own, hidden


async def test_webhooks_that_never_came_are_told_on_a_tenants_page(filled: Store, redis: Redis) -> None:
    visits = visits_of(filled, redis)
    assert "Webhooks that never came, in 24 hours</dt><dd>none known" in await visits.html(
        tenant, OF_ACME, path={"tenant_id": "acme"}
    )
    for ticket, since in (("200", "10 minutes"), ("201", "23 hours"), ("202", "25 hours")):
        filled.table.run(MISSED, ticket, since)
    for visitor in (SUPPORT, OF_ACME):
        html = await visits.html(tenant, visitor, path={"tenant_id": "acme"})
        assert '<span class="tag tag-warn">2 webhooks missed</span> the last one' in html
    assert '<span class="tag tag-warn">2 webhooks missed</span>' in await visits.html(tenants)
    assert "missed</span>" not in await visits.html(tenant, OF_GLOBEX, path={"tenant_id": "globex"})


async def test_of_another_tenant_there_is_no_page(filled: Store, redis: Redis) -> None:
    visits = visits_of(filled, redis)
    for tenant_id in ("acme", "nobody"):
        with pytest.raises(NotFound):
            await visits.ask(tenant, OF_GLOBEX, path={"tenant_id": tenant_id})
    with pytest.raises(NotFound):
        await visits.ask(tenant, path={"tenant_id": "nobody"})
    assert await visits.ask(tenants, OF_ACME) == GoTo("/tenants/acme")


async def test_all_tenants_are_listed_a_page_at_a_time(filled: Store, redis: Redis) -> None:
    many = {f"WEBHOOK_SECRET_T{number:02}": "s" * 32 for number in range(40)}
    visits = visits_of(filled, redis, **many)
    first = await visits.html(tenants)
    assert '<a href="/tenants/acme">acme</a>' in first
    assert '<span class="tag tag-bad">75 %</span>' in first
    assert 'rel="next"' in first
    following = await visits.page(tenants, query={"after": "t22"})
    assert [one.tenant.id for one in following.values["tenants"]] == [f"t{number}" for number in range(23, 40)]
    assert 'rel="next"' not in following.html


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"WEBHOOK_SECRET_ACME": "a" * 32}, "usable"),
        ({"PREVIOUS_WEBHOOK_SECRET_ACME": "a" * 32}, "closed"),
    ],
)
async def test_unusable_settings_are_told(
    settings: Mapping[str, str], word: str, database: Database, redis: Redis
) -> None:
    html = await Visits(database, redis, settings).html(tenant, path={"tenant_id": "acme"})
    assert f">{word}</span>" in html


def test_a_tenant_that_works_on_settings_of_before_is_told_so() -> None:
    before = Tenant("acme", webhook_secrets=("s" * 32,), usable=False)
    assert settings_word(before) == StateWord("in part", "warn")
    (short,) = in_short([before], {}, {}, [], NOW)
    assert short.why == "its settings have to be mended"
    # A polled tenant needs no secret: its desk's list makes its jobs.
    desk = DeskSettings(url="http://desk", edition="onpremises")
    assert settings_word(Tenant("acme", polled=True, desk=desk, usable=False)) == StateWord("in part", "warn")
    assert settings_word(Tenant("acme", polled=True, usable=False)) == StateWord("closed", "bad")


async def test_without_the_database_the_settings_are_told(redis: Redis, unused_tcp_port: int) -> None:
    away = Database(f"postgresql://a:b@127.0.0.1:{unused_tcp_port}/ai_agents", application_name="tests")
    try:
        visits = Visits(away, redis)
        assert "not known just now" in await visits.html(tenants)
        html = await visits.html(tenant, OF_ACME, path={"tenant_id": "acme"})
    finally:
        await away.close()
    assert "usable</span>" in html
    assert "Not known just now" in html


def tenant_named(tenant_id: str, **more: Any) -> Tenant:
    return Tenant(tenant_id, webhook_secrets=("s" * 32,), usable=True, **more)


def test_a_tenant_none_of_whose_webhooks_is_taken_is_not_well() -> None:
    refused = [RefusedTenant(each, "signature mismatch", ago(180)) for each in ("acme", "polled")]
    told = in_short([tenant_named("acme"), tenant_named("polled", polled=True)], {}, {}, refused, NOW)
    assert [(each.tenant_id, each.health.text, each.why) for each in told] == [
        ("acme", "refused", "its last webhook was refused 3m ago: signature mismatch"),
        ("polled", "well", ""),
    ]


def test_a_desk_that_is_polled_misses_no_webhook() -> None:
    missed = {each: MissedLately(2, ago(180)) for each in ("acme", "polled")}
    told = in_short([tenant_named("acme"), tenant_named("polled", polled=True)], {}, {}, [], NOW, missed=missed)
    assert [(each.tenant_id, each.health.text, each.why) for each in told] == [
        ("acme", "missed", "2 webhooks missed, the last one 3m ago"),
        ("polled", "well", ""),
    ]
    (cut,) = in_short([tenant_named("acme")], {}, {}, [], NOW, missed={"acme": MissedLately(70, ago(180), is_cut=True)})
    assert cut.why == "70 or more webhooks missed, the last one 3m ago"


def test_jobs_that_nobody_takes_are_told_as_far_as_they_were_counted() -> None:
    tenants = [tenant_named("few"), tenant_named("none")]
    told = in_short(tenants, {}, {}, [], NOW, due={"few": MOST_DUE})
    assert [(each.tenant_id, each.health.text, each.why) for each in told] == [
        ("few", "stands", "10,000 or more due that nobody takes"),
        ("none", "not counted", "more jobs are due than are counted"),
    ]


def test_each_tenants_failures_are_counted_by_themselves() -> None:
    tenants = [tenant_named(each) for each in ("few", "many", "none")]
    ended = {"few": (1, 19), "many": (1, MOST_COUNTED - 1)}
    told = in_short(tenants, {("many", "desk busy"): MOST_A_REASON}, ended, [], NOW)
    assert [(each.tenant_id, each.health.text, each.why) for each in told] == [
        ("many", "failures", "9,999 or more failed, success rate 0 %; 1,000 or more wait: desk busy"),
        ("few", "failures", "19 failed, success rate 5 %"),
        ("none", "well", ""),
    ]
