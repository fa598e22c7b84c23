"""`list_info` of API v3: paging and sorting.

Sources: the vendor's pages on pagination (`row_count` 10 by default and 100 at most, `start_index` from 1, or `page`)
and on the attributes of a request (sortable ones); the refusal of a `sort_field` recorded in the tests of
rapid7/insightconnect-plugins (`plugins/manage_engine_service_desk`). Criteria of time and `fields_required`: the
vendor's page on input data (sdpod-v3-api/getting-started/input-data.html), and clients of both editions
(docs/dev/outside.md).
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from dev.simulators.servicedesk.envelope import BAD_REFERENCE, INVALID_INPUT, RefusedError
from dev.simulators.servicedesk.records import StoredTicket
from dev.simulators.servicedesk.settings import DeskOptions, Edition

Json = dict[str, Any]
T = TypeVar("T")
DEFAULT_ROWS = 10
MAX_ROWS = 100
_ORDERS = ("asc", "desc")
_NUMBER = ("display_id", "is")
_CRITERIA: Mapping[Any, Callable[[StoredTicket], Any]] = {
    _NUMBER: lambda ticket: ticket.display_id,
    ("last_updated_time", "greater than"): lambda ticket: ticket.updated_ms,
    ("created_time", "greater than"): lambda ticket: ticket.created_ms,
}
_OF_ALL = frozenset(
    {"subject", "description", "status", "priority", "category", "group", "site", "template", "requester", "technician"}
    | {"created_time", "last_updated_time", "due_by_time", "has_notes", "is_service_request"}
)
FIELDS: Mapping[Edition, frozenset[str]] = {"onpremises": _OF_ALL, "cloud": _OF_ALL | {"display_id"}}
_KNOWN = frozenset({"row_count", "start_index", "page", "sort_field", "sort_order"})


def _positive(list_info: Json, name: str, default: int) -> int:
    value = list_info.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, name)
    return value


def by_number(number: str) -> tuple[int, str]:
    """Return the sort key of ids: numeric, after a test's own ids as texts."""
    return (int(number) if number.isdecimal() else 0, number)


def searched(tickets: list[StoredTicket], list_info: Json, options: DeskOptions) -> tuple[list[StoredTicket], Json]:
    """Return the tickets that match `search_criteria`, and the rest of `list_info`.

    Supported is one criterion, as an object or a list of one: a request's `id` by its display number (cloud clients),
    or changes and creations since a time (both editions; docs/dev/outside.md). Others raise RefusedError.
    """
    criteria = list_info.get("search_criteria")
    if criteria is None:
        return tickets, list_info
    criterion = criteria[0] if isinstance(criteria, list) and len(criteria) == 1 else criteria
    is_complete = isinstance(criterion, dict) and criterion.keys() == {"field", "condition", "value"}
    key = (criterion["field"], criterion["condition"]) if is_complete else None
    if key not in _CRITERIA or not (options.list_criteria or key == _NUMBER):
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "search_criteria")
    if (key == _NUMBER and options.edition != "cloud") or not isinstance(criterion["value"], str):
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "value")
    remaining = {name: value for name, value in list_info.items() if name != "search_criteria"}
    if key == _NUMBER:
        return [ticket for ticket in tickets if ticket.display_id == criterion["value"]], remaining
    if not criterion["value"].isdecimal():
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "value")
    return [ticket for ticket in tickets if _CRITERIA[key](ticket) > int(criterion["value"])], remaining


def required_fields(list_info: Json, options: DeskOptions) -> tuple[list[str] | None, Json]:
    """Return the fields of `fields_required`, or None, and the rest of `list_info`.

    The Splunk SOAR connector for desks on premises requests `last_updated_time` this way; cloud clients request a
    `description` too. An unknown field raises RefusedError.
    """
    fields = list_info.get("fields_required")
    if fields is None:
        return None, list_info
    are_known = isinstance(fields, list) and all(name in FIELDS[options.edition] for name in fields)
    if not options.list_fields or not are_known:
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "fields_required")
    return fields, {name: value for name, value in list_info.items() if name != "fields_required"}


def in_list_order(tickets: Sequence[StoredTicket], order: str) -> Sequence[StoredTicket]:
    """Return tickets, given newest first, in the order of `list_order`."""
    if order == "oldest first":
        return tickets[::-1]
    return sorted(tickets, key=lambda ticket: zlib.crc32(ticket.id.encode())) if order == "mixed" else tickets


def select(
    items: Sequence[T],
    list_info: Json,
    sortable: Mapping[str, Callable[[T], Any]],
    extra_keys: frozenset[str] = frozenset(),
) -> tuple[list[T], Json]:
    """Return the requested page of `found`, and the `list_info` of the reply.

    `found` is in the list's own order. `sortable` maps the sort fields that a real desk is known to take to their
    keys; `others` are keys that the operation handles itself. Raises RefusedError for everything else.
    """
    for name in list_info.keys() - _KNOWN - extra_keys:
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, name)
    rows = _positive(list_info, "row_count", DEFAULT_ROWS)
    if rows > MAX_ROWS:
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "row_count")
    if {"start_index", "page"} <= list_info.keys():
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "page")
    start = _positive(list_info, "start_index", 1 + (_positive(list_info, "page", 1) - 1) * rows)
    if list_info.get("sort_order", "asc") not in _ORDERS:
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "sort_order")
    order = {}
    if "sort_field" in list_info:
        field = str(list_info["sort_field"])
        if field not in sortable:
            raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "sort_field")
        order = {"sort_field": field, "sort_order": list_info.get("sort_order", "asc")}
        items = sorted(items, key=sortable[field], reverse=order["sort_order"] == "desc")
    page = list(items[start - 1 : start - 1 + rows])
    return page, {"has_more_rows": len(items) > start - 1 + rows, "start_index": start, "row_count": len(page), **order}
