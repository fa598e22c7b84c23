"""Protocols for the external services of a step.

Another desk, model or search needs no change here: `worker.runtime` selects the implementations. They exchange the
values of `integrations.values` and raise the errors of `integrations.errors`.
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
    """Return no link: feedback is off."""
    return ""


class Desk(Protocol):
    """One tenant's desk.

    Each method raises DeskTimeout, DeskUnavailable or DeskRefused, or TicketNotFound; HeldBack, before anything is
    sent, while the desk can't be called.
    """

    @property
    def wants_failure_note(self) -> bool:
        """True if the tenant wants a note of the context when GPT-4 fails finally."""

    def link_to(self, ticket_id: str) -> str:
        """Return the browser URL of a ticket id; empty if unknown."""

    async def id_of(self, number: str) -> str:
        """Return the desk's id for the ticket number of a webhook, often the same."""

    async def read_open_ticket(self, ticket_id: str, *, begun: bool = True) -> DeskTicket:
        """Return the ticket. Raises TicketClosed, and TicketTrashed.

        `begun`: the desk was called for this job before, so it precedes jobs that wait for their first call.
        """

    async def read_conversation(self, ticket: DeskTicket, is_ours: Callable[[str], bool]) -> Sequence[str]:
        """Return the mails and notes of a ticket, oldest first, unless `is_ours`."""

    def check_notes(self, *, answered: bool) -> None:
        """Raise HeldBack while the desk refuses notes, before one is prepared.

        `answered`: the note's content is paid for, so this job may probe the desk.
        """

    async def add_note(
        self, ticket_id: str, description: str, about_to_post: Callable[[], Awaitable[None]] | None = None
    ) -> str:
        """Add a note (HTML) to the ticket, for technicians only, and return its id.

        `about_to_post` is awaited right before each call that may store the note. After HeldBack nothing was stored;
        after a failure with `outcome_unknown` the note may be in the ticket: check with `find_note`.
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
        """Return the id of the newest note whose plain text `is_ours`.

        After None, a note may be posted. Notes written long before `since` may be skipped. A search that is held back
        between two calls passes its unread ids to `on_held_back`; a later search continues with them as `unread`.
        """


class Model(Protocol):
    """The model for the questions."""

    provider: str
    """Whose API is spoken, in OpenTelemetry's words."""

    @property
    def name(self) -> str:
        """The requested name; an answer may name another. Raises HeldBack if none."""

    @property
    def base_url(self) -> str:
        """The model's address. Raises HeldBack if none."""

    def check(self) -> None:
        """Raise HeldBack while the model is unavailable, before a question is prepared."""

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

        `on_paid` is called for each paid call. `on_unusable` is awaited with the text of an answer to repair; passed as
        `unusable` to a later `ask`, only its repair is requested. `on_unanswered` is called for each endpoint that got
        the question and gave no usable answer, before this raises or tries another one. Raises ModelTimeout,
        ModelUnavailable or ModelRefused; HeldBack as `check` does.
        """


class Search(Protocol):
    """The search for context.

    Each method raises an OutsideFailure, or one of DATABASE_FAILURES, if it can't search: the job continues without.
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
        """Return the tenant's few similar, resolved tickets except this one, best first.

        `ticket_id` is the desk's id. Excludes tickets with a name in `forbidden` (`Rules`), or with an unknown name of
        a kind in it. `people` are those of the ticket, whose names are hidden from other services.
        """

    async def documents(
        self,
        tenant_id: str,
        subject: str,
        description: str,
        never_topics: Set[str] = frozenset(),
        people: Sequence[Person] = (),
    ) -> Sequence[Document]:
        """Return the few passages of the tenant's knowledge base that fit, best first.

        Excludes `never_topics`. `people` as for tickets.
        """


@dataclass(frozen=True, slots=True)
class UnfinishedLook:
    """A search for an earlier attempt's note, held back between two desk calls."""

    posted_at: str
    """When that note was posted, or about to be: another posting is another look."""
    listed_at: str
    """When the desk listed the ticket's notes; both in ISO 8601, by the database's clock."""
    unread: list[str]
    """Ids of those that are still to be read."""


@dataclass(frozen=True, slots=True)
class UnusableAnswer:
    """An answer to repair: its text, and its placeholders (`privacy.redaction`)."""

    text: str
    placeholders: dict[str, str]
    sources: list[dict[str, str]] = field(default_factory=list)
    """What was found for its question, as an audit record tells it; none where no record is kept."""


class Kept(StrEnum):
    """The kinds of values stored for a job's next attempt."""

    ANSWER = "answer"
    """An answer of GPT-4 that could not be committed, and its model's name: paid for, so not to be asked for again."""
    UNUSABLE = "masked-unusable"
    """An UnusableAnswer, while its repair can't be had."""
    RECORD = "record"
    """A list of ModelExchange whose audit records could not be written, since the worker had to stop."""
    LOOK = "look"
    """An UnfinishedLook."""


class KeptAnswers(Protocol):
    """Storage for these values. No method raises."""

    async def put(self, what: Kept, job_id: UUID, value: Any) -> None:
        """Store a value, if possible."""

    async def get(self, what: Kept, job_id: UUID) -> Any:
        """Return a value, or None if there is none."""

    async def drop(self, job_id: UUID, *what: Kept) -> None:
        """Delete values; all of the job's if none is named."""
