"""One chat completion, put together from the stream it comes in."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from openai import AsyncStream
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDelta

from integrations.gpt4_failures import code_of

_LONGEST_ANSWER = 100_000


class NotAStream(Exception):
    """A 200 whose body is not server-sent events; `code` is the status in its `error`, if it has one."""

    def __init__(self, code: int | None) -> None:
        super().__init__("not a stream")
        self.code = code


@dataclass(frozen=True, slots=True)
class Completion:
    """What one call brought. Token counts are 0 and `cost` None where the endpoint did not tell."""

    status: int
    text: str
    refused: bool
    model: str
    response_id: str
    finish_reason: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None

    def plus(self, earlier: "Completion") -> "Completion":
        """This completion, with what an earlier one cost added."""
        cost = None if self.cost is None and earlier.cost is None else (self.cost or 0) + (earlier.cost or 0)
        return replace(
            self,
            input_tokens=self.input_tokens + earlier.input_tokens,
            output_tokens=self.output_tokens + earlier.output_tokens,
            cost=cost,
        )


async def read_completion(raw: Any, on_content: Callable[[], None]) -> Completion:
    """Read the stream to its end; `on_content` is called for each piece of content. Raises NotAStream."""
    response = raw.http_response
    if "text/event-stream" not in response.headers.get("content-type", ""):
        return _whole(response.status_code, await response.aread())
    stream: AsyncStream[ChatCompletionChunk] = raw.parse()
    parts: list[str] = []
    size = 0
    refused = False
    model = response_id = finish_reason = ""
    usage: Any = None
    async with stream:
        async for chunk in stream:
            _check(chunk)
            model, response_id = chunk.model or model, chunk.id or response_id
            usage = chunk.usage or usage
            for choice in chunk.choices or []:
                # Endpoints that are only like OpenAI's send chunks without a delta.
                delta: ChoiceDelta | None = choice.delta
                piece = (delta.content if delta else None) or ""
                refusal = delta.refusal if delta else None
                refused = refused or bool(refusal)
                finish_reason = choice.finish_reason or finish_reason
                if piece or refusal:
                    on_content()
                parts.append(piece)
                size += len(piece)
            if size > _LONGEST_ANSWER:
                finish_reason = "length"
                break
    completion = Completion(
        response.status_code, "".join(parts), refused, model, response_id, finish_reason or "unknown"
    )
    return completion if usage is None else _with_usage(completion, usage.model_dump())


def _check(chunk: object) -> None:
    """The package takes any JSON for a chunk. Raises ValueError for one that is none."""
    choices = getattr(chunk, "choices", 0)
    if not isinstance(chunk, ChatCompletionChunk) or not isinstance(choices, list | None):
        raise ValueError("not a chunk")  # noqa: TRY004 -- to the caller it is an event that can't be read


def _with_usage(completion: Completion, usage: dict[str, Any]) -> Completion:
    cost = usage.get("cost")
    return replace(
        completion,
        input_tokens=int(usage.get("prompt_tokens") or 0),
        output_tokens=int(usage.get("completion_tokens") or 0),
        cost=float(cost) if isinstance(cost, int | float) else None,
    )


def _whole(status: int, body: bytes) -> Completion:
    """An endpoint that does not stream: its whole answer, or its error under a 200."""
    try:
        data = json.loads(body)
        if "error" in data:
            failure = data["error"]
            raise NotAStream(code_of(failure.get("code") if isinstance(failure, dict) else None))
        choice = data["choices"][0]
        message = choice["message"]
        completion = Completion(
            status,
            str(message.get("content") or ""),
            bool(message.get("refusal")),
            str(data.get("model") or ""),
            str(data.get("id") or ""),
            str(choice.get("finish_reason") or "unknown"),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise NotAStream(None) from None
    usage = data.get("usage")
    return _with_usage(completion, usage) if isinstance(usage, dict) else completion
