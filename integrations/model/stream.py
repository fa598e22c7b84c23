"""One chat completion, assembled from its stream.

The stream is read here and not by the openai package, whose objects for each piece are most of an answer's CPU cost
(4.1 against 14.1 ms, docs/benchmarks.md).
"""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from math import ceil

import httpx2

from integrations.errors import ModelUnavailable, OutsideFailure
from integrations.model.failures import of_error
from integrations.text import storable
from integrations.values import Usage

_LONGEST_ANSWER = 100_000
_LONGEST_WORD = 200
_LARGEST_NUMBER = 1_000_000_000
_CHARACTERS_OF_A_TOKEN = 4
"""OpenAI's rule of thumb: https://help.openai.com/en/articles/4936856"""


class NotAStream(Exception):
    """A 200 that is neither stream nor answer; `failure` is the error in its body.

    OpenRouter reports errors of its upstream like this.
    """

    def __init__(self, failure: OutsideFailure) -> None:
        super().__init__("not a stream")
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Completion:
    """The result of one call."""

    status: int
    text: str
    refused: bool
    model: str
    response_id: str
    finish_reason: str
    usage: Usage
    first_seconds: float = 0.0
    """Until the first content of a stream came."""


async def read_completion(
    response: httpx2.Response, gathered: "Gathered", on_content: Callable[[], None]
) -> Completion:
    """Read the answer to its end; `on_content` is called for each piece of content.

    `gathered` has the received part of a stream, however the reading ends. Raises NotAStream, also for an error in the
    middle of a stream, and ValueError for anything else than chunks.
    """
    if "text/event-stream" not in response.headers.get("content-type", ""):
        return _whole(response.status_code, await response.aread())
    gathered.status = response.status_code
    try:
        async for event in _events(response):
            if gathered.add(json.loads(event)):
                on_content()
            if gathered.size > _LONGEST_ANSWER:
                gathered.finish_reason = "length"
                break
    except RecursionError:  # deeply nested brackets
        raise ValueError("not a chunk") from None
    finally:
        await response.aclose()
    if not gathered.chunks:
        raise ValueError("an empty stream")
    return gathered.completion()


async def _events(response: httpx2.Response) -> AsyncIterator[bytes]:
    """Yield the data of each event until `[DONE]`.

    The rest is read so that the connection can be reused. The format:
    https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream. No endpoint is known to end
    its lines with a CR alone.
    """
    data: list[bytes] = []
    begun: list[bytes] = []
    done = False
    async for part in response.aiter_raw():
        begun.append(part)
        if b"\n" not in part:
            continue
        *lines, rest = b"".join(begun).split(b"\n")
        begun = [rest]
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[5:].strip())
            elif data and not line.strip():
                event = b"\n".join(data)
                data.clear()
                done = done or event.startswith(b"[DONE]")
                if not done:
                    yield event


@dataclass(slots=True)
class Gathered:
    """The received part of a stream."""

    status: int = 0
    chunks: int = 0
    parts: list[str] = field(default_factory=list)
    size: int = 0
    refused: bool = False
    model: str = ""
    response_id: str = ""
    finish_reason: str = ""
    usage: object = None

    def add(self, chunk: object) -> bool:
        """Add a chunk and return True if it has content. Raises ValueError or NotAStream."""
        if not isinstance(chunk, dict):
            raise ValueError("not a chunk")  # noqa: TRY004 -- to the caller it is an event that can't be read
        if chunk.get("error"):
            raise NotAStream(_failure(chunk["error"]))
        choices = chunk.get("choices", 0)
        if not isinstance(choices, list | None):
            raise ValueError("not a chunk")  # noqa: TRY004 -- as above
        self.chunks += 1
        self.model = _word(chunk.get("model")) or self.model
        self.response_id = _word(chunk.get("id")) or self.response_id
        self.usage = chunk.get("usage") or self.usage
        found = [self._add_choice(choice) for choice in choices or []]
        return any(found)

    def _add_choice(self, choice: object) -> bool:
        # Compatible endpoints send chunks without a delta.
        delta = choice.get("delta") if isinstance(choice, dict) else choice
        if not isinstance(choice, dict) or not isinstance(delta, dict | None):
            raise ValueError("not a choice")  # noqa: TRY004 -- as above
        delta = delta or {}
        piece = _content(delta.get("content"))
        refusal = bool(delta.get("refusal"))
        self.refused = self.refused or refusal
        self.finish_reason = _word(choice.get("finish_reason")) or self.finish_reason
        self.parts.append(piece)
        self.size += len(piece)
        return bool(piece) or refusal

    @property
    def is_whole(self) -> bool:
        return self.finish_reason not in ("", "error")

    @property
    def has_content(self) -> bool:
        return self.size > 0 or self.refused

    def usage_so_far(self, asked: int) -> Usage:
        """Return the reported usage or an estimate; the question has `asked` characters."""
        if self.usage is not None:
            return self.completion().usage
        return Usage(ceil(asked / _CHARACTERS_OF_A_TOKEN), ceil(self.size / _CHARACTERS_OF_A_TOKEN), estimated=True)

    def completion(self) -> Completion:
        return Completion(
            self.status,
            "".join(self.parts),
            self.refused,
            self.model,
            self.response_id,
            self.finish_reason or "unknown",
            _usage_of(self.usage),
        )


def _content(value: object) -> str:
    if not isinstance(value, str | None):
        raise ValueError("not a text")  # noqa: TRY004 -- as above
    return storable(value or "")


def _word(value: object) -> str:
    return storable(value[:_LONGEST_WORD]) if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    """Return a count or a price; None for other values (NaN fails both comparisons)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST_NUMBER:
        return None
    return float(value)


def _usage_of(said: object) -> Usage:
    told: dict[str, object] = said if isinstance(said, dict) else {}
    return Usage(
        input_tokens=int(_number(told.get("prompt_tokens")) or 0),
        output_tokens=int(_number(told.get("completion_tokens")) or 0),
        cost=_number(told.get("cost")),
    )


def _failure(error: object) -> OutsideFailure:
    told: dict[str, object] = error if isinstance(error, dict) else {}
    return of_error(told.get("code"), told.get("type"), told.get("message"), told.get("param"))


def _whole(status: int, body: bytes) -> Completion:
    """Return an answer that was not streamed. Raises NotAStream for its error."""
    try:
        data = json.loads(body)
        if data.get("error"):
            raise NotAStream(_failure(data["error"]))
        choice = data["choices"][0]
        message = choice["message"]
        return Completion(
            status,
            _content(message.get("content")),
            bool(message.get("refusal")),
            _word(data.get("model")),
            _word(data.get("id")),
            _word(choice.get("finish_reason")) or "unknown",
            _usage_of(data.get("usage")),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise NotAStream(ModelUnavailable("invalid answer")) from None
