"""A desk's records in the shapes of API v3.

Shapes follow the vendor's API pages: ids are strings, times are `{"value": "<epoch ms>", "display_value"}`,
named things are `{"id", "name"}` or null.
"""

import re
from datetime import UTC, datetime
from typing import Any

from simulators.servicedesk.records import Note, Person, Resolution, StoredSolution, StoredTicket

Json = dict[str, Any]

# The names of a site are its own; these are the ones that every new installation has.
IN_PROGRESS_BY_STATUS = {
    "Open": True,
    "In Progress": True,
    "Assigned": True,
    "Onhold": True,
    "Resolved": False,
    "Closed": False,
    "Cancelled": False,
}
PRIORITIES = ("Low", "Normal", "Medium", "High", "Urgent")
CATEGORIES = ("Network", "Printers", "Email", "Accounts", "Hardware", "File Services", "Software", "General")
_MARKUP = re.compile(r"<[^>]*>")
_LIST_OMITS = frozenset({"description", "resolution", "udf_fields", "has_notes"})


def moment(epoch_ms: int | None) -> Json | None:
    """Return a time as the API writes it, or None."""
    if epoch_ms is None:
        return None
    shown = datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%b %d, %Y %I:%M %p")
    return {"value": str(epoch_ms), "display_value": shown}


def person(who: Person | None) -> Json | None:
    """Return a requester or technician, or None."""
    if who is None:
        return None
    return {"id": who.id, "name": who.name, "email_id": who.email_id, "is_vipuser": False}


def _named(name: str | None, known: tuple[str, ...]) -> Json | None:
    if name is None:
        return None
    return {"id": str(known.index(name) + 1 if name in known else 900), "name": name}


def is_in_progress(ticket: StoredTicket) -> bool:
    """Return True if the desk counts the ticket's status as one in which work goes on."""
    if ticket.in_progress is not None:
        return ticket.in_progress
    return IN_PROGRESS_BY_STATUS.get(ticket.status, True)


def _status(ticket: StoredTicket) -> Json:
    names = tuple(IN_PROGRESS_BY_STATUS)
    return {
        "id": str(names.index(ticket.status) + 1 if ticket.status in names else 900),
        "name": ticket.status,
        "internal_name": ticket.status,
        "in_progress": is_in_progress(ticket),
        "stop_timer": not is_in_progress(ticket),
        "color": "#0066ff",
    }


def resolution(written: Resolution | None) -> Json:
    """Return a ticket's resolution; without one the content is null."""
    if written is None:
        return {"content": None}
    return {
        "content": written.content,
        "submitted_on": moment(written.submitted_ms),
        "submitted_by": person(written.submitted_by),
    }


def ticket_in_full(ticket: StoredTicket) -> Json:
    """Return the ticket as a read by id gives it."""
    return {
        "id": ticket.id,
        "display_id": ticket.display_id,
        "subject": ticket.subject,
        "short_description": _MARKUP.sub("", ticket.description)[:80],
        "description": ticket.description,
        "status": _status(ticket),
        "priority": _named(ticket.priority, PRIORITIES),
        "category": _named(ticket.category, CATEGORIES),
        "site": None,
        "group": None,
        "requester": person(ticket.requester),
        "technician": person(ticket.technician),
        "created_time": moment(ticket.created_ms),
        "last_updated_time": moment(ticket.updated_ms),
        "due_by_time": moment(ticket.created_ms + 8 * 3_600_000),
        "completed_time": moment(ticket.completed_ms),
        "resolved_time": moment(ticket.completed_ms),
        "udf_fields": {},
        "resolution": resolution(ticket.resolution) if ticket.resolution else None,
        "has_notes": bool(ticket.notes),
        "is_trashed": ticket.is_trashed,
        "is_service_request": False,
        "attachments": [],
    }


def ticket_in_list(ticket: StoredTicket) -> Json:
    """Return the ticket as a list gives it: no description and no resolution."""
    return {name: value for name, value in ticket_in_full(ticket).items() if name not in _LIST_OMITS}


def note_in_list(note: Note, edition: str) -> Json:
    """Return a note as the list of a ticket's notes gives it: without its description.

    Its time is `added_time` on premises and `created_time` in the cloud (vendor's API pages).
    """
    return {
        "id": note.id,
        "created_time" if edition == "cloud" else "added_time": moment(note.created_ms),
        "added_by": person(note.added_by),
        "created_by": person(note.added_by),
        "show_to_requester": note.show_to_requester,
    }


def note_in_full(note: Note, ticket_id: str, edition: str) -> Json:
    """Return a note as a read by id gives it."""
    return {
        **note_in_list(note, edition),
        "description": note.description,
        "mark_first_response": note.mark_first_response,
        "add_to_linked_requests": note.add_to_linked_requests,
        "notify_technician": note.notify_technician,
        "request": {"id": ticket_id},
    }


def solution_in_full(solution: StoredSolution) -> Json:
    """Return an article of the knowledge base."""
    return {
        "id": solution.id,
        "title": solution.title,
        "description": solution.description,
        "topic": {"id": "1", "name": solution.topic},
        "keywords": solution.keywords,
        "is_public": solution.is_public,
        "approval_status": {"name": "Approved" if solution.approved else "UnApproved"},
        "created_time": moment(solution.created_ms),
        "last_updated_time": moment(solution.created_ms),
        "view_count": "0",
    }
