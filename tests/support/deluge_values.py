"""The values of the small Deluge (`tests.support.deluge`): their types, operators and functions, and `invokeurl`."""

import operator
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

Names = dict[str, Any]
Expression = Callable[[Names], Any]
_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


class DelugeRefused(Exception):
    """The editor would not save it, or this small Deluge does not know it."""


class DelugeFailed(Exception):
    """A statement fails as it runs: what `catch` catches."""


class Now:
    """`zoho.currenttime`."""


def of(kind: type, value: Any) -> Any:
    """Return the value. Raises DelugeRefused if it is of another kind."""
    if type(value) is not kind:
        raise DelugeRefused(f"{value!r} is no {kind.__name__}")
    return value


def operation(sign: str, left: Expression, right: Expression) -> Expression:
    """Join two expressions; both sides must be of one type."""

    def apply(names: Names) -> Any:
        one = left(names)
        if sign in ("&&", "||"):
            # The other side is not looked at when this one decides.
            return of(bool, right(names)) if of(bool, one) == (sign == "&&") else one
        kind = str if sign == "+" and isinstance(one, str) else int
        return _OPERATIONS[sign](of(kind, one), of(kind, right(names)))

    return apply


def method(name: str, value: Any, given: list[Any]) -> Any:
    """Call a function of a value. Raises DelugeRefused for one that is not known, DelugeFailed for a wrong index."""
    found: Any = None
    match name, value, given:
        case "toLong", Now(), []:
            found = int(time.time() * 1000)
        case "toLong", int() | str(), []:
            found = int(value)
        case "toString", str() | int(), []:
            found = str(value)
        case "length", str(), []:
            found = len(value)
        # https://www.zoho.com/creator/newhelp/script/built-in-functions/built-in-function-string.html
        case "contains", str(), [str(part)]:
            found = part in value
        case "subString", str(), [int(start), int(end)] if 0 <= start <= end <= len(value):
            found = value[start:end]
        case "subString", str(), [int(), int()]:
            raise DelugeFailed("subString: out of the text")
        case "get", dict(), [str(key)]:
            found = value.get(key)
        case "put", dict(), [str(key), put]:
            value[key] = put
        case _:
            raise DelugeRefused(f"{name} of {type(value).__name__} with {len(given)} values")
    return found


def invoke_url(send: Callable[..., httpx.Response], given: Mapping[str, Any]) -> dict[str, Any]:
    """Post, and return the answer in detail. Raises DelugeFailed without one."""
    if given.get("detailed") is not True:
        raise DelugeRefused("only with detailed: true is there a responseCode")
    url, body, headers = of(str, given["url"]), of(str, given["parameters"]), of(dict, given["headers"])
    try:
        answer = send(given["type"], url, content=body.encode(), headers=headers, timeout=40)
    except httpx.HTTPError as failure:
        raise DelugeFailed(type(failure).__name__) from failure
    return {"responseCode": answer.status_code, "responseText": answer.text}
