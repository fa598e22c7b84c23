"""Result of the sync of one desk."""

from typing import NamedTuple


class Synced(NamedTuple):
    """Numbers of copied items, and of copies removed because the desk lacks them."""

    tickets: int
    passages: int
    removed: int
    to_read: int = 0
    """Tickets and solutions that are still to be read."""
    with_solutions: bool = True
    """False where the desk refuses to list them."""
    refused: int = 0
    """Single ones that the desk did not give."""
    done: bool = True
    """False if there was more to do when its time was over."""
    stopped: str = ""
    """Why a list was not read as far as there was time for, if it was not."""
