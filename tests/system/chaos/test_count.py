"""The one excused answer: sent to a process that stopped before it was stored."""

from typing import Any

import pytest

from tests.system.chaos.count import Count, answers_beyond_one, is_held, is_missed
from tests.system.chaos.held import Excuse
from tests.system.chaos.run import verdict

ZEROS = ("refused", "lost", "doubled", "paid_twice", "excused", "cut_off", "unsaid", "held_in_post")


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
