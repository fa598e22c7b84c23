"""What flows through the graph, and what its nodes may touch."""

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict
from uuid import UUID

from integrations.model.client import ModelClient
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.values import DeskTicket
from storage.claims import Claim
from storage.history import Document, SimilarTicket
from storage.jobs import ALREADY_ENHANCED, FORGOTTEN, OWN_FAILURE_NOTE
from storage.session import Database
from workflow.enhancement import Enhancement


class GraphState(TypedDict, total=False):
    """One job on its way through the graph."""

    ticket: DeskTicket
    similar_tickets: list[SimilarTicket]
    documents: list[Document]
    enhancement: Enhancement
    note_id: str


class AlreadyEnhanced(Exception):
    """Another job has put its note into the ticket, or may have, and nobody asked for a second one: skipped.

    Our own note changes the ticket, and a desk may send a webhook for each change.
    """

    expected = True
    result = "skipped"
    reason = ALREADY_ENHANCED


class Echo(Exception):
    """Another job has just left a failure note in the ticket, which a desk may have sent this webhook for."""

    expected = True
    result = "skipped"
    reason = OWN_FAILURE_NOTE


class Forgotten(Exception):
    """The ticket, or whoever asked in it, was forgotten at a person's word: the job ends as skipped."""

    expected = True
    result = "skipped"
    reason = FORGOTTEN

    def __init__(self) -> None:
        super().__init__(FORGOTTEN)


@dataclass(frozen=True, slots=True)
class Look:
    """A look for the note of an earlier attempt that was held back between two calls of the desk."""

    posted_at: str
    """When that note was posted, or about to be: another posting is another look."""
    listed_at: str
    """When the desk listed the ticket's notes; both in ISO 8601, by the database's clock."""
    unread: list[str]
    """Ids of those that are still to be read."""


class KeptAnswers(Protocol):
    """Where an answer of GPT-4 waits that could not be committed: paid for, so not to be asked for again.

    And one that is unusable as it is, while its repair can't be had. Nothing here ever raises.
    """

    async def put(self, job_id: UUID, answer: dict[str, Any], model: str) -> None:
        """Keep it, if that is possible."""

    async def take(self, job_id: UUID) -> tuple[dict[str, Any], str] | None:
        """The answer and its model, if there is one."""

    async def put_unusable(self, job_id: UUID, text: str) -> None:
        """Keep the text that is to be repaired, if that is possible."""

    async def take_unusable(self, job_id: UUID) -> str | None:
        """The text that is to be repaired, if there is one."""

    async def drop_unusable(self, job_id: UUID) -> None:
        """Forget that text: it is repaired, or never will be."""

    async def put_look(self, job_id: UUID, look: Look) -> None:
        """Keep how far a look has come, if that is possible."""

    async def take_look(self, job_id: UUID) -> Look | None:
        """How far a look has come, if there is one."""

    async def drop_look(self, job_id: UUID) -> None:
        """Forget how far a look has come: it has come to its end."""

    async def drop(self, job_id: UUID) -> None:
        """Forget all that is kept of a job."""


@dataclass(slots=True)
class Attempt:
    """One attempt at a job: what the nodes work with. Nothing of it is stored."""

    claim: Claim
    """As the row has it: a node that writes what stands in it, replaces it."""
    desk: ServiceDeskPlus
    gpt4: ModelClient
    database: Database
    search_slots: asyncio.Semaphore
    context_seconds: float
    note_settle_seconds: float
    lease_seconds: float
    answers: KeptAnswers
    capture_messages: bool
    """Whether prompt and answer stand on the GPT-4 span."""
