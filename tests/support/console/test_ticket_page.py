"""A ticket's page: the verdict of `diagnose`; other tenants' tickets are hidden."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from dispatch.message import QUEUE
from storage import rejections
from storage.models import JobState
from storage.session import Database
from support.console.errors import NotFound
from support.console.figures.story import story
from support.console.routes.tickets import job, ticket
from support.console.sessions import User
from support.diagnose.facts import QueueSigns
from support.diagnose.gathering import AskedAbout, Gatherer
from support.diagnose.judging import judge
from support.diagnose.printing import for_machines
from tests.kit.postgres import Store, claimed
from tests.support.console.visits import OF_ACME, OF_GLOBEX, READER, SUPPORT, GoTo, SessionOf, Visits
from tests.support.known import ago, facts
from tests.support.known import job as known_job
from tests.support.known import refused as refused_webhook
from tests.support.reasons import REASONS

pytestmark = pytest.mark.usefixtures("worker_session")


def at(tenant_id: str, ticket_id: str) -> dict[str, str]:
    return {"tenant_id": tenant_id, "ticket_id": ticket_id}


@pytest.fixture
async def failed(store: Store) -> UUID:
    """Return the id of a failed job of acme's ticket 12345, tried by two workers."""
    job_id = await store.accept()
    await claimed(store.database, job_id)
    store.table.run(
        "UPDATE jobs SET state = 'failed', reason = 'GPT-4 timeout', finished_at = now(), lease_until = NULL"
    )
    store.table.run(
        "INSERT INTO job_events (tenant_id, job_id, attempt, what, reason)"
        " VALUES ('acme', %s, 1, 'failed', 'GPT-4 timeout')",
        job_id,
    )
    return job_id


async def test_a_ticket_has_its_verdict_its_picture_and_its_jobs(failed: UUID, store: Store, redis: Redis) -> None:
    html = await Visits(store.database, redis).html(ticket, path=at("acme", "12345"))
    csrf = SessionOf(SUPPORT).csrf("session")
    for told in (
        'data-verdict="model_failing"',
        "the model was silent for too long",
        f'<form method="post" action="/jobs/{failed}/retry"><input type="hidden" name="csrf" value="{csrf}">',
        "GPT-4 is asked again, and paid",
        '<svg viewBox="0 0 760',
        'class="t-failed"',
        "The same as a table",
        "attempt 1: failed: GPT-4 timeout",
        "desk: a worker&#39;s settings are not here",
        f'href="/tickets/acme/12345?job={failed}"',
        "http://jaeger.example/trace/0af7651916cd43dd8448eb211c80319c",
        "docs/support/faq/faq-enhancements-not-received.md#1-gpt-4-api-timeouterror",
        f"grep &#34;job_id: {failed}&#34;",
    ):
        assert told in html, told
    assert "/texts" not in html
    assert f"/jobs/{failed}/texts" in await Visits(store.database, redis).html(ticket, READER, path=at("acme", "12345"))


async def test_the_page_says_what_the_command_says(failed: UUID, store: Store, redis: Redis) -> None:
    visits = Visits(store.database, redis)
    services = visits.services
    gatherer = Gatherer(store.database, redis, services.tenants, services.outside)
    found = await gatherer.facts(AskedAbout(None, None, failed))
    assert found is not None
    command = for_machines(found, judge(found), services.jaeger_url)
    told = story(found, own=False, jaeger_url=services.jaeger_url)
    assert told.code == command["verdict"]
    assert (told.says, list(told.mends), told.document) == (command["says"], command["do"], command["document"])
    assert (told.log_line, told.log_command, told.trace_url) == (
        command["log_line"],
        command["log_command"],
        command["trace_url"],
    )
    assert list(told.unchecked) == command["not_checked"]
    assert [line.what for line in told.lines] == [each["what"] for each in command["because"]]


async def test_a_job_of_several_is_chosen_by_its_id(failed: UUID, store: Store, redis: Redis) -> None:
    other = await store.accept(ticket_id="12345", state="skipped", reason="dry run", finished_at="now()")
    visits = Visits(store.database, redis)
    for job_id, verdict in ((failed, "model_failing"), (other, "dry_run")):
        assert await visits.ask(job, path={"job_id": str(job_id)}) == GoTo(f"/tickets/acme/12345?job={job_id}")
        html = await visits.html(ticket, path=at("acme", "12345"), query={"job": str(job_id)})
        assert f'data-verdict="{verdict}"' in html
        assert html.count('<th scope="row"><a href="/tickets/acme/12345?job=') == 2


@pytest.mark.parametrize("visitor", [OF_GLOBEX, replace(OF_GLOBEX, role="operator")])
async def test_another_tenants_ticket_and_job_are_as_unknown_as_none(
    visitor: User, failed: UUID, store: Store, redis: Redis
) -> None:
    visits = Visits(store.database, redis)
    for path in (at("acme", "12345"), at("acme", "9"), at("nobody", "12345")):
        with pytest.raises(NotFound):
            await visits.ask(ticket, visitor, path=path)
    for job_id in (failed, uuid4()):
        with pytest.raises(NotFound):
            await visits.ask(job, visitor, path={"job_id": str(job_id)})
        with pytest.raises(NotFound):
            await visits.ask(ticket, visitor, path=at("globex", "12345"), query={"job": str(job_id)})
    html = await visits.html(ticket, visitor, path=at("globex", "12345"))
    assert 'data-verdict="webhook_missing"' in html
    assert "acme" not in html


@pytest.mark.parametrize("ticket_id", ["x", "1" * 21, "'><script>", "1 OR 1=1", "", "١"])
async def test_what_is_no_ticket_is_not_here(ticket_id: str, database: Database, redis: Redis) -> None:
    visits = Visits(database, redis)
    with pytest.raises(NotFound):
        await visits.ask(ticket, path=at("acme", ticket_id))
    with pytest.raises(NotFound):
        await visits.ask(ticket, path=at("acme", "1"), query={"job": ticket_id or "no-id"})
    with pytest.raises(NotFound):
        await visits.ask(ticket, path=at("no tenant", "1"))


async def test_a_tenant_that_nobody_knows_is_not_here(database: Database, redis: Redis) -> None:
    with pytest.raises(NotFound):
        await Visits(database, redis).ask(ticket, SUPPORT, path=at("nobody", "1"))


async def test_its_own_people_do_not_learn_whose_secret_signed(store: Store, redis: Redis) -> None:
    reason = "signature mismatch: signed with another tenant's secret"
    await rejections.record(store.database, "acme", "7", 403, reason, proved=False)
    await rejections.record(store.database, "acme", None, 403, reason, proved=False)
    visits = Visits(store.database, redis)
    assert "another tenant&#39;s secret" in await visits.html(ticket, path=at("acme", "7"))
    for number in ("7", "8"):
        html = await visits.html(ticket, OF_ACME, path=at("acme", number))
        assert "another tenant" not in html
        assert "signature" in html


async def test_nor_by_how_the_refusals_are_put_together(store: Store, redis: Redis) -> None:
    """A wrong signature gets the same answer, whichever tenant's secret made it."""
    visits, pages, now = Visits(store.database, redis), [], datetime.now(UTC)
    for other in ("signature mismatch", "signature mismatch: signed with another tenant's secret"):
        store.table.run("DELETE FROM rejections")
        for number, reason, minutes in (
            ("7", "signature mismatch", 90),
            ("7", other, 1),
            (None, "signature mismatch", 90),
            (None, other, 1),
        ):
            store.table.run(
                "INSERT INTO rejections (tenant_id, ticket_id, status, reason, rejected_at)"
                " VALUES ('acme', %s, 403, %s, %s)",
                *(number, reason, now - timedelta(minutes=minutes)),
            )
        told = [await visits.page(ticket, OF_ACME, path=at("acme", number)) for number in ("7", "8")]
        stories = [page.values["story"] for page in told]
        pages.append([str((each.says, each.lines)) for each in stories])
    assert pages[0] == pages[1]
    assert "signature mismatch (2 since a day ago)" in pages[0][1]


async def test_its_own_people_are_not_led_to_where_the_traces_of_all_are(
    failed: UUID, store: Store, redis: Redis
) -> None:
    visits = Visits(store.database, redis)
    job = store.table.job(failed)
    there = at(job["tenant_id"], job["ticket_id"])
    for visitor, is_led in ((SUPPORT, True), (OF_ACME, False)):
        html = await visits.html(ticket, visitor, path=there)
        assert "0af7651916cd43dd8448eb211c80319c" in html
        assert ("jaeger.example" in html) is is_led


async def test_its_own_people_see_of_the_queue_a_reading_alone(store: Store, redis: Redis) -> None:
    await redis.lpush(QUEUE, *["message"] * 137)
    for _ in range(3):
        await store.accept(
            tenant_id="globex", state="running", lease_owner="w", lease_until="now() + interval '1 hour'"
        )
    await store.accept(due_at="now() - interval '90 seconds'")
    visits = Visits(store.database, redis)
    everybodys = await visits.html(ticket, path=at("acme", "12345"))
    html = await visits.html(ticket, OF_ACME, path=at("acme", "12345"))
    for told, is_own in (("137 jobs wait (critical)", False), ("3 jobs run", False), ("queue: critical", True)):
        assert (told in everybodys, told in html) == (not is_own, is_own), told
    assert "137" not in html
    verdict = 'data-verdict="waiting_backlog"'
    assert verdict in everybodys
    assert verdict in html


@pytest.mark.parametrize("reason", REASONS)
def test_own_people_get_the_same_verdict_for_each_reason(reason: str) -> None:
    for state in ("failed", "skipped", "waiting"):
        found = facts(known_job(state, reason), queue=QueueSigns(137, 53, 1), webhooks=refused_webhook(403, "x"))
        own, whole = (story(found, own=own, jaeger_url=None) for own in (True, False))
        assert (own.code, own.tone) == (whole.code, whole.tone)
        shown = " ".join([own.says, *own.mends, *(line.what for line in own.lines)])
        assert "137" not in shown
        assert "53" not in shown


def test_own_people_are_not_told_how_many_others_wait() -> None:
    found = facts(known_job("waiting"), queue=QueueSigns(64, 4, 2))
    assert "of which 64 wait" in story(found, own=False, jaeger_url=None).says
    told = story(found, own=True, jaeger_url=None)
    assert told.code == "waiting_backlog"
    assert told.says == "Ticket 124 of acme: its job waits behind others, and workers take them."


@pytest.mark.parametrize(
    ("state", "reason", "caution"),
    [
        ("failed", "GPT-4 timeout", ""),
        ("failed", "worker lost at its last attempt (before: worker lost)", "do not retry it"),
        ("skipped", "already enhanced", "a further note"),
        ("skipped", "ticket not found", "It ends like this again"),
        ("skipped", "duplicate webhook", None),
        ("skipped", "forgotten", None),
        ("completed", None, None),
        ("waiting", None, None),
        ("running", None, None),
    ],
)
def test_a_job_is_offered_for_retry_where_that_leads_anywhere(
    state: str, reason: str | None, caution: str | None
) -> None:
    offer = story(facts(known_job(state, reason)), own=False, jaeger_url=None).retry
    assert (offer is None) is (caution is None)
    assert offer is None or (caution or "") in offer.caution
    assert offer is None or (offer.caution == "") is (caution == "")


def test_a_job_with_its_answer_is_retried_unpaid() -> None:
    found = facts(known_job(JobState.FAILED, "ServiceDesk Plus timeout", answered=True, finished_at=ago(1)))
    offer = story(found, own=False, jaeger_url=None).retry
    assert offer is not None
    assert offer.costs == "GPT-4's answer is kept: nothing is paid"
