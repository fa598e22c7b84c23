"""Printed diagnoses: client's sentence, cause, action, next document; and JSON."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from cli.diagnose import for_machines, for_people
from cli.pilot.postgres import Postgres
from cli.terminal import as_json
from config.exit_codes import NOT_DONE_EXIT, NOT_UNDERSTOOD_EXIT
from integrations.probes import ModelProbe
from jobs.diagnosis.report import evidence, report
from jobs.diagnosis.verdict_codes import FAQ
from jobs.diagnosis.verdict_rules import judge
from jobs.rejections import RefusalCount
from jobs.repository import RECOVERED, SIGNED_BY_PREVIOUS
from observability import log_events
from tests.jobs.diagnosis.known import EVENT, JOB_ID, MISSED, NO_WEBHOOK, RETIRED, ago, facts, happened, job, listed
from tests.kit.postgres import Store
from tests.system.by_hand import here


def test_for_people_the_first_line_is_a_sentence_and_the_rest_says_why_and_where() -> None:
    events = happened(("accepted", None), ("claimed", None), ("failed", "ServiceDesk Plus timeout"))
    known = facts(job("failed", "ServiceDesk Plus timeout"), events=events, others=[listed(9, "skipped", "dry run")])
    printed = for_people(known, judge(known), "http://jaeger:16686").splitlines()
    assert printed[0] == "Ticket 124 of acme has no enhancement: the desk did not answer in time."
    whole = "\n".join(printed)
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    for part in (
        "verdict   desk_failing (exit status 10)",
        "attempt 1: started by a worker (after",
        "attempt 1: failed: ServiceDesk Plus timeout (after 1.0s)",
        "now                      queue: 3 waiting (normal), 3 with workers",
        "workers: 2 listening, 1 with jobs; jobs: 3 running; the last job started 2s ago",
        f"          then run `ai-agents retry {JOB_ID}`",
        f"document  {FAQ}#2-servicedesk-plus-api-unavailable",
        f"trace     {trace_id}",
        f"          http://jaeger:16686/trace/{trace_id}",
        f"log       Task failed: job_id={JOB_ID}, ticket_id=124, reason=ServiceDesk Plus timeout",
        f'| grep "job_id: {JOB_ID}"',
        "others    00000000-0000-0000-0000-000000000009 skipped (dry run)",
    ):
        assert part in whole


def test_for_machines_it_is_the_same_as_json() -> None:
    known = facts(job("completed"), queue=None, model=ModelProbe(failure="the settings of a worker are not set here"))
    body = json.loads(as_json(for_machines(known, judge(known), None)))
    assert (body["verdict"], body["exit_status"], body["trace_url"]) == ("delivered", 0, None)
    assert [part.partition(":")[0] for part in body["not_checked"]] == ["model", "queue"]
    assert body["log_line"] == f"Task completed: job_id={JOB_ID}, duration="
    assert body["document_url"] is None


def test_documents_and_traces_are_links_if_their_addresses_are_set() -> None:
    known = facts(job("completed"))
    body = for_machines(known, judge(known), None, "https://docs.example.com")
    link = "https://docs.example.com/support/faq/faq-enhancements-not-received.html#nothing-is-wrong"
    assert (body["document"], body["document_url"]) == (f"{FAQ}#nothing-is-wrong", link)
    printed = for_people(known, judge(known), None, "https://docs.example.com")
    assert f"document  {link}" in printed
    assert f"          `ai-agents trace --job {JOB_ID}`" in printed


def test_a_long_story_is_cut_in_its_middle_and_tells_that_the_previous_secret_signed() -> None:
    for reason, count in ((SIGNED_BY_PREVIOUS, 1), (None, 0)):
        texts = [fact.what for fact in evidence(facts(job("running"), events=happened(("accepted", reason))))]
        assert sum("signed by the previous secret: the desk had not changed it yet" in what for what in texts) == count
    events = happened(*[("held back", f"reason {number}") for number in range(40)])
    texts = [fact.what for fact in evidence(facts(job("waiting"), events=events))]
    assert "26 more events: `ai-agents show --events`" in texts
    seen = [any(f"reason {number} " in what for what in texts) for number in (0, 3, 4, 29, 30, 39)]
    assert seen == [True, True, False, False, True, True]


def test_what_reconciliation_has_seen_or_else_was_refused_is_told() -> None:
    texts = "\n".join(fact.what for fact in evidence(facts(missing=MISSED)))
    for words in ("ticket created, by the desk's clock", "without a webhook until then", "webhook counted as missed"):
        assert words in texts
    recovered = facts(job("running", event=RECOVERED), missing=MISSED)
    texts = "\n".join(fact.what for fact in evidence(recovered))
    assert f"ticket found in the desk without a webhook, job {JOB_ID}" in texts
    assert "webhook accepted" not in texts
    without_ticket = [RefusalCount(422, "malformed payload: ticket_id is missing", 3, ago(7300))]
    known = facts(
        webhooks=replace(NO_WEBHOOK, without_ticket=without_ticket, last_accepted_at=ago(7200), shares_used_up=True)
    )
    texts = "\n".join(fact.what for fact in evidence(known))
    assert "refused: malformed payload: ticket_id is missing (3 in 24 hours)" in texts
    assert "last accepted webhook of the tenant" in texts
    assert "than are stored: the API's log has all of them" in texts


def test_what_is_done_by_itself_about_a_missed_webhook_is_told() -> None:
    for mode, words in (
        ("report", "acme.reconcile in tenants.toml is `report`; with `on`"),
        ("on", "acme.reconcile in tenants.toml is on: its job is created"),
    ):
        mends = judge(facts(missing=MISSED, reconcile=mode)).actions
        assert words in mends[0]
        assert "ai-agents enhance --tenant acme --ticket 124" in mends[-1]
    left_out = replace(MISSED, left_out=True)
    assert "rules exclude it" in judge(facts(missing=left_out, reconcile="on")).actions[0]
    assert "acme.tickets in tenants.toml" in judge(facts(missing=left_out, reconcile="poll")).actions[0]
    # Nothing is kept of an excluded ticket: waiting or blaming the desk is in vain.
    told = "check whether acme.tickets in tenants.toml excludes it: such a ticket gets no job"
    for mode in ("report", "on", "poll"):
        assert judge(facts(reconcile=mode, has_rules=True)).actions[0] == told
        assert told not in judge(facts(reconcile=mode)).actions
        assert told not in judge(facts(reconcile=mode, has_rules=True, missing=MISSED)).actions


def test_the_lines_to_look_for_are_those_of_the_log() -> None:
    for known, phrase in (
        (facts(), log_events.WEBHOOK_RECEIVED),
        (facts(webhooks=RETIRED), log_events.WEBHOOK_REJECTED),
        (facts(missing=MISSED, reconcile="report"), log_events.WEBHOOK_MISSED),
        (facts(missing=replace(MISSED, missed_at=None), reconcile="report"), log_events.WEBHOOK_RECEIVED),
        (facts(missing=MISSED, reconcile="poll"), log_events.JOB_RECOVERED),
        (facts(webhooks=RETIRED, reconcile="poll"), log_events.JOB_RECOVERED),
        (facts(webhooks=RETIRED, inbox=EVENT), log_events.WEBHOOK_RECEIVED),
        (facts(reconcile="poll", forgotten=True), log_events.WEBHOOK_RECEIVED),
        (facts(job("waiting")), log_events.JOB_QUEUED),
        (facts(job("waiting", "x"), events=happened(("held back", "x"))), log_events.JOB_REQUEUED),
        (facts(job("waiting", "x"), events=happened(("retried", "x"))), log_events.TASK_FAILED),
        (facts(job("running")), log_events.TASK_STARTED),
        (facts(job("completed")), log_events.TASK_COMPLETED),
        (facts(job("skipped", "x")), log_events.TASK_SKIPPED),
    ):
        body: dict[str, Any] = report(known, judge(known), None)
        assert body["log_line"].startswith(phrase.template.partition("{")[0])
        assert "{" not in body["log_line"]


def test_of_a_ticket_with_two_numbers_the_line_is_that_of_its_id_in_the_desk() -> None:
    known = facts(missing=replace(MISSED, ticket_id="9000124"), reconcile="report")
    body = report(known, judge(known), None)
    assert body["log_line"].startswith("Webhook missed: ticket_id=9000124, tenant_id=acme, ")
    assert body["log_command"].endswith('| grep "ticket_id: 9000124,"')
    # A webhook whose ticket can't be read has no receipt line for any ticket: the line is the client's.
    without_ticket = [RefusalCount(422, "malformed payload: ticket_id is missing", 3, ago(60))]
    known = facts(webhooks=replace(NO_WEBHOOK, without_ticket=without_ticket))
    body = report(known, judge(known), None)
    assert body["log_line"] == "Webhook rejected: status=422, reason=malformed payload"
    assert body["log_command"].endswith('| grep "Webhook rejected" | grep "tenant_id: acme,"')


def test_a_failure_is_searched_in_the_log_of_the_process_that_ended_it() -> None:
    """The relay in the API ends a job that no worker held."""
    for reason, event, of in (
        ("deadline passed (last: desk unavailable)", "expired", "api"),
        ("worker lost at its last attempt (before: x)", "failed", "api"),
        ("deadline passed", "failed", "worker"),
        ("unexpected failure", "failed", "worker"),
    ):
        known = facts(job("failed", reason), events=happened(("claimed", None), (event, reason)))
        body = report(known, judge(known), None)
        assert body["log_command"].startswith(f"kubectl logs deployment/ai-agents-{of} ")
        line = reason.partition(" (")[0]
        assert body["log_line"] == f"Task failed: job_id={JOB_ID}, ticket_id=124, reason={line}"


pytestmark = pytest.mark.usefixtures("untouched_logging")
SECRETS = {f"WEBHOOK_SECRET_{tenant}": f"secret of {tenant}, which is long" for tenant in ("ACME", "GLOBEX")}
BOTH = ["acme", "globex"]
NOBODYS = "01936b2e-7c1a-7000-8000-0123456789ab"


@pytest.mark.parametrize(
    ("words", "status", "says", "tenants"),
    [
        (["--ticket", "124"], NOT_UNDERSTOOD_EXIT, "Give --tenant: acme, globex", BOTH),
        (["--ticket", "124", "--tenant", "nobody"], NOT_UNDERSTOOD_EXIT, "Tenant nobody is unknown here", BOTH),
        (["--job", NOBODYS], NOT_DONE_EXIT, "No job has the id", []),
    ],
)
async def test_without_a_verdict_there_is_json_all_the_same(
    words: list[str], status: int, says: str, tenants: list[str], store: Store, server: Postgres
) -> None:
    for tenant_id in BOTH:
        await store.accept(ticket_id="124", tenant_id=tenant_id)
    settings = {"DATABASE_URL": server.url, **SECRETS}
    answer = await asyncio.to_thread(here, "diagnose", *words, "--json", **settings)
    body: dict[str, Any] = json.loads(answer.stdout)
    assert (answer.returncode, body["exit_status"], body["verdict"]) == (status, status, None)
    assert body["tenants"] == tenants
    assert says in body["says"]
    assert body["says"] in answer.stderr
