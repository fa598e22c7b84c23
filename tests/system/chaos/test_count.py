"""What the count lets pass: one answer that went to a process which was stopped before it was safe, and no other."""

from typing import Any

import pytest

from tests.system.chaos.count import Count, answers_beyond_one, is_held, is_missed
from tests.system.chaos.held import Excuse
from tests.system.chaos.run import verdict

ZEROS = ("refused", "lost", "doubled", "paid_twice", "excused", "cut_off", "unsaid", "held_in_post")


def _call(began: float, outcome: str = "answered") -> dict[str, Any]:
    return {"time": began, "outcome": outcome, "seconds": 0.5}


def test_one_answer_is_not_too_many() -> None:
    assert answers_beyond_one([_call(1, "client_left"), _call(2)], []) == (0, 0)


def test_a_second_answer_is_one_too_many() -> None:
    assert answers_beyond_one([_call(1), _call(5)], []) == (1, 0)


def test_the_answer_of_a_process_that_was_stopped_before_it_was_safe_is_excused() -> None:
    assert answers_beyond_one([_call(1), _call(5)], [Excuse("job", 0.5, 1.4)]) == (0, 1)


def test_an_excuse_is_good_for_one_answer() -> None:
    assert answers_beyond_one([_call(1), _call(1.2), _call(5)], [Excuse("job", 0.5, 1.4)]) == (1, 1)


def test_an_excuse_does_not_cover_an_earlier_attempt() -> None:
    calls = [_call(1), _call(3, "client_left"), _call(6)]
    assert answers_beyond_one(calls, [Excuse("job", 2.5, 3.2)]) == (1, 0)


def test_an_excuse_does_not_cover_what_came_after_the_stop() -> None:
    calls = [_call(1, "client_left"), _call(5), _call(9)]
    assert answers_beyond_one(calls, [Excuse("job", 0.5, 1.4)]) == (1, 0)


def test_an_answer_that_was_complete_before_the_call_was_broken_off_has_no_excuse() -> None:
    """The end of a grace at 1.55: the call from 1 to 1.5 was on its way, the one from 0.5 to 1 was there."""
    excuse = Excuse("job", 0, 1.55, not_before=1.45)
    assert answers_beyond_one([_call(1), _call(5)], [excuse]) == (0, 1)
    assert answers_beyond_one([_call(0.5), _call(5)], [excuse]) == (1, 0)


@pytest.mark.parametrize(("published_late", "missed"), [(None, False), (0.0, False), (8.5, False), (61.2, True)])
def test_a_job_whose_message_was_held_for_a_minute_is_missed(published_late: float | None, missed: bool) -> None:
    assert is_missed({"published_late": published_late}) == missed


@pytest.mark.parametrize(
    ("row", "held"),
    [
        ({}, False),
        ({"state": "waiting", "published_for": None}, False),
        ({"state": "waiting", "published_for": 3.0}, False),
        ({"state": "waiting", "published_for": 12.0}, True),
        ({"state": "running", "published_for": 12.0}, False),
    ],
)
def test_a_job_that_nobody_claims_does_not_hold_up_the_next_fault(row: dict[str, Any], held: bool) -> None:
    assert is_held(row) == held


def test_faults_that_took_a_minute_are_named_with_the_reason() -> None:
    def count(fault: str, missed: int) -> Count:
        return Count(
            fault,
            seconds=70,
            accepted=5,
            completed=5,
            missed=missed,
            **dict.fromkeys(ZEROS, 0),  # type: ignore[arg-type]  # none of them is `problems`
        )

    told = verdict([count("worker killed", 2), count("API killed", 0), count("all", 2)], 0)
    assert '"worker killed" took over a minute: of 2 jobs the worker was killed between' in told
    assert "took over a minute" not in verdict([count("API killed", 0), count("all", 0)], 0)
