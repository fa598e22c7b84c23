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


@dataclass(frozen=True, slots=True)
class DeskCall:
    """A request to a desk. `input_data` is its decoded JSON, the bare text if that is no JSON, or None."""

    operation: str
    ticket_id: str | None
    item_id: str | None
    input_data: Any
    form: Mapping[str, str]
    names_portal: bool = False
    """True if its path does."""

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


def read_form(query: bytes, body: bytes, content_type: str) -> dict[str, str]:
    """Return the fields of the query and of a body that is a form."""
    fields = dict(parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True))
    if content_type.startswith("application/x-www-form-urlencoded"):
        fields |= parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    return fields


def read_input(form: Mapping[str, str]) -> Any:
    """Return `input_data`; what is unreadable is refused later, by the operation, as a desk does."""
    given = form.get("input_data")
    try:
        return None if given is None else json.loads(given)
    except (ValueError, RecursionError):
        return given
