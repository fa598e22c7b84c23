"""Two answers side by side: wrapped, aligned, and without terminal commands."""

from support.replay import parts_of, side_by_side
from tests.storage.exchanges import ANSWER


def test_both_sides_are_wrapped_to_half_of_what_is_left_of_the_width() -> None:
    rows = [
        ("", ["BEFORE"], ["NOW"]),
        ("cause", ["Large attachments fill the mailbox."], ["The quota."]),
        ("steps", ["1. Raise it.", "2. Archive."], ["1. Raise it.", "2. Archive."]),
        ("model", ["m\x1b[2J"], []),
    ]
    assert side_by_side(rows, 49).splitlines() == [
        "       BEFORE                NOW",
        "cause  Large attachments     The quota.",
        "       fill the mailbox.",
        "steps  1. Raise it.          the same",
        "       2. Archive.",
        "model  m?[2J",
    ]
    assert max(map(len, side_by_side([("x", ["word " * 90], ["word " * 90])], None).splitlines())) <= 120


def test_parts_name_sources_by_their_titles_and_those_that_were_not_found() -> None:
    parts = parts_of(ANSWER | {"sources": [{"id": each, "gives": "g"} for each in ("T1", "T2")]}, {"T1": "VPN"})
    assert parts["sources"] == ["T1 VPN: g", "T2 (was not found): g"]
    assert parts["steps"] == ["1. Raise the quota of [PERSON_1]."]


def test_an_answer_of_another_release_is_told_as_far_as_it_has_this_form() -> None:
    parts = parts_of({"summary": "S", "likely_cause": "C", "next_steps": ["N"]}, {})
    assert (parts["summary"], parts["cause"], parts["questions"]) == (["S"], ["-"], ["-"])
