"""All operations of a desk with their methods, paths and handlers."""

from collections.abc import Callable, Mapping

from simulators.exchange import Answer, maintenance_page
from simulators.servicedesk.access import Access
from simulators.servicedesk.call import DeskCall
from simulators.servicedesk.conversation_calls import list_conversations, read_notification
from simulators.servicedesk.desk import SimulatedDesk
from simulators.servicedesk.envelope import RefusedError, failure
from simulators.servicedesk.note_calls import add_note, list_notes, read_note
from simulators.servicedesk.solution_calls import list_solutions, read_solution
from simulators.servicedesk.ticket_calls import list_tickets, read_ticket, write_resolution

UNKNOWN = "unknown"
# (method, path behind /api/v3, handler). {ticket} and {item} match one segment.
_ROUTES: tuple[tuple[str, str, Callable[[SimulatedDesk, DeskCall], Answer]], ...] = (
    ("GET", "requests", list_tickets),
    ("GET", "requests/{ticket}", read_ticket),
    ("POST", "requests/{ticket}/notes", add_note),
    ("GET", "requests/{ticket}/notes", list_notes),
    ("GET", "requests/{ticket}/notes/{item}", read_note),
    ("GET", "requests/{ticket}/conversations", list_conversations),
    ("GET", "requests/{ticket}/notifications/{item}", read_notification),
    ("POST", "requests/{ticket}/resolutions", write_resolution),
    ("GET", "solutions", list_solutions),
    ("GET", "solutions/{item}", read_solution),
)
_HANDLERS = {handler.__name__: handler for _, _, handler in _ROUTES}
OPERATIONS = _HANDLERS.keys() | {"token", UNKNOWN}


def find_operation(method: str, segments: list[str]) -> tuple[str, str | None, str | None]:
    """Return the operation and the ids of ticket and item.

    `segments` are the parts of the path behind `/api/v3`.
    """
    for wanted, path, handler in _ROUTES:
        pattern = path.split("/")
        if wanted != method or len(pattern) != len(segments):
            continue
        parts = dict(zip(pattern, segments, strict=True))
        if all(part == segment or part.startswith("{") for part, segment in parts.items()):
            return handler.__name__, parts.get("{ticket}"), parts.get("{item}")
    return UNKNOWN, segments[1] if len(segments) > 1 and segments[0] == "requests" else None, None


def perform(desk: SimulatedDesk, access: Access, call: DeskCall, headers: Mapping[str, str]) -> Answer:
    """Check the caller and perform the operation; refusals become answers."""
    if call.operation == "token":
        return Answer.of_json(200, access.issue(call.form))
    if call.operation == UNKNOWN:
        return Answer.of_html(404, maintenance_page("HTTP Status 404 - Not Found"))
    try:
        access.check(headers, names_portal=call.names_portal)
        call.refuse_other_fields()
        return _HANDLERS[call.operation](desk, call)
    except RefusedError as error:
        return failure(error)
