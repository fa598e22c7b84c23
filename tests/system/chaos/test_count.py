"""Comparison of a job's final lines with its row, excused answers and expired leases."""

from typing import Any

import pytest

from tests.system.chaos.count import ENDED, Comparison, Said, answers_beyond_one, judged, said_in
from tests.system.chaos.stage import Death, Excuse, too_many


def _call(began: float, outcome: str = "answered") -> dict[str, Any]:
    return {"time": began, "outcome": outcome, "seconds": 0.5}


# A process that stopped before the answer of its call from 1 to 1.5 was safe.
_STOPPED = Excuse("job", 0.5, 1.4)
_LATER = Excuse("job", 2.5, 3.2)
# The grace period ends at 1.55: the call from 1 to 1.5 was under way, the one from 0.5 to 1 was there.
_GIVEN_BACK = Excuse("job", 0, 1.55, not_before=1.45)
_LEFT = "client_left"


@pytest.mark.parametrize(
    ("calls", "excuses", "beyond"),
    [
        pytest.param([_call(1, _LEFT), _call(2)], [], (0, 0), id="one"),
        pytest.param([_call(1), _call(5)], [], (1, 0), id="a second one"),
        pytest.param([_call(1), _call(5)], [_STOPPED], (0, 1), id="excused"),
        pytest.param([_call(1), _call(1.2), _call(5)], [_STOPPED], (1, 1), id="one excuse for two"),
        pytest.param([_call(1), _call(3, _LEFT), _call(6)], [_LATER], (1, 0), id="an earlier attempt's"),
        pytest.param([_call(1, _LEFT), _call(5), _call(9)], [_STOPPED], (1, 0), id="after the stop"),
        pytest.param([_call(1), _call(5)], [_GIVEN_BACK], (0, 1), id="on its way"),
        pytest.param([_call(0.5), _call(5)], [_GIVEN_BACK], (1, 0), id="complete before its call was broken off"),
    ],
)
def test_answers_beyond_one_are_too_many_or_excused(
    calls: list[dict[str, Any]], excuses: list[Excuse], beyond: tuple[int, int]
) -> None:
    assert answers_beyond_one(calls, excuses) == beyond


_JOB = "0199a0b1-0000-7000-8000-000000000001"
_HEAD = "2026-11-04T09:00:00.000Z info    "
_FINE = Comparison([], 0, [])
_MISSING = Comparison([_JOB], 0, [])
_UNSAID = Comparison([], 1, [])
_KILLED = Death("worker-1", 100.1, 100.2)


def _row(state: str = "completed", finished: float = 100.0) -> dict[str, dict[str, Any]]:
    return {_JOB: {"state": state, "finished": finished}}


def _said(*what: str, process: str = "worker-1") -> list[Said]:
    return [Said(_JOB, process, one) for one in what]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (f"Task started: job_id={_JOB}, ticket_id=7", "started"),
        (f"Task completed: job_id={_JOB}, duration=1s", "completed"),
        (f"Task skipped: job_id={_JOB}, ticket_id=7, reason=duplicate webhook", "skipped"),
        (f"Task failed: job_id={_JOB}, ticket_id=7, reason=GPT-4 timeout; gave up after 8 attempts", "failed"),
        (f"Task failed: job_id={_JOB}, ticket_id=7, reason=deadline passed; not retried", "failed"),
        (f"Task failed: job_id={_JOB}, ticket_id=7, reason=GPT-4 timeout; will be retried in 2s", "goes on"),
        (f"Task failed: job_id={_JOB}, ticket_id=7, reason=claim lost; left to another attempt", "goes on"),
        (f"Task failed: job_id={_JOB}, ticket_id=7, reason=x; will be looked for once more in 4s", "goes on"),
    ],
)
def test_a_line_is_known_by_its_words(line: str, what: str) -> None:
    assert said_in("worker-1", f"{_HEAD} {line} | ticket_id: 7, job_id: {_JOB}\n") == _said(what)


@pytest.mark.parametrize("line", [f"Task failed: job_id={_JOB}, reason=GPT-4 time", f"Job queued: job_id={_JOB}\n"])
def test_unfinished_lines_and_others_are_no_end(line: str) -> None:
    assert said_in("worker-1", f"{_HEAD} {line}") == []


@pytest.mark.parametrize(
    ("rows", "said", "deaths", "told"),
    [
        *((_row(state), _said("started", "goes on", "started", state), [], _FINE) for state in ENDED),
        pytest.param(_row(), _said("started", "completed", "goes on"), [], _FINE, id="a claim lost after the end"),
        pytest.param(_row(), _said("started", "goes on"), [], _MISSING, id="no final line"),
        pytest.param(_row(), _said("started"), [_KILLED], _UNSAID, id="killed right after the commit"),
        pytest.param(_row(), _said("started"), [Death("worker-1", 103, 103.1)], _MISSING, id="killed long after"),
        pytest.param(_row(), _said("started"), [Death("worker-1", 98, 98.1)], _MISSING, id="killed long before"),
        pytest.param(_row(), _said("started"), [Death("worker-2", 100.1, 100.2)], _MISSING, id="another one killed"),
        pytest.param(_row("skipped"), [], [Death("api", 100.1, 100.2)], _UNSAID, id="a relay's end, never begun there"),
    ],
)
def test_a_row_needs_one_final_line_unless_its_process_was_killed_then(
    rows: dict[str, dict[str, Any]], said: list[Said], deaths: list[Death], told: Comparison
) -> None:
    assert judged([_JOB], rows, said, deaths) == told


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        pytest.param(_row(), [*_said("completed"), *_said("completed", process="worker-2")], id="two final lines"),
        pytest.param(_row(), _said("completed", "completed"), id="two of one process"),
        pytest.param(_row(), _said("failed"), id="a line that the row contradicts"),
        *((rows, said) for rows in ({}, _row("running")) for said in ([], _said("completed"))),
    ],
)
def test_what_does_not_fit_is_a_problem_whoever_was_killed(rows: dict[str, Any], said: list[Said]) -> None:
    assert [len(judged([_JOB], rows, said, deaths).problems) for deaths in ([], [_KILLED])] == [1, 1]


def test_a_few_may_and_more_may_be_renewals_that_do_not_work() -> None:
    assert [too_many(ran_out, accepted) for ran_out, accepted in ((0, 0), (10, 100), (17, 869))] == [[]] * 3
    for ran_out, accepted in ((11, 100), (18, 869), (100, 100)):
        (problem,) = too_many(ran_out, accepted)
        assert "too busy, or renewals don't work" in problem
