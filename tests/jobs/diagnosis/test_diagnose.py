"""Verdicts for every state and every reason of a row, and second faults beside them."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.exit_codes import OF_COMMANDS, OF_VERDICTS
from config.settings import DiagnoseSettings, SettingsError, load
from integrations.probes import DeskProbe, ModelProbe
from jobs.details import Happened
from jobs.diagnosis.causes import CAUSES, known_cause
from jobs.diagnosis.facts import Facts, choose
from jobs.diagnosis.verdict_codes import FAQ, VerdictCode
from jobs.diagnosis.verdict_rules import judge
from jobs.rejections import RefusalCount
from jobs.repository import CONTEXT_INCOMPLETE, CONTEXT_LATE
from jobs.statistics import REDIS_REFUSES, HeldJobs, QueueActivity
from tests.jobs.diagnosis.known import (
    AT_WORK,
    EVENT,
    JOB_ID,
    MISSED,
    NO_WEBHOOK,
    NOBODY_AT_WORK,
    NOW,
    RETIRED,
    SEEN,
    ago,
    facts,
    happened,
    job,
    listed,
    refused,
)
from tests.jobs.diagnosis.known_reasons import REASONS

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_that_a_row_can_have_comes_to_a_verdict(reason: str) -> None:
    assert known_cause(reason) is not None
    for state in ("failed", "skipped", "waiting"):
        diagnosis = judge(facts(job(state, reason, due_at=NOW + timedelta(seconds=9))))
        assert diagnosis.text.startswith("Ticket 124 of acme ")
        assert "{" not in diagnosis.text + "".join(diagnosis.actions)


def test_all_known_reasons_exist() -> None:
    """An outdated reason would be diagnosed as an unknown failure."""
    assert len(REASONS) > 40
    assert sorted(CAUSES.keys() - set(REASONS)) == []


def test_each_verdict_has_a_status_of_its_own_and_a_heading_of_the_faq() -> None:
    assert {verdict.value for verdict in VerdictCode} == OF_VERDICTS.keys()
    statuses = sorted(OF_VERDICTS.values())
    assert (statuses[:2], OF_VERDICTS["delivered"]) == ([0, 3], 0)
    assert len({*statuses}) == len(statuses)
    assert not set(statuses) & (OF_COMMANDS.keys() - {0})
    headings = re.findall(r"^#+ (.+)$", (ROOT / FAQ).read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert {verdict.anchor for verdict in VerdictCode} <= anchors
    told = [judge(case[0]).anchor for case in CASES]
    assert {anchor for anchor in told if anchor} <= anchors


AWAY: QueueActivity = QueueActivity(1, 0, 0)
RECONNECTING = replace(AWAY, quiet=2)
KILLED = replace(AT_WORK, connected=False)
SILENT = replace(KILLED, workers=0, silent=3)
SOON: dict[str, Any] = {"due_at": NOW + timedelta(seconds=40)}
NO_WORKER: dict[str, Any] = {"work": NOBODY_AT_WORK, "queue": QueueActivity(0, 0, 0)}
LONG: dict[str, Any] = {"due_at": ago(90), "published_at": ago(90)}
LATE = happened(("claimed", None), (CONTEXT_INCOMPLETE, CONTEXT_LATE), ("answered", None))
NOT_THERE, THERE = DeskProbe(asked=True, ticket="open", note=False), DeskProbe(asked=True, note=True)
UNREAD = replace(NO_WEBHOOK, without_ticket=[RefusalCount(422, "malformed payload: no ticket_id", 3, ago(60))])
FULL = QueueActivity(0, 0, 1, takes_nothing=True)
READ_ONLY = replace(FULL, listening=0)
GONE = DeskProbe(asked=True, ticket="gone")
LEFT = replace(SEEN, left_out=True)
DOWN = happened(("claimed", None), ("held back", "desk unavailable"), ("expired", "deadline passed"))
RATE = "OpenAI API: 429 Rate Limit"
NAMED_FOR_NONE = "unknown tenant: signed with this tenant's secret, and named for none there is"
OTHER_BREAKS = "signature mismatch: the body that was signed had other line breaks"
FILTERED = "OpenAI API: 400 Bad Request (code content_filter)"
CASES: list[tuple[Facts, str, str]] = [
    (facts(job("completed"), desk=THERE), "delivered", "the note is in the ticket"),
    (facts(job("completed"), desk=DeskProbe(failure="unknown")), "delivered", "was added to the ticket at 09:29 UTC"),
    (facts(job("completed", is_unchecked=True), desk=THERE), "delivered", "its claims not checked"),
    (facts(job("completed"), desk=NOT_THERE), "note_removed", "was removed from the ticket"),
    (facts(job("completed"), desk=DeskProbe(asked=True, ticket="gone")), "ticket_gone", "no longer in the desk"),
    (facts(job("completed"), events=LATE), "context_failing", "with less detail"),
    (facts(job("failed", "ServiceDesk Plus timeout", note_attempted_at=NOW), desk=THERE), "delivered", "the note is"),
    (facts(job("failed", "ServiceDesk Plus timeout")), "desk_failing", "did not answer in time"),
    (facts(job("failed", "ServiceDesk Plus API: 403")), "desk_failing", "denies our technician"),
    (facts(job("failed", RATE)), "model_failing", "rate limit or missing credit"),
    (facts(job("failed", f"{RATE} (code rate_limit_exceeded)")), "model_failing", "rate limit is reached"),
    (facts(job("failed", FILTERED)), "model_failing", "refuses the request: 400 (code"),
    (facts(job("failed", "OpenAI API: content filter")), "model_failing", "filter refuses the answer"),
    (facts(job("failed", "OpenAI API: 400 Bad Request")), "model_failing", "refuses this request"),
    (facts(job("failed", "OpenAI API: 500 Internal Server Error")), "model_failing", "the model fails"),
    (facts(job("failed", "deadline passed")), "deadline_passed", "no worker finished its job"),
    (facts(job("failed", "deadline passed"), events=DOWN), "desk_failing", "the desk is down"),
    (facts(job("failed", "deadline passed (last: desk unavailable)")), "desk_failing", "the desk is down"),
    (facts(job("failed", "deadline passed (last: OpenAI API: 500 x (y))")), "model_failing", "the model fails"),
    (facts(job("failed", "deadline passed (last: retried by hand)")), "deadline_passed", "no worker finished its job"),
    (facts(job("failed", "worker lost at its last attempt (before: worker lost)")), "worker_lost", "each worker"),
    (facts(job("failed", "attempt took too long")), "failed", "took too long"),
    (facts(job("failed", "attempt took too long"), events=LATE[:2]), "context_failing", "not found in time"),
    (facts(job("failed", "unexpected failure")), "failed", "a bug on our side"),
    (facts(job("failed", "words of a later release")), "failed", "its job failed"),
    (facts(job("failed", "database unreachable")), "database_failing", "our database"),
    (facts(job("skipped", "ticket not found")), "ticket_gone", "it is open now"),
    (facts(job("skipped", "ticket deleted or closed"), desk=DeskProbe()), "ticket_gone", "closed or deleted"),
    (facts(job("skipped", "already enhanced"), desk=THERE), "already_enhanced", "by another job"),
    (facts(job("skipped", "refreshed within the hour")), "already_enhanced", "less than an hour ago"),
    (facts(job("skipped", "duplicate webhook")), "another_job", "a duplicate webhook"),
    (facts(job("skipped", "own failure note")), "another_job", "about the failed model"),
    (facts(job("skipped", "left out by the tenant's rules")), "left_out", "the tenant's rules"),
    (facts(forgotten=True, missing=MISSED, reconcile="on"), "forgotten", "was erased on request"),
    (facts(forgotten=True, webhooks=RETIRED), "forgotten", "gets no enhancement"),
    (facts(job("skipped", "nothing found")), "nothing_found", "no related content was found"),
    (facts(job("skipped", "dry run")), "dry_run", "dry runs"),
    (facts(job("skipped", "held out for comparison")), "held_out", "gets none, for comparison"),
    (facts(job("skipped", "forgotten")), "forgotten", "was erased"),
    (facts(job("running")), "in_progress", "now, attempt 1"),
    (facts(job("running", lease_until=ago(1))), "in_progress", "its worker was lost"),
    (
        facts(job("running", lease_until=ago(1)), queue=AWAY, work=NOBODY_AT_WORK),
        "no_worker",
        "no other worker is running",
    ),
    (facts(job("waiting")), "in_progress", "in the queue for 3s"),
    (facts(job("waiting"), queue=QueueActivity(20, 4, 2)), "waiting_backlog", "20 wait in total"),
    (facts(job("waiting", **LONG)), "waiting_backlog", "for 1m30s"),
    (facts(job("waiting", **LONG), queue=None), "waiting_backlog", "for 1m30s"),
    (facts(job("waiting"), queue=AWAY, work=NOBODY_AT_WORK), "no_worker", "no worker is running"),
    (facts(job("waiting"), queue=AWAY, work=KILLED), "no_worker", "no worker is running"),
    (facts(job("waiting"), queue=QueueActivity(1, 0, None), work=KILLED), "in_progress", "in the queue for 3s"),
    (facts(job("running"), queue=AWAY, work=KILLED), "no_worker", "was lost during the attempt"),
    (facts(job("waiting"), queue=RECONNECTING, work=KILLED), "in_progress", "all are full or lost"),
    (facts(job("running"), queue=RECONNECTING, work=KILLED), "in_progress", "the worker is full or lost"),
    (facts(job("running", lease_until=ago(1)), queue=RECONNECTING, work=SILENT), "in_progress", "its worker was lost"),
    (facts(job("waiting"), queue=RECONNECTING, work=None), "in_progress", "all are full or lost"),
    (facts(job("waiting"), queue=RECONNECTING, work=NOBODY_AT_WORK), "no_worker", "no worker is running"),
    (facts(database_failure="x"), "database_failing", "can't be looked up: our database does not answer."),
    (facts(database_failure="x", inbox=EVENT), "database_failing", "was accepted, and waits in Redis until our"),
    (facts(database_failure="x", queue_failure="x"), "database_failing", "neither our database nor Redis answers"),
    (facts(database_failure="x", desk=THERE), "delivered", "the note is in the ticket"),
    (facts(ticket_id="", database_failure="x"), "database_failing", "The job's ticket of acme can't be looked up"),
    (facts(job("waiting"), queue=AWAY), "in_progress", "no worker listens: all are full or lost"),
    (facts(job("running"), queue=AWAY), "in_progress", "listen to the queue, attempt 1: the worker is full or lost"),
    (facts(job("running"), queue=AWAY), "in_progress", "this is clear in 40s."),
    (
        facts(job("waiting", **LONG), queue=QueueActivity(101, 4, 2), most_running=2),
        "waiting_backlog",
        "2 run, which is its limit",
    ),
    (facts(job("waiting", deadline_at=NOW), most_running=2), "waiting_backlog", "until one of the tenant's jobs ends"),
    (facts(job("waiting"), queue=None, work=None), "in_progress", "in the queue"),
    (facts(job("waiting", **LONG), work=NOBODY_AT_WORK), "no_worker", "none takes one"),
    (
        facts(job("waiting", **LONG), work=replace(NOBODY_AT_WORK, last_started_at=ago(5))),
        "waiting_backlog",
        "behind other",
    ),
    (facts(job("waiting", published_at=None, due_at=ago(11))), "not_queued", "not queued although"),
    (facts(job("waiting", published_at=None)), "in_progress", "in the queue"),
    (facts(job("waiting", **SOON)), "in_progress", "next attempt at 09:30:40 UTC, in 40s"),
    (facts(job("waiting", "retried by hand", **SOON)), "in_progress", "retried by hand"),
    (facts(job("waiting", "desk unavailable", **SOON)), "desk_failing", "the next attempt is at 09:30:40 UTC, in 40s"),
    (facts(job("waiting", "desk unavailable")), "desk_failing", "the next attempt is due now"),
    (facts(job("waiting", "desk unavailable"), queue=AWAY, work=NOBODY_AT_WORK), "no_worker", "no worker is running"),
    (facts(job("waiting", "desk credentials refused", **SOON)), "desk_failing", "refuses our key"),
    (facts(job("waiting", "desk rate limit", **SOON)), "rate_held", "rate limit for this minute"),
    (facts(job("waiting", "model out of credit", **SOON)), "model_held", "no credit"),
    (facts(job("waiting", "spending limit of today reached", **SOON)), "model_held", "spending limit for today"),
    (facts(job("waiting", "tenant closed", **SOON)), "tenant_closed", "must be fixed on our side"),
    (facts(job("waiting", "another job of this ticket", **SOON)), "in_progress", "runs first"),
    (facts(job("waiting", deadline_at=NOW)), "deadline_passed", "is past its deadline"),
    (facts(job("waiting", **SOON), **NO_WORKER), "in_progress", "at 09:30:40 UTC, in 40s. Also, no worker"),
    (facts(job("waiting", "model key refused", **SOON), **NO_WORKER), "model_held", "in 40s. Also, no worker"),
    (facts(), "webhook_missing", "did not reach us"),
    (facts(webhooks=refused(403, NAMED_FOR_NONE)), "webhook_rejected", "since 09:14 UTC: unknown tenant"),
    (facts(webhooks=None), "webhook_missing", "is unknown"),
    (facts(missing=MISSED, reconcile="report"), "webhook_missing", "09:20 UTC, and no webhook arrived by 09:25"),
    (facts(missing=SEEN, reconcile="report"), "webhook_missing", "seen in the desk at 09:20 UTC, without a webhook"),
    (facts(missing=SEEN, reconcile="poll"), "webhook_missing", "new tickets; this one was seen at 09:20 UTC."),
    (facts(missing=LEFT, reconcile="poll"), "left_out", "and the tenant's rules exclude it, or"),
    (facts(webhooks=RETIRED, reconcile="poll"), "webhook_missing", "sends no webhooks and is polled"),
    (
        facts(webhooks=RETIRED, missing=MISSED, reconcile="report"),
        "webhook_rejected",
        "it is signed with the retired secret",
    ),
    (facts(missing=MISSED, reconcile="on", desk=GONE), "ticket_gone", "the desk has no ticket with this number"),
    (facts(tenant_id=None, webhooks=None), "webhook_missing", "Ticket 124 did not reach us"),
    (facts(desk=DeskProbe(asked=True, ticket="gone")), "ticket_gone", "the desk has no ticket with this number"),
    (facts(webhooks=UNREAD), "webhook_rejected", "last at 09:29 UTC: malformed payload: no ticket_id."),
    (facts(webhooks=replace(UNREAD, last_accepted_at=ago(30))), "webhook_missing", "did not reach us"),
    (
        facts(webhooks=replace(UNREAD, without_ticket=[RefusalCount(403, "token missing", 9, NOW)])),
        "webhook_missing",
        "did not reach us",
    ),
    (facts(job("waiting"), queue=None, queue_failure="it does not answer"), "not_queued", "Redis: it does not"),
    (facts(job("waiting"), queue=None, queue_failure=REDIS_REFUSES), "not_queued", "our password"),
    (facts(job("waiting", published_at=None), queue=FULL), "not_queued", "out of memory"),
    (facts(job("waiting"), queue=READ_ONLY, work=NOBODY_AT_WORK), "not_queued", "or is read-only"),
    (facts(job("running", lease_until=ago(1)), queue=READ_ONLY, work=NOBODY_AT_WORK), "not_queued", "or is read-only"),
    (facts(job("waiting"), queue=FULL), "in_progress", "in the queue"),
    (facts(webhooks=UNREAD, desk=GONE), "ticket_gone", "the desk has no ticket with this number"),
    (facts(tenant_closed=True, desk=GONE), "ticket_gone", "the desk has no ticket with this number"),
    (facts(webhooks=RETIRED, desk=GONE), "webhook_rejected", "it is signed with the retired secret"),
    (facts(job("waiting"), queue=QueueActivity(104, 0, 1), work=NOBODY_AT_WORK), "no_worker", "none takes one"),
    (facts(inbox=EVENT), "in_progress", "waits in Redis"),
    (facts(tenant_closed=True), "tenant_closed", "must be fixed on our side"),
    (
        facts(webhooks=RETIRED),
        "webhook_rejected",
        "has been wrong since 09:14 UTC: it is signed with the retired secret.",
    ),
    (facts(webhooks=refused(403, "signature mismatch")), "webhook_rejected", "has been wrong since 09:14 UTC."),
    (facts(webhooks=refused(403, OTHER_BREAKS)), "webhook_rejected", "UTC: the body that was signed had other"),
    (facts(webhooks=refused(403, "stale timestamp")), "webhook_rejected", "09:14 UTC: stale timestamp."),
    (facts(webhooks=refused(403, "token mismatch")), "webhook_rejected", "token mismatch"),
    (facts(webhooks=refused(429, "too many jobs waiting")), "webhook_rejected", "too many jobs waiting"),
    (facts(webhooks=refused(422, "malformed payload: x")), "webhook_rejected", "malformed payload: x"),
    (facts(webhooks=refused(422, "is its name spelled right?")), "webhook_rejected", "is its name spelled right"),
    (facts(webhooks=refused(403, "tenant closed")), "tenant_closed", "its webhook arrived"),
    (facts(job("completed"), webhooks=RETIRED), "delivered", "the note was added to the ticket"),
]


@pytest.mark.parametrize(("known", "verdict", "says"), CASES)
def test_what_is_known_comes_to_one_verdict(known: Facts, verdict: str, says: str) -> None:
    diagnosis = judge(known)
    assert (diagnosis.verdict.value, says in diagnosis.text) == (verdict, True), diagnosis
    assert "?." not in diagnosis.text


def test_each_verdict_is_reached_by_one_of_the_cases() -> None:
    assert {verdict for _, verdict, _ in CASES} == OF_VERDICTS.keys()


@pytest.mark.parametrize(
    ("known", "mends"),
    [
        (
            facts(job("failed", "desk unavailable", answered=True)),
            f"then run `ai-agents retry {JOB_ID}` (GPT-4's answer",
        ),
        (facts(job("waiting"), queue=QueueActivity(60, 4, 2)), "--replicas=10"),
        (facts(job("waiting"), queue=QueueActivity(101, 4, 2)), "a P1 incident"),
        *((known, "and where the API runs") for known, verdict, _ in CASES if verdict == "tenant_closed"),
        (facts(job("failed", RATE)), "check the account's credit"),
        (facts(job("failed", f"{RATE} (code rate_limit_exceeded)")), "provider, raise the account's rate"),
        (facts(job("failed", FILTERED)), "the content filter of the deployment"),
        (facts(job("skipped", "dry run")), f"`ai-agents show {JOB_ID}`"),
        (facts(job("skipped", "ticket deleted or closed")), f"`ai-agents retry {JOB_ID}`"),
        (facts(job("completed"), desk=NOT_THERE), "`ai-agents enhance --tenant acme --ticket 124`"),
        (facts(webhooks=RETIRED), "WEBHOOK_SECRET_ACME; docs/runbooks/secret-rotation.md"),
        (facts(webhooks=replace(RETIRED, last_accepted_at=ago(1))), "later webhooks were accepted"),
    ],
)
def test_the_command_that_mends_it_can_be_pasted(known: Facts, mends: str) -> None:
    assert mends in "\n".join(judge(known).actions)


OWN_LIMIT = facts(job("waiting", **LONG), queue=QueueActivity(101, 4, 2), most_running=2)
CLOSED = DeskProbe(asked=True, ticket="closed", note=False)


@pytest.mark.parametrize(
    ("known", "mends", "hidden"),
    [
        (OWN_LIMIT, "acme.jobs.most_running in tenants.toml", "kubectl"),
        (OWN_LIMIT, "", "P1"),
        *((facts(of, desk=CLOSED), "it is closed in the desk", "ai-agents enhance") for of in (None, job("completed"))),
        (facts(job("failed", "worker lost at its last attempt"), desk=DeskProbe()), "", "ai-agents retry"),
        (facts(job("skipped", "forgotten"), desk=DeskProbe()), "", "ai-agents retry"),
        (facts(job("skipped", "ticket not found"), desk=DeskProbe()), "", "ai-agents retry"),
    ],
)
def test_nothing_is_told_to_be_done_that_would_not_help(known: Facts, mends: str, hidden: str) -> None:
    told = "\n".join(judge(known).actions)
    assert mends in told
    assert hidden not in told


def test_the_job_that_says_most_is_the_newest_one_that_was_delivered() -> None:
    jobs = [listed(6, "skipped", "already enhanced"), listed(5, "failed", "unexpected failure")]
    jobs += [listed(4, "skipped", "ticket not found"), listed(7, "waiting", "another job of this ticket")]
    jobs += [listed(3, "running"), listed(2, "completed"), listed(1, "completed")]
    for left, says_most in ((jobs, 2), (jobs[:5], 3), (jobs[:3], 5), (jobs[:1], 6), (jobs[2:4], 4)):
        chosen = choose(left)
        assert chosen is not None
        assert chosen.id.int == says_most
    assert choose([]) is None


def test_a_password_for_traces_is_refused_since_links_are_printed() -> None:
    with pytest.raises(SettingsError, match="JAEGER_URL"):
        load(DiagnoseSettings, database_url="postgresql://a@b/c", jaeger_url="http://me:secret@traces:16686")
    settings = load(DiagnoseSettings, database_url="postgresql://a@b/c", jaeger_url="http://traces:16686/")
    assert settings.jaeger_url == "http://traces:16686"


KEY, DESK_KEY = "model key refused", "desk credentials refused"
REFUSES = DeskProbe(asked=True, failure="ServiceDesk Plus API: 401 Unauthorized")
NOT_ASKED = DeskProbe(failure="unknown")
MODEL_DOWN = ModelProbe(asked=True, failure="connection refused")
DESK_HELD, MODEL_HELD = job("waiting", DESK_KEY, **SOON), job("waiting", KEY, **SOON)
HELD_BOTH = happened(("claimed", None), ("held back", KEY), ("claimed", None), ("held back", DESK_KEY))


@pytest.mark.parametrize(
    ("known", "verdict", "besides"),
    [
        (facts(MODEL_HELD, desk=REFUSES), "model_held", "the desk fails now: ServiceDesk Plus"),
        (facts(DESK_HELD, held={KEY: HeldJobs(3, NOW)}), "desk_failing", f"jobs of the tenant are paused: {KEY}"),
        (facts(DESK_HELD, held={KEY: HeldJobs(3, ago(10_800))}), "desk_failing", f"refused at 06:30 UTC ({KEY})."),
        (
            facts(DESK_HELD, held_elsewhere={KEY: ago(10)}),
            "desk_failing",
            f"with the same model key are paused: {KEY}.",
        ),
        (
            facts(DESK_HELD, held_elsewhere={KEY: ago(300)}),
            "desk_failing",
            f"paused: last refused at 09:25 UTC ({KEY}).",
        ),
        (facts(DESK_HELD, model=MODEL_DOWN), "desk_failing", "server fails now: connection"),
        (facts(DESK_HELD, events=HELD_BOTH), "desk_failing", f"refused at 09:29 UTC: {KEY}"),
        (facts(MODEL_HELD, desk=NOT_ASKED, held={DESK_KEY: HeldJobs(1, NOW)}), "model_held", f"paused: {DESK_KEY}"),
        (facts(job("running"), desk=REFUSES), "in_progress", "the desk fails now"),
        (facts(job("failed", "OpenAI API: 400 Bad Request"), desk=REFUSES), "model_failing", "the desk fails now"),
        (facts(job("waiting", KEY), desk=REFUSES, **NO_WORKER), "no_worker", "the desk fails now"),
        (facts(MODEL_HELD, **NO_WORKER), "model_held", "no worker is running to take its job"),
        (facts(job("waiting", **SOON), **NO_WORKER), "in_progress", "no worker is running to take its job"),
    ],
)
def test_a_second_fault_is_named_with_what_to_do(known: Facts, verdict: str, besides: str) -> None:
    told = judge(known)
    first, _, second = told.text.partition(" Also, ")
    assert (told.verdict.value, besides in second) == (verdict, True), told
    assert first.startswith("Ticket 124 of acme ")
    assert "{" not in "".join(told.actions)


@pytest.mark.parametrize(
    "known",
    [
        facts(MODEL_HELD),
        # The desk answers now, in spite of earlier refusals.
        facts(MODEL_HELD, held={DESK_KEY: HeldJobs(1, NOW)}),
        facts(DESK_HELD, desk=REFUSES),
        facts(DESK_HELD, events=[*HELD_BOTH, *happened(("answered", None))]),
        facts(DESK_HELD, held_elsewhere={KEY: ago(90)}, events=happened(("answered", None))),
        facts(job("waiting"), **NO_WORKER),
        facts(MODEL_HELD, work=NOBODY_AT_WORK, queue=replace(NO_WORKER["queue"], takes_nothing=True)),
        facts(job("completed"), desk=REFUSES),
        facts(job("skipped", "dry run"), desk=REFUSES),
    ],
)
def test_where_there_is_one_fault_none_is_named_besides(known: Facts) -> None:
    assert "Also" not in judge(known).text


@pytest.mark.parametrize(
    ("state", "reason", "seconds", "says"),
    [
        ("waiting", KEY, 30, "is paused: the model refuses our key"),
        ("waiting", KEY, 300, f"is paused: last refused at 09:25 UTC ({KEY}); the next attempt is at"),
        ("waiting", DESK_KEY, 300, f"is paused: last refused at 09:25 UTC ({DESK_KEY})"),
        ("failed", "deadline passed", 86_400, f"has no enhancement: last refused at 2026-02-28 09:30 UTC ({KEY})"),
    ],
)
def test_a_hold_that_was_not_seen_lately_is_not_said_to_hold(state: str, reason: str, seconds: int, says: str) -> None:
    seen = Happened(ago(seconds), 1, "held back", reason if state == "waiting" else KEY)
    due = {"due_at": NOW + (NOW - ago(40))}
    assert says in judge(facts(job(state, reason, **due), events=[seen])).text
