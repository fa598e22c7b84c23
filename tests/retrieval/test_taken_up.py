"""Share of a resolution's words that a note contained, if there are enough words."""

import pytest

from retrieval.taken_up import taken_up

STEPS = ["Reset the WAN Miniport (IKEv2) in the device manager.", "Then dial again."]
TICKET = "VPN fails with error 720"


@pytest.mark.parametrize(
    ("resolution", "least", "most"),
    [
        ("Reset the WAN miniport in the device manager; dials again.", 0.9, 1),
        ("Resetting WAN Miniports helped; also replaced the network card.", 0.3, 0.6),
        ("Replaced the network card, the old one was broken.", 0, 0.1),
        ("Sperrte das Konto und richtete ein neues Kennwort ein.", 0, 0.1),
    ],
    ids=["all", "half", "nothing", "another language"],
)
def test_it_is_the_share_of_the_resolutions_terms_that_the_steps_have(
    resolution: str, least: float, most: float
) -> None:
    share = taken_up(STEPS, resolution, TICKET)
    assert share is not None
    assert least <= share <= most


def test_what_the_ticket_said_itself_shows_nothing_of_the_note() -> None:
    steps = ["VPN error 720: fails at the miniport."]
    assert taken_up(steps, "VPN fails with error 720: replaced cable, port and switch.", TICKET) == 0


@pytest.mark.parametrize("resolution", ["", "fixed", "Done, as discussed.", "VPN fails with error 720", "?!", "\ud83d"])
def test_a_resolution_that_says_too_little_is_not_measured(resolution: str) -> None:
    assert taken_up(STEPS, resolution, TICKET) is None


def test_without_steps_there_is_no_measure() -> None:
    assert taken_up([], "Reset the WAN Miniport in the device manager.", TICKET) is None


def test_long_texts_are_measured_by_their_begin() -> None:
    begin = "Reset the WAN Miniport in the device manager. "
    share = taken_up(STEPS, begin + "x " * 1_000_000, TICKET)
    assert share is not None
    assert share > 0.5
