"""Tickets and solutions of which a tenant wants no copy: an HR queue's, or those of a topic, for instance."""

import hashlib
import json
from collections.abc import Callable

from config.ticket_rules import Names, TicketRules, fold
from integrations.servicedesk.contents import ListedTicket
from integrations.values import DeskTicket
from storage.listings import Collection


class Forbidden:
    """One tenant's, as its settings say at that moment (`rules`)."""

    def __init__(self, rules: Callable[[], TicketRules]) -> None:
        self._rules = rules

    @property
    def names(self) -> Names:
        """The names of each kind that a copied ticket may not have."""
        return self._rules().forbidden

    def digest(self, collection: Collection) -> str:
        """Return what is another text when other tickets, or solutions, are left out."""
        named = {kind: sorted(names) for kind, names in self.names.items()}
        told = named if collection == "t" else sorted(self._rules().never_topics)
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest() if told else ""

    def bars(self, ticket: DeskTicket) -> bool:
        """Return True if the ticket, as the desk gives it when it is asked for, may not be copied."""
        return self._rules().forbid(ticket.kinds)

    def bars_listed(self, ticket: ListedTicket) -> bool:
        """Return True if the list tells that the ticket may not be copied."""
        return self._rules().forbid(ticket.kinds)

    def is_told_by(self, ticket: ListedTicket) -> bool:
        """Return True if a list says all of the ticket that the rules ask for: it need not be read for them."""
        return self.names.keys() | self._rules().within.keys() <= ticket.kinds.keys()

    def bars_topic(self, topic: str) -> bool:
        """Return True if solutions of that topic may not be copied."""
        return fold(topic) in self._rules().never_topics
