"""Selection of the tenant and the job of a diagnosis if there are several."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from config.settings import DeskClientSettings
from config.tenant_directory import TenantDirectory
from devstack.postgres import Postgres
from storage import erasure, reconciling, rejections
from storage.by_hand import Listed
from storage.erasure import Which
from storage.models import JobState
from storage.reconciling import SeenTicket
from support.check.settings import Loaded
from support.diagnose.choosing import AskedAbout, SeveralTenants, TenantNotKnown, choose, choose_after_removal, jobs_of
from support.diagnose.evidence import evidence, not_checked
from support.diagnose.gathering import Gatherer
from support.diagnose.judging import judge
from support.diagnose.outside import LooksItself
from support.diagnose.verdicts import VerdictCode
from tests.kit.desk import new_ticket
from tests.kit.postgres import Store, claimed
from tests.kit.simulators import Simulator
from tests.kit.tenants_toml import given
from tests.support.known import listed

STORES: dict[str, Any] = {"database_url": "postgresql://nobody@127.0.0.1/x", "redis_url": "redis://127.0.0.1/0"}
LOADED = Loaded(None, None, DeskClientSettings(**STORES), None)
OLD: dict[str, Any] = {"accepted_at": "now() - interval '3 hours'", "ticket_id": "124"}
OF_124 = AskedAbout("124", None, None)


def gatherer(store: Store, *tenants: str, **settings: object) -> Gatherer:
    secrets = {f"WEBHOOK_SECRET_{tenant.upper()}": f"secret of {tenant}, which is long" for tenant in tenants}
    values = given({**secrets, **settings})
    known = TenantDirectory(lambda: values)
    return Gatherer(store.database, None, known, LooksItself(known, LOADED, None))


async def test_the_note_of_a_job_before_fifty_others_is_seen(store: Store) -> None:
    done = await store.accept(**OLD, state="completed", finished_at="now()")
    open_one = await store.accept(**OLD, state="waiting")
    for _ in range(51):
        await store.accept(ticket_id="124", state="skipped", finished_at="now()")
    jobs = await jobs_of(store.database, "acme", "124")
    chosen = choose(jobs)
    assert chosen is not None
    assert (chosen.id, chosen.state) == (done, JobState.COMPLETED)
    assert (len(jobs), {job.id for job in jobs[-2:]}) == (52, {done, open_one})
    facts = await gatherer(store).facts(OF_124)
    assert facts is not None
    assert (facts.job and facts.job.id, facts.tenant_id) == (done, "acme")


async def test_a_ticket_without_a_job_that_was_forgotten_is_called_so(store: Store) -> None:
    """A hint to look for the webhook would mislead."""
    await erasure.erase(store.database, Which("acme", ticket_id="124"))
    facts = await gatherer(store, "acme", **{"acme.tickets.never.group": ["HR"]}).facts(OF_124)
    assert facts is not None
    assert (facts.forgotten, facts.has_rules, judge(facts).verdict) == (True, True, VerdictCode.FORGOTTEN)
    other = await gatherer(store, "acme").facts(AskedAbout("125", None, None))
    assert other is not None
    assert (other.forgotten, other.has_rules, judge(other).verdict) == (False, False, VerdictCode.WEBHOOK_MISSING)


async def test_a_tenant_whose_job_is_behind_fifty_of_another_is_seen(store: Store) -> None:
    await store.accept(**OLD, tenant_id="globex")
    for _ in range(51):
        await store.accept(ticket_id="124", state="skipped", finished_at="now()")
    with pytest.raises(SeveralTenants, match="acme, globex"):
        await gatherer(store).facts(OF_124)
    facts = await gatherer(store).facts(AskedAbout("124", "globex", None))
    assert facts is not None
    assert facts.job is not None
    assert facts.job.tenant_id == "globex"


async def test_a_refused_webhook_of_another_tenant_counts_beside_a_job(store: Store) -> None:
    await store.accept(ticket_id="124")
    await rejections.record(store.database, "globex", "124", 403, "signature mismatch", proved=False)
    with pytest.raises(SeveralTenants, match="acme, globex"):
        await gatherer(store, "acme", "globex").facts(OF_124)
    facts = await gatherer(store, "acme").facts(OF_124)
    assert facts is not None
    assert facts.tenant_id == "acme"


async def test_whose_ticket_it_is_that_no_webhook_came_of_is_known_by_its_desks_list(store: Store) -> None:
    """By either number, and without a tenant."""
    now = datetime.now(UTC)
    await reconciling.begin(store.database, "globex", now - timedelta(hours=1))
    seen = [SeenTicket("9000124", "124", now)]
    await reconciling.compare(store.database, "globex", seen, seen_at=now, until=now)
    for number in ("124", "9000124"):
        facts = await gatherer(store, "acme", "globex").facts(AskedAbout(number, None, None))
        assert facts is not None
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
def test_after_a_note_was_removed_the_job_that_brings_another_is_judged(
    jobs: list[Listed], next_one: int | None
) -> None:
    completed = next(job for job in jobs if job.state == "completed")
    chosen = choose_after_removal(jobs, completed)
    assert (chosen and chosen.id.int) == next_one


async def test_a_tenant_that_has_all_the_jobs_that_it_may_is_seen(store: Store) -> None:
    of_limit = gatherer(store, "acme", **{"acme.jobs.most_running": 2})
    await store.accept(ticket_id="124")
    for number, most in ((1, None), (2, 2)):
        job_id = await store.accept(ticket_id=f"other {number}")
        await claimed(store.database, job_id)
        facts = await of_limit.facts(OF_124)
        assert facts is not None
        assert facts.most_running == most


async def test_a_locked_table_of_events_does_not_cost_the_verdict(store: Store, server: Postgres) -> None:
    await store.accept(ticket_id="124")
    with psycopg.connect(server.superuser_url) as locking:
        locking.execute("LOCK TABLE job_events IN ACCESS EXCLUSIVE MODE")
        facts = await gatherer(store).facts(OF_124)
    assert facts is not None
    assert (facts.events, judge(facts).verdict) == (None, VerdictCode.IN_PROGRESS)
    assert "events of the job: the database did not tell in time" in not_checked(facts)


async def test_locked_jobs_are_not_waited_for(store: Store, server: Postgres) -> None:
    with psycopg.connect(server.superuser_url) as locking:
        locking.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TimeoutError):
            await gatherer(store).facts(OF_124)


async def test_a_tenant_that_nobody_knows_is_told_as_such(store: Store) -> None:
    with pytest.raises(TenantNotKnown, match="acme, globex"):
        await gatherer(store, "acme", "globex").facts(AskedAbout("124", "amce", None))
    # Without a tenant, or with a job, the list proves nothing.
    assert await gatherer(store).facts(AskedAbout("124", "amce", None)) is not None
    await store.accept(ticket_id="124", tenant_id="amce")
    assert await gatherer(store, "acme").facts(AskedAbout("124", "amce", None)) is not None


async def test_a_job_of_another_tenant_than_the_one_named_is_not_told(store: Store) -> None:
    job_id = await store.accept(ticket_id="124")
    assert await gatherer(store).facts(AskedAbout(None, "globex", job_id)) is None
    assert await gatherer(store).facts(AskedAbout(None, "acme", job_id)) is not None


async def test_the_job_after_a_removed_note_has_a_look_of_its_own(store: Store, desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    done = await store.accept(**OLD | {"ticket_id": ticket_id}, state="completed", finished_at="now()", note_id="7")
    of_desk: dict[str, object] = {"SERVICEDESK_URL_ACME": f"{desks.url}/acme", "SERVICEDESK_API_KEY_ACME": "acme-key"}
    of_desk |= {"SERVICEDESK_EDITION_ACME": "onpremises", "acme.servicedesk.rate_per_minute": 6000}
    of_acme = gatherer(store, "acme", **of_desk)
    about = AskedAbout(ticket_id, "acme", None)
    facts = await of_acme.facts(about)
    assert facts is not None
    assert facts.desk.failure == ""
    assert (judge(facts).verdict, facts.desk.note) == (VerdictCode.NOTE_REMOVED, False)
    later = await store.accept(
        ticket_id=ticket_id, state="failed", finished_at="now()", reason="ServiceDesk Plus API: 403"
    )
    facts = await of_acme.facts(about)
    assert facts is not None
    assert facts.job is not None
    assert (facts.job.id, facts.desk.ticket, facts.desk.note) == (later, "open", None)
    assert judge(facts).verdict is VerdictCode.DESK_FAILING
    assert [other.id for other in facts.others] == [done]
    by_job = await of_acme.facts(AskedAbout(None, None, done))
    assert by_job is not None
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
async def test_the_hold_of_a_shared_key_is_seen_without_the_other_tenant(
    settings: dict[str, str], is_named: bool, store: Store
) -> None:
    held = {of: await store.accept(reason=of) for of in ("model key refused", "desk credentials refused")}
    for job_id in held.values():
        store.table.run(
            "INSERT INTO job_events (tenant_id, job_id, attempt, what) VALUES ('acme', %s, 1, 'held back')", job_id
        )
    await store.accept(tenant_id="globex", ticket_id="124")
    found = await gatherer(store, "acme", "globex", **settings).facts(AskedAbout("124", "globex", None))
    assert found is not None
    assert list(found.held_elsewhere) == (["model key refused"] if is_named else [])
    told = judge(found).says + "".join(fact.what for fact in evidence(found))
    assert ("with the same model key wait: model key refused" in told, "acme" in told) == (is_named, False)
