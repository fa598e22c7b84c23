"""The retry table: failure -> delay of the retry, or final reason."""

import pytest

from integrations.errors import (
    DeskRefusedError,
    DeskTimeoutError,
    DeskUnavailableError,
    ModelRefusedError,
    ModelTimeoutError,
    ModelUnavailableError,
)
from workflow.retry import Decision, decide

SETTLE = 60.0
TEMPORARY = [
    ModelTimeoutError(30),
    ModelUnavailableError("429 Rate Limit"),
    DeskUnavailableError("429"),
    DeskTimeoutError(),
]
UNKNOWN = [DeskTimeoutError(outcome_unknown=True), DeskUnavailableError("500", outcome_unknown=True)]
UNFORESEEN = [RuntimeError("?"), KeyError("?")]


def after(failure: Exception, attempt: int = 1, left: float = 1800, jitter: float = 1.0) -> Decision:
    return decide(failure, attempt, left, SETTLE, jitter=lambda _low, _high: jitter)


@pytest.mark.parametrize("failure", [*TEMPORARY, *UNFORESEEN])
def test_what_may_pass_is_tried_again_after_twice_the_time_and_eight_times_at_most(failure: Exception) -> None:
    assert [after(failure, attempt).seconds for attempt in range(1, 8)] == [2, 4, 8, 16, 32, 64, 128]
    assert after(failure) == Decision(2, "will be retried in 2s")
    assert after(failure, 8) == Decision(None, "gave up after 8 attempts")
    assert after(failure, 9).seconds is None


@pytest.mark.parametrize("failure", [ModelRefusedError("401 Unauthorized"), DeskRefusedError("403")])
def test_what_no_repetition_helps_is_not_tried_again(failure: Exception) -> None:
    assert after(failure) == Decision(None, "not retried")


@pytest.mark.parametrize("kind", [ModelUnavailableError, DeskUnavailableError])
def test_the_server_is_not_called_before_its_retry_after(
    kind: type[ModelUnavailableError] | type[DeskUnavailableError],
) -> None:
    assert after(kind("429", 60)).seconds == 60
    assert after(kind("429", 60), attempt=7).seconds == 128
    assert after(kind("429", 0)).seconds == 2
    assert after(kind("429", 1799)) == Decision(1799, "will be retried in 1799s")


@pytest.mark.parametrize("asked", [1800, 86_400, float("inf")])
def test_a_server_that_asks_for_too_long_is_tried_once_more_before_the_deadline(asked: float) -> None:
    failure = ModelUnavailableError("429 Rate Limit", asked)
    words = "will be retried in 1740s, the last time before its deadline"
    assert after(failure) == Decision(1740, words)
    assert after(failure, attempt=7).seconds == 1740
    gave_up = Decision(None, "gave up at its deadline, the server requires a longer wait")
    for left in (62, 59, 30, 3):
        assert after(failure, 2, left=left - 1) == gave_up
    assert after(failure, 2, left=65).seconds == 5
    assert after(failure, 8) == Decision(None, "gave up after 8 attempts")
    assert after(DeskUnavailableError("503", asked, outcome_unknown=True)).seconds == 1740


@pytest.mark.parametrize("failure", UNKNOWN)
def test_a_call_of_unknown_outcome_gets_time_to_settle(failure: Exception) -> None:
    """A slow desk may store a note after the timeout: a POST at once would double it."""
    assert [after(failure, attempt).seconds for attempt in (1, 5, 6, 7)] == [60, 60, 64, 128]
    assert after(failure, 8) == Decision(None, "gave up after 8 attempts")


def test_no_attempt_begins_past_the_deadline() -> None:
    assert after(ModelTimeoutError(30), left=2.1).seconds == 2
    for left in (2, 1, 0, -5):
        assert after(ModelTimeoutError(30), left=left) == Decision(None, "gave up at its deadline")


def test_jobs_that_failed_together_do_not_come_back_together() -> None:
    drawn = {decide(ModelTimeoutError(30), 2, 3600, SETTLE).seconds or 0 for _ in range(200)}
    assert len(drawn) > 100
    assert 0 < min(drawn) < 4 < max(drawn) < 8


def test_a_wait_is_never_longer_than_five_minutes_unless_the_server_asks_for_it() -> None:
    assert max(after(DeskTimeoutError(), attempt, jitter=1.2).seconds or 0 for attempt in range(1, 8)) <= 300
