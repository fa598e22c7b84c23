"""How many leases may run out though nobody stopped their process."""

import pytest

from tests.system.chaos.leases import too_many


@pytest.mark.parametrize(("ran_out", "accepted"), [(0, 0), (10, 100), (17, 869)])
def test_a_few_may(ran_out: int, accepted: int) -> None:
    assert too_many(ran_out, accepted) == []


@pytest.mark.parametrize(("ran_out", "accepted"), [(11, 100), (18, 869), (100, 100)])
def test_more_may_be_renewals_that_do_not_work(ran_out: int, accepted: int) -> None:
    [problem] = too_many(ran_out, accepted)
    assert "too busy, or renewals don't work" in problem
