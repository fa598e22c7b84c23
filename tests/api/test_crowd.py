"""Choice of the connections to close when there are too many."""

import pytest

from api.server import Crowd


def names(crowd: Crowd, now: float) -> list[str]:
    return list(crowd.make_room(now))


@pytest.fixture
def crowd() -> Crowd:
    """Return a crowd: room for three, five in a rush; `a`, `b`, `c` are oldest."""
    made: Crowd = Crowd(most=3, in_a_rush=5)
    for at, name in enumerate("abc"):
        made.wait(name, float(at))
    return made


def test_while_there_is_room_nobody_goes(crowd: Crowd) -> None:
    assert names(crowd, 100) == []
    assert len(crowd) == 3


def test_who_waits_longest_goes_and_then_there_is_room(crowd: Crowd) -> None:
    crowd.wait("d", 100)
    assert names(crowd, 100) == ["a"]
    assert len(crowd) == 3
    crowd.wait("e", 101)
    assert names(crowd, 101) == ["b"]


def test_a_piece_of_a_request_makes_nobody_younger(crowd: Crowd) -> None:
    crowd.wait("a", 99)
    crowd.wait("d", 100)
    assert names(crowd, 100) == ["a"]


def test_who_was_answered_waits_anew_behind_those_that_came_meanwhile(crowd: Crowd) -> None:
    crowd.serve("a")
    crowd.wait("d", 100)
    crowd.wait("a", 101)
    crowd.wait("e", 102)
    assert names(crowd, 102) == ["b", "c"]


def test_whose_request_is_being_answered_never_goes(crowd: Crowd) -> None:
    for name in "abc":
        crowd.serve(name)
    assert crowd.is_busy
    crowd.wait("d", 100)
    assert names(crowd, 200) == ["d"]
    crowd.leave("b")
    assert not crowd.is_busy


def test_who_has_just_come_has_a_moment_for_its_request_unless_it_is_a_rush(crowd: Crowd) -> None:
    for name in "abc":
        crowd.leave(name)
    for name in "vwxyz":
        crowd.wait(name, 100)
        assert names(crowd, 100) == []
    crowd.wait("!", 100.01)
    assert names(crowd, 100.01) == ["v"]
    assert names(crowd, 100.2) == ["w", "x"]
