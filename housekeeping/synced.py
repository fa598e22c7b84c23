"""What a sync of one desk has done."""

from typing import NamedTuple


class Synced(NamedTuple):
    """How many were copied, and how many copies were removed, because the desk has no such ticket or solution."""

    tickets: int
    passages: int
    removed: int
    to_read: int = 0
    """Tickets and solutions that are still to be read."""
    with_solutions: bool = True  # False where the desk refuses to list them
