"""Labels with external values: few and short."""

from observability.counting import FewValues


def test_the_first_values_are_told_and_all_others_are_one() -> None:
    values = FewValues(3)
    assert [values.of(value) for value in ("a", "b", "a", "c" * 500, "d", "b", "e")] == [
        *("a", "b", "a", "c" * 80, "other", "b", "other")
    ]
