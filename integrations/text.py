"""External text, made safe for Postgres, JSON and log lines."""

import json
import re
from typing import Any

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_DEEPEST = 100


def storable(text: str) -> str:
    """Return the text without NUL and lone surrogates, which no database takes."""
    return _UNSTORABLE.sub("", text)


def load_json(content: str | bytes) -> Any:
    """Return a JSON value with storable texts.

    Raises ValueError, also if nested over 100 deep: the limit of the json module differs between Python versions.
    """
    try:
        return _all_storable(json.loads(content), _DEEPEST)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _all_storable(value: Any, deepest: int) -> Any:
    if isinstance(value, str):
        return storable(value)
    if not isinstance(value, list | dict):
        return value
    if deepest == 0:
        raise ValueError("nested too deep")
    if isinstance(value, list):
        return [_all_storable(item, deepest - 1) for item in value]
    return {storable(name): _all_storable(item, deepest - 1) for name, item in value.items()}
