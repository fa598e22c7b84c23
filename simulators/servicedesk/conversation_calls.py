"""The API's operations on a ticket's conversations: a list without texts, and one mail.

Neither is on the vendor's pages. On premises: rushikeshsakharleofficial/sdp-mcp (`skills/sdp-onprem/SKILL.md`) and
nestyy1337/sdp-request-client (`src/client.rs`); in the cloud: nasir-dipto/unified-support-dashboard
(`apps/api/src/services/helpdesk.service.ts`), where notes are listed too, and are not mails.
"""

from typing import Any

from simulators.exchange import Answer
from simulators.servicedesk.call import DeskCall
from simulators.servicedesk.desk import SimulatedDesk
from simulators.servicedesk.envelope import INVALID_URL, NOT_FOUND, RefusedError, success, success_list
from simulators.servicedesk.listing import select
from simulators.servicedesk.records import Mail, StoredTicket
from simulators.servicedesk.shapes import moment, person

Json = dict[str, Any]


def list_conversations(desk: SimulatedDesk, call: DeskCall) -> Answer:
    """Handle `GET /requests/{id}/conversations`: newest first; the cloud includes notes."""
    ticket = desk.find(call.ticket_id)
    cloud = desk.settings.edition == "cloud"
    rows = [_in_list(mail, ticket, cloud=cloud) for mail in reversed(ticket.mails.values())]
    if cloud:
        rows += [_row(note.id, "NOTES", note.created_ms) for note in ticket.notes.values()]
    page, reply = select(rows, call.list_info(), {})
    return success_list({"list_info": reply, "conversations": page})


def read_notification(desk: SimulatedDesk, call: DeskCall) -> Answer:
    ticket = desk.find(call.ticket_id)
    mail = ticket.mails.get(call.item_id or "")
    if mail is None:
        raise RefusedError(NOT_FOUND, INVALID_URL)
    return success({"notification": {"id": mail.id, "subject": ticket.subject, "description": mail.text}})


def _in_list(mail: Mail, ticket: StoredTicket, *, cloud: bool) -> Json:
    if cloud:
        return _row(mail.id, "Technician_E-Mail", mail.sent_ms)
    sender = person(mail.sent_by, "onpremises")
    of_it: Json = {"id": mail.id, "type": "conversation", "subject": ticket.subject, "from": sender, "to": []}
    place = f"/api/v3/requests/{ticket.id}/notifications/{mail.id}"
    return of_it | {"sent_time": moment(mail.sent_ms), "has_attachments": False, "content_url": place}


def _row(item_id: str, kind: str, at: int) -> Json:
    return {"id": item_id, "type": kind, "created_time": moment(at), "show_to_requester": False}
