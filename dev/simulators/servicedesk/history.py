"""A desk's history: generated solved tickets and articles, each different."""

from collections.abc import Iterator
from typing import NamedTuple

_THINGS = ("printer", "scanner", "laptop", "docking station", "headset", "badge reader", "projector", "mailbox")
_FAULTS = ("does not start", "is slow", "shows an error", "is not found", "asks for a password", "loses its connection")
_PLACES = ("Lisbon", "Graz", "Turin", "Porto", "Lille", "Bremen", "Basel")
_CURES = ("replaced the cable", "installed the driver again", "renewed the certificate", "cleared the cache")


class PastTicket(NamedTuple):
    """A past ticket; `open` if it is unsolved."""

    subject: str
    description: str
    resolution: str
    category: str
    group: str
    open: bool


def past_tickets(count: int) -> Iterator[PastTicket]:
    """Generate `count` tickets, oldest first; one in ten is open."""
    for number in range(count):
        thing, fault = _THINGS[number % len(_THINGS)], _FAULTS[number // 3 % len(_FAULTS)]
        place, cure = _PLACES[number % len(_PLACES)], _CURES[number // 5 % len(_CURES)]
        yield PastTicket(
            f"The {thing} in {place} {fault}",
            f"Since this morning the {thing} of room {number % 997} in {place} {fault}. Asset A{number:06d}.",
            f"The technician {cure} of asset A{number:06d}; the {thing} works again.",
            ("Hardware", "Network", "Software")[number % 3],
            ("Hardware Problems", "Network")[number % 2],
            number % 10 == 7,
        )


def past_articles(count: int) -> Iterator[tuple[str, str, str]]:
    for number in range(count):
        thing, cure = _THINGS[number % len(_THINGS)], _CURES[number // 8 % len(_CURES)]
        text = f"If the {thing} of type T{number:05d} fails, see whether somebody {cure}; else call the help desk."
        yield f"What to do with a {thing} of type T{number:05d}", text, ("Hardware", "Network")[number % 2]
