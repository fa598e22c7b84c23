"""Retries of a store that is away: one call in each rest."""

from dispatch.intake import StoreBreaker
from tests.kit.clock import Clock


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
