"""What flows through the graph, and what its nodes may touch."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypedDict

from integrations.gpt4 import Gpt4
from integrations.servicedesk_plus import DeskTicket, ServiceDeskPlus
from storage.history import Document, SimilarTicket
from storage.jobs import Claim
from storage.session import Database
from workflow.enhancement import Enhancement


class JobState(TypedDict, total=False):
    """One job on its way through the graph."""

    ticket: DeskTicket
    similar_tickets: list[SimilarTicket]
    documents: list[Document]
    enhancement: Enhancement
    note_id: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a job: what the nodes work with. Nothing of it is stored."""

    claim: Claim
    desk: ServiceDeskPlus
    gpt4: Gpt4
    database: Database
    context_seconds: float
    insist: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]
    """Repeats a write while the database is away, for as long as the lease holds."""
