"""State, dependencies and time limit of one attempt at a job."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypedDict
from uuid import UUID

from config.prices import ModelPrices
from config.tenants import Tenant
from db.session import Database
from integrations.values import UNPAID, DeskTicket, Usage
from jobs.claims import Claim
from knowledge.models import Document, SimilarTicket
from workflow.answer import Content
from workflow.ports import Desk, Model, Search
from workflow.stored_answers import StoredAnswers


class GraphState(TypedDict, total=False):
    """The results of the steps so far: a step returns its additions."""

    ticket: DeskTicket
    conversation: Sequence[str]
    """Its mails and notes, oldest first."""
    similar_tickets: Sequence[SimilarTicket]
    documents: Sequence[Document]
    nothing_found: bool
    """True if all searches ended without a find."""
    content: Content
    model: str
    """The model's name, as in its answer."""
    note_id: str


class AttemptTimeoutError(Exception):
    """An attempt exceeded `ATTEMPT_TIMEOUT_SECONDS` or the job's deadline.

    GPT-4's time does not count for the first.
    """


class AttemptLimit:
    """The seconds of an attempt or to the job's deadline, whichever end first."""

    def __init__(self, seconds: float, seconds_to_deadline: float) -> None:
        now = asyncio.get_running_loop().time()
        self._end = now + seconds
        self._deadline = now + seconds_to_deadline
        self._timeout = asyncio.timeout_at(min(self._end, self._deadline))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the block, once, within the limit. Raises AttemptTimeoutError."""
        try:
            async with self._timeout:
                yield
        except TimeoutError as failure:
            if self._timeout.expired():
                raise AttemptTimeoutError from failure
            raise

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time of the block, which has limits of its own; not the deadline."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._move(self._deadline)
        try:
            yield
        finally:
            self._end += loop.time() - began
            self._move(min(self._end, self._deadline))

    def seconds_left(self) -> float:
        now = asyncio.get_running_loop().time()
        return min(self._end, self._deadline) - now

    def _move(self, when: float) -> None:
        with suppress(RuntimeError):  # the deadline has passed
            self._timeout.reschedule(when)


@dataclass(slots=True, kw_only=True)
class Services:
    """The dependencies that all attempts of a process share."""

    database: Database
    search: Search
    answers: StoredAnswers
    context_seconds: float
    note_settle_seconds: float
    capture_messages: bool
    """True if prompt and answer go onto the spans of model requests."""
    check_claims: bool = True
    """True if a second request checks the claims of an answer."""
    prices: ModelPrices = field(default_factory=dict)
    """Prices of models, for calls without a reported cost."""
    feedback_link_of: Callable[[str, UUID], str] | None = None
    """Returns a note's link by tenant and job; None if feedback is off."""


@dataclass(slots=True, kw_only=True)
class Attempt(Services):
    """The dependencies of the steps. None of it is stored."""

    claim: Claim
    """The row as this attempt knows it: a step that changes the row replaces the claim."""
    desk: Desk
    tenant_settings: Callable[[], Tenant]
    """Returns the tenant's current settings, which may change during the attempt."""
    model: Model
    limit: AttemptLimit
    lease_seconds: float
    refresh: str = ""
    """The reason of a further note, `asked` or `reopened`; empty for a first one."""
    unrecorded: Usage = UNPAID
    """The paid calls whose tokens and dollars are not in the row yet."""

    def check_notes(self, *, answered: bool) -> None:
        """Raise DeferredError as `Desk.check_notes` does, except in a dry run."""
        if not self.tenant_settings().dry_run:
            self.desk.check_notes(answered=answered)
