"""Tickets and solutions that a tenant excludes from copying, e.g. an HR queue."""

import hashlib
import json
from collections.abc import Callable

from config.ticket_rules import Names, TicketRules, fold
from integrations.servicedesk.parsing import ListedTicket
from integrations.values import DeskTicket
from storage.listings import Collection


class Forbidden:
    """Exclusions of one tenant by its current settings (`rules`)."""

    def __init__(self, rules: Callable[[], TicketRules]) -> None:
        self._rules = rules

    @property
    def names(self) -> Names:
        return self._rules().forbidden

    def digest(self, collection: Collection) -> str:
        named = {kind: sorted(names) for kind, names in self.names.items()}
        told = named if collection == "t" else sorted(self._rules().never_topics)
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest() if told else ""

    def bars(self, ticket: DeskTicket) -> bool:
        return self._rules().forbid(ticket.kinds)

    def bars_listed(self, ticket: ListedTicket) -> bool:
        return self._rules().forbid(ticket.kinds)

    def is_told_by(self, ticket: ListedTicket) -> bool:
        return self.names.keys() | self._rules().within.keys() <= ticket.kinds.keys()

    def bars_topic(self, topic: str) -> bool:
        return fold(topic) in self._rules().never_topics
