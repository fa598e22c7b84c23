"""Ticket selection rules by event, category, group, site and template."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

KINDS = ("event", "category", "group", "site", "template")

Names = Mapping[str, frozenset[str]]
"""Kind -> names, folded (`fold`)."""


class RulesUnreadable(ValueError):
    """Invalid `KIND:NAME` list. The message completes a sentence that starts with the setting's name."""


def parse_names(text: str) -> Names:
    """Parse `KIND:NAME, KIND:NAME`. Raises RulesUnreadable."""
    found: dict[str, set[str]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        kind, colon, name = map(fold, entry.partition(":"))
        if kind not in KINDS or not colon or not name:
            raise RulesUnreadable(f"must be KIND:NAME entries with commas between them; kinds are {', '.join(KINDS)}")
        found.setdefault(kind, set()).add(name)
    return {kind: frozenset(names) for kind, names in found.items()}


@dataclass(frozen=True, slots=True)
class TicketRules:
    """A ticket needs one name of each kind in `only`, and none in `never`.

    A ticket with a name in `within` is context only for tickets with the same name. `never_topics`: folded topics whose
    solutions are not used.
    """

    only: Names = field(default_factory=dict)
    never: Names = field(default_factory=dict)
    within: Names = field(default_factory=dict)
    never_topics: frozenset[str] = frozenset()

    def leave_out(self, known: Mapping[str, str]) -> bool:
        """Return True if the rules exclude a ticket with these names: kind -> name.

        Kinds missing from `known` are not checked; an empty name matches no rule.
        """
        folded = fold_all(known)
        return self.forbid(known) or any(
            folded[kind] not in names for kind, names in self.only.items() if kind in folded
        )

    def forbid(self, known: Mapping[str, str]) -> bool:
        """Return True if `never` has a `known` name: the text must not be stored."""
        return any(name in self.never.get(kind, ()) for kind, name in fold_all(known).items())

    @property
    def forbidden(self) -> Names:
        """Names whose tickets must not be stored; copied tickets have no event."""
        return {kind: names for kind, names in self.never.items() if kind != "event"}

    def hidden_from(self, known: Mapping[str, str]) -> Names:
        """Return the names that exclude other tickets from the context of this one."""
        own = fold_all(known)
        hidden = {kind: names - {own.get(kind, "")} for kind, names in self.within.items()}
        kinds = self.forbidden.keys() | {kind for kind, names in hidden.items() if names}
        return {kind: self.forbidden.get(kind, frozenset()) | hidden.get(kind, frozenset()) for kind in kinds}

    def ask_for(self, kind: str) -> bool:
        """Return True if the ticket's name of this kind can change the selection."""
        return kind in self.only or kind in self.never


def fold_all(known: Mapping[str, str]) -> dict[str, str]:
    """Fold each name of kind -> name."""
    return {kind: fold(name) for kind, name in known.items()}


def fold(name: str) -> str:
    """Normalize case, spaces and Unicode form (NFKC) of a name."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
