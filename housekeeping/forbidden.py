"""Tickets of which a tenant wants no copy: those that its rules never enhance, an HR queue's for instance."""

from collections.abc import Callable

from config.ticket_rules import Names, TicketRules
from housekeeping.pace import NEWEST
from integrations.servicedesk.contents import ListedTicket
from integrations.values import DeskTicket

_MOST_KNOWN = 10 * NEWEST


class Forbidden:
    """One tenant's, as its settings say at that moment (`rules`); lives for as long as the process."""

    def __init__(self, rules: Callable[[], TicketRules]) -> None:
        self._rules = rules
        self._looked_by: Names = {}
        # Status by id, of those whose list does not tell: they are not read again each time.
        self._known: dict[str, str] = {}

    def must_look(self) -> bool:
        """Return True if there may be copies that other rules let through, or that an earlier process made."""
        rules = self._rules()
        return any(self._looked_by.get(kind) != rules.never[kind] for kind in rules.forbidden_kinds)

    def look_begins(self) -> None:
        """All copies are looked at from now on by the rules as they stand."""
        self._looked_by = self._rules().never
        self._known.clear()

    def bars(self, ticket: DeskTicket) -> bool:
        """Return True if the ticket, as the desk gives it when it is asked for, may not be copied."""
        known = {"category": ticket.category, "group": ticket.group, "template": ticket.template}
        if not self._rules().forbid(known):
            return False
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[ticket.ticket_id] = ticket.status
        return True

    def bars_listed(self, ticket: ListedTicket) -> bool:
        """Return True if a list is enough to know that the ticket may not be copied."""
        if self.is_told_by(ticket):
            return self._rules().forbid(ticket.kinds)
        return self._rules().forbid(ticket.kinds) or self._known.get(ticket.ticket_id) == ticket.status

    def is_told_by(self, ticket: ListedTicket) -> bool:
        """Return True if a list says all of the ticket that the rules ask for: it need not be read for them."""
        return self._rules().forbidden_kinds <= ticket.kinds.keys()
