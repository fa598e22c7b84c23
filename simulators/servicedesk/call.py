"""A parsed request to a desk: its operation, path ids and `input_data`.

Bodies are form-encoded, `input_data=<JSON text>`; on GET it is in the query string (vendor's API pages).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from simulators.servicedesk.envelope import BAD_REFERENCE, EXTRA_KEY, INVALID_INPUT, WRONG_TYPE, RefusedError

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeskCall:
    """A request to a desk. `input_data` is decoded JSON, the bare text if invalid, or None."""

    operation: str
    ticket_id: str | None
    item_id: str | None
    input_data: Any
    form: Mapping[str, str]
    names_portal: bool = False
    """True if its path does."""

    def refuse_other_fields(self) -> None:
        """Raise RefusedError for an unknown field; reads of one item take none."""
        known = set() if self.operation.startswith("read_") else {"input_data"}
        for name in self.form.keys() - known:
            raise RefusedError(BAD_REFERENCE, INVALID_INPUT, name)

    def document(self) -> Json:
        """Return `input_data` as an object. Raises RefusedError if missing or not an object."""
        if self.input_data is None:
            raise RefusedError(BAD_REFERENCE, "input_data is missing", "input_data")
        if not isinstance(self.input_data, dict):
            raise RefusedError(WRONG_TYPE, "input_data is not a JSON object", "input_data")
        return self.input_data

    def list_info(self) -> Json:
        """Return `list_info`, by default {}. Raises RefusedError for any other key."""
        if self.input_data is None:
            return {}
        for key in self.document().keys() - {"list_info"}:
            raise RefusedError(BAD_REFERENCE, EXTRA_KEY, key)
        info = self.document().get("list_info", {})
        if not isinstance(info, dict):
            raise RefusedError(WRONG_TYPE, "list_info is not an object", "list_info")
        return info


def read_form(method: str, query: bytes, body: bytes, content_type: str) -> dict[str, str]:
    form = query if method == "GET" else body
    if method != "GET" and not content_type.startswith("application/x-www-form-urlencoded"):
        return {}
    return dict(parse_qsl(form.decode("utf-8", "replace"), keep_blank_values=True))


def read_input(form: Mapping[str, str]) -> Any:
    """Return `input_data`; the operation refuses an unreadable one later, as a desk does."""
    given = form.get("input_data")
    try:
        return None if given is None else json.loads(given)
    except (ValueError, RecursionError):
        return given
