"""Tenant settings for the steps: protocols, like those of `workflow.ports`."""

from collections.abc import Mapping, Set
from typing import Protocol


class Rules(Protocol):
    """The tickets that a tenant excludes, by kind (event, group, site ...) -> name."""

    @property
    def never_topics(self) -> Set[str]:
        """The topics whose solutions are not used."""

    def hidden_from(self, known: Mapping[str, str]) -> Mapping[str, Set[str]]:
        """Return the values that exclude a ticket from the context of this one."""

    def leave_out(self, known: Mapping[str, str]) -> bool:
        """Return True if the ticket is not to be enhanced; unknown kinds don't count."""

    def forbid(self, known: Mapping[str, str]) -> bool:
        """Return True if nothing of the ticket may be kept either."""

    def ask_for(self, kind: str) -> bool:
        """Return True if the rules depend on the ticket's name of that kind."""


class NoteWishes(Protocol):
    """A tenant's note settings, and the limits on data sent to a model."""

    @property
    def language(self) -> str:
        """The language code of the notes; `ticket` for each ticket's own."""

    @property
    def rules(self) -> str:
        """Additional instructions for the model."""

    @property
    def if_nothing_found(self) -> bool:
        """True if a ticket gets a note even without finds."""

    @property
    def if_reopened(self) -> bool:
        """True if a ticket that has a note gets a further one when it is reopened."""

    @property
    def prompt_tokens(self) -> int:
        """The most tokens of a ticket and its finds."""

    @property
    def masking(self) -> str:
        """The masking: `none`, `personal`, or `all`, with host names and addresses."""


class Wishes(Protocol):
    """A tenant's settings for its tickets."""

    @property
    def note(self) -> NoteWishes:
        """The settings of its notes."""

    @property
    def rules(self) -> Rules:
        """The rules that exclude tickets."""

    @property
    def dry_run(self) -> bool:
        """True if no ticket gets a note."""

    @property
    def audit_days(self) -> int:
        """Retention of audit records in days; 0 for none."""
