"""`list_info` of API v3: paging and sorting, over records in their wire shape."""

from typing import Any

from simulators.servicedesk.envelope import BAD_REFERENCE, WRONG_VALUE, RefusedError

Json = dict[str, Any]
DEFAULT_ROWS = 10
MAX_ROWS = 100
_KNOWN = frozenset({"row_count", "start_index", "page", "sort_field", "sort_order", "filter_by"})


def _whole(list_info: Json, name: str, default: int) -> int:
    value = list_info.get(name, default)
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RefusedError(WRONG_VALUE, f"{name} must be a positive number", name)
    return value


def _sort_key(record: Json, field: str) -> tuple[float, str]:
    """Sort by an object's epoch or name, and numbers as such."""
    value = record.get(field)
    named = value.get("value", value.get("name")) if isinstance(value, dict) else value
    text = "" if named is None else str(named).lower()
    return (float(text) if text.isdecimal() else 0.0, text)


def searched(records: list[Json], list_info: Json) -> tuple[list[Json], Json]:
    """Return the records that `search_criteria` ask for, and the rest of `list_info`.

    Public clients of cloud desks find a request's `id` by the number that people see, with this one criterion, as an
    object or as the only one of a list: GIIM, and two other ones (docs/dev/outside.md). All others raise RefusedError.
    """
    criteria = list_info.get("search_criteria")
    if criteria is None:
        return records, list_info
    criterion = criteria[0] if isinstance(criteria, list) and len(criteria) == 1 else criteria
    known = isinstance(criterion, dict) and criterion.keys() == {"field", "condition", "value"}
    if not known or (criterion["field"], criterion["condition"]) != ("display_id", "is"):
        raise RefusedError(BAD_REFERENCE, "search_criteria are not simulated", "search_criteria")
    if not isinstance(criterion["value"], str):
        raise RefusedError(WRONG_VALUE, "value must be a text", "value")
    rest = {name: value for name, value in list_info.items() if name != "search_criteria"}
    return [record for record in records if record["display_id"] == criterion["value"]], rest


def select(records: list[Json], list_info: Json) -> tuple[list[Json], Json]:
    """Return the page of records that `list_info` asks for, and the `list_info` of the reply.

    `row_count` is 10 by default and at most 100; `start_index` counts from 1. Newest first without a
    `sort_field`. Raises RefusedError for values that the API refuses, and for what is not simulated:
    `search_criteria` among it, but for what `searched` knows.
    """
    for name in list_info.keys() - _KNOWN:
        raise RefusedError(BAD_REFERENCE, f"{name} is not simulated", name)
    rows = _whole(list_info, "row_count", DEFAULT_ROWS)
    if rows > MAX_ROWS:
        raise RefusedError(WRONG_VALUE, f"row_count can be at most {MAX_ROWS}", "row_count")
    start = _whole(list_info, "start_index", 1 + (_whole(list_info, "page", 1) - 1) * rows)
    field = str(list_info.get("sort_field", "created_time"))
    descending = str(list_info.get("sort_order", "desc")).lower().startswith("d")
    found = sorted(records, key=lambda record: (_sort_key(record, field), _sort_key(record, "id")), reverse=descending)
    page = found[start - 1 : start - 1 + rows]
    return page, {
        "has_more_rows": len(found) > start - 1 + rows,
        "start_index": start,
        "row_count": len(page),
        "sort_field": field,
        "sort_order": "desc" if descending else "asc",
    }
