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


def select(records: list[Json], list_info: Json) -> tuple[list[Json], Json]:
    """Return the page of records that `list_info` asks for, and the `list_info` of the reply.

    `row_count` is 10 by default and at most 100; `start_index` counts from 1. Newest first without a
    `sort_field`. Raises RefusedError for values that the API refuses, and for what is not simulated:
    `search_criteria` among it.
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
