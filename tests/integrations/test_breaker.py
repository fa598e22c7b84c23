"""A server's breaker: opens after five failures in a row, tries again after 15 s."""

import asyncio
import io

import pytest

from integrations.errors import (
    DeskRefused,
    DeskTimeout,
    DeskUnavailable,
    HeldBack,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
    OutsideFailure,
)
from integrations.resilience import Breaker
from tests.kit.clock import Clock
from tests.kit.logs import StartLog

DOWN = [
    DeskTimeout(),
    DeskUnavailable("503"),
    DeskUnavailable("connection"),
    ModelTimeout(30),
    ModelUnavailable("500 Internal GuardedServer Error"),
    ModelUnavailable("connection"),
]
UP = [
    DeskUnavailable("429", 60),
    DeskUnavailable("408"),
    DeskRefused("403"),
    ModelUnavailable("429 Rate Limit"),
    ModelRefused("400 Bad Request"),
]


class GuardedServer:
    """A breaker before a server whose answers the test sets."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.breaker = Breaker("desk of acme", "desk unavailable", monotonic=self.clock, jitter=lambda low, _high: low)

    def call(self, failure: Exception | None = None) -> None:
        """Make one call; raises the caller's error."""
        with self.breaker.watch():
            if failure is not None:
                raise failure

    def fail(self, failure: OutsideFailure | None = None, times: int = 5) -> None:
        for _ in range(times):
            with pytest.raises(OutsideFailure):
                self.call(failure or DeskTimeout())

    def held_back(self) -> float:
        """Return the seconds for which a call is held back."""
        with pytest.raises(HeldBack) as held:
            self.call()
        with pytest.raises(HeldBack):
            self.breaker.check()
        assert held.value.reason == "desk unavailable"
        return held.value.seconds


@pytest.fixture
def guarded() -> GuardedServer:
    return GuardedServer()


@pytest.fixture
def log(start_log: StartLog) -> io.StringIO:
    return start_log()


@pytest.mark.parametrize("failure", DOWN, ids=str)
def test_five_failures_that_say_down_open_it_for_fifteen_seconds(
    guarded: GuardedServer, failure: OutsideFailure
) -> None:
    guarded.fail(failure, 4)
    guarded.breaker.check()
    guarded.fail(failure, 1)
    assert guarded.held_back() == 15
    guarded.clock.now += 10
    assert guarded.held_back() == 5


@pytest.mark.parametrize("failure", UP, ids=str)
def test_a_server_that_refuses_is_up(guarded: GuardedServer, failure: OutsideFailure) -> None:
    guarded.fail(failure, 20)
    guarded.fail(times=4)
    guarded.fail(failure, 1)
    guarded.fail(times=4)
    guarded.call()


def test_failures_count_only_in_a_row(guarded: GuardedServer) -> None:
    for _ in range(5):
        guarded.fail(times=4)
        guarded.call()
    guarded.breaker.check()


def test_one_trial_closes_it_for_all(guarded: GuardedServer, log: io.StringIO) -> None:
    guarded.fail()
    guarded.clock.now += 15
    with guarded.breaker.watch():
        assert guarded.held_back() == 5
    guarded.call()
    guarded.fail(times=4)
    guarded.call()
    opened, closed = log.getvalue().splitlines()
    assert "Breaker error: desk of acme failed 5 times in a row, jobs held back for 15s" in opened
    assert "Breaker closed: desk of acme is back" in closed


def test_a_trial_that_fails_opens_it_again_and_says_nothing(guarded: GuardedServer, log: io.StringIO) -> None:
    guarded.fail()
    for _ in range(3):
        guarded.clock.now += 15
        guarded.fail(times=1)
        assert guarded.held_back() == 15
    assert len(log.getvalue().splitlines()) == 1


@pytest.mark.parametrize("end", [asyncio.CancelledError(), RuntimeError()], ids=repr)
def test_a_trial_without_an_answer_leaves_it_to_the_next_call(guarded: GuardedServer, end: BaseException) -> None:
    guarded.fail()
    guarded.clock.now += 15
    with pytest.raises(type(end)), guarded.breaker.watch():
        raise end
    guarded.call()
    guarded.breaker.check()


def test_calls_that_began_before_it_opened_change_nothing(guarded: GuardedServer) -> None:
    """Sixty jobs call a silent desk; some of their timeouts come after the opening."""
    late = [guarded.breaker.watch() for _ in range(3)]
    for call in late:
        call.__enter__()
    guarded.fail()
    guarded.clock.now += 10
    late[0].__exit__(None, None, None)
    late[1].__exit__(DeskTimeout, DeskTimeout(), None)
    assert guarded.held_back() == 5
    guarded.clock.now += 5
    with guarded.breaker.watch():
        late[2].__exit__(None, None, None)
        assert guarded.held_back() == 5


def test_held_back_jobs_do_not_come_back_all_at_once() -> None:
    breaker = Breaker("desk of acme", "desk unavailable", most_failures=1)
    with pytest.raises(DeskTimeout), breaker.watch():
        raise DeskTimeout
    seconds = set()
    for _ in range(20):
        with pytest.raises(HeldBack) as held:
            breaker.check()
        seconds.add(held.value.seconds)
    assert len(seconds) > 10
    assert 14.9 < min(seconds) <= max(seconds) <= 18
