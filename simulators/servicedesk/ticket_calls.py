"""The API's operations on tickets and their resolutions."""

import time
from typing import Any

from simulators.servicedesk.call import Call
from simulators.servicedesk.desk import Desk
from simulators.servicedesk.envelope import (
    BAD_REFERENCE,
    EXTRA_KEY,
    FORBIDDEN,
    MANDATORY_FIELD,
    TOO_LONG,
    WRONG_TYPE,
    RefusedError,
    success,
    success_list,
)
from simulators.servicedesk.records import Resolution, Ticket
from simulators.servicedesk.rendering import (
    CATEGORIES,
    IN_PROGRESS_BY_STATUS,
    PRIORITIES,
    resolution,
    ticket_in_full,
    ticket_in_list,
)
from simulators.servicedesk.search import select
from simulators.wire import Answer

Json = dict[str, Any]
MAX_SUBJECT = 250
_WRITABLE = frozenset(
    {
        "subject", "description", "status", "priority", "category", "requester", "technician", "group",
        "site", "udf_fields", "resolution", "mode", "urgency", "impact",
        "impact_details", "level", "request_type",
        "subcategory", "item", "template", "due_by_time", "update_reason", "status_change_comments",
        "closure_info", "is_fcr",
    }
)  # fmt: skip


def the_only_key(document: Json, name: str) -> Json:
    """Return the object under `name`; any other key is refused as the real desk does (4001, HTTP 400)."""
    for key in document:
        if key != name:
            raise RefusedError(BAD_REFERENCE, EXTRA_KEY, key)
    value = document.get(name)
    if not isinstance(value, dict):
        raise RefusedError(MANDATORY_FIELD, f"{name} is missing", name)
    return value


def _name(fields: Json, key: str, known: tuple[str, ...]) -> str | None:
    """Return the name in a reference such as `{"name": "High"}`; an unknown one is refused (4001)."""
    reference = fields.get(key)
    if reference is None:
        return None
    name = reference.get("name") if isinstance(reference, dict) else reference
    if isinstance(reference, dict) and name is None and str(reference.get("id", "")).isdecimal():
        index = int(reference["id"]) - 1
        name = known[index] if 0 <= index < len(known) else None
    if name not in known:
        raise RefusedError(BAD_REFERENCE, f"the given {key} does not exist", key)
    return str(name)


def _checked_fields(call: Call) -> Json:
    fields = the_only_key(call.document(), "request")
    for key in fields:
        if key not in _WRITABLE:
            raise RefusedError(BAD_REFERENCE, EXTRA_KEY, key)
    subject = fields.get("subject")
    if subject is not None and (not isinstance(subject, str) or not subject.strip()):
        raise RefusedError(WRONG_TYPE, "subject must be a text", "subject")
    if subject is not None and len(subject) > MAX_SUBJECT:
        raise RefusedError(TOO_LONG, f"subject can have {MAX_SUBJECT} characters", "subject")
    return fields


def _apply(desk: Desk, ticket: Ticket, fields: Json) -> None:
    """Set what the fields name; every one is checked before the first is set."""
    priority = _name(fields, "priority", PRIORITIES)
    category = _name(fields, "category", CATEGORIES)
    status = _name(fields, "status", tuple(IN_PROGRESS_BY_STATUS))
    ticket.priority = priority or ticket.priority
    ticket.category = category or ticket.category
    ticket.subject = fields.get("subject", ticket.subject)
    ticket.description = fields.get("description", ticket.description)
    ticket.udf_fields |= fields.get("udf_fields") or {}
    if status:
        desk.set_status(ticket, status)


def _changeable(desk: Desk, call: Call) -> Ticket:
    ticket = desk.find(call.ticket_id)
    if ticket.is_trashed:
        raise RefusedError(FORBIDDEN, "The request is in the trash", "id")
    return ticket


def create_ticket(desk: Desk, call: Call) -> Answer:
    """`POST /requests`: an open ticket; announces it with a webhook."""
    fields = _checked_fields(call)
    if "subject" not in fields:
        raise RefusedError(MANDATORY_FIELD, "subject is mandatory", "subject")
    draft = Ticket("", "", "", "", "Open", None, None, desk.technician, 0, 0)
    _apply(desk, draft, fields)
    ticket = desk.create_ticket(
        draft.subject, draft.description, priority=draft.priority, category=draft.category, announce=False
    )
    ticket.udf_fields = draft.udf_fields
    if draft.status != "Open":
        desk.set_status(ticket, draft.status)
    desk.announce(desk, ticket, "created")
    return success({"request": ticket_in_full(ticket)})


def read_ticket(desk: Desk, call: Call) -> Answer:
    """`GET /requests/{id}`."""
    return success({"request": ticket_in_full(desk.find(call.ticket_id))})


def list_tickets(desk: Desk, call: Call) -> Answer:
    """`GET /requests`: searches, sorts and pages; trashed tickets are left out."""
    info = call.list_info()
    wanted = info.get("fields_required")
    if wanted is not None and not isinstance(wanted, list):
        raise RefusedError(WRONG_TYPE, "fields_required must be an array", "fields_required")
    records = [ticket_in_full(ticket) for ticket in desk.tickets.values() if not ticket.is_trashed]
    page, reply = select(records, info)
    shown = [ticket_in_list(desk.tickets[record["id"]], wanted) for record in page]
    return success_list({"list_info": reply, "requests": shown})


def update_ticket(desk: Desk, call: Call) -> Answer:
    """`PUT /requests/{id}`: sets the given fields."""
    ticket = _changeable(desk, call)
    _apply(desk, ticket, _checked_fields(call))
    desk.touch(ticket)
    return success({"request": ticket_in_full(ticket)})


def close_ticket(desk: Desk, call: Call) -> Answer:
    """`PUT /requests/{id}/close`."""
    ticket = _changeable(desk, call)
    desk.set_status(ticket, "Closed")
    return success({"request": ticket_in_full(ticket)})


def trash_ticket(desk: Desk, call: Call) -> Answer:
    """`DELETE /requests/{id}/move_to_trash`."""
    desk.trash(desk.find(call.ticket_id))
    return success({})


def restore_ticket(desk: Desk, call: Call) -> Answer:
    """`PUT /requests/{id}/restore_from_trash`."""
    ticket = desk.tickets.get(call.ticket_id or "") or desk.find(call.ticket_id)
    desk.trash(ticket, trashed=False)
    return success({})


def delete_ticket(desk: Desk, call: Call) -> Answer:
    """`DELETE /requests/{id}`: gone for good; reading it is a 404 with 4007 afterwards."""
    del desk.tickets[desk.find(call.ticket_id).id]
    return success({})


def read_resolution(desk: Desk, call: Call) -> Answer:
    """`GET /requests/{id}/resolutions`."""
    return success({"resolution": resolution(desk.find(call.ticket_id).resolution)})


def write_resolution(desk: Desk, call: Call) -> Answer:
    """`POST` or `PUT /requests/{id}/resolutions`; does not change the ticket's status."""
    ticket = _changeable(desk, call)
    content = the_only_key(call.document(), "resolution").get("content")
    if not isinstance(content, str) or not content.strip():
        raise RefusedError(MANDATORY_FIELD, "content is mandatory", "content")
    ticket.resolution = Resolution(content, time.time_ns() // 1_000_000, desk.technician)
    desk.touch(ticket)
    return success({"resolution": resolution(ticket.resolution)})
