"""One answer, assembled from its stream: a chat completion, or events of the Responses API.

Parsed here because the objects that the openai package and httpx2's `EventSource` create for each chunk are most of an
answer's CPU cost (`make bench ARGS=alternatives`).
"""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import httpx2

from integrations.errors import ModelUnavailableError
from integrations.llm.errors import CONTENT_FILTER, of_error
from integrations.values import Usage, storable

_MAX_ANSWER_LENGTH = 100_000
_MAX_WORD_LENGTH = 200
_LARGEST_NUMBER = 1_000_000_000
_CHARACTERS_OF_A_TOKEN = 4
"""OpenAI's rule of thumb: https://help.openai.com/en/articles/4936856"""
# Ends of a response, as the reasons of a chat completion.
_INCOMPLETE = {"max_output_tokens": "length", "content_filter": CONTENT_FILTER}


@dataclass(slots=True)
class Completion:
    """The received part of an answer; `first_seconds` until its first content."""

    status: int = 0
    chunks: int = 0
    parts: list[str] = field(default_factory=list)
    size: int = 0
    refused: bool = False
    model: str = ""
    response_id: str = ""
    finish_reason: str = ""
    reported: object = None
    usage: Usage = field(default_factory=Usage)
    first_seconds: float = 0.0

    @property
    def text(self) -> str:
        return "".join(self.parts)

    @property
    def is_whole(self) -> bool:
        return self.finish_reason not in ("", "error")

    @property
    def has_content(self) -> bool:
        return self.size > 0 or self.refused

    def add(self, chunk: object) -> bool:
        """Add a chunk and return True if it has content. Raises ValueError if malformed.

        Raises an ExternalError for an error, which OpenRouter sends inside a stream or with the status 200.
        """
        if not isinstance(chunk, dict):
            raise ValueError("not a chunk")  # noqa: TRY004 -- to the caller it is an event that can't be read
        if error := chunk.get("error"):
            body: dict[str, object] = error if isinstance(error, dict) else {}
            raise of_error(body.get("code"), body.get("type"), body.get("message"), body.get("param"))
        kind = chunk.get("type")
        if isinstance(kind, str) and "choices" not in chunk:
            return self._add_event(chunk, kind)
        choices = chunk.get("choices", 0)
        if not isinstance(choices, list | None):
            raise ValueError("not a chunk")  # noqa: TRY004 -- as above
        self.chunks += 1
        self.model = _word(chunk.get("model")) or self.model
        self.response_id = _word(chunk.get("id")) or self.response_id
        if chunk.get("usage"):
            self.reported = chunk["usage"]
            self.usage = _usage_of(self.reported)
        content_flags = [self._add_choice(choice) for choice in choices or []]
        return any(content_flags)

    def _add_event(self, event: dict[str, Any], kind: str) -> bool:
        """Add an event of https://developers.openai.com/api/reference/resources/responses/streaming-events.

        Other kinds have no content: also `keepalive`, https://github.com/openai/openai-node/issues/1964.
        """
        self.chunks += 1
        if kind == "error":
            raise of_error(event.get("code"), None, event.get("message"), event.get("param"))
        if kind == "response.refusal.delta":
            self.refused = True
            return True
        if kind == "response.output_text.delta":
            return self._add_text(event.get("delta"))
        if kind in ("response.created", "response.completed", "response.incomplete", "response.failed"):
            response = event.get("response")
            if not isinstance(response, dict):
                raise ValueError("not a response")
            self._add_response(response)
        return False

    def _add_response(self, response: dict[str, Any]) -> None:
        self.model = _word(response.get("model")) or self.model
        self.response_id = _word(response.get("id")) or self.response_id
        if response.get("usage"):
            self.reported = response["usage"]
            self.usage = _usage_of(self.reported)
        error, details = response.get("error"), response.get("incomplete_details")
        if isinstance(error, dict):
            raise of_error(error.get("code"), None, error.get("message"))
        if response.get("status") == "incomplete":
            reason = details.get("reason") if isinstance(details, dict) else ""
            self.finish_reason = _INCOMPLETE.get(str(reason), "length")
        elif response.get("status") == "completed":
            self.finish_reason = "stop"

    def _add_text(self, piece: object) -> bool:
        if not isinstance(piece, str | None):
            raise ValueError("not a text")  # noqa: TRY004 -- to the caller it is an event that can't be read
        text = storable(piece or "")
        self.parts.append(text)
        self.size += len(text)
        return bool(text)

    def _add_choice(self, choice: object) -> bool:
        # Compatible endpoints send chunks without a delta.
        delta = choice.get("delta") if isinstance(choice, dict) else choice
        if not isinstance(choice, dict) or not isinstance(delta, dict | None):
            raise ValueError("not a choice")  # noqa: TRY004 -- as above
        delta = delta or {}
        refusal = bool(delta.get("refusal"))
        self.refused = self.refused or refusal
        self.finish_reason = _word(choice.get("finish_reason")) or self.finish_reason
        return self._add_text(delta.get("content")) or refusal

    def add_whole(self, body: bytes) -> None:
        """Add an answer that was not streamed. Raises an ExternalError."""
        try:
            data = json.loads(body)
            if data.get("object") == "response" and not data.get("error"):
                self.chunks += 1
                self._add_response(data)
                for part in (part for item in data["output"] for part in item.get("content") or ()):
                    self.refused = self.refused or part.get("type") == "refusal"
                    self._add_text(part.get("text") if part.get("type") == "output_text" else "")
                return
            if not data.get("error"):
                choice = data["choices"][0]
                data |= {"choices": [{**choice, "delta": {**choice["message"]}}]}
            self.add(data)
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
            raise ModelUnavailableError("invalid answer") from None

    def estimate(self, prompt_size: int) -> None:
        """Estimate unreported usage from the characters of prompt and answer."""
        if self.reported is None:
            prompt, answer = ceil(prompt_size / _CHARACTERS_OF_A_TOKEN), ceil(self.size / _CHARACTERS_OF_A_TOKEN)
            self.usage = Usage(prompt, answer, estimated=True)


async def read_completion(response: httpx2.Response, completion: Completion, on_content: Callable[[], None]) -> None:
    """Read the answer to its end; call `on_content` for each chunk with content.

    Raises the errors of `Completion.add`.
    """
    completion.status = response.status_code
    if "text/event-stream" not in response.headers.get("content-type", ""):
        completion.add_whole(await response.aread())
        return
    try:
        async for event in _events(response):
            if completion.add(json.loads(event)):
                on_content()
            if completion.size > _MAX_ANSWER_LENGTH:
                completion.finish_reason = "length"
                break
    except RecursionError:  # deeply nested brackets
        raise ValueError("not a chunk") from None
    finally:
        await response.aclose()
    if not completion.chunks:
        raise ValueError("an empty stream")


async def _events(response: httpx2.Response) -> AsyncIterator[bytes]:
    """Yield the data of each event until `[DONE]`.

    The rest of the stream is read too, so that the connection can be reused.

    Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream. No endpoint is known
    to end its lines with a CR alone.
    """
    data: list[bytes] = []
    buffered: list[bytes] = []
    done = False
    async for part in response.aiter_raw():
        buffered.append(part)
        if b"\n" not in part:
            continue
        *lines, rest = b"".join(buffered).split(b"\n")
        buffered = [rest]
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[5:].strip())
            elif data and not line.strip():
                event = b"\n".join(data)
                data.clear()
                done = done or event.startswith(b"[DONE]")
                if not done:
                    yield event


def _word(value: object) -> str:
    return storable(value[:_MAX_WORD_LENGTH]) if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    """Return a count or a price; None for other values, NaN too."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST_NUMBER:
        return None
    return float(value)


def _usage_of(reported: object) -> Usage:
    counts: dict[str, object] = reported if isinstance(reported, dict) else {}
    return Usage(
        input_tokens=int(_number(counts.get("prompt_tokens", counts.get("input_tokens"))) or 0),
        output_tokens=int(_number(counts.get("completion_tokens", counts.get("output_tokens"))) or 0),
        cost=_number(counts.get("cost")),
    )
