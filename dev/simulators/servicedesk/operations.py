"""The operations of a desk's API: tickets, notes, conversations, work logs, solutions.

Bodies are form-encoded, `input_data=<JSON text>`; on GET it is in the query string (vendor's API pages). Tickets are
created at `/_sim/tickets` or on the pages.

Notes: the body key is `note` on premises and `request_note` in the cloud (the vendor's pages); older builds on premises
use that one too (chronicle/content-hub, `service_desk_plus_v3`). The only known sort field of notes is
`last_updated_time` on premises, from a recorded list (rapid7/insightconnect-plugins).

Conversations are not on the vendor's pages. On premises: rushikeshsakharleofficial/sdp-mcp
(`skills/sdp-onprem/SKILL.md`) and nestyy1337/sdp-request-client (`src/client.rs`); in the cloud:
nasir-dipto/unified-support-dashboard (`apps/api/src/services/helpdesk.service.ts`), where notes are listed too, and are
not mails.

Work logs: the vendor's attributes, https://www.manageengine.com/products/service-desk/sdpod-v3-api/requests/
(`request_worklog.html`).

Names of the solutions' filters: https://help.servicedeskplus.com/v3-solutions-api-changes
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from dev.simulators.answers import Json, page
from dev.simulators.servicedesk.access import Access
from dev.simulators.servicedesk.desk import SimulatedDesk
from dev.simulators.servicedesk.envelope import (
    BAD_REFERENCE,
    EXTRA_KEY,
    FORBIDDEN,
    INVALID_INPUT,
    INVALID_URL,
    MANDATORY_FIELD,
    NOT_FOUND,
    WRONG_TYPE,
    RefusedError,
    failure,
    success,
    success_list,
)
from dev.simulators.servicedesk.listing import by_number, in_list_order, required_fields, searched, select
from dev.simulators.servicedesk.records import Mail, Note, Resolution, StoredTicket
from dev.simulators.servicedesk.shapes import (
    moment,
    note_in_full,
    note_in_list,
    person,
    resolution,
    solution_in_full,
    solution_in_list,
    ticket_in_full,
    ticket_in_list,
)

Document = dict[str, Any]
_SORTABLE: Mapping[str, Callable[[StoredTicket], Any]] = {
    "created_time": lambda ticket: (ticket.created_ms, by_number(ticket.id)),
    "last_updated_time": lambda ticket: (ticket.updated_ms, by_number(ticket.id)),
}
_SORTABLE_NOTES: Mapping[str, Callable[[Note], Any]] = {
    "last_updated_time": lambda note: (note.created_ms, by_number(note.id))
}
_FLAGS = ("show_to_requester", "mark_first_response", "add_to_linked_requests")
_FILTERS = {"ApprovedSolutions": (True,), "UnApprovedSolutions": (False,), "AllSolutions": (True, False)}


@dataclass(frozen=True, slots=True)
class DeskCall:
    """A request; `input_data` is decoded JSON, the bare text if invalid, or None."""

    operation: str
    ticket_id: str | None
    item_id: str | None
    form: Mapping[str, str]
    names_portal: bool = False
    """True if the path names the portal."""

    @property
    def input_data(self) -> Any:
        text = self.form.get("input_data")
        try:
            return None if text is None else json.loads(text)
        except (ValueError, RecursionError):
            return text

    def refuse_other_fields(self) -> None:
        """Raise RefusedError for an unknown field; reads of one item take none."""
        accepted = set() if self.operation.startswith("read_") else {"input_data"}
        for name in self.form.keys() - accepted:
            raise RefusedError(BAD_REFERENCE, INVALID_INPUT, name)

    def document(self) -> Document:
        """Return `input_data` as an object. Raises RefusedError."""
        document = self.input_data
        if document is None:
            raise RefusedError(BAD_REFERENCE, "input_data is missing", "input_data")
        if not isinstance(document, dict):
            raise RefusedError(WRONG_TYPE, "input_data is not a JSON object", "input_data")
        return document

    def list_info(self) -> Document:
        """Return `list_info`, by default {}. Raises RefusedError for any other key."""
        document = {} if self.input_data is None else self.document()
        for key in document.keys() - {"list_info"}:
            raise RefusedError(BAD_REFERENCE, EXTRA_KEY, key)
        info = document.get("list_info", {})
        if not isinstance(info, dict):
            raise RefusedError(WRONG_TYPE, "list_info is not an object", "list_info")
        return info

    def written(self, name: str, text: str, flags: tuple[str, ...] = ()) -> Document:
        """Return the object under `name`, the only key, with a `text` and known flags.

        Other keys are refused as a real desk does (4001, HTTP 400).
        """
        document = self.document()
        for key in document.keys() - {name}:
            raise RefusedError(BAD_REFERENCE, EXTRA_KEY, key)
        fields = document.get(name)
        if not isinstance(fields, dict):
            raise RefusedError(MANDATORY_FIELD, f"{name} is missing", name)
        for key, value in fields.items():
            if key not in (text, *flags):
                raise RefusedError(BAD_REFERENCE, EXTRA_KEY, key)
            if key != text and not isinstance(value, bool):
                raise RefusedError(WRONG_TYPE, f"{key} must be true or false", key)
        if not isinstance(fields.get(text), str) or not fields[text].strip():
            raise RefusedError(MANDATORY_FIELD, f"{text} is mandatory", text)
        return fields


async def read_form(request: Request) -> dict[str, str]:
    form, kind = request.scope["query_string"], request.headers.get("content-type", "")
    if request.method != "GET":
        form = await request.body() if kind.startswith("application/x-www-form-urlencoded") else b""
    return dict(parse_qsl(form.decode("utf-8", "replace"), keep_blank_values=True))


def _changeable(desk: SimulatedDesk, call: DeskCall) -> StoredTicket:
    ticket = desk.find(call.ticket_id)
    if ticket.is_trashed:
        raise RefusedError(FORBIDDEN, "The request is in the trash", "id")
    return ticket


def read_ticket(desk: SimulatedDesk, call: DeskCall) -> Response:
    return success({"request": ticket_in_full(desk.find(call.ticket_id), desk.settings.edition)})


def list_tickets(desk: SimulatedDesk, call: DeskCall) -> Response:
    """Handle `GET /requests`: newest first by default, without trashed tickets.

    Merged ones are included: the real behaviour is not known, and this is the harder case.
    """
    options = desk.settings
    visible = [ticket for ticket in desk.tickets.values() if not (ticket.is_trashed or desk.has_forgotten(ticket))]
    newest_first = sorted(visible, key=_SORTABLE["created_time"], reverse=True)
    tickets, list_info = searched(newest_first, call.list_info(), options)
    fields, list_info = required_fields(list_info, options)
    if options.same_page:
        list_info = {**list_info, "start_index": 1}
    # A constant key keeps the order.
    sortable = _SORTABLE if options.list_order == "asked" else dict.fromkeys(_SORTABLE, lambda _ticket: 0)
    rows, reply = select(in_list_order(tickets, options.list_order), list_info, sortable)
    documents = [ticket_in_list(ticket, options.edition, fields) for ticket in rows]
    return success_list({"list_info": reply, "requests": documents})


def write_resolution(desk: SimulatedDesk, call: DeskCall) -> Response:
    """Handle `POST /requests/{id}/resolutions`; the ticket's status does not change."""
    ticket = _changeable(desk, call)
    content = call.written("resolution", "content")["content"]
    ticket.resolution = Resolution(content, desk.touch(ticket), desk.technician)
    return success({"resolution": resolution(ticket.resolution, desk.settings.edition)})


def _note_key(desk: SimulatedDesk) -> str:
    return desk.settings.note_key or ("request_note" if desk.settings.edition == "cloud" else "note")


def _note_shape(desk: SimulatedDesk) -> dict[str, Any]:
    edition = desk.settings.edition
    return {"older": edition == "cloud" or _note_key(desk) == "request_note", "edition": edition}


def add_note(desk: SimulatedDesk, call: DeskCall) -> Response:
    """Handle `POST /requests/{id}/notes`; posting twice makes two notes."""
    ticket = _changeable(desk, call)
    flags = (*_FLAGS, "notify_technician") if desk.settings.edition == "cloud" else _FLAGS
    fields = call.written(_note_key(desk), "description", flags)
    note = desk.add_note(ticket, **fields)
    return success({_note_key(desk): note_in_full(note, ticket, **_note_shape(desk))})


def list_notes(desk: SimulatedDesk, call: DeskCall) -> Response:
    """Handle `GET /requests/{id}/notes`: latest change last, no descriptions."""
    ticket = desk.find(call.ticket_id)
    sortable = {} if desk.settings.edition == "cloud" else _SORTABLE_NOTES
    in_order = sorted(ticket.notes.values(), key=_SORTABLE_NOTES["last_updated_time"])
    rows, reply = select(in_order, call.list_info(), sortable)
    documents = [note_in_list(note, ticket, **_note_shape(desk)) for note in rows]
    return success_list({"list_info": reply, desk.settings.note_list_key: documents})


def read_note(desk: SimulatedDesk, call: DeskCall) -> Response:
    ticket = desk.find(call.ticket_id)
    note = _present(ticket.notes.get(call.item_id or ""))
    return success({_note_key(desk): note_in_full(note, ticket, **_note_shape(desk))})


def full_notes(desk: SimulatedDesk, ticket: StoredTicket) -> list[Document]:
    return [note_in_full(note, ticket, **_note_shape(desk)) for note in ticket.notes.values()]


def list_conversations(desk: SimulatedDesk, call: DeskCall) -> Response:
    """Handle `GET /requests/{id}/conversations`: newest first; the cloud adds notes."""
    ticket = desk.find(call.ticket_id)
    mails = list(reversed(ticket.mails.values()))
    if desk.settings.edition == "cloud":
        rows = [_cloud_row(mail.id, "Technician_E-Mail", mail.sent_ms) for mail in mails]
        rows += [_cloud_row(note.id, "NOTES", note.created_ms) for note in ticket.notes.values()]
    else:
        rows = [_mail_in_list(mail, ticket) for mail in mails]
    documents, reply = select(rows, call.list_info(), {})
    return success_list({"list_info": reply, "conversations": documents})


def read_notification(desk: SimulatedDesk, call: DeskCall) -> Response:
    ticket = desk.find(call.ticket_id)
    mail = _present(ticket.mails.get(call.item_id or ""))
    return success({"notification": {"id": mail.id, "subject": ticket.subject, "description": mail.text}})


def _mail_in_list(mail: Mail, ticket: StoredTicket) -> Document:
    sender = person(mail.sent_by, "onpremises")
    fields: Document = {"id": mail.id, "type": "conversation", "subject": ticket.subject, "from": sender, "to": []}
    place = f"/api/v3/requests/{ticket.id}/notifications/{mail.id}"
    return fields | {"sent_time": moment(mail.sent_ms), "has_attachments": False, "content_url": place}


def _cloud_row(item_id: str, kind: str, at: int) -> Document:
    return {"id": item_id, "type": kind, "created_time": moment(at), "show_to_requester": False}


def list_work_logs(desk: SimulatedDesk, call: DeskCall) -> Response:
    ticket = desk.find(call.ticket_id)
    rows, reply = select(ticket.work_logs, call.list_info(), {})
    documents = [
        {
            "id": log.id,
            "description": log.text,
            "owner": person(log.owner, desk.settings.edition),
            "recorded_time": moment(log.recorded_ms),
        }
        for log in rows
    ]
    return success_list({"list_info": reply, "worklogs": documents})


def list_solutions(desk: SimulatedDesk, call: DeskCall) -> Response:
    """Handle `GET /solutions`; the filter `ApprovedSolutions` omits drafts."""
    info = call.list_info()
    chosen = info.get("filter_by", {"name": "AllSolutions"})
    name = chosen.get("name") if isinstance(chosen, dict) and chosen.keys() == {"name"} else None
    if name not in _FILTERS:
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "filter_by")
    solutions = [solution for solution in desk.solutions.values() if solution.approved in _FILTERS[name]]
    rows, reply = select(solutions, info, {}, frozenset({"filter_by"}))
    documents = [solution_in_list(solution, texts=desk.settings.list_texts) for solution in rows]
    return success_list({"list_info": reply, "solutions": documents})


def read_solution(desk: SimulatedDesk, call: DeskCall) -> Response:
    return success({"solution": solution_in_full(_present(desk.solutions.get(call.item_id or "")))})


def _present(item: Any) -> Any:
    if item is None:
        raise RefusedError(NOT_FOUND, INVALID_URL)
    return item


UNKNOWN = "unknown"
# (method, path behind /api/v3, handler). {ticket} and {item} match one segment.
_ROUTES: tuple[tuple[str, str, Callable[[SimulatedDesk, DeskCall], Response]], ...] = (
    ("GET", "requests", list_tickets),
    ("GET", "requests/{ticket}", read_ticket),
    ("POST", "requests/{ticket}/notes", add_note),
    ("GET", "requests/{ticket}/notes", list_notes),
    ("GET", "requests/{ticket}/notes/{item}", read_note),
    ("GET", "requests/{ticket}/conversations", list_conversations),
    ("GET", "requests/{ticket}/notifications/{item}", read_notification),
    ("GET", "requests/{ticket}/worklogs", list_work_logs),
    ("POST", "requests/{ticket}/resolutions", write_resolution),
    ("GET", "solutions", list_solutions),
    ("GET", "solutions/{item}", read_solution),
)
_HANDLERS = {handler.__name__: handler for _, _, handler in _ROUTES}
OPERATIONS = _HANDLERS.keys() | {"token", UNKNOWN}


def find_operation(method: str, segments: list[str]) -> tuple[str, str | None, str | None]:
    """Return the operation and ids of ticket and item for a path below `/api/v3`."""
    for route_method, path, handler in _ROUTES:
        pattern = path.split("/")
        if route_method != method or len(pattern) != len(segments):
            continue
        parts = dict(zip(pattern, segments, strict=True))
        if all(part == segment or part.startswith("{") for part, segment in parts.items()):
            return handler.__name__, parts.get("{ticket}"), parts.get("{item}")
    return UNKNOWN, segments[1] if len(segments) > 1 and segments[0] == "requests" else None, None


def perform(desk: SimulatedDesk, access: Access, call: DeskCall, headers: Mapping[str, str]) -> Response:
    """Check the caller and perform the operation; refusals become answers."""
    if call.operation == "token":
        return Json(access.issue(call.form))
    if call.operation == UNKNOWN:
        return page("HTTP Status 404 - Not Found", 404)
    try:
        access.check(headers, names_portal=call.names_portal)
        call.refuse_other_fields()
        return _HANDLERS[call.operation](desk, call)
    except RefusedError as error:
        return failure(error)
