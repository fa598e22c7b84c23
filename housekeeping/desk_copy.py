"""State of the copying of one desk, shared by all steps."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, NamedTuple, Protocol

from housekeeping.forbidden import Forbidden
from housekeeping.pace import CopyPace
from housekeeping.reopened import Reopened
from integrations.errors import OutsideFailure
from integrations.servicedesk.client import ServiceDeskPlus
from storage.listings import Collection, Holder
from storage.session import Database

UNSEEN_HOURS = 20
"""Then is read again what no list tells the tenant's rules enough of, and what the desk refused to give: once a day."""


class CopyWishes(NamedTuple):
    """A tenant's settings for its copies."""

    forbidden: Forbidden
    reopened: Reopened


@dataclass(slots=True)
class DeskCopy:
    """The copying of one tenant's desk; tickets created before `oldest` are left out."""

    database: Database
    desk: ServiceDeskPlus
    tenant_id: str
    forbidden: Forbidden
    pace: CopyPace
    holder: Holder
    reopened: Reopened
    languages: Sequence[str]
    oldest: datetime
    conversation: bool
    """Whether what was said in a closed ticket is copied too."""
    call_seconds: float
    """How long one call takes at that pace."""
    tells_changes: bool = True
    """False where the desk's list does not tell what was changed since a time."""
    stopped: str = ""
    """Why a list was not read as far as there was time for."""
    gives_solutions: bool = True
    """False where it refuses to list them."""
    tickets: int = 0
    passages: int = 0
    removed: int = 0
    refused: int = 0
    """Single ones that it did not give."""
    given: int = 0
    """Single tickets and solutions that the desk gave, or said to be gone."""
    gave_up: OutsideFailure | None = None
    """What ended a step: several in a row that the desk did not give."""

    async def turn(self) -> None:
        """Return when the desk may be called again. Raises HeldByAnother."""
        await self.pace.wait()
        await self.holder.insist()


@dataclass(frozen=True, slots=True)
class TakenPage:
    """A recorded page of a list (`storage.listings.take_in`)."""

    ids: Sequence[str]
    """Of all that it lists."""
    created: Sequence[datetime | None]
    kept: int
    """How many of them may be copied."""
    news: int
    """How many of those had not been seen in this pass."""
    has_more: bool


class Source(Protocol):
    """A collection of a desk that is copied: tickets or solutions."""

    collection: ClassVar[Collection]

    async def take_page(self, start: int, pass_from: datetime) -> TakenPage:
        """List a page from the `start`-th item on, and record it for a pass.

        `pass_from`: when the pass began. Raises OutsideFailure or HeldBack.
        """

    async def read(self, item_id: str) -> None:
        """Read and copy an item.

        Raises OutsideFailure or HeldBack, or one of DATABASE_FAILURES.
        """

    async def hide(self, item_id: str) -> None:
        """Hide an item that the desk refused to return."""


def digest(*told: object) -> str:
    """Return a short hash of an item's values in a list."""
    return hashlib.blake2b(repr(told).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
