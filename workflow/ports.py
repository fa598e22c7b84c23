"""What a step may touch of the outside: protocols, so that another desk, model or search needs no change in here.

`worker.resources` decides what stands behind each. What crosses them are the values of `integrations.values`, and what
goes wrong are the failures of `integrations.errors`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from integrations.values import DeskTicket, Document, ModelAnswer, Prompt, SimilarTicket, Structured, Unanswered, Usage
from privacy.redaction.people import Person

FeedbackLinkOf = Callable[[str, UUID], str]
"""It returns the link of a note by tenant and job; empty where feedback is off."""


def no_feedback_link(_tenant_id: str, _job_id: UUID) -> str:
    """Feedback is off."""
    return ""


class Desk(Protocol):
    """One tenant's desk.

    Each method raises DeskTimeout, DeskUnavailable or DeskRefused, or TicketNotFound; HeldBack, before anything is
    sent, when the desk can't be called now.
    """

    @property
    def wants_failure_note(self) -> bool:
        """True if the tenant wants a note with the context alone when GPT-4 fails for good."""

    def link_to(self, ticket_id: str) -> str:
        """Return the address at which people open a ticket of this id; empty where that is not known."""

    async def id_of(self, number: str) -> str:
        """Return the id by which the other calls know the ticket that a webhook names so, mostly the same."""

    async def read_open_ticket(self, ticket_id: str, *, begun: bool = True) -> DeskTicket:
        """Return the ticket. Raises TicketClosed when it is closed, and TicketTrashed when it is in the trash.

        `begun`: the desk was called for this job before, so that it goes before those that wait for their first call.
        """

    async def read_conversation(self, ticket: DeskTicket, is_ours: Callable[[str], bool]) -> Sequence[str]:
        """Return what was said in a ticket since it came, oldest first, without notes whose plain text `is_ours`."""

    def check_notes(self, *, answered: bool) -> None:
        """Raise HeldBack while the desk takes no note: no use in preparing one.

        `answered`: what the note will say is paid for, so that this job may find out whether the desk takes it by now.
        """

    async def add_note(
        self, ticket_id: str, description: str, about_to_post: Callable[[], Awaitable[None]] | None = None
    ) -> str:
        """Put a note (HTML) into the ticket, for technicians only, and return its id.

        `about_to_post` is awaited right before each call that may store the note. After HeldBack nothing was stored;
        after a failure with `outcome_unknown` the note may be in the ticket all the same: look with `find_note`.
        """

    async def find_note(
        self,
        ticket_id: str,
        is_ours: Callable[[str], bool],
        since: datetime | None = None,
        *,
        unread: Sequence[str] | None = None,
        on_held_back: Callable[[list[str]], Awaitable[None]] | None = None,
    ) -> str | None:
        """Return the id of the newest note whose plain text `is_ours`, or None: then a note may be posted.

        Notes that were written long before `since` need not be read. A look that is held back between two calls tells
        `on_held_back` the ids that are still to be read; as `unread` they are where a later look goes on.
        """


class Model(Protocol):
    """The model that is asked."""

    provider: str
    """Whose API is spoken, in OpenTelemetry's words."""

    @property
    def name(self) -> str:
        """As it is asked for; an answer may name another one. Raises HeldBack where none may be asked now."""

    @property
    def base_url(self) -> str:
        """Where it is. Raises HeldBack likewise."""

    def check(self) -> None:
        """Raise HeldBack while the model can't be asked: no use in preparing a question."""

    async def ask(
        self,
        prompt: Prompt,
        answer_type: type[Structured],
        on_paid: Callable[[Usage], None],
        *,
        unusable: str | None,
        on_unusable: Callable[[str], Awaitable[None]],
        on_unanswered: Callable[[Unanswered], None],
    ) -> ModelAnswer[Structured]:
        """Return an answer of that type.

        `on_paid` hears of each call that was paid for. `on_unusable` is awaited with the text of an answer that is to
        be repaired by a second call; given as `unusable` to a later `ask`, its repair alone is asked for.
        `on_unanswered` hears of each endpoint that got the question and gave no usable answer, before this raises or
        asks another one.
        Raises ModelTimeout, ModelUnavailable or ModelRefused; HeldBack as `check` does.
        """


class Search(Protocol):
    """Where context is found.

    Each method raises an OutsideFailure, or one of DATABASE_FAILURES, when it can't search: the job does without then.
    """

    async def similar_tickets(
        self,
        tenant_id: str,
        ticket_id: str,
        subject: str,
        description: str,
        forbidden: Mapping[str, Set[str]],
        people: Sequence[Person] = (),
    ) -> Sequence[SimilarTicket]:
        """Return the few tickets of the tenant, but this one, that resemble it and were resolved; best first.

        `ticket_id` is the desk's id. None that has one of the names in `forbidden` (`Rules`), nor one of which a kind
        that stands there is not known. `people` are those of the ticket, whose names no other service may see.
        """

    async def documents(
        self,
        tenant_id: str,
        subject: str,
        description: str,
        never_topics: Set[str] = frozenset(),
        people: Sequence[Person] = (),
    ) -> Sequence[Document]:
        """Return the few passages of the tenant's knowledge base that fit this text, of no such topic; best first.

        `people` as for tickets.
        """


@dataclass(frozen=True, slots=True)
class UnfinishedLook:
    """A look for the note of an earlier attempt that was held back between two calls of the desk."""

    posted_at: str
    """When that note was posted, or about to be: another posting is another look."""
    listed_at: str
    """When the desk listed the ticket's notes; both in ISO 8601, by the database's clock."""
    unread: list[str]
    """Ids of those that are still to be read."""


@dataclass(frozen=True, slots=True)
class UnusableAnswer:
    """An answer that is to be repaired: its text, and the values of its placeholders (`privacy.redaction`)."""

    text: str
    placeholders: dict[str, str]
    sources: list[dict[str, str]] = field(default_factory=list)
    """What was found for its question, as an audit record tells it; none where no record is kept."""


class Kept(StrEnum):
    """What is kept of a job for its next attempt, and as what."""

    ANSWER = "answer"
    """An answer of GPT-4 that could not be committed, and its model's name: paid for, so not to be asked for again."""
    UNUSABLE = "masked-unusable"
    """An UnusableAnswer, while its repair can't be had."""
    RECORD = "record"
    """A list of ModelExchange whose audit records could not be written, since the worker had to stop."""
    LOOK = "look"
    """An UnfinishedLook."""


class KeptAnswers(Protocol):
    """Where such things wait. Nothing here ever raises."""

    async def put(self, what: Kept, job_id: UUID, value: Any) -> None:
        """Keep it, if that is possible."""

    async def get(self, what: Kept, job_id: UUID) -> Any:
        """Return it, or None if there is none."""

    async def drop(self, job_id: UUID, *what: Kept) -> None:
        """Delete it; all that is kept of the job where nothing is named."""
