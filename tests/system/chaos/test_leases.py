"""The number of leases that may expire without a stopped process."""

from tests.system.chaos.leases import too_many


def test_a_few_may_and_more_may_be_renewals_that_do_not_work() -> None:
    assert [too_many(ran_out, accepted) for ran_out, accepted in ((0, 0), (10, 100), (17, 869))] == [[]] * 3
    for ran_out, accepted in ((11, 100), (18, 869), (100, 100)):
        (problem,) = too_many(ran_out, accepted)
        assert "too busy, or renewals don't work" in problem
