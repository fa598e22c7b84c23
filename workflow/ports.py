"""Protocols for the external services of a step.

Another desk, model or search needs no change here: `worker.runtime` selects the implementations. They use the values of
`integrations.values` and raise the errors of `integrations.errors`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from datetime import datetime
from typing import Protocol

from integrations.values import DeskTicket, ModelAnswer, Person, Prompt, Structured, Unanswered, Usage
from knowledge.models import Document, SimilarTicket


class Desk(Protocol):
    """One tenant's desk.

    Each method raises DeskTimeoutError, DeskUnavailableError, DeskRefusedError or TicketNotFoundError. While the desk
    can't be called, it raises DeferredError before anything is sent.
    """

    @property
    def wants_failure_note(self) -> bool:
        """True if the tenant wants a note of the context when GPT-4 fails finally."""

    def link_to(self, ticket_id: str) -> str:
        """Return the browser URL of a ticket id; empty if unknown."""

    def link_to_solution(self, solution_id: str) -> str:
        """Return the browser URL of a solution; empty if unknown."""

    async def id_of(self, number: str) -> str:
        """Return the desk's id for the ticket number of a webhook, often the same."""

    async def read_open_ticket(self, ticket_id: str, *, begun: bool = True) -> DeskTicket:
        """Return the ticket. Raises TicketClosedError, and TicketTrashedError.

        `begun`: the desk was called for this job before, so it precedes jobs that wait for their first call.
        """

    async def read_conversation(self, ticket: DeskTicket, is_ours: Callable[[str], bool]) -> Sequence[str]:
        """Return the mails and notes of a ticket, oldest first, unless `is_ours`."""

    def check_notes(self, *, answered: bool) -> None:
        """Raise DeferredError while the desk refuses notes, before one is prepared.

        `answered`: the note's content is paid for, so this job may probe the desk.
        """

    async def add_note(
        self, ticket_id: str, description: str, about_to_post: Callable[[], Awaitable[None]] | None = None
    ) -> str:
        """Add a note (HTML) to the ticket, for technicians only, and return its id.

        `about_to_post` is awaited right before each call that may store the note. After DeferredError nothing was
        stored; after a failure with `outcome_unknown` the note may be in the ticket: check with `find_note`.
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
        """Return the id of the newest note with a plain text that `is_ours`.

        After None, a note may be posted. Notes written long before `since` may be skipped. A search that is held back
        between two calls passes its unread ids to `on_held_back`; a later search continues with them as `unread`.
        """


class Model(Protocol):
    """The model of one tenant."""

    provider: str
    """The API's provider, as OpenTelemetry names it."""

    @property
    def name(self) -> str:
        """The requested name; an answer may name another. Raises DeferredError if none."""

    @property
    def check_name(self) -> str:
        """The requested name of a check. Raises DeferredError if none."""

    @property
    def base_url(self) -> str:
        """The model's address. Raises DeferredError if none."""

    def check(self) -> None:
        """Raise DeferredError while the model is unavailable."""

    async def complete(
        self,
        prompt: Prompt,
        answer_type: type[Structured],
        on_paid: Callable[[Usage], None],
        *,
        unusable: str | None,
        on_unusable: Callable[[str], Awaitable[None]],
        on_unanswered: Callable[[Unanswered], None],
        is_check: bool = False,
    ) -> ModelAnswer[Structured]:
        """Return an answer of that type.

        `on_paid` is called for each paid call. `on_unusable` is awaited with the text of an answer to repair; passed as
        `unusable` to a later call, only its repair is requested. `on_unanswered` is called for each endpoint that got
        the question without a usable answer, before this raises or tries another one. `is_check` is for a short
        second request: its answer arrives in one piece, within the time of a whole answer, and its failures do not
        count for the breaker. Raises ModelTimeoutError, ModelUnavailableError or ModelRefusedError; DeferredError as
        `check` does.
        """


class Search(Protocol):
    """The search for context.

    Each method raises an ExternalError, or one of DATABASE_FAILURES, if it can't search: the job continues without.
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

        `ticket_id` is the desk's id. Excludes tickets with a name in `forbidden` (the tenant's rules), or with an
        unknown name of a kind in it. The names of `people`, those of the ticket, are hidden from other services.
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
