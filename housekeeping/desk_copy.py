"""State of the copying of one desk, shared by all steps."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from config.tenants import DeskSettings, Tenant
from config.ticket_rules import TicketRules
from housekeeping.rounds import CopyPace
from integrations.errors import OutsideFailure
from integrations.servicedesk.client import ServiceDeskPlus
from retrieval.language import LANGUAGES
from storage.listings import Collection
from storage.passes import Holder
from storage.session import Database

# Until items are read again whose lists lack fields that the rules need, or that the desk refused: once a day.
UNSEEN_HOURS = 20


@dataclass(slots=True)
class Synced:
    """Numbers of copied items, and of copies removed because the desk lacks them."""

    tickets: int = 0
    passages: int = 0
    removed: int = 0
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


@dataclass(slots=True)
class DeskCopy:
    """The copying of one tenant's desk. `tenant` returns the current settings."""

    database: Database
    desk: ServiceDeskPlus
    tenant: Callable[[], Tenant]
    settings: DeskSettings
    pace: CopyPace
    holder: Holder
    job_deadline_seconds: int
    tenant_id: str = field(init=False)
    oldest: datetime = field(init=False)
    """Tickets created before are left out."""
    synced: Synced = field(default_factory=Synced)
    tells_changes: bool = True
    """False where the desk's list does not tell what was changed since a time."""
    given: int = 0
    """Single tickets and solutions that the desk gave, or said to be gone."""
    gave_up: OutsideFailure | None = None
    """What ended a step: several in a row that the desk did not give."""

    def __post_init__(self) -> None:
        self.tenant_id = self.tenant().id
        self.oldest = datetime.now(UTC) - timedelta(days=self.settings.history_days)

    @property
    def languages(self) -> Sequence[str]:
        return self.settings.languages or LANGUAGES

    @property
    def rules(self) -> TicketRules:
        return self.tenant().rules

    def rules_digest(self, collection: Collection) -> str:
        """Return a hash of the names whose items are not copied; empty without any."""
        rules = self.rules
        named = {kind: sorted(names) for kind, names in rules.forbidden.items()}
        told = named if collection == "t" else sorted(rules.never_topics)
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest() if told else ""

    async def turn(self) -> None:
        """Return when the desk may be called again. Raises HeldByAnother."""
        await self.pace.wait()
        await self.holder.insist()


class TakenPage(NamedTuple):
    """A recorded page of a list (`storage.listings.take_in`).

    `kept` of its items may be copied; `news` of those had not been seen in this pass.
    """

    ids: Sequence[str]
    created: Sequence[datetime | None]
    kept: int
    news: int
    has_more: bool


def digest(*told: object) -> str:
    """Return a short hash of an item's values in a list."""
    return hashlib.blake2b(repr(told).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
