"""What a tenant wants, as far as a step asks for it: protocols, as those of `workflow.ports` are."""

from collections.abc import Mapping, Set
from typing import Protocol


class Rules(Protocol):
    """Which tickets a tenant leaves out, by what is known of one: kind (event, group, site ...) -> name."""

    @property
    def never_topics(self) -> Set[str]:
        """The topics whose solutions are not used."""

    def hidden_from(self, known: Mapping[str, str]) -> Mapping[str, Set[str]]:
        """Return the names of each kind that a ticket may not have to be told in one of which this is `known`."""

    def leave_out(self, known: Mapping[str, str]) -> bool:
        """Return True if the ticket is not to be enhanced. A kind that is not in `known` says nothing."""

    def forbid(self, known: Mapping[str, str]) -> bool:
        """Return True if nothing of the ticket may be kept either."""

    def ask_for(self, kind: str) -> bool:
        """Return True if a ticket's name of that kind may make a difference."""


class NoteWishes(Protocol):
    """How a tenant wants its notes, and what a model may see of its tickets."""

    @property
    def language(self) -> str:
        """The language that they are in, as a code; `ticket` for that of each ticket."""

    @property
    def rules(self) -> str:
        """What the model is told besides."""

    @property
    def if_nothing_found(self) -> bool:
        """True if a ticket gets a note though nothing was found for it."""

    @property
    def if_reopened(self) -> bool:
        """True if a ticket that has a note gets a further one when it is reopened."""

    @property
    def prompt_tokens(self) -> int:
        """How many tokens a ticket and what was found for it may have."""

    @property
    def masking(self) -> str:
        """What is masked: `none`, `personal`, or `all`, which is names of hosts and addresses besides."""


class Wishes(Protocol):
    """What a tenant wants done with its tickets."""

    @property
    def note(self) -> NoteWishes:
        """How its notes are made."""

    @property
    def rules(self) -> Rules:
        """Which tickets are left out."""

    @property
    def dry_run(self) -> bool:
        """True if no ticket gets a note."""

    @property
    def audit_days(self) -> int:
        """How many days a record of each answer is kept; 0 for none."""
