"""What a request to a desk asks for: its operation, the ids in its path and its `input_data`.

Bodies are form-encoded, `input_data=<JSON text>`; on GET it is in the query string (vendor's API pages).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from simulators.servicedesk.envelope import BAD_REFERENCE, WRONG_TYPE, RefusedError

Json = dict[str, Any]
UNKNOWN = "unknown"

# (method, path behind /api/v3, operation). {ticket} and {item} stand for one segment.
_ROUTES = (
    ("POST", "requests", "create_ticket"),
    ("GET", "requests", "list_tickets"),
    ("GET", "requests/{ticket}", "read_ticket"),
    ("PUT", "requests/{ticket}", "update_ticket"),
    ("DELETE", "requests/{ticket}", "delete_ticket"),
    ("PUT", "requests/{ticket}/close", "close_ticket"),
    ("DELETE", "requests/{ticket}/move_to_trash", "trash_ticket"),
    ("PUT", "requests/{ticket}/restore_from_trash", "restore_ticket"),
    ("POST", "requests/{ticket}/notes", "add_note"),
    ("GET", "requests/{ticket}/notes", "list_notes"),
    ("GET", "requests/{ticket}/notes/{item}", "read_note"),
    ("PUT", "requests/{ticket}/notes/{item}", "update_note"),
    ("DELETE", "requests/{ticket}/notes/{item}", "delete_note"),
    ("GET", "requests/{ticket}/conversations", "list_conversations"),
    ("GET", "requests/{ticket}/resolutions", "read_resolution"),
    ("POST", "requests/{ticket}/resolutions", "write_resolution"),
    ("PUT", "requests/{ticket}/resolutions", "write_resolution"),
    ("GET", "solutions", "list_solutions"),
    ("GET", "solutions/{item}", "read_solution"),
)
_PATTERNS = tuple((method, path.split("/"), operation) for method, path, operation in _ROUTES)
OPERATIONS = frozenset(operation for _, _, operation in _ROUTES) | {"token", UNKNOWN}
LIST_OPERATIONS = frozenset({"list_tickets", "list_notes", "list_conversations", "list_solutions"})


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a desk. `input_data` is its decoded JSON, the bare text if that is no JSON, or None."""

    operation: str
    ticket_id: str | None
    item_id: str | None
    input_data: Any
    form: Mapping[str, str]

    def document(self) -> Json:
        """Return `input_data` as the object it must be; RefusedError when it is missing or none."""
        if self.input_data is None:
            raise RefusedError(BAD_REFERENCE, "input_data is missing", "input_data")
        if not isinstance(self.input_data, dict):
            raise RefusedError(WRONG_TYPE, "input_data is not a JSON object", "input_data")
        return self.input_data

    def list_info(self) -> Json:
        """Return the `list_info` of a list call; without one, an empty object."""
        if self.input_data is None:
            return {}
        info = self.document().get("list_info", {})
        if not isinstance(info, dict):
            raise RefusedError(WRONG_TYPE, "list_info is not an object", "list_info")
        return info


def _match(method: str, segments: list[str]) -> tuple[str, str | None, str | None]:
    for wanted, pattern, operation in _PATTERNS:
        if wanted != method or len(pattern) != len(segments):
            continue
        found: dict[str, str] = {}
        for part, segment in zip(pattern, segments, strict=True):
            if part.startswith("{"):
                found[part] = segment
            elif part != segment:
                break
        else:
            return operation, found.get("{ticket}"), found.get("{item}")
    return UNKNOWN, segments[1] if len(segments) > 1 and segments[0] == "requests" else None, None


def _form(query: bytes, body: bytes, content_type: str) -> dict[str, str]:
    fields = dict(parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True))
    if content_type.startswith("application/x-www-form-urlencoded"):
        fields |= parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    return fields


def understand(method: str, segments: list[str], query: bytes, body: bytes, content_type: str) -> Call:
    """Read a request; `segments` are the parts of the path behind the desk's own prefix and `/api/v3`.

    Never raises: what is unreadable is refused later, by the operation, as a desk does.
    """
    operation, ticket_id, item_id = _match(method, segments)
    form = _form(query, body, content_type)
    input_data: Any = form.get("input_data")
    if input_data is not None:
        try:
            input_data = json.loads(input_data)
        except (ValueError, RecursionError):
            input_data = form["input_data"]
    return Call(operation, ticket_id, item_id, input_data, form)
