"""One tenant's desk: its tickets and articles, and the rules for changing them."""

import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from dev.simulators.servicedesk.envelope import INVALID_URL, NOT_FOUND, RefusedError
from dev.simulators.servicedesk.history import past_articles, past_tickets
from dev.simulators.servicedesk.records import DeskUser, Mail, Note, Resolution, StoredSolution, StoredTicket, WorkLog
from dev.simulators.servicedesk.settings import DeskOptions
from dev.simulators.servicedesk.shapes import IN_PROGRESS_BY_STATUS

# Cloud ids have 18 digits and exceed a double: a client that parses them as numbers corrupts them.
_CLOUD_ID_BASE = 234_759_000_000_312_000
_DAY_MS = 86_400_000
# Solved tickets and articles on everyday subjects.
_SEED = Path(__file__).with_name("seed.json")


Announce = Callable[["SimulatedDesk", StoredTicket, str], None]


class TicketExistsError(Exception):
    """A ticket with that id already exists."""


class SimulatedDesk:
    """One desk's state; `announce` gets each ticket due for a webhook and its event."""

    def __init__(self, tenant: str, settings: DeskOptions, announce: Announce = lambda *_: None) -> None:
        self.tenant, self.settings, self.announce = tenant, settings, announce
        self.tickets: dict[str, StoredTicket] = {}
        self.solutions: dict[str, StoredSolution] = {}
        self._last_id = _CLOUD_ID_BASE if settings.edition == "cloud" else 100
        self._displayed = 0
        self._requester = DeskUser(self.new_id(), "Jordan Reyes", f"jordan.reyes@{tenant}.example")
        self.technician = DeskUser(self.new_id(), "Sam Okafor", f"sam.okafor@{tenant}.example")
        if settings.seeded:
            self._seed()
        self._remember_history()

    def _now(self) -> int:
        """Return the desk's time in epoch milliseconds."""
        return time.time_ns() // 1_000_000 + self.settings.clock_seconds * 1000

    def new_id(self) -> str:
        """Return a new id in the edition's form: a small number, or 18 digits on cloud."""
        self._last_id += 1
        while str(self._last_id) in self.tickets:
            self._last_id += 1
        return str(self._last_id)

    def _seed(self) -> None:
        seed, now = json.loads(_SEED.read_text("utf-8")), self._now()
        for number, solved in enumerate(seed["tickets"]):
            created = now - (len(seed["tickets"]) - number) * 4 * _DAY_MS
            ticket = self._add(self.new_id(), solved["subject"], f"<div>{solved['description']}</div>", created)
            ticket.priority, ticket.category = solved["priority"], solved["category"]
            self._resolve(ticket, solved["resolution"])
        for article in seed["solutions"]:
            self.add_solution(**article)

    def _remember_history(self) -> None:
        now, count = self._now(), self.settings.history
        for number, past in enumerate(past_tickets(count)):
            created = now - round((count - number) * self.settings.history_days * _DAY_MS / count)
            ticket = self._add(self.new_id(), past.subject, f"<div>{past.description}</div>", created)
            ticket.category, ticket.group = past.category, past.group
            if not past.open:
                self._resolve(ticket, past.resolution)
        for title, text, topic in past_articles(self.settings.articles):
            self.add_solution(title, text, topic)

    def add_solution(
        self, title: str, text: str, topic: str, keywords: str = "", *, approved: bool = True
    ) -> StoredSolution:
        created = self._now() - 90 * _DAY_MS
        solution = StoredSolution(self.new_id(), title, f"<div>{text}</div>", topic, keywords, True, approved, created)
        self.solutions[solution.id] = solution
        return solution

    def _resolve(self, ticket: StoredTicket, resolution: str) -> None:
        ticket.status = "Resolved"
        ticket.technician = self.technician
        ticket.completed_ms = ticket.updated_ms = ticket.created_ms + 5 * 3_600_000
        ticket.resolution = Resolution(f"<div>{resolution}</div>", ticket.updated_ms, self.technician)

    def _add(self, ticket_id: str, subject: str, description: str, created_ms: int) -> StoredTicket:
        if ticket_id in self.tickets:
            raise TicketExistsError(ticket_id)
        self._displayed += 1
        display_id = str(self._displayed) if self.settings.edition == "cloud" else ticket_id
        ticket = StoredTicket(ticket_id, display_id, subject, description, self._requester, created_ms, created_ms)
        self.tickets[ticket_id] = ticket
        return ticket

    def create_ticket(
        self, subject: str, description: str, *, ticket_id: str | None = None, requester: str | None = None
    ) -> StoredTicket:
        """Create an open ticket, not announced yet. Raises TicketExistsError.

        `requester` is a mail address; the default is the desk's usual requester.
        """
        ticket = self._add(ticket_id or self.new_id(), subject, description, self._now())
        if requester is not None:
            ticket.requester = DeskUser(self.new_id(), requester.split("@")[0], requester)
        return ticket

    def find(self, ticket_id: str | None) -> StoredTicket:
        """Return a ticket, also a trashed one unless hidden. Raises RefusedError (4007).

        A merged ticket is refused with a pointer: recorded live by chrisalibby/servicedeskplus_mcp (`API_COVERAGE.md`),
        the words by nestyy1337/sdp-request-client (`src/client.rs`).
        """
        ticket = self.tickets.get(ticket_id or "")
        if ticket is None or (ticket.is_trashed and self.settings.trashed_is_missing) or self.has_forgotten(ticket):
            raise RefusedError(NOT_FOUND, INVALID_URL)
        if ticket.merged_into is not None:
            message = f"Request Id(s) {ticket.id} has been Merged with Parent Request {ticket.merged_into}."
            raise RefusedError(NOT_FOUND, {"parent_request": {"id": ticket.merged_into}, "message": message})
        return ticket

    def has_forgotten(self, ticket: StoredTicket) -> bool:
        return zlib.crc32(ticket.id.encode()) % 1000 < self.settings.forgets * 1000

    def touch(self, ticket: StoredTicket) -> int:
        """Mark a ticket as changed now; return the time in epoch milliseconds."""
        ticket.updated_ms = max(self._now(), ticket.updated_ms + 1)
        if self.settings.webhook_on_update:
            self.announce(self, ticket, "updated")
        return ticket.updated_ms

    def set_status(self, ticket: StoredTicket, status: str, in_progress: bool | None = None) -> None:
        """Set a status by name; `in_progress` None: the default of a new installation."""
        ticket.status = status
        ticket.in_progress = in_progress
        changed = self.touch(ticket)
        ongoing = in_progress if in_progress is not None else IN_PROGRESS_BY_STATUS.get(status, True)
        ticket.completed_ms = None if ongoing else changed

    def add_note(self, ticket: StoredTicket, description: str, **flags: bool) -> Note:
        note = Note(self.new_id(), description, self.touch(ticket), self.technician, **flags)
        ticket.notes[note.id] = note
        return note

    def send(self, ticket: StoredTicket, text: str) -> Mail:
        mail = Mail(self.new_id(), text, self.touch(ticket), self.technician)
        ticket.mails[mail.id] = mail
        return mail

    def log_work(self, ticket: StoredTicket, text: str) -> WorkLog:
        log = WorkLog(self.new_id(), text, self.touch(ticket), self.technician)
        ticket.work_logs.append(log)
        return log

    def trash(self, ticket: StoredTicket, *, trashed: bool = True) -> None:
        ticket.is_trashed = trashed
        self.touch(ticket)
