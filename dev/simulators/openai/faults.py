"""The endpoint's faults: errors, broken streams, and invalid content."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field
from starlette.responses import Response

from dev.simulators.answers import PORTAL, Json, page
from dev.simulators.faults import Fault, Status
from dev.simulators.openai.advice import obey
from dev.simulators.openai.providers import ApiError, Provider
from dev.simulators.openai.reply import Reply
from dev.simulators.openai.requests import Context

Document = dict[str, Any]
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


_WRONG = {"summary": ["not", "a", "text"], "next_steps": "not a list"}

_COLUMNS = "Columns: " + ", ".join(f"ID_{number}" for number in range(1, 21))


def _with_columns(content: str) -> str:
    return json.dumps(json.loads(content) | {"questions": [_COLUMNS]}, ensure_ascii=False)


_CHANGES: Mapping[str, Callable[[str], Document]] = {
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


class OpenAIFault(Fault):
    """A fault for chat requests with `match` in their body (null: any).

    `chunks` is the number of content pieces before the fault: by default none for `keep_alive` and `empty_deltas`,
    three for the others. `seconds` is the interval between pieces. `comments` ends a `keep_alive` after that many, and
    the answer follows; without it the comments never end. A `slow_stream` has `pieces` (default: as in other answers)
    and is slow until the fault is cleared. `html` has HTTP 200 unless a `code` is given. `word` is the code in an
    error's body, such as `insufficient_quota`. `not_streamed` answers a streaming request in one piece. `huge` sends a
    first piece of `megabytes`.
    """

    options: ClassVar = {
        "status": frozenset({"code", "word", "retry_after", "retry_after_ms", "message", "param"}),
        "refuse_parameter": frozenset({"param"}),
        "error_in_200": frozenset({"code", "word", "message"}),
        "error_event": frozenset({"code", "word", "message", "chunks"}),
        "stall": frozenset({"chunks"}),
        "cut": frozenset({"chunks"}),
        "keep_alive": frozenset({"seconds", "chunks", "comments"}),
        "empty_deltas": frozenset({"seconds", "chunks"}),
        "slow_stream": frozenset({"seconds", "pieces"}),
        "html": frozenset({"code", "message"}),
        "huge": frozenset({"megabytes"}),
        **dict.fromkeys(("silence", "no_json_schema", "not_streamed", "obedient", *_CHANGES), frozenset()),
    }
    selectors: ClassVar = frozenset({"match"})

    match: str | None = None
    code: Status = 502
    word: str | None = None
    retry_after: str | None = None
    retry_after_ms: str | None = None
    message: str = "The server had an error while processing your request. Sorry about that!"
    param: str = ""
    chunks: int | None = Field(default=None, ge=0)
    seconds: float = Field(default=1.0, ge=0)
    comments: int | None = Field(default=None, ge=1)
    pieces: int | None = Field(default=None, ge=1)
    megabytes: int = Field(default=50, ge=1, le=50)

    @property
    def after(self) -> int:
        if self.chunks is not None:
            return self.chunks
        return 0 if self.kind in {"keep_alive", "empty_deltas"} else 3


def build_error(fault: OpenAIFault, provider: Provider) -> ApiError:
    codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
    code = fault.word or (codes.get(fault.code) if provider == "openai" else None)
    return ApiError(fault.code, fault.message, param=fault.param or None, code=code)


def error_document(fault: OpenAIFault) -> Document:
    """Return an error for HTTP 200: OpenAI's with a `word`, else a router's.

    A router's error has the upstream's status as its code.
    """
    if fault.word is not None:
        return {"error": build_error(fault, "openai").document("openai")}
    metadata = {"provider_name": "simulated"}
    return {"error": {"code": fault.code, "message": fault.message, "metadata": metadata}}


def applies(fault: OpenAIFault, body: Document) -> bool:
    if fault.kind == "refuse_parameter":
        return fault.param in body
    if fault.kind == "no_json_schema":
        response_format = body.get("response_format") or (body.get("text") or {}).get("format")
        return isinstance(response_format, dict) and response_format.get("type") == "json_schema"
    return True


def replacement(fault: OpenAIFault, provider: Provider, headers: dict[str, str]) -> Response | None:
    """Return the response that replaces the completion, or None."""
    match fault.kind:
        case "status":
            waits = {"retry-after": fault.retry_after, "retry-after-ms": fault.retry_after_ms}
            extra = {name: value for name, value in waits.items() if value is not None}
            return build_error(fault, provider).answer(provider, {**headers, **extra})
        case "html":
            fields = fault.model_fields_set
            return page(fault.message if "message" in fields else PORTAL, fault.code if "code" in fields else 200)
        case "error_in_200":
            return Json(error_document(fault), headers=headers)
        case "refuse_parameter":
            message = f"Unsupported parameter: '{fault.param}' is not supported with this model."
            return ApiError(400, message, param=fault.param, code="unsupported_parameter").answer(provider, headers)
        case "no_json_schema":
            message = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
            return ApiError(400, message, param="response_format").answer(provider, headers)
        case _:
            return None


def spoil(reply: Reply, kind: str, context: Context | None) -> Reply:
    """Return the reply altered by a fault of this kind; unchanged for others."""
    if kind == "obedient":
        return replace(reply, content=json.dumps(obey(context), ensure_ascii=False))
    change = _CHANGES.get(kind)
    return reply if change is None else replace(reply, **change(reply.content or ""))
