"""One attempt at a job: what its steps find and hand on, what they work with, and what ends it without a note."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

from integrations.values import DeskTicket, Document, SimilarTicket
from storage.claims import Claim
from storage.jobs import (
    ALREADY_ENHANCED,
    DRY_RUN,
    FORGOTTEN,
    LEFT_OUT,
    NOTHING_FOUND,
    OWN_FAILURE_NOTE,
    REFRESHED_LATELY,
)
from storage.session import Database
from workflow.content import Content
from workflow.limit import AttemptLimit
from workflow.ports import Desk, FeedbackLinkOf, KeptAnswers, Model, Search, no_feedback_link
from workflow.wishes import Wishes


class GraphState(TypedDict, total=False):
    """What the steps have found so far: a step returns what it adds."""

    ticket: DeskTicket
    conversation: Sequence[str]
    """What was said in it since, oldest first."""
    similar_tickets: Sequence[SimilarTicket]
    documents: Sequence[Document]
    nothing_found: bool
    """True if all was searched, and neither ticket nor document was like it."""
    content: Content
    """What the note will say."""
    model: str
    """The one that answered, as the answer names it."""
    note_id: str


@dataclass(slots=True)
class Attempt:
    """What the steps work with. Nothing of it is stored."""

    claim: Claim
    """What the row says of the job: a step that changes that in the row replaces the claim as well."""
    desk: Desk
    wishes: Callable[[], Wishes]
    """What the tenant wants, as its settings say at that moment: they may change while the attempt is under way."""
    model: Model
    search: Search
    answers: KeptAnswers
    database: Database
    limit: AttemptLimit
    context_seconds: float
    note_settle_seconds: float
    lease_seconds: float
    capture_messages: bool
    """True if prompt and answer go onto the GPT-4 span."""
    feedback_link_of: FeedbackLinkOf = no_feedback_link
    refresh: str = ""
    """Why the job makes a further note for a ticket that has one (`workflow.refreshing`); empty for a first one."""

    def check_notes(self, *, answered: bool) -> None:
        """Raise HeldBack while the desk takes no note, unless none is wanted; `answered` as in `Desk.check_notes`."""
        if not self.wishes().dry_run:
            self.desk.check_notes(answered=answered)


class NoNoteWanted(Exception):
    """The ticket must not get a note by this job, which ends as skipped."""

    expected = True
    result = "skipped"
    reason: str

    def __init__(self) -> None:
        super().__init__(self.reason)


class AlreadyEnhanced(NoNoteWanted):
    """Another job has put its note into the ticket, or may have, and nobody asked for a second one.

    Our own note changes the ticket, and a desk may send a webhook for each change. In a dry run it is another job's
    answer that is there.
    """

    reason = ALREADY_ENHANCED


class RefreshedLately(NoNoteWanted):
    """A further note is asked for, and the ticket had one within the hour."""

    reason = REFRESHED_LATELY


class Echo(NoNoteWanted):
    """Another job has just left a failure note in the ticket, and that note may be what this webhook was sent for."""

    reason = OWN_FAILURE_NOTE


class Forgotten(NoNoteWanted):
    """The ticket, or whoever asked in it, was forgotten at a person's word."""

    reason = FORGOTTEN


class LeftOut(NoNoteWanted):
    """The tenant's rules say that the ticket is not to be enhanced."""

    reason = LEFT_OUT


class NothingFound(NoNoteWanted):
    """Neither ticket nor document was like it, and the tenant wants no note then."""

    reason = NOTHING_FOUND


class DryRun(NoNoteWanted):
    """The tenant wants to see what would be written, and no note: the answer stays in the row."""

    reason = DRY_RUN
