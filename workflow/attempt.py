"""One attempt at a job: state, dependencies, and outcomes without a note."""

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
    """The results of the steps so far: a step returns its additions."""

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
    """The dependencies of the steps. None of it is stored."""

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
        """Raise HeldBack while notes are refused, except in a dry run.

        `answered` as in `Desk.check_notes`.
        """
        if not self.wishes().dry_run:
            self.desk.check_notes(answered=answered)


class NoNoteWanted(Exception):
    """The ticket must not get a note from this job, which ends as skipped."""

    expected = True
    result = "skipped"
    reason: str

    def __init__(self) -> None:
        super().__init__(self.reason)


class AlreadyEnhanced(NoNoteWanted):
    """Another job has noted the ticket, or may have; no second note was requested.

    Our own note changes the ticket, and a desk may send a webhook for each change. In a dry run the other job's answer
    counts.
    """

    reason = ALREADY_ENHANCED


class RefreshedLately(NoNoteWanted):
    """A further note is requested, but the ticket had one within the hour."""

    reason = REFRESHED_LATELY


class Echo(NoNoteWanted):
    """Another job has just left a failure note, which may have caused this webhook."""

    reason = OWN_FAILURE_NOTE


class Forgotten(NoNoteWanted):
    """The ticket or its requester was erased on request."""

    reason = FORGOTTEN


class LeftOut(NoNoteWanted):
    """The tenant's rules exclude the ticket."""

    reason = LEFT_OUT


class NothingFound(NoNoteWanted):
    """No similar ticket or document was found, and the tenant then wants no note."""

    reason = NOTHING_FOUND


class DryRun(NoNoteWanted):
    """The tenant is in a dry run: the answer stays in the row, without a note."""

    reason = DRY_RUN
