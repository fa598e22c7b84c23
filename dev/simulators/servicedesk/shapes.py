"""A desk's records in the shapes of API v3, by edition.

All keys are from recordings under `tests/integrations/recorded/`: on premises the examples of chronicle/content-hub
(2020) and the tests of rapid7/insightconnect-plugins (2022), cloud the tests of demisto/content (2020), solutions the
vendor's pages. Ids are texts, times are `{"value": "<epoch ms>", "display_value"}`.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dev.simulators.servicedesk.records import DeskUser, Note, Resolution, StoredSolution, StoredTicket
from dev.simulators.servicedesk.settings import Edition

Json = dict[str, Any]

# Status names of a new installation, in the order of their ids; a site may have others.
IN_PROGRESS_BY_STATUS = {
    "Closed": False,
    "Open": True,
    "On Hold": True,
    "Resolved": False,
    "In Progress": True,
    "Assigned": True,
    "Cancelled": False,
}
PRIORITIES = ("Low", "Normal", "Medium", "High", "Urgent")
GROUPS = ("Network", "Hardware Problems", "HR")
TEMPLATES = ("Default Request",)
SITES = ("Test Site",)
CATEGORIES = ("Network", "Printers", "Email", "Accounts", "Hardware", "File Services", "Software", "General")
_COLORS = {"Closed": "#006600", "Open": "#0066ff"}
_ON_HOLD = "On Hold"
_MARKUP = re.compile(r"<[^>]*>")


def moment(epoch_ms: int | None) -> Json | None:
    if epoch_ms is None:
        return None
    text = datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%b %d, %Y %I:%M %p")
    return {"value": str(epoch_ms), "display_value": text}


def person(user: DeskUser | None, edition: Edition) -> Json | None:
    if user is None:
        return None
    vip = "is_vip_user" if edition == "cloud" else "is_vipuser"
    fields = {"id": user.id, "name": user.name, "email_id": user.email_id, "phone": None, "mobile": None}
    return fields | {"department": None, vip: False}


def _technician(user: DeskUser | None, edition: Edition) -> Json | None:
    """Return the ticket's technician; the cloud uses another shape than for users."""
    if user is None or edition == "onpremises":
        return person(user, edition)
    fields = {"id": user.id, "name": user.name, "email_id": user.email_id, "phone": None, "mobile": None}
    return fields | {"cost_per_hour": "0", "photo_url": None, "sms_mail_id": None}


def _named(name: str | None, names: tuple[str, ...]) -> Json | None:
    if name is None:
        return None
    return {"id": str(names.index(name) + 1 if name in names else 900), "name": name}


def is_in_progress(ticket: StoredTicket) -> bool:
    if ticket.in_progress is not None:
        return ticket.in_progress
    return IN_PROGRESS_BY_STATUS.get(ticket.status, True)


def _status(ticket: StoredTicket, edition: Edition) -> Json:
    status = {**(_named(ticket.status, tuple(IN_PROGRESS_BY_STATUS)) or {}), "color": _COLORS.get(ticket.status)}
    if edition == "onpremises":
        return status
    ongoing = is_in_progress(ticket)
    return status | {
        "internal_name": "Onhold" if ticket.status == _ON_HOLD else ticket.status,
        "in_progress": ongoing,
        "stop_timer": not ongoing or ticket.status == _ON_HOLD,
    }


def resolution(written: Resolution | None, edition: Edition) -> Json:
    """Return a ticket's resolution; if there is none, only a null content."""
    if written is None:
        return {"content": None, "resolution_attachments": []}
    return {
        "content": written.content,
        "submitted_on": moment(written.submitted_ms),
        "submitted_by": person(written.submitted_by, edition),
        "resolution_attachments": [],
    }


def ticket_in_full(ticket: StoredTicket, edition: Edition) -> Json:
    common = _ticket_everywhere(ticket, edition) | {
        "description": ticket.description,
        "category": _named(ticket.category, CATEGORIES),
        "priority": _named(ticket.priority, PRIORITIES),
        "site": _named(ticket.site, SITES),
        "last_updated_time": moment(ticket.updated_ms),
        "udf_fields": {},
        "has_notes": bool(ticket.notes),
        "is_trashed": ticket.is_trashed,
    }
    solved = resolution(ticket.resolution, edition)
    done = {"completed_time": moment(ticket.completed_ms), "resolved_time": moment(ticket.completed_ms)}
    if ticket.completed_ms and edition == "onpremises":
        done["closure_info"] = _closure(ticket)
    if edition == "cloud":
        return common | done | {"resolution": solved if ticket.resolution else None, "attachments": []}
    # On premises an open ticket lacks those keys.
    common |= {"has_conversation": bool(ticket.mails)}
    return common | (done if ticket.completed_ms else {}) | {"resolution": solved}


def _closure(ticket: StoredTicket) -> Json:
    """Return a ticket's closure: recorded on premises, for closed tickets only."""
    closure = {"requester_ack_comments": None, "closure_code": None, "requester_ack_resolution": True}
    return closure | {"closure_comments": ticket.closure_comments}


def ticket_in_list(ticket: StoredTicket, edition: Edition, fields: Sequence[str] | None = None) -> Json:
    common = _ticket_everywhere(ticket, edition)
    if fields is not None:
        whole = ticket_in_full(ticket, edition)
        return {"id": ticket.id} | {name: whole[name] for name in fields}
    if edition == "cloud":
        return common | {"has_notes": bool(ticket.notes)}
    short = {"short_description": _MARKUP.sub("", ticket.description)[:80], "site": _named(ticket.site, SITES)}
    return common | short | {"priority": _named(ticket.priority, PRIORITIES)}


def _ticket_everywhere(ticket: StoredTicket, edition: Edition) -> Json:
    """Return the fields of all ticket answers; on premises the display id is the id."""
    display_id = {"display_id": ticket.display_id} if edition == "cloud" else {}
    return display_id | {
        "id": ticket.id,
        "subject": ticket.subject,
        "status": _status(ticket, edition),
        "group": _named(ticket.group, GROUPS),
        "template": _named(ticket.template, TEMPLATES),
        "requester": person(ticket.requester, edition),
        "technician": _technician(ticket.technician, edition),
        "created_time": moment(ticket.created_ms),
        "due_by_time": moment(ticket.created_ms + 8 * 3_600_000),
        "is_service_request": False,
    }


def note_in_list(note: Note, ticket: StoredTicket, *, older: bool, edition: Edition) -> Json:
    """Return a note as listed, without its description.

    `older`: in the shape of the cloud, which older builds on premises have too.
    """
    author, written = person(note.added_by, edition), moment(note.created_ms)
    about = {"subject": ticket.subject, "id": ticket.id}
    common = {"id": note.id, "request": about, "show_to_requester": note.show_to_requester}
    if older:
        return common | {"created_by": author, "created_time": written}
    changed = {"last_updated_by": author, "last_updated_time": written}
    return common | changed | {"added_by": author, "added_time": written, "attachments": []}


def note_in_full(note: Note, ticket: StoredTicket, *, older: bool, edition: Edition) -> Json:
    return note_in_list(note, ticket, older=older, edition=edition) | {"description": note.description}


def solution_in_list(solution: StoredSolution, *, texts: bool) -> Json:
    """Return an article as listed: whole, or without its text.

    Whole after the vendor's page. The real behaviour is not known: NCLGISA/trellis-catalog
    (`bridges/servicedesk-plus/tools/sdp.py`) reads each by its id.
    """
    whole = solution_in_full(solution)
    return whole if texts else {name: value for name, value in whole.items() if name != "description"}


def solution_in_full(solution: StoredSolution) -> Json:
    """Return an article as read by id, with its `expiry_date` if it has one.

    Source: the attributes of a solution, https://www.manageengine.com/products/service-desk/sdpod-v3-api/solution/.
    """
    expiry = {} if solution.expiry_ms is None else {"expiry_date": moment(solution.expiry_ms)}
    return expiry | {
        "id": solution.id,
        "title": solution.title,
        "description": solution.description,
        "topic": {"id": "1", "name": solution.topic},
        "keywords": solution.keywords,
        "is_public": solution.is_public,
    }
