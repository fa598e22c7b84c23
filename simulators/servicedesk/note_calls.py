"""The API's operations on notes.

Sources of the body key: the vendor's pages, `note` on premises and `request_note` in the cloud; older builds on
premises use that one too (chronicle/content-hub, `service_desk_plus_v3`). The only known sort field of notes is
`last_updated_time` on premises, from a recorded list (rapid7/insightconnect-plugins).
"""

from collections.abc import Callable, Mapping
from typing import Any

from simulators.exchange import Answer
from simulators.servicedesk.call import DeskCall
from simulators.servicedesk.desk import SimulatedDesk
from simulators.servicedesk.envelope import (
    BAD_REFERENCE,
    EXTRA_KEY,
    INVALID_URL,
    MANDATORY_FIELD,
    NOT_FOUND,
    WRONG_TYPE,
    RefusedError,
    success,
    success_list,
)
from simulators.servicedesk.listing import by_number, select
from simulators.servicedesk.records import Note, StoredTicket
from simulators.servicedesk.shapes import note_in_full, note_in_list
from simulators.servicedesk.ticket_calls import changeable, the_only_key

_SORTABLE: Mapping[str, Callable[[Note], Any]] = {
    "last_updated_time": lambda note: (note.created_ms, by_number(note.id))
}
_FLAGS = ("show_to_requester", "mark_first_response", "add_to_linked_requests")


def _body_key(desk: SimulatedDesk) -> str:
    return desk.settings.note_key or ("request_note" if desk.settings.edition == "cloud" else "note")


def _shape(desk: SimulatedDesk) -> dict[str, Any]:
    edition = desk.settings.edition
    return {"older": edition == "cloud" or _body_key(desk) == "request_note", "edition": edition}


def _flags(desk: SimulatedDesk) -> tuple[str, ...]:
    return (*_FLAGS, "notify_technician") if desk.settings.edition == "cloud" else _FLAGS


def _checked(desk: SimulatedDesk, call: DeskCall) -> tuple[str, dict[str, Any]]:
    """Return the posted note's description and flags, or raise RefusedError."""
    fields = the_only_key(call.document(), _body_key(desk))
    flags = _flags(desk)
    for key, value in fields.items():
        if key != "description" and key not in flags:
            raise RefusedError(BAD_REFERENCE, EXTRA_KEY, key)
        if key in flags and not isinstance(value, bool):
            raise RefusedError(WRONG_TYPE, f"{key} must be true or false", key)
    description = fields.get("description")
    if not isinstance(description, str) or not description.strip():
        raise RefusedError(MANDATORY_FIELD, "description is mandatory", "description")
    return description, {key: fields[key] for key in flags if key in fields}


def _note(ticket: StoredTicket, call: DeskCall) -> Note:
    note = ticket.notes.get(call.item_id or "")
    if note is None:
        raise RefusedError(NOT_FOUND, INVALID_URL)
    return note


def add_note(desk: SimulatedDesk, call: DeskCall) -> Answer:
    """Handle `POST /requests/{id}/notes`. No idempotency key: posting twice makes two notes."""
    ticket = changeable(desk, call)
    description, flags = _checked(desk, call)
    note = desk.add_note(ticket, description, flags)
    return success({_body_key(desk): note_in_full(note, ticket, **_shape(desk))})


def list_notes(desk: SimulatedDesk, call: DeskCall) -> Answer:
    """Handle `GET /requests/{id}/notes`: latest change last, items without their description."""
    ticket = desk.find(call.ticket_id)
    sortable = {} if desk.settings.edition == "cloud" else _SORTABLE
    in_order = sorted(ticket.notes.values(), key=_SORTABLE["last_updated_time"])
    page, reply = select(in_order, call.list_info(), sortable)
    shown = [note_in_list(note, ticket, **_shape(desk)) for note in page]
    return success_list({"list_info": reply, desk.settings.note_list_key: shown})


def read_note(desk: SimulatedDesk, call: DeskCall) -> Answer:
    ticket = desk.find(call.ticket_id)
    return success({_body_key(desk): note_in_full(_note(ticket, call), ticket, **_shape(desk))})


def kept_notes(desk: SimulatedDesk, ticket: StoredTicket) -> list[dict[str, Any]]:
    return [note_in_full(note, ticket, **_shape(desk)) for note in ticket.notes.values()]
