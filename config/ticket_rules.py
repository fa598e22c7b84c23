"""Which of a tenant's tickets are enhanced: by their webhook's event, their category, group and template."""

from collections.abc import Mapping
from dataclasses import dataclass, field

KINDS = ("event", "category", "group", "template")

Names = Mapping[str, frozenset[str]]
"""Kind -> names, case folded."""


class RulesUnreadable(ValueError):
    """The text is no list of `KIND:NAME` entries; says what is wrong in words that follow the setting's name."""


def parse_names(text: str) -> Names:
    """Read `KIND:NAME, KIND:NAME`. Raises RulesUnreadable."""
    found: dict[str, set[str]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        kind, colon, name = (part.strip().casefold() for part in entry.partition(":"))
        if kind not in KINDS or not colon or not name:
            raise RulesUnreadable(f"must be KIND:NAME entries with commas between them; kinds are {', '.join(KINDS)}")
        found.setdefault(kind, set()).add(name)
    return {kind: frozenset(names) for kind, names in found.items()}


@dataclass(frozen=True, slots=True)
class TicketRules:
    """What a ticket must have, one name of each kind in `only`, and what it must not: any of `never`."""

    only: Names = field(default_factory=dict)
    never: Names = field(default_factory=dict)

    def leave_out(self, known: Mapping[str, str]) -> bool:
        """Return True if a ticket is not to be enhanced, by what is `known` of it: kind -> name.

        A kind that is not in `known` yet says nothing; one that is empty is none of the names.
        """
        folded = {kind: name.strip().casefold() for kind, name in known.items()}
        return any(name in self.never.get(kind, ()) for kind, name in folded.items()) or any(
            folded[kind] not in names for kind, names in self.only.items() if kind in folded
        )
