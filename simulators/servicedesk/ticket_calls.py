"""The API's operations on tickets and their resolutions.

Tickets are created at `/_sim/tickets` or on the pages.
"""

from collections.abc import Callable, Mapping
from typing import Any

from simulators.exchange import Answer
from simulators.servicedesk.call import DeskCall
from simulators.servicedesk.desk import SimulatedDesk
from simulators.servicedesk.envelope import (
    BAD_REFERENCE,
    EXTRA_KEY,
    FORBIDDEN,
    MANDATORY_FIELD,
    RefusedError,
    success,
    success_list,
)
from simulators.servicedesk.listing import by_number, in_its_order, searched, select, wanted_fields
from simulators.servicedesk.records import Resolution, StoredTicket
from simulators.servicedesk.shapes import resolution, ticket_in_full, ticket_in_list

Json = dict[str, Any]
_SORTABLE: Mapping[str, Callable[[StoredTicket], Any]] = {
    "created_time": lambda ticket: (ticket.created_ms, by_number(ticket.id)),
    "last_updated_time": lambda ticket: (ticket.updated_ms, by_number(ticket.id)),
}


def _alike(_ticket: StoredTicket) -> int:
    """Return a constant sort key, which keeps the order."""
    return 0


def the_only_key(document: Json, name: str) -> Json:
    """Return the object under `name`; refuse other keys as a real desk does (4001, HTTP 400)."""
    for key in document:
        if key != name:
            raise RefusedError(BAD_REFERENCE, EXTRA_KEY, key)
    value = document.get(name)
    if not isinstance(value, dict):
        raise RefusedError(MANDATORY_FIELD, f"{name} is missing", name)
    return value


def changeable(desk: SimulatedDesk, call: DeskCall) -> StoredTicket:
    """Return the ticket of a changing call. Raises RefusedError if it is in the trash."""
    ticket = desk.find(call.ticket_id)
    if ticket.is_trashed:
        raise RefusedError(FORBIDDEN, "The request is in the trash", "id")
    return ticket


def read_ticket(desk: SimulatedDesk, call: DeskCall) -> Answer:
    return success({"request": ticket_in_full(desk.find(call.ticket_id), desk.settings.edition)})


def list_tickets(desk: SimulatedDesk, call: DeskCall) -> Answer:
    """Handle `GET /requests`: newest first by default, without trashed tickets.

    Merged ones are included: the real behaviour is not known, and this is the harder case.
    """
    options = desk.settings
    there = [ticket for ticket in desk.tickets.values() if not (ticket.is_trashed or desk.has_forgotten(ticket))]
    newest_first = sorted(there, key=_SORTABLE["created_time"], reverse=True)
    found, list_info = searched(newest_first, call.list_info(), options)
    fields, list_info = wanted_fields(list_info, options)
    if options.same_page:
        list_info = {**list_info, "start_index": 1}
    keeps_order = options.list_order != "asked"
    sortable = dict.fromkeys(_SORTABLE, _alike) if keeps_order else _SORTABLE
    page, reply = select(in_its_order(found, options.list_order), list_info, sortable)
    shown = [ticket_in_list(ticket, options.edition, fields) for ticket in page]
    return success_list({"list_info": reply, "requests": shown})


def write_resolution(desk: SimulatedDesk, call: DeskCall) -> Answer:
    """Handle `POST /requests/{id}/resolutions`; the ticket's status does not change."""
    ticket = changeable(desk, call)
    written = the_only_key(call.document(), "resolution")
    for key in written.keys() - {"content"}:
        raise RefusedError(BAD_REFERENCE, EXTRA_KEY, key)
    content = written.get("content")
    if not isinstance(content, str) or not content.strip():
        raise RefusedError(MANDATORY_FIELD, "content is mandatory", "content")
    ticket.resolution = Resolution(content, desk.touch(ticket), desk.technician)
    return success({"resolution": resolution(ticket.resolution, desk.settings.edition)})
