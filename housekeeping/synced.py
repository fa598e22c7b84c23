"""What a sync of one desk has done."""

from typing import NamedTuple


class Synced(NamedTuple):
    """How many were copied, and how many copies were removed, because the desk has no such ticket or solution."""

    tickets: int
    passages: int
    removed: int
    with_solutions: bool = True  # False where the desk refuses to list them
