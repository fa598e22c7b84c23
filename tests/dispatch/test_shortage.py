"""The number of lost messages: certain ones at once, others after a delay."""

from dispatch.shortage import Shortage
from tests.kit.clock import Clock


def test_what_no_worker_can_have_in_its_hands_is_lost_at_once() -> None:
    shortage = Shortage()
    assert shortage.lost(3, unclaimed=0) == 3
    assert shortage.lost(3, unclaimed=2) == 1
    assert shortage.lost(3, unclaimed=5) == 0
    assert shortage.lost(0, unclaimed=0) == 0
    assert shortage.lost(-4, unclaimed=0) == 0


def test_what_was_short_for_long_is_lost_whoever_may_have_it() -> None:
    clock = Clock()
    shortage = Shortage(clock)
    for seconds, short in ((0, 9), (5, 4), (30, 6)):
        clock.now = seconds
        assert shortage.lost(short, unclaimed=20) == 0
    clock.now = 41
    assert shortage.lost(5, unclaimed=20) == 4
    # The period starts again: a republished message needs time to be claimed.
    clock.now = 46
    assert shortage.lost(1, unclaimed=20) == 0


def test_messages_that_come_and_go_are_not_lost() -> None:
    clock = Clock()
    shortage = Shortage(clock)
    for seconds in range(0, 200, 5):
        clock.now = seconds
        assert shortage.lost(2 if seconds % 30 else 0, unclaimed=2) == 0
