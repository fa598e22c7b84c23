"""What is made of the lines about a job's end, held against its row."""

from typing import Any

import pytest

from tests.system.chaos.said import Comparison, Death, Said, judged, said_in

_JOB = "0199a0b1-0000-7000-8000-000000000001"
_HEAD = "2026-11-04T09:00:00.000Z info    "
_FINE = Comparison((), 0, ())


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


def test_a_line_that_is_still_being_written_is_not_there_yet() -> None:
    assert said_in("worker-1", f"{_HEAD} Task failed: job_id={_JOB}, ticket_id=7, reason=GPT-4 time") == []


def test_other_lines_about_a_job_are_no_end() -> None:
    assert said_in("api", f"{_HEAD} Job queued: job_id={_JOB}, ticket_id=7 | job_id: {_JOB}\n") == []


@pytest.mark.parametrize("state", ["completed", "skipped", "failed"])
def test_one_final_line_that_fits_the_row_is_fine(state: str) -> None:
    assert judged([_JOB], _row(state), _said("started", "goes on", "started", state), []) == _FINE


def test_a_claim_lost_after_the_end_is_fine() -> None:
    assert judged([_JOB], _row(), _said("started", "completed", "goes on"), []) == _FINE


def test_two_final_lines_are_one_too_many() -> None:
    said = _said("completed") + _said("completed", process="worker-2")
    assert len(judged([_JOB], _row(), said, []).problems) == 1


def test_a_final_line_that_the_row_contradicts_is_a_problem() -> None:
    assert len(judged([_JOB], _row("completed"), _said("failed"), []).problems) == 1


@pytest.mark.parametrize("rows", [{}, _row("running")])
def test_a_job_without_an_end_in_the_row_is_a_problem_whatever_the_log_says(rows: dict[str, Any]) -> None:
    assert [len(judged([_JOB], rows, said, []).problems) for said in ([], _said("completed"))] == [1, 1]


def test_no_final_line_is_a_problem() -> None:
    told = judged([_JOB], _row(), _said("started", "goes on"), [])
    assert (told.missing, told.unsaid, len(told.problems)) == ((_JOB,), 0, 1)


def test_no_line_is_excused_when_its_process_was_killed_right_after_the_commit() -> None:
    assert judged([_JOB], _row(), _said("started"), [Death("worker-1", 100.1, 100.2)]) == Comparison((), 1, ())


@pytest.mark.parametrize(
    "death",
    [Death("worker-1", 103, 103.1), Death("worker-1", 98, 98.1), Death("worker-2", 100.1, 100.2)],
    ids=["long after", "long before", "another process"],
)
def test_no_other_death_excuses_it(death: Death) -> None:
    assert judged([_JOB], _row(), _said("started"), [death]).missing == (_JOB,)


def test_a_relay_ends_a_job_that_it_never_began() -> None:
    assert judged([_JOB], _row("skipped"), [], [Death("api", 100.1, 100.2)]) == Comparison((), 1, ())


def test_a_death_excuses_no_second_line() -> None:
    told = judged([_JOB], _row(), _said("completed", "completed"), [Death("worker-1", 100.1, 100.2)])
    assert len(told.problems) == 1


def test_lines_of_jobs_that_nobody_asks_for_do_not_matter() -> None:
    assert judged([], {}, _said("completed", "failed"), []) == _FINE
