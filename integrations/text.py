"""Text from outside, as Postgres, JSON and a log line take it."""

import re
from typing import Any

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Return the text without what no database and no UTF-8 takes: NUL, and halves of characters."""
    return _UNSTORABLE.sub("", text)


def all_storable(value: Any) -> Any:
    """Return a decoded JSON value with all its texts and names storable. Raises RecursionError for the deepest ones."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [all_storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(name): all_storable(item) for name, item in value.items()}
    return value
