"""`list_info` of API v3: paging, sorting and `search_criteria`, over records in their wire shape."""

from collections.abc import Callable
from typing import Any

from simulators.servicedesk.envelope import WRONG_TYPE, WRONG_VALUE, RefusedError

Json = dict[str, Any]
DEFAULT_ROWS = 10
MAX_ROWS = 100


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _at(record: Json, path: str) -> Any:
    value: Any = record
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _texts(value: Any) -> list[str]:
    """Return the texts by which a value may be named: an object by its id, its name or its epoch."""
    if value is None:
        return []
    if isinstance(value, dict):
        named = (value.get(key) for key in ("value", "id", "name", "email_id"))
        return [str(text) for text in named if text is not None]
    if isinstance(value, bool):
        return [str(value).lower()]
    return [str(value)]


def _compares(test: Callable[[float, float], bool]) -> Callable[[list[str], list[str]], bool]:
    def compare(have: list[str], wanted: list[str]) -> bool:
        left, right = _number(have[0]) if have else None, _number(wanted[0]) if wanted else None
        return left is not None and right is not None and test(left, right)

    return compare


def _contains(test: Callable[[str, str], bool]) -> Callable[[list[str], list[str]], bool]:
    def contain(have: list[str], wanted: list[str]) -> bool:
        return any(test(mine.lower(), theirs.lower()) for mine in have for theirs in wanted)

    return contain


_is = _contains(lambda mine, theirs: mine == theirs)
_has = _contains(lambda mine, theirs: theirs in mine)
_starts = _contains(lambda mine, theirs: mine.startswith(theirs))
_ends = _contains(lambda mine, theirs: mine.endswith(theirs))
_after = _compares(lambda left, right: left > right)
_before = _compares(lambda left, right: left < right)
_from = _compares(lambda left, right: left >= right)
_until = _compares(lambda left, right: left <= right)


def _between(have: list[str], wanted: list[str]) -> bool:
    return len(wanted) == 2 and _from(have, wanted[:1]) and _until(have, wanted[1:])


_CONDITIONS: dict[str, Callable[[list[str], list[str]], bool]] = {
    "is": _is,
    "eq": _is,
    "in": _is,
    "is not": lambda have, wanted: not _is(have, wanted),
    "neq": lambda have, wanted: not _is(have, wanted),
    "not in": lambda have, wanted: not _is(have, wanted),
    "contains": _has,
    "like": _has,
    "not contains": lambda have, wanted: not _has(have, wanted),
    "does not contain": lambda have, wanted: not _has(have, wanted),
    "starts with": _starts,
    "startswith": _starts,
    "ends with": _ends,
    "endswith": _ends,
    "greater than": _after,
    "gt": _after,
    "lesser than": _before,
    "less than": _before,
    "lt": _before,
    "greater or equal": _from,
    "greater than or equal": _from,
    "gte": _from,
    "lesser or equal": _until,
    "less than or equal": _until,
    "lte": _until,
    "between": _between,
    "is empty": lambda have, _wanted: not have,
    "is not empty": lambda have, _wanted: bool(have),
}


def _joined(criteria: list[Json], record: Json, first: bool | None = None) -> bool:
    """Fold criteria from the left; each one's `logical_operator` joins it to what stands before it."""
    result = first
    for criterion in criteria:
        fits = matches(criterion, record)
        if result is None:
            result = fits
        elif str(criterion.get("logical_operator", "AND")).upper() == "OR":
            result = result or fits
        else:
            result = result and fits
    return result is not False


def matches(criterion: Any, record: Json) -> bool:
    """Return whether a record meets a criterion, its `children` included, or a list of criteria.

    Raises RefusedError for a condition or a shape that the API does not know.
    """
    if isinstance(criterion, list):
        return _joined(criterion, record)
    if not isinstance(criterion, dict):
        raise RefusedError(WRONG_TYPE, "search_criteria must be an object or an array", "search_criteria")
    own: bool | None = None
    if "field" in criterion:
        condition = _CONDITIONS.get(str(criterion.get("condition", "is")).strip().lower())
        if condition is None:
            raise RefusedError(WRONG_VALUE, f"unknown condition {criterion['condition']!r}", "condition")
        wanted = criterion.get("values", criterion.get("value"))
        values = wanted if isinstance(wanted, list) else [wanted]
        have = _texts(_at(record, str(criterion["field"])))
        own = condition(have, [text for value in values for text in _texts(value)])
    return _joined(criterion.get("children") or [], record, own)


def _whole(list_info: Json, name: str, default: int) -> int:
    value = list_info.get(name, default)
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RefusedError(WRONG_VALUE, f"{name} must be a positive number", name)
    return value


def _sort_key(record: Json, field: str) -> tuple[float, str]:
    texts = _texts(_at(record, field))
    text = texts[0] if texts else ""
    number = _number(text)
    return (number if number is not None else 0.0, text.lower())


def select(records: list[Json], list_info: Json) -> tuple[list[Json], Json]:
    """Return the page of records that `list_info` asks for, and the `list_info` of the reply.

    `row_count` is 10 by default and at most 100; `start_index` counts from 1. Newest first without a
    `sort_field`. Raises RefusedError for values that the API refuses.
    """
    rows = _whole(list_info, "row_count", DEFAULT_ROWS)
    if rows > MAX_ROWS:
        raise RefusedError(WRONG_VALUE, f"row_count can be at most {MAX_ROWS}", "row_count")
    start = _whole(list_info, "start_index", 1 + (_whole(list_info, "page", 1) - 1) * rows)
    criteria = list_info.get("search_criteria")
    found = [record for record in records if criteria is None or matches(criteria, record)]
    field = str(list_info.get("sort_field", "created_time"))
    descending = str(list_info.get("sort_order", "desc")).lower().startswith("d")
    found.sort(key=lambda record: (_sort_key(record, field), _sort_key(record, "id")), reverse=descending)
    page = found[start - 1 : start - 1 + rows]
    reply: Json = {
        "has_more_rows": len(found) > start - 1 + rows,
        "start_index": start,
        "row_count": len(page),
        "sort_field": field,
        "sort_order": "desc" if descending else "asc",
    }
    if list_info.get("get_total_count"):
        reply["total_count"] = len(found)
    return page, reply
