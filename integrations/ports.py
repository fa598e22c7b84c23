"""Port that each kind of desk implements, and limits on its client's calls."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

import httpx2
from redis.asyncio import Redis

from config.tenants import DeskSettings
from integrations.rate_limit import DeskRate
from integrations.resilience import Breaker, Hold
from integrations.values import DeskTicket, ListedSolution, ListedTicket, ListPage, Solution

CheckStep = Literal["authenticate", "address", "credentials", "portal", "ticket", "notes", "solutions"]
"""The part of `ai-agents check` that failed."""


class ProbeSkippedError(Exception):
    """A probe would need a change that probes must not make; the text names it."""


class DeskClient(Protocol):
    """One tenant's desk of any kind; `workflow.ports.Desk` has methods and errors."""

    @property
    def wants_failure_note(self) -> bool:
        """True if the tenant wants a note when GPT-4 fails finally."""

    def link_to(self, ticket_id: str) -> str:
        """Return the browser URL of a ticket; empty if unknown."""

    def link_to_solution(self, solution_id: str) -> str:
        """Return the browser URL of a solution; empty if unknown."""

    async def authenticate(self) -> None:
        """Fetch a token if the desk needs one, without a call of the desk itself."""

    async def id_of(self, number: str) -> str:
        """Return the desk's id for a ticket number. Raises TicketNotFoundError."""

    async def list_tickets(self, start: int = 1, *, changed_since: datetime | None = None) -> ListPage[ListedTicket]:
        """Return a page of tickets from the `start`-th on, newest first."""

    async def list_solutions(self, start: int = 1) -> ListPage[ListedSolution]:
        """Return a page of approved solutions from the `start`-th on."""

    async def read_ticket(self, ticket_id: str, *, begun: bool = True) -> DeskTicket:
        """Return a ticket, also a closed one. Raises TicketNotFoundError."""

    async def read_open_ticket(self, ticket_id: str, *, begun: bool = True) -> DeskTicket:
        """Return a ticket. Raises TicketClosedError for a closed one."""

    async def read_conversation(self, ticket: DeskTicket, is_ours: Callable[[str], bool]) -> Sequence[str]:
        """Return the mails and notes, oldest first, unless `is_ours`."""

    async def read_history(self, ticket: DeskTicket, wait_turn: Callable[[], Awaitable[None]]) -> Sequence[str]:
        """Return the last mails, notes and work logs of a closed ticket, oldest first.

        `wait_turn` is awaited before each call.
        """

    async def read_solution(self, solution_id: str) -> Solution | None:
        """Return a solution; None if it was deleted."""

    def check_notes(self, *, answered: bool) -> None:
        """Raise DeferredError while the desk refuses notes."""

    async def add_note(
        self, ticket_id: str, description: str, about_to_post: Callable[[], Awaitable[None]] | None = None
    ) -> str:
        """Add a note (HTML) for technicians only; return its id."""

    async def has_note(self, ticket_id: str, note_id: str, is_ours: Callable[[str], bool]) -> bool:
        """Return True if this note exists and its plain text `is_ours`."""

    async def find_note(
        self,
        ticket_id: str,
        is_ours: Callable[[str], bool],
        since: datetime | None = None,
        *,
        unread: Sequence[str] | None = None,
        on_held_back: Callable[[list[str]], Awaitable[None]] | None = None,
    ) -> str | None:
        """Return the id of the newest note that `is_ours`; None if there is none."""


@dataclass(frozen=True, slots=True)
class DeskLimits:
    """The limits on calls to a desk.

    `most_at_once`: calls in flight, because a silent desk holds each until its timeout. `check` raises an error if the
    desk's credentials have changed. `hold` is for refused credentials, `note_hold` for a missing permission for notes.
    """

    breaker: Breaker
    rate: DeskRate
    most_at_once: int
    check: Callable[[], None] = lambda: None
    hold: Hold | None = None
    note_hold: Hold | None = None


class DeskKind(Protocol):
    """A kind of desk, registered in `integrations.desks`."""

    redis_prefix: str
    """Start of its keys in Redis; the tenant's id and a colon follow."""

    def hold_seconds(self, desk: DeskSettings) -> float:
        """Return the seconds between two tries of refused credentials."""

    def open(
        self,
        tenant_id: str,
        desk: DeskSettings,
        http: httpx2.AsyncClient,
        redis: Redis | None,
        timeout_seconds: float,
        limits: DeskLimits,
        *,
        probing: bool = False,
    ) -> DeskClient:
        """Return a client. `probing`: ProbeSkippedError for any change, Redis included."""

    def remedy(self, tenant_id: str, desk: DeskSettings, step: CheckStep, reason: str) -> str:
        """Return the operator's action after a failed step of `ai-agents check`."""

    async def refresh_token_of(
        self, desk: DeskSettings, code: str, http: httpx2.AsyncClient, timeout_seconds: float
    ) -> str:
        """Exchange a grant code for the desk's refresh token; raises ExternalError."""
