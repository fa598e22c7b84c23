"""Facts of a diagnosis: its tenant and job, the queue, and looks at desks and models."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from redis.asyncio import Redis

from cli.check.findings import Loaded
from cli.diagnose import DirectProbes
from cli.pilot.postgres import Postgres
from config.settings import DeskClientSettings
from config.tenant_directory import TenantDirectory
from config.tenants import Tenant
from dev.simulators.servicedesk import create_desk
from integrations.errors import DeferredError
from integrations.probes import PROBE_TARGET, DeskProbe, NoteMarks, ProbeTarget, probe_desk
from integrations.rate_limit import DeskRate
from jobs import missed_webhooks, rejections
from jobs.details import Listed
from jobs.diagnosis.facts import (
    AmbiguousTenantError,
    DiagnosisSubject,
    FactCollector,
    Facts,
    UnknownTenantError,
    choose_after_removal,
    jobs_of,
    sought_of,
)
from jobs.diagnosis.report import evidence, not_checked
from jobs.diagnosis.verdict_codes import VerdictCode
from jobs.diagnosis.verdict_rules import judge
from jobs.missed_webhooks import NewTicket
from privacy import erasure
from privacy.erasure import ErasureScope
from tests.jobs.diagnosis.known import JOB_ID, NOW, job, listed
from tests.kit.desk import TENANT_OF, Edition, new_ticket, opened, settings
from tests.kit.postgres import Store, claimed
from tests.kit.simulators import DESKS, Simulator, simulator_of
from tests.kit.tenants_toml import given
from workflow.note import is_note, is_note_of

STORES: dict[str, Any] = {"database_url": "postgresql://nobody@127.0.0.1/x", "redis_url": "redis://127.0.0.1/0"}
LOADED = Loaded(None, None, DeskClientSettings(**STORES), None)
OLD: dict[str, Any] = {"accepted_at": "now() - interval '3 hours'", "ticket_id": "124"}
OF_124 = DiagnosisSubject("124", None, None)


def gatherer(store: Store, *tenants: str, **settings: object) -> FactCollector:
    secrets = {f"WEBHOOK_SECRET_{tenant.upper()}": f"secret of {tenant}, which is long" for tenant in tenants}
    values = given({**secrets, **settings})
    known = TenantDirectory(lambda: values)
    return FactCollector(store.database, None, known, DirectProbes(known, LOADED, None))


async def facts_of(of: FactCollector, asked: DiagnosisSubject) -> Facts:
    """Return the facts; again if a busy machine exceeded the desk's limit of a second."""
    facts = await of.facts(asked)
    assert facts is not None
    return await facts_of(of, asked) if "did not answer within" in facts.desk.failure else facts


async def test_the_note_of_a_job_before_fifty_others_is_seen(store: Store) -> None:
    done = await store.accept(**OLD, state="completed", finished_at="now()")
    open_one = await store.accept(**OLD, state="waiting")
    for _ in range(51):
        await store.accept(ticket_id="124", state="skipped", finished_at="now()")
    jobs = await jobs_of(store.database, "acme", "124")
    assert (len(jobs), {job.id for job in jobs[-2:]}) == (52, {done, open_one})
    facts = await facts_of(gatherer(store), OF_124)
    assert (facts.job and facts.job.id, facts.tenant_id) == (done, "acme")
    # A tenant whose job is behind fifty of another one is seen as well.
    await store.accept(**OLD, tenant_id="globex")
    with pytest.raises(AmbiguousTenantError, match="acme, globex"):
        await gatherer(store).facts(OF_124)
    facts = await facts_of(gatherer(store), DiagnosisSubject("124", "globex", None))
    assert getattr(facts.job, "tenant_id", "") == "globex"


async def test_a_ticket_without_a_job_that_was_forgotten_is_called_so(store: Store) -> None:
    await erasure.erase(store.database, ErasureScope("acme", ticket_id="124"))
    facts = await facts_of(gatherer(store, "acme", **{"acme.tickets.never.group": ["HR"]}), OF_124)
    assert (facts.forgotten, facts.has_rules, judge(facts).verdict) == (True, True, VerdictCode.FORGOTTEN)
    other = await facts_of(gatherer(store, "acme"), DiagnosisSubject("125", None, None))
    assert (other.forgotten, other.has_rules, judge(other).verdict) == (False, False, VerdictCode.WEBHOOK_MISSING)


async def test_whose_ticket_it_is_is_known_by_refused_webhooks_and_by_desks_lists(store: Store) -> None:
    await store.accept(ticket_id="124")
    await rejections.record(store.database, "globex", "124", 403, "signature mismatch", proved=False)
    with pytest.raises(AmbiguousTenantError, match="acme, globex"):
        await gatherer(store, "acme", "globex").facts(OF_124)
    assert (await facts_of(gatherer(store, "acme"), OF_124)).tenant_id == "acme"
    # Without a webhook its desk's list tells whose ticket it is, by either number.
    now = datetime.now(UTC)
    await missed_webhooks.begin(store.database, "globex", now - timedelta(hours=1))
    seen = [NewTicket("9000125", "125", now)]
    await missed_webhooks.compare(store.database, "globex", seen, seen_at=now, until=now)
    for number in ("125", "9000125"):
        facts = await facts_of(gatherer(store, "acme", "globex"), DiagnosisSubject(number, None, None))
        assert (facts.tenant_id, facts.missing is not None) == ("globex", True)


@pytest.mark.parametrize(
    ("jobs", "next_one"),
    [
        ([listed(3, "running"), listed(2, "completed")], 3),
        ([listed(3, "failed", "ServiceDesk Plus API: 403"), listed(2, "completed")], 3),
        ([listed(3, "skipped", "already enhanced"), listed(2, "completed")], None),
        ([listed(4, "skipped", "duplicate webhook"), listed(3, "waiting"), listed(2, "completed")], 3),
        ([listed(2, "completed"), listed(1, "failed", "unexpected failure")], None),
        ([listed(2, "completed"), listed(1, "waiting", "retried by hand")], 1),
    ],
)
def test_after_a_removed_note_the_next_job_is_judged(jobs: list[Listed], next_one: int | None) -> None:
    completed = next(job for job in jobs if job.state == "completed")
    chosen = choose_after_removal(jobs, completed)
    assert (chosen and chosen.id.int) == next_one


async def test_a_tenant_that_has_all_the_jobs_that_it_may_is_seen(store: Store) -> None:
    of_limit = gatherer(store, "acme", **{"acme.jobs.most_running": 2})
    await store.accept(ticket_id="124")
    for number, most in ((1, None), (2, 2)):
        job_id = await store.accept(ticket_id=f"other {number}")
        await claimed(store.database, job_id)
        facts = await facts_of(of_limit, OF_124)
        assert facts.most_running == most


async def test_locked_events_do_not_cost_the_verdict_and_locked_jobs_end_it(store: Store, server: Postgres) -> None:
    await store.accept(ticket_id="124")
    with psycopg.connect(server.superuser_url) as locking:
        locking.execute("LOCK TABLE job_events IN ACCESS EXCLUSIVE MODE")
        facts = await facts_of(gatherer(store), OF_124)
    assert (facts.events, judge(facts).verdict) == (None, VerdictCode.IN_PROGRESS)
    assert "events of the job: the database did not answer in time" in not_checked(facts)
    with psycopg.connect(server.superuser_url) as locking:
        locking.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TimeoutError):
            await gatherer(store).facts(OF_124)


async def test_a_tenant_that_nobody_knows_is_told_as_such_and_no_job_of_another_one(store: Store) -> None:
    with pytest.raises(UnknownTenantError, match="acme, globex"):
        await gatherer(store, "acme", "globex").facts(DiagnosisSubject("124", "amce", None))
    # Without a tenant, or with a job, the list proves nothing.
    assert await gatherer(store).facts(DiagnosisSubject("124", "amce", None)) is not None
    job_id = await store.accept(ticket_id="124", tenant_id="amce")
    assert await gatherer(store, "acme").facts(DiagnosisSubject("124", "amce", None)) is not None
    for tenant, is_told in (("amce", True), ("globex", False)):
        assert (await gatherer(store).facts(DiagnosisSubject(None, tenant, job_id)) is not None) is is_told


async def test_the_job_after_a_removed_note_has_a_look_of_its_own(store: Store, desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    done = await store.accept(**OLD | {"ticket_id": ticket_id}, state="completed", finished_at="now()", note_id="7")
    of_desk: dict[str, object] = {"SERVICEDESK_URL_ACME": f"{desks.url}/acme", "SERVICEDESK_API_KEY_ACME": "acme-key"}
    of_desk |= {"SERVICEDESK_EDITION_ACME": "onpremises", "acme.servicedesk.rate_per_minute": 6000}
    of_acme = gatherer(store, "acme", **of_desk)
    about = DiagnosisSubject(ticket_id, "acme", None)
    facts = await facts_of(of_acme, about)
    assert (judge(facts).verdict, facts.desk.note, facts.desk.failure) == (VerdictCode.NOTE_REMOVED, False, "")
    failed: dict[str, Any] = {"state": "failed", "finished_at": "now()", "reason": "ServiceDesk Plus API: 403"}
    later = await store.accept(ticket_id=ticket_id, **failed)
    facts = await facts_of(of_acme, about)
    assert (facts.job and facts.job.id, facts.desk.ticket, facts.desk.note) == (later, "open", None)
    assert judge(facts).verdict is VerdictCode.DESK_FAILING
    assert [other.id for other in facts.others] == [done]
    by_job = await facts_of(of_acme, DiagnosisSubject(None, None, done))
    assert judge(by_job).verdict is VerdictCode.NOTE_REMOVED


@pytest.mark.parametrize(
    ("settings", "is_named"),
    [
        ({"OPENAI_API_KEY": "sk-shared"}, True),
        ({}, False),
        ({"OPENAI_API_KEY": "sk-shared", "OPENAI_API_KEY_GLOBEX": "sk-own"}, False),
        ({"OPENAI_API_KEY": "sk-shared", "OPENAI_API_KEY_ACME": "sk-own"}, False),
        ({"OPENAI_API_KEY": "sk-shared", "globex.openai.model": "another"}, False),
    ],
)
async def test_the_hold_of_a_shared_key_is_seen(settings: dict[str, str], is_named: bool, store: Store) -> None:
    held = {of: await store.accept(reason=of) for of in ("model key refused", "desk credentials refused")}
    for job_id in held.values():
        event = "INSERT INTO job_events (tenant_id, job_id, attempt, what) VALUES ('acme', %s, 1, 'held back')"
        store.table.run(event, job_id)
    await store.accept(tenant_id="globex", ticket_id="124")
    found = await facts_of(gatherer(store, "acme", "globex", **settings), DiagnosisSubject("124", "globex", None))
    assert list(found.held_elsewhere) == (["model key refused"] if is_named else [])
    texts = judge(found).text + "".join(fact.what for fact in evidence(found))
    assert ("with the same model key are paused: model key refused" in texts, "acme" in texts) == (is_named, False)


POSTED: dict[str, Any] = {"note_attempted_at": NOW}
MICRO = NOW - timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("of", "sought"),
    [
        (None, ProbeTarget("124")),
        (job("waiting"), ProbeTarget("124")),
        (job("running", desk_id="900", note_attempted_at=MICRO), ProbeTarget("900", JOB_ID, MICRO)),
        (job("failed", "x", note_id="7", **POSTED), ProbeTarget("124", JOB_ID, NOW)),
        (job("completed", note_id="7", **POSTED), ProbeTarget("124", JOB_ID, NOW, "7")),
        (job("completed", note_id="", note_attempted_at=None), ProbeTarget("124", JOB_ID)),
        (job("skipped", "already enhanced"), ProbeTarget("124", any_note=True)),
        (job("skipped", "ticket not found"), ProbeTarget("124")),
    ],
)
def test_what_is_looked_for_follows_from_the_job(of: Any, sought: ProbeTarget) -> None:
    found = sought_of("124", of)
    assert found == sought
    assert PROBE_TARGET.validate_json(PROBE_TARGET.dump_json(found, exclude_defaults=True)) == sought


@pytest.fixture(scope="module")
def desk_simulator() -> Iterator[Simulator]:
    """Start desks for this module only, since its tests revoke tokens."""
    yield from simulator_of(create_desk(DESKS))


async def look(desks: Simulator, redis: Redis, edition: Edition, ticket_id: str, **changed: Any) -> DeskProbe:
    tenant = Tenant(TENANT_OF[edition], desk=settings(desks.url, edition, **changed))
    marks = NoteMarks(is_note_of, is_note)
    return await probe_desk(tenant, DeskClientSettings(**STORES), redis, ProbeTarget(ticket_id), marks)


async def everything(redis: Redis) -> dict[str, Any]:
    """Return all of Redis except the time of the next call, which each call moves."""
    keys = [str(key) for key in await redis.keys()]
    return {key: await redis.dump(key) for key in keys if await redis.type(key) != "hash"}


async def test_a_cloud_desk_is_asked_with_the_shared_token_or_not_at_all(desks: Simulator, redis: Redis) -> None:
    ticket_id = new_ticket(desks, "cloud")
    seen = await look(desks, redis, "cloud", ticket_id)
    assert (seen.asked, "share no token" in seen.failure) == (False, True)
    assert (await redis.keys(), desks.requests(operation="token", tenant="globex")) == ([], [])
    async with opened(settings(desks.url, "cloud"), redis=redis) as worker:
        await worker.read_ticket(ticket_id)
    before = await everything(redis)
    assert len(before) == 1
    seen = await look(desks, redis, "cloud", ticket_id)
    assert (seen.asked, seen.ticket, seen.failure) == (True, "open", "")
    desks.change("DELETE", "/desks/globex/tokens")
    seen = await look(desks, redis, "cloud", ticket_id)
    assert (seen.asked, "refuses the token" in seen.failure) == (False, True)
    assert await everything(redis) == before
    assert len(desks.requests(operation="token", tenant="globex")) == 1


async def test_a_desk_that_has_had_its_calls_is_not_asked_and_no_place_is_kept(desks: Simulator, redis: Redis) -> None:
    ticket_id = new_ticket(desks)
    rate = DeskRate("acme", 6, redis, patience_seconds=0)
    await rate.take("of a job")
    with pytest.raises(DeferredError):
        await rate.take("of another job")
    before = await everything(redis)
    assert len(before) == 2
    seen = await look(desks, redis, "onpremises", ticket_id, rate_per_minute=6)
    assert (seen.asked, "desk rate limit" in seen.failure) == (False, True)
    assert await everything(redis) == before
    await redis.flushdb()
    seen = await look(desks, redis, "onpremises", ticket_id, rate_per_minute=6)
    assert seen.ticket == "open"
    assert await everything(redis) == {}
