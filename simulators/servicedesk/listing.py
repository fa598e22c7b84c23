"""`list_info` of API v3: paging and sorting.

Sources: the vendor's pages on pagination (`row_count` 10 by default and 100 at most, `start_index` from 1, or `page`)
and on the attributes of a request (which are sortable); the refusal of a `sort_field` that was recorded in the tests of
rapid7/insightconnect-plugins (`plugins/manage_engine_service_desk`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from simulators.servicedesk.envelope import BAD_REFERENCE, INVALID_INPUT, RefusedError
from simulators.servicedesk.records import StoredTicket

Json = dict[str, Any]
T = TypeVar("T")
DEFAULT_ROWS = 10
MAX_ROWS = 100
_ORDERS = ("asc", "desc")
_KNOWN = frozenset({"row_count", "start_index", "page", "sort_field", "sort_order"})


def _whole(list_info: Json, name: str, default: int) -> int:
    value = list_info.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, name)
    return value


def by_number(number: str) -> tuple[int, str]:
    """Return what sorts ids: numbers as such, those of a test's choice before them as texts."""
    return (int(number) if number.isdecimal() else 0, number)


def searched(tickets: list[StoredTicket], list_info: Json) -> tuple[list[StoredTicket], Json]:
    """Return the tickets that `search_criteria` ask for, and the rest of `list_info`.

    Public clients of cloud desks find a request's `id` by the number that people see, with this one criterion, as an
    object or as the only one of a list: GIIM, and two other ones (docs/dev/outside.md). All others raise RefusedError.
    """
    criteria = list_info.get("search_criteria")
    if criteria is None:
        return tickets, list_info
    criterion = criteria[0] if isinstance(criteria, list) and len(criteria) == 1 else criteria
    known = isinstance(criterion, dict) and criterion.keys() == {"field", "condition", "value"}
    if not known or (criterion["field"], criterion["condition"]) != ("display_id", "is"):
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "search_criteria")
    if not isinstance(criterion["value"], str):
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "value")
    rest = {name: value for name, value in list_info.items() if name != "search_criteria"}
    return [ticket for ticket in tickets if ticket.display_id == criterion["value"]], rest


def select(
    found: Sequence[T],
    list_info: Json,
    sortable: Mapping[str, Callable[[T], Any]],
    others: frozenset[str] = frozenset(),
) -> tuple[list[T], Json]:
    """Return the page that `list_info` asks for of what was found, and the `list_info` of the reply.

    `found` is in the list's own order, `sortable` has what sorts it by the names that a real desk is known to take, and
    `others` the names that the list's operation understands itself. Raises RefusedError for everything else.
    """
    for name in list_info.keys() - _KNOWN - others:
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, name)
    rows = _whole(list_info, "row_count", DEFAULT_ROWS)
    if rows > MAX_ROWS:
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "row_count")
    if {"start_index", "page"} <= list_info.keys():
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "page")
    start = _whole(list_info, "start_index", 1 + (_whole(list_info, "page", 1) - 1) * rows)
    if list_info.get("sort_order", "asc") not in _ORDERS:
        raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "sort_order")
    order = {}
    if "sort_field" in list_info:
        field = str(list_info["sort_field"])
        if field not in sortable:
            raise RefusedError(BAD_REFERENCE, INVALID_INPUT, "sort_field")
        order = {"sort_field": field, "sort_order": list_info.get("sort_order", "asc")}
        found = sorted(found, key=sortable[field], reverse=order["sort_order"] == "desc")
    page = list(found[start - 1 : start - 1 + rows])
    return page, {"has_more_rows": len(found) > start - 1 + rows, "start_index": start, "row_count": len(page), **order}
