"""The model's reply and its wire formats: one completion or stream chunks."""

import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from dev.simulators.openai.advice import advise, judge
from dev.simulators.openai.requests import ChatRequest

Document = dict[str, Any]
_CHARACTERS_PER_TOKEN = 4
_FILLERS: dict[Any, Any] = {"string": "Not specified.", "integer": 0, "number": 0, "boolean": False}
_DOLLARS = (0.25e-6, 2e-6)
"""Made-up prices of a token, of the prompt and of the completion."""


def tokens(text: str) -> int:
    """Return the approximate token count: four characters a token, at least one."""
    return max(1, -(-len(text) // _CHARACTERS_PER_TOKEN))


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply with `content` or `refusal`; `empty`: a completion without choices."""

    model: str
    prompt_tokens: int
    content: str | None
    refusal: str | None = None
    finish_reason: str = "stop"
    empty: bool = False
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(14)}")
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def usage(self) -> Document:
        """Return OpenAI's token counts; a router's model name adds the router's fields."""
        completion = tokens(self.content or self.refusal or "")
        routed = "/" in self.model
        cost = self.prompt_tokens * _DOLLARS[0] + completion * _DOLLARS[1]
        return {
            **({"cost": cost} if routed else {}),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }


def think(request: ChatRequest) -> Reply:
    check = request.context.check if request.context else None
    advice = advise(request.context) if check is None else judge(check)
    document = advice if request.schema is None else fit(request.schema, advice, request.schema)
    content = json.dumps(document, ensure_ascii=False)
    prompt = tokens(request.prompt_text) + 4 * len(request.messages)
    return Reply(request.model, prompt, content)


def completion(reply: Reply) -> Document:
    message: Document = {"role": "assistant", "content": reply.content, "refusal": reply.refusal, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
    return {
        "id": reply.id,
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [] if reply.empty else [choice],
        "usage": reply.usage,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def chunk(reply: Reply, delta: Document | None, *, finish: str | None = None, with_usage: bool = False) -> Document:
    """Return a stream chunk; `delta` None gives the last one: usage, no choices."""
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    document: Document = {
        "id": reply.id,
        "object": "chat.completion.chunk",
        "created": reply.created,
        "model": reply.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
        "choices": [] if delta is None else choices,
    }
    if with_usage:
        document["usage"] = reply.usage if delta is None else None
    return document


def pieces(text: str, count: int) -> list[str]:
    length = max(1, -(-len(text) // count))
    return [text[start : start + length] for start in range(0, len(text), length)]


def content_chunks(reply: Reply, count: int, *, with_usage: bool) -> list[Document]:
    name, text = ("refusal", reply.refusal) if reply.refusal else ("content", reply.content)
    return [chunk(reply, {name: piece}, with_usage=with_usage) for piece in pieces(text or "", count)]


def fit(schema: Document, candidate: Any, root: Document) -> Any:
    """Return the parts of `candidate` that fit the schema, with fillers.

    Supports objects, arrays, plain types, and references to the `$defs` of `root`.
    """
    reference = schema.get("$ref")
    if reference is not None:
        schema = root["$defs"][reference.rpartition("/")[2]]
    match schema.get("type"):
        case "object":
            fields = candidate or {}
            return {name: fit(inner, fields.get(name), root) for name, inner in schema["properties"].items()}
        case "array":
            return [fit(schema["items"], item, root) for item in candidate or []]
        case "string" if isinstance(candidate, dict):
            # A schema with plain texts gets the claim's text.
            return fit(schema, candidate.get("text"), root)
        case kind if candidate is None:
            return schema["enum"][0] if "enum" in schema else _FILLERS.get(kind)
        case _:
            return candidate
