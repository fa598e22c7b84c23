"""A ticket's pages: search, the verdict of `diagnose`, and texts; other tenants' tickets are hidden."""

import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from markupsafe import escape
from redis.asyncio import Redis

from config.settings import DiagnoseSettings
from console.routes.tickets import retry_caution, story
from console.sessions import User
from db.session import Database
from jobs import missed_webhooks, rejections
from jobs.diagnosis.commands import commands_of
from jobs.diagnosis.facts import DiagnosisSubject, FactCollector
from jobs.diagnosis.report import report
from jobs.diagnosis.verdict_codes import FAQ
from jobs.diagnosis.verdict_rules import judge
from jobs.missed_webhooks import NewTicket
from jobs.queue import QUEUE
from jobs.statistics import QueueActivity
from privacy import audit
from tests.console.site import OF_ACME, OF_GLOBEX, OPERATOR, READER, SETTINGS, SUPPORT, SessionOf, Visits
from tests.jobs.diagnosis.known import facts
from tests.jobs.diagnosis.known import job as known_job
from tests.jobs.diagnosis.known import refused as refused_webhook
from tests.jobs.diagnosis.known_reasons import REASONS
from tests.jobs.exchanges import exchange
from tests.kit.postgres import Store, claimed

JOB = "01936b2e-7c1a-7000-8000-0123456789ab"
pytestmark = pytest.mark.usefixtures("worker_session")


@pytest.fixture
async def known(store: Store, visits: Visits) -> Visits:
    await store.accept(ticket_id="1")
    await store.accept(ticket_id="2")
    await store.accept(tenant_id="globex", ticket_id="2")
    await store.accept(tenant_id="globex", ticket_id="3")
    await rejections.record(store.database, "globex", "4", 403, "signature mismatch", proved=False)
    return visits


@pytest.mark.parametrize(
    ("said", "visitor", "path"),
    [
        ("1", SUPPORT, "/tickets/acme/1"),
        (" #3 ", SUPPORT, "/tickets/globex/3"),
        ("4", SUPPORT, "/tickets/globex/4"),
        ("acme 9", SUPPORT, "/tickets/acme/9"),
        ("acme/9", SUPPORT, "/tickets/acme/9"),
        ("ACME 9", SUPPORT, "/tickets/acme/9"),
        (JOB, SUPPORT, f"/jobs/{JOB}"),
        (f"Ref {JOB.upper()}", SUPPORT, f"/jobs/{JOB}"),
        ("", SUPPORT, "/"),
        ("1", OF_ACME, "/tickets/acme/1"),
        ("2", OF_ACME, "/tickets/acme/2"),
        ("3", OF_ACME, "/tickets/acme/3"),
        ("99", OF_ACME, "/tickets/acme/99"),
    ],
)
async def test_a_search_with_one_answer_leads_there(said: str, visitor: User, path: str, known: Visits) -> None:
    assert await known.leads("/search", visitor, query={"q": said}) == path


async def test_a_number_of_several_tenants_or_of_none_is_a_choice(known: Visits, database: Database) -> None:
    html = await known.html("/search", query={"q": "2"})
    assert "Several tenants have a ticket with this number" in html
    assert html.index('href="/tickets/acme/2"') < html.index('href="/tickets/globex/2"')
    assert await known.leads("/search", query={"q": "2", "tenant": "globex"}) == "/tickets/globex/2"
    # A missing webhook is the most frequent reason for a search: the desk's list leads to the tenant.
    now = datetime.now(UTC)
    await missed_webhooks.begin(database, "globex", now - timedelta(hours=1))
    await missed_webhooks.compare(database, "globex", [NewTicket("5", None, now)], seen_at=now, until=now)
    assert await known.leads("/search", query={"q": "5"}) == "/tickets/globex/5"
    nobodys = await known.html("/search", query={"q": "99"})
    assert "No webhook with this number is known" in nobodys
    assert 'href="/tickets/globex/99"' in nobodys


@pytest.mark.parametrize("tenant", ["globex", "nobody", "no tenant's id", "../x"])
async def test_another_tenant_is_as_unknown_as_none(tenant: str, known: Visits) -> None:
    assert await known.status("/search", OF_ACME, query={"q": "3", "tenant": tenant}) == 404
    if " " not in tenant and "/" not in tenant:
        assert await known.status("/search", OF_ACME, query={"q": f"{tenant} 3"}) == 404


async def test_what_is_no_ticket_is_refused_before_anybody_is_asked(database: Database, redis: Redis) -> None:
    visits = Visits(database, redis)
    for said in ("<script>", "1 OR 1=1", "1" * 21, "٣", "acme VPN"):
        page = await visits.page("/search", query={"q": said})
        assert (page.status_code, "No ticket or job recognized" in page.text) == (400, True)
        # The typed text stays for correction.
        assert f'value="{escape(said)}"' in page.text
    for ticket_id in ("x", "1" * 21, "'><script>", "1 OR 1=1", "", "١", "1\0", "1\n"):
        assert await visits.status(f"/tickets/acme/{ticket_id}") == 404
        assert await visits.status("/tickets/acme/1", query={"job": ticket_id or "no-id"}) == 400
    for tenant_id in ("nobody", "no tenant"):
        assert await visits.status(f"/tickets/{tenant_id}/1") == 404


@pytest.fixture
async def failed(store: Store) -> UUID:
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


async def test_a_ticket_has_its_verdict_its_picture_and_its_jobs(failed: UUID, store: Store, visits: Visits) -> None:
    html = await visits.html("/tickets/acme/12345")
    csrf = SessionOf(SUPPORT).csrf("session")
    for told in (
        'data-verdict="model_failing"',
        "the model did not answer in time",
        f'<form method="post" action="/jobs/{failed}/retry"><input type="hidden" name="csrf" value="{csrf}">',
        "GPT-4 is called again, paid",
        '<svg class="timeline"',
        'class="t-failed"',
        "Show as a table",
        "attempt 1: failed: GPT-4 timeout",
        "desk: the settings of a worker are not set here",
        f'href="/tickets/acme/12345?job={failed}"',
        "http://jaeger.example/trace/0af7651916cd43dd8448eb211c80319c",
        "docs/support/faq/faq-enhancements-not-received.md#1-gpt-4-api-timeouterror",
        f"grep &#34;job_id: {failed}&#34;",
    ):
        assert told in html, told
    assert "/texts" not in html
    store.table.run("UPDATE jobs SET enhancement = %s WHERE id = %s", KEPT, failed)
    assert "GPT-4's answer is kept, no cost" in await visits.html("/tickets/acme/12345")
    assert f"/jobs/{failed}/texts" in await visits.html("/tickets/acme/12345", READER)


@pytest.mark.usefixtures("failed")
async def test_its_own_people_are_not_led_to_all_traces(visits: Visits) -> None:
    for visitor, is_led in ((SUPPORT, True), (OF_ACME, False)):
        html = await visits.html("/tickets/acme/12345", visitor)
        assert ("0af7651916cd43dd8448eb211c80319c" in html, "jaeger.example" in html) == (True, is_led)


async def test_the_page_says_what_the_command_says(failed: UUID, store: Store, redis: Redis, visits: Visits) -> None:
    services = visits.services
    gatherer = FactCollector(store.database, redis, services.tenants, services.probes)
    found = await gatherer.facts(DiagnosisSubject(None, None, failed))
    assert found is not None
    command = report(found, judge(found), services.jaeger_url)
    assert story(found, is_tenant_user=False, jaeger_url=services.jaeger_url).items() >= command.items()


async def test_a_job_of_several_is_chosen_by_its_id(failed: UUID, store: Store, visits: Visits) -> None:
    other = await store.accept(ticket_id="12345", state="skipped", reason="dry run", finished_at="now()")
    for job_id, verdict in ((failed, "model_failing"), (other, "dry_run")):
        assert await visits.leads(f"/jobs/{job_id}") == f"/tickets/acme/12345?job={job_id}"
        html = await visits.html("/tickets/acme/12345", query={"job": str(job_id)})
        assert f'data-verdict="{verdict}"' in html
        assert html.count('<th scope="row"><a href="/tickets/acme/12345?job=') == 2


@pytest.mark.parametrize("visitor", [OF_GLOBEX, replace(OF_GLOBEX, role="operator")])
async def test_another_tenants_ticket_and_job_are_unknown(visitor: User, failed: UUID, visits: Visits) -> None:
    for path in ("/tickets/acme/12345", "/tickets/acme/9", "/tickets/nobody/12345"):
        assert await visits.status(path, visitor) == 404
    for job_id in (failed, uuid4()):
        assert await visits.status(f"/jobs/{job_id}", visitor) == 404
        assert await visits.status("/tickets/globex/12345", visitor, query={"job": str(job_id)}) == 404
    html = await visits.html("/tickets/globex/12345", visitor)
    assert 'data-verdict="webhook_missing"' in html
    assert "acme" not in html


async def test_its_own_people_do_not_learn_whose_secret_signed(store: Store, visits: Visits) -> None:
    reason = "signature mismatch: signed with another tenant's secret"
    await rejections.record(store.database, "acme", "7", 403, reason, proved=False)
    await rejections.record(store.database, "acme", None, 403, reason, proved=False)
    assert "another tenant&#39;s secret" in await visits.html("/tickets/acme/7")
    for number in ("7", "8"):
        html = await visits.html(f"/tickets/acme/{number}", OF_ACME)
        assert "another tenant" not in html
        assert "signature" in html


async def test_grouped_refusals_do_not_reveal_whose_secret_signed(store: Store, visits: Visits) -> None:
    pages, now = [], datetime.now(UTC)
    for other in ("signature mismatch", "signature mismatch: signed with another tenant's secret"):
        store.table.run("DELETE FROM rejections")
        for number in ("7", None):
            for reason, minutes in (("signature mismatch", 90), (other, 1)):
                store.table.run(
                    "INSERT INTO rejections (tenant_id, ticket_id, status, reason, rejected_at)"
                    " VALUES ('acme', %s, 403, %s, %s)",
                    *(number, reason, now - timedelta(minutes=minutes)),
                )
        pages_shown = [await visits.page(f"/tickets/acme/{number}", OF_ACME) for number in ("7", "8")]
        pages.append([page.text for page in pages_shown])
    assert pages[0] == pages[1]
    assert "signature mismatch (2 in 24 hours)" in pages[0][1]


async def test_its_own_people_see_of_the_queue_a_reading_alone(store: Store, redis: Redis, visits: Visits) -> None:
    await redis.lpush(QUEUE, *["message"] * 137)
    running: dict[str, Any] = {"state": "running", "lease_owner": "w", "lease_until": "now() + interval '1 hour'"}
    for _ in range(3):
        await store.accept(tenant_id="globex", **running)
    await store.accept(due_at="now() - interval '90 seconds'")
    everybodys = await visits.html("/tickets/acme/12345")
    html = await visits.html("/tickets/acme/12345", OF_ACME)
    for told, is_own in (("137 waiting (critical)", False), ("jobs: 3 running", False), ("queue: critical", True)):
        assert (told in everybodys, told in html) == (not is_own, is_own), told
    assert "137" not in html
    assert ['data-verdict="waiting_backlog"' in page for page in (everybodys, html)] == [True, True]


async def test_documents_are_links_and_commands_those_of_the_environment(known: Visits) -> None:
    html = await known.html("/tickets/globex/4")
    assert "(docs/runbooks/secret-rotation.md)" in html
    assert "kubectl logs deployment/ai-agents-api" in html
    settings = DiagnoseSettings(database_url="postgresql://a@127.0.0.1/a", compose_command="docker compose")
    known.services = replace(known.services, docs_url="https://docs.example.com", commands=commands_of(settings))
    html = await known.html("/tickets/globex/4")
    for page, path in (
        ("runbooks/secret-rotation.html", "docs/runbooks/secret-rotation.md"),
        ("support/faq/faq-enhancements-not-received.html#refused-with-403", f"{FAQ}#refused-with-403"),
    ):
        assert f'<a href="https://docs.example.com/{page}" rel="noreferrer">{path}</a>' in html
    assert "docker compose logs --no-log-prefix --since 24h api | grep " in html


def test_own_people_are_not_told_how_many_others_wait() -> None:
    found = facts(known_job("waiting"), queue=QueueActivity(64, 4, 2))
    assert "64 wait in total" in story(found, is_tenant_user=False, jaeger_url=None)["says"]
    story_shown = story(found, is_tenant_user=True, jaeger_url=None)
    assert story_shown["says"] == "Ticket 124 of acme: the job waits in the queue behind other jobs."


@pytest.mark.parametrize("reason", REASONS)
def test_own_people_get_the_same_verdict_for_each_reason(reason: str) -> None:
    for state in ("failed", "skipped", "waiting"):
        found = facts(known_job(state, reason), queue=QueueActivity(137, 53, 1), webhooks=refused_webhook(403, "x"))
        own, whole = (story(found, is_tenant_user=own, jaeger_url=None) for own in (True, False))
        assert (own["verdict"], own["tone"]) == (whole["verdict"], whole["tone"])
        shown = " ".join([own["says"], *own["do"], *(line["what"] for line in own["because"])])
        assert [number in shown for number in ("137", "53")] == [False, False]


def test_a_job_is_offered_for_retry_where_that_leads_anywhere() -> None:
    for state, reason, caution in (
        ("failed", "worker lost at its last attempt (before: worker lost)", "Do not retry it"),
        ("skipped", "already enhanced", "adds another note"),
        ("skipped", "held out for comparison", "A retry adds a note"),
        ("skipped", "ticket not found", "A retry ends the same way"),
    ):
        assert caution in (retry_caution(known_job(state, reason)) or "")
    assert retry_caution(known_job("failed", "GPT-4 timeout")) == ""
    others = [("skipped", "duplicate webhook"), ("skipped", "forgotten"), ("completed", None)]
    for state, why in (*others, ("waiting", None), ("running", None)):
        assert retry_caution(known_job(state, why)) is None


KEPT = '{"summary": "The quota is used up.", "next_steps": [{"text": "Raise it."}]}'


@pytest.fixture
async def answered(store: Store) -> UUID:
    job_id = await store.accept(enhancement=KEPT, model="m-2")
    await audit.keep(store.database, "acme", job_id, exchange("101"))
    await audit.keep(store.database, "acme", job_id, exchange(answer=None, reason="OpenAI API: content filter"))
    return job_id


async def test_who_may_reads_what_was_sent_and_what_came(answered: UUID, log: io.StringIO, visits: Visits) -> None:
    html = await visits.html(f"/jobs/{answered}/texts", READER)
    for told in (
        "The quota is used up.",
        "Raise it.",
        "Model: m-2",
        "Mailbox of [PERSON_1] is full",
        "You help.",
        "Raise the quota of [PERSON_1].",
        "m-1 at model.example",
        "900 in, 120 out",
        "ticket 101: Mailbox full",
        "No usable answer: OpenAI API: content filter",
    ):
        assert told in html, told
    assert "requester" not in html
    (line,) = [line for line in log.getvalue().splitlines() if "Job texts viewed" in line]
    assert f"job_id={answered}, visitor=rita" in line
    assert "tenant_id: acme" in line
    assert [text in log.getvalue() for text in ("quota", "Reader")] == [False, False]
    # A name from outside makes no second line.
    odd = replace(READER, name="rita\nTask completed: job_id=1\x1b[2J" + "x" * 500)
    await visits.html(f"/jobs/{answered}/texts", odd)
    (_, line) = [line for line in log.getvalue().splitlines() if "visitor=rita" in line]
    assert ("\x1b" in line, len(line) < 600) == (False, True)


async def test_a_tickets_page_shows_the_note_to_whoever_may_read_texts(
    store: Store, log: io.StringIO, visits: Visits
) -> None:
    cause = {"text": "The <script>quota</script> is used up.", "sources": ["ticket-101"], "quote": "quota raised"}
    source = {"id": "ticket-101", "kind": "ticket", "number": "101", "link": "https://desk.example/101"}
    content = {"likely_cause": cause, "sources": [source]}
    job_id = await store.accept(enhancement=json.dumps(content), model="m-2", state="completed", note_id="5")
    html = await visits.html("/tickets/acme/12345", READER)
    (note,) = re.findall(r'<div class="note">(.+?)</div></div>', html, re.DOTALL)
    for told in ("The &lt;script&gt;quota", '<a href="https://desk.example/101">#101</a>', "m-2", f"Ref {job_id}"):
        assert told in note, told
    assert "not confirmed" not in html
    assert log.getvalue().count(f"Job texts viewed: job_id={job_id}, visitor=rita") == 1
    for visitor in (SUPPORT, OPERATOR, OF_ACME):
        assert "quota" not in await visits.html("/tickets/acme/12345", visitor)
    assert log.getvalue().count("Job texts viewed") == 1


async def test_texts_need_a_right(answered: UUID, log: io.StringIO, visits: Visits) -> None:
    for visitor in (SUPPORT, OPERATOR, OF_ACME):
        assert await visits.status(f"/jobs/{answered}/texts", visitor) == 403
    for visitor in (OF_GLOBEX, replace(OF_GLOBEX, reads_texts=False)):
        for job_id in (str(answered), str(uuid4()), "x"):
            assert await visits.status(f"/jobs/{job_id}/texts", visitor) == 404
    assert "Job texts viewed" not in log.getvalue()
    own = replace(OF_ACME, reads_texts=True)
    assert "The quota is used up." in await visits.html(f"/jobs/{answered}/texts", own)


async def test_a_tenant_without_records_gets_a_hint(answered: UUID, store: Store, redis: Redis) -> None:
    without = {name: value for name, value in SETTINGS.items() if name != "acme.audit_days"}
    html = await Visits(store.database, redis, without).html(f"/jobs/{answered}/texts", READER)
    assert "The tenant keeps no records" in html
    assert "You help." not in html


async def test_an_answer_of_a_later_release_is_shown_as_it_is_stored(store: Store, visits: Visits) -> None:
    job_id = await store.accept(enhancement='{"next_steps": "another form"}')
    html = await visits.html(f"/jobs/{job_id}/texts", READER)
    assert "&#34;next_steps&#34;: &#34;another form&#34;" in html
    assert "No note to show" in await visits.html("/tickets/acme/12345", READER, query={"job": str(job_id)})
    nothing = await store.accept()
    html = await visits.html(f"/jobs/{nothing}/texts", READER)
    assert "No answer is stored" in html
