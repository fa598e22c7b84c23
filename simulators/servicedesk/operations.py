"""Every operation of a desk by its name: what the door calls."""

from collections.abc import Callable, Mapping

from simulators.servicedesk import note_calls, solution_calls, ticket_calls
from simulators.servicedesk.access import Access
from simulators.servicedesk.call import UNKNOWN, Call
from simulators.servicedesk.desk import Desk
from simulators.servicedesk.envelope import RefusedError, failure
from simulators.wire import Answer, maintenance_page

_HANDLERS: Mapping[str, Callable[[Desk, Call], Answer]] = {
    "create_ticket": ticket_calls.create_ticket,
    "list_tickets": ticket_calls.list_tickets,
    "read_ticket": ticket_calls.read_ticket,
    "update_ticket": ticket_calls.update_ticket,
    "delete_ticket": ticket_calls.delete_ticket,
    "close_ticket": ticket_calls.close_ticket,
    "trash_ticket": ticket_calls.trash_ticket,
    "restore_ticket": ticket_calls.restore_ticket,
    "read_resolution": ticket_calls.read_resolution,
    "write_resolution": ticket_calls.write_resolution,
    "add_note": note_calls.add_note,
    "list_notes": note_calls.list_notes,
    "read_note": note_calls.read_note,
    "update_note": note_calls.update_note,
    "delete_note": note_calls.delete_note,
    "list_conversations": note_calls.list_conversations,
    "list_solutions": solution_calls.list_solutions,
    "read_solution": solution_calls.read_solution,
}


def perform(desk: Desk, access: Access, call: Call, headers: Mapping[str, str]) -> Answer:
    """Check the caller, do the operation and return the desk's answer; what is refused is an answer too."""
    if call.operation == "token":
        return Answer.of_json(200, access.issue(call.form))
    if call.operation == UNKNOWN:
        return Answer.of_html(404, maintenance_page("HTTP Status 404 - Not Found"))
    try:
        access.check(headers)
        return _HANDLERS[call.operation](desk, call)
    except RefusedError as error:
        return failure(error)
