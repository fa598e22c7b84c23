"""Outage lines of a dead dependency: at once and each minute."""

from dispatch.store_breaker import StoreBreaker
from observability import phrases
from observability.logging import Outage
from tests.kit.clock import Clock
from tests.kit.logs import StartLog


def test_an_outage_is_told_at_its_beginning_and_once_a_minute(start_log: StartLog) -> None:
    stream, clock = start_log(), Clock(0)
    outage = Outage(phrases.REDIS_UNREACHABLE, monotonic=clock)
    for clock.now in (0.0, 1.0, 59.0):
        outage.seen("jobs wait in the database", OSError("hunter2"))
    assert stream.getvalue().count("Redis error: jobs wait in the database") == 1
    clock.now = 60.0
    outage.seen("jobs wait in the database")
    assert stream.getvalue().count("Redis error") == 2
    assert "hunter2" not in stream.getvalue()


def test_the_next_outage_is_told_at_once(start_log: StartLog) -> None:
    stream, clock = start_log(), Clock(0)
    outage = Outage(phrases.REDIS_UNREACHABLE, monotonic=clock)
    outage.seen("x")
    outage.over()
    outage.seen("x")
    assert stream.getvalue().count("Redis error") == 2


def test_after_a_failure_one_call_in_each_rest_tries_until_one_worked() -> None:
    clock = Clock(0)
    breaker = StoreBreaker(rest_seconds=5, monotonic=clock)
    assert [breaker.lets_try() for _ in range(3)] == [True, True, True]
    breaker.failed()
    clock.now = 4.9
    assert not breaker.lets_try()
    clock.now = 5.0
    assert [breaker.lets_try() for _ in range(3)] == [True, False, False]
    clock.now = 10.0
    assert breaker.lets_try()
    breaker.worked()
    assert [breaker.lets_try() for _ in range(3)] == [True, True, True]
