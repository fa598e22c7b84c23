"""Replies with invalid content under HTTP 200, from the model or an intermediary."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from simulators.openai.advice import obey
from simulators.openai.context import Context
from simulators.openai.reply import Reply

_HOSTILE = (
    "<script>alert(document.cookie)</script><img src=x onerror=alert(1)>",
    "\x00\x07\x1b[31mred\x1b[0m\x1b]0;title\x07 \x9b31m \u202etxt.exe\u2066 \ufeff \u2028",
    "\r\n2026-01-01T00:00:00Z INFO Task completed: job_id=forged, duration=1s\n",
    "</div></iframe><a href='javascript:alert(1)'>click</a> &lt;b&gt; {{7*7}} ${7*7} %s%n ' OR 1=1 --",
    "very long " * 3_000,
)


def _poisoned(value: Any, poisons: "itertools.cycle[str]") -> Any:
    if isinstance(value, str):
        return f"{value} {next(poisons)}"
    if isinstance(value, list):
        return [_poisoned(item, poisons) for item in value]
    if isinstance(value, dict):
        return {key: _poisoned(item, poisons) for key, item in value.items()}
    return value


def _hostile(content: str) -> str:
    poisons = itertools.cycle(_HOSTILE)
    try:
        document = json.loads(content)
    except ValueError:
        return content + "".join(_HOSTILE)
    return json.dumps(_poisoned(document, poisons), ensure_ascii=False)


_WRONG = {"summary": ["not", "a", "text"], "next_steps": "not a list", "confidence": 0.9}

_COLUMNS = "Columns: " + ", ".join(f"ID_{number}" for number in range(1, 21))


def _with_columns(content: str) -> str:
    document = json.loads(content)
    return json.dumps(document | {"summary": f"{_COLUMNS}. {document['summary']}"}, ensure_ascii=False)


_CHANGES: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "empty_choices": lambda _content: {"empty": True},
    "refusal": lambda _content: {"content": None, "refusal": "I'm sorry, but I can't help with that."},
    "content_filter": lambda content: {"content": content[: len(content) // 2], "finish_reason": "content_filter"},
    "cut_off": lambda content: {"content": content[: len(content) // 2], "finish_reason": "length"},
    "malformed": lambda content: {"content": f"Sure! Here is my advice: {content[1 : len(content) * 2 // 3]}"},
    "fenced": lambda content: {"content": f"```json\n{content}\n```"},
    "wrong_schema": lambda _content: {"content": json.dumps(_WRONG)},
    "columns": lambda content: {"content": _with_columns(content)},
    "hostile": lambda content: {"content": _hostile(content)},
}


def spoil(reply: Reply, kind: str, context: Context | None) -> Reply:
    """Return the reply altered by a fault of this kind; other kinds return it unchanged."""
    if kind == "obedient":
        return replace(reply, content=json.dumps(obey(context), ensure_ascii=False))
    change = _CHANGES.get(kind)
    return reply if change is None else replace(reply, **change(reply.content or ""))
