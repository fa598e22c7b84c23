"""A second fault beside the first, and the time of an earlier refusal."""

from dataclasses import replace
from typing import Any

import pytest

from integrations.looks import DeskLook, ModelLook
from storage.by_hand import Happened
from storage.job_figures import HeldJobs
from support.diagnose.facts import Facts, QueueSigns
from support.diagnose.judging import judge
from tests.support.known import NOBODY_AT_WORK, NOW, ago, facts, happened, job

SOON: dict[str, Any] = {"due_at": ago(-40)}
NO_WORKER: dict[str, Any] = {"work": NOBODY_AT_WORK, "queue": QueueSigns(0, 0, 0)}
KEY, DESK_KEY = "model key refused", "desk credentials refused"
REFUSES = DeskLook(asked=True, failure="ServiceDesk Plus API: 401 Unauthorized")
NOT_ASKED = DeskLook(failure="unknown")
MODEL_DOWN = ModelLook(asked=True, failure="connection refused")
HELD_BOTH = happened(("claimed", None), ("held back", KEY), ("claimed", None), ("held back", DESK_KEY))


@pytest.mark.parametrize(
    ("known", "verdict", "besides"),
    [
        (facts(job("waiting", KEY, **SOON), desk=REFUSES), "model_held", "the desk fails just now: ServiceDesk Plus"),
        (
            facts(job("waiting", DESK_KEY, **SOON), held={KEY: HeldJobs(3, NOW)}),
            "desk_failing",
            f"jobs of the client wait: {KEY}",
        ),
        (
            facts(job("waiting", DESK_KEY, **SOON), held={KEY: HeldJobs(3, ago(10_800))}),
            "desk_failing",
            f"jobs of the client wait: last refused at 06:30 UTC ({KEY}).",
        ),
        (
            facts(job("waiting", DESK_KEY, **SOON), held_elsewhere={KEY: ago(10)}),
            "desk_failing",
            f"jobs with the same model key wait: {KEY}.",
        ),
        (
            facts(job("waiting", DESK_KEY, **SOON), held_elsewhere={KEY: ago(300)}),
            "desk_failing",
            f"jobs with the same model key wait: last refused at 09:25 UTC ({KEY}).",
        ),
        (
            facts(job("waiting", DESK_KEY, **SOON), model=MODEL_DOWN),
            "desk_failing",
            "server fails just now: connection",
        ),
        (facts(job("waiting", DESK_KEY, **SOON), events=HELD_BOTH), "desk_failing", f"refused at 09:29 UTC: {KEY}"),
        (
            facts(job("waiting", KEY, **SOON), desk=NOT_ASKED, held={DESK_KEY: HeldJobs(1, NOW)}),
            "model_held",
            f"wait: {DESK_KEY}",
        ),
        (facts(job("running"), desk=REFUSES), "in_progress", "the desk fails just now"),
        (facts(job("failed", "OpenAI API: 400 Bad Request"), desk=REFUSES), "model_failing", "the desk fails just now"),
        (
            facts(job("waiting", KEY), desk=REFUSES, work=NOBODY_AT_WORK, queue=QueueSigns(3, 3, 0)),
            "no_worker",
            "the desk fails just now",
        ),
        (facts(job("waiting", KEY, **SOON), **NO_WORKER), "model_held", "no worker is there to take its job"),
        (facts(job("waiting", **SOON), **NO_WORKER), "in_progress", "no worker is there to take its job"),
    ],
)
def test_a_second_fault_is_named_with_what_to_do(known: Facts, verdict: str, besides: str) -> None:
    told = judge(known)
    first, _, second = told.says.partition(" Besides, ")
    assert (told.verdict.value, besides in second) == (verdict, True), told
    assert first.startswith("Ticket 124 of acme ")
    assert "{" not in "".join(told.mends)


@pytest.mark.parametrize(
    "known",
    [
        facts(job("waiting", KEY, **SOON)),
        # The desk answers now, in spite of earlier refusals.
        facts(job("waiting", KEY, **SOON), held={DESK_KEY: HeldJobs(1, NOW)}),
        facts(job("waiting", DESK_KEY, **SOON), desk=REFUSES),
        facts(job("waiting", DESK_KEY, **SOON), events=[*HELD_BOTH, *happened(("answered", None))]),
        facts(job("waiting", DESK_KEY, **SOON), held_elsewhere={KEY: ago(90)}, events=happened(("answered", None))),
        facts(job("waiting"), **NO_WORKER),
        facts(job("waiting", KEY, **SOON), work=NOBODY_AT_WORK, queue=replace(NO_WORKER["queue"], takes_nothing=True)),
        facts(job("completed"), desk=REFUSES),
        facts(job("skipped", "dry run"), desk=REFUSES),
    ],
)
def test_where_there_is_one_fault_none_is_named_besides(known: Facts) -> None:
    assert "Besides" not in judge(known).says


@pytest.mark.parametrize(
    ("state", "reason", "seconds", "says"),
    [
        ("waiting", KEY, 30, "waits for the model: its key is refused"),
        ("waiting", KEY, 300, f"waits: last refused at 09:25 UTC ({KEY}); the next try is at"),
        ("waiting", DESK_KEY, 300, f"waits: last refused at 09:25 UTC ({DESK_KEY})"),
        ("failed", "deadline passed", 86_400, f"has no enhancement: last refused at 2026-02-28 09:30 UTC ({KEY})"),
    ],
)
def test_a_hold_that_was_not_seen_lately_is_not_said_to_hold(state: str, reason: str, seconds: int, says: str) -> None:
    seen = Happened(ago(seconds), 1, "held back", reason if state == "waiting" else KEY)
    due = {"due_at": NOW + (NOW - ago(40))}
    assert says in judge(facts(job(state, reason, **due), events=[seen])).says


@pytest.mark.parametrize("reason", [KEY, None])
def test_without_a_worker_no_try_comes_by_itself(reason: str | None) -> None:
    says = judge(facts(job("waiting", reason, **SOON), **NO_WORKER)).says
    assert "at 09:30:40 UTC, in 40s. Besides, no worker" in says
