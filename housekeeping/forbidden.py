"""Tickets of which a tenant wants no copy: those that its rules never enhance, an HR queue's for instance."""

from collections.abc import Callable, Mapping

from config.ticket_rules import Names, TicketRules
from housekeeping.pace import NEWEST
from integrations.servicedesk.contents import ListedTicket
from integrations.values import DeskTicket

_MOST_KNOWN = 10 * NEWEST


class Forbidden:
    """One tenant's, as its settings say at that moment (`rules`); lives for as long as the process."""

    def __init__(self, rules: Callable[[], TicketRules]) -> None:
        self._rules = rules
        # Status and kinds by id, of those that were read in vain: where a list does not tell, they are not read again.
        self._read: dict[str, tuple[str, Mapping[str, str]]] = {}

    @property
    def names(self) -> Names:
        """The names of each kind that a copied ticket may not have."""
        return self._rules().forbidden

    def bars(self, ticket: DeskTicket) -> bool:
        """Return True if the ticket, as the desk gives it when it is asked for, may not be copied."""
        if not self._rules().forbid(ticket.kinds):
            return False
        if len(self._read) >= _MOST_KNOWN:
            self._read.clear()
        self._read[ticket.ticket_id] = (ticket.status, ticket.kinds)
        return True

    def bars_listed(self, ticket: ListedTicket) -> bool:
        """Return True if the list, or a reading since which the status is the same, tells that it may not be copied."""
        status, read = self._read.get(ticket.ticket_id, ("", {}))
        return self._rules().forbid({**(read if status == ticket.status else {}), **ticket.kinds})

    def is_told_by(self, ticket: ListedTicket) -> bool:
        """Return True if a list says all of the ticket that the rules ask for: it need not be read for them."""
        return self.names.keys() <= ticket.kinds.keys()
