"""GPT-4 through the openai package: one structured answer, streamed.

Streaming separates silence from slowness: `idle_seconds` without content is the timeout (keep-alives, comments and
empty chunks are not content), `total_seconds` limits the whole. The package's own retries are off: a retry belongs to
the job. An unusable answer is sent back once for repair; no call of `ask` pays for more than two. If the repair is
unavailable (open breaker, 429), a later `ask` may begin with it: see `unusable`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
from openai import AsyncStream
from pydantic import BaseModel

from integrations.breaker import Breaker
from integrations.errors import ModelDenied, ModelRefused, ModelTimeout, ModelUnavailable, Temporary
from integrations.holds import Hold, HoldReason
from integrations.http import connection_words
from integrations.model.asking import Asking
from integrations.model.bounds import ModelAnswerTooLarge
from integrations.model.failures import CONTENT_FILTER, classed
from integrations.model.opening import open_openai
from integrations.model.silence import Silence
from integrations.model.stream import Completion, Gathered, NotAStream, read_completion
from integrations.model.wire import REFUSALS, Wire, as_body, refused_part, strip_fence
from integrations.outward import STRAIGHT, Outward
from integrations.text import load_json
from integrations.values import ModelAnswer, Prompt, Structured, Unanswered, Usage

# Each optional part of a request may be refused once, and each format but the last.
_MOST_REFUSALS = 8


async def _ignore(_unusable: str) -> None:
    pass


class ModelClient:
    """The model's client of one process; `close()` it."""

    provider = "openai"
    """Whose API is spoken, in OpenTelemetry's words."""

    def __init__(  # noqa: PLR0913 -- each is a setting, or a part that tests have of their own
        self,
        *,
        api_key: str,
        base_url: str,
        model: str,
        idle_seconds: float,
        total_seconds: float,
        connections: int,
        breaker: Breaker,
        hold: Hold | None = None,
        outward: Outward = STRAIGHT,
    ) -> None:
        self.name = model
        self.base_url = base_url
        self._host = urlsplit(base_url).hostname or ""
        self._has_key = bool(api_key)
        self._idle = idle_seconds
        self._total = total_seconds
        self._breaker = breaker
        self._hold = hold or Hold(breaker.server)
        # Our own timeouts decide; the client's are only a safety net. Without a key nothing is sent.
        net = httpx2.Timeout(total_seconds + 5, connect=min(10.0, idle_seconds))
        self._by_proxy = outward.by_proxy(base_url)
        self._client = open_openai(base_url, api_key, outward, connections=connections, timeout=net)
        self._wire = Wire(base_url, model)

    async def close(self) -> None:
        await self._client.close()

    @property
    def done_without(self) -> frozenset[str]:
        """Arguments and answer formats that the endpoint has refused lately."""
        return self._wire.refused()

    def check(self) -> None:
        """Raise HeldBack while the model is down or held, before a question is prepared."""
        self._hold.check()
        self._breaker.check()

    async def ask(
        self,
        prompt: Prompt,
        answer_type: type[Structured],
        on_paid: Callable[[Usage], None] = lambda _: None,
        *,
        unusable: str | None = None,
        on_unusable: Callable[[str], Awaitable[None]] = _ignore,
        on_unanswered: Callable[[Unanswered], None] = lambda _: None,
    ) -> ModelAnswer[Structured]:
        """Return an answer of that type.

        Raises ModelTimeout, ModelUnavailable, ModelRefused; HeldBack as `check` does. `on_paid` is called for each paid
        call, also for an unusable or broken answer. `on_unusable` is awaited with the text of an answer to repair;
        passed as `unusable` to a later `ask`, only its repair is requested. `on_unanswered` is called for a question
        that was sent, before this raises.
        """
        asking = Asking(on_paid)
        try:
            return await self._ask(asking, prompt, answer_type, unusable, on_unusable)
        except BaseException as stopped:
            if asking.sent:
                on_unanswered(asking.unanswered(self._host, self.name, stopped))
            raise

    async def _ask(
        self,
        asking: Asking,
        prompt: Prompt,
        answer_type: type[Structured],
        unusable: str | None,
        on_unusable: Callable[[str], Awaitable[None]],
    ) -> ModelAnswer[Structured]:
        messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
        if unusable is None:
            first = await self._complete(messages, answer_type, asking)
            asking.pay(first.usage)
            content = _usable(first, answer_type)
            if content is not None:
                return self._answer(content, first, asking)
            unusable = first.text
            await on_unusable(unusable)
        messages += self._wire.repair(unusable)
        second = await self._complete(messages, answer_type, asking)
        asking.pay(second.usage)
        content = _usable(second, answer_type)
        if content is None:
            raise ModelRefused("invalid answer")
        return self._answer(content, second, asking)

    def _answer(self, content: Structured, completion: Completion, asking: Asking) -> ModelAnswer[Structured]:
        return ModelAnswer(
            content,
            completion.status,
            completion.model or self.name,
            completion.response_id,
            completion.finish_reason,
            asking.usage,
            asking.milliseconds,
            round(completion.first_seconds * 1000),
            self._host,
        )

    async def _complete(
        self, messages: list[dict[str, str]], answer_type: type[BaseModel], asking: Asking
    ) -> Completion:
        with self._hold.watch():
            if not self._has_key:
                raise ModelDenied("no key", HoldReason.KEY_REFUSED)
            return await self._complete_with_less(messages, answer_type, asking)

    async def _complete_with_less(
        self, messages: list[dict[str, str]], answer_type: type[BaseModel], asking: Asking
    ) -> Completion:
        """Make one paid call, again without each part that the endpoint refuses, unpaid."""
        known = refused = self._wire.refused()
        for _ in range(_MOST_REFUSALS):
            request = self._wire.request(messages, answer_type, refused)
            try:
                with self._breaker.watch():
                    completion = await self._call(request, asking)
            except REFUSALS as refusal:
                part = refused_part(refusal, request)
                if part is None:
                    raise classed(refusal) from None
                refused |= {part}
            else:
                self._wire.keep(refused - known)
                return completion
        raise ModelRefused("400 Bad Request")

    async def _call(self, request: dict[str, Any], asking: Asking) -> Completion:
        gathered = Gathered()
        try:
            return await self._read(request, gathered, asking)
        except BaseException as stopped:
            # Received content is paid for, but a broken stream lacks the usage of its last event.
            usage = gathered.usage_so_far(sum(len(message["content"]) for message in request["messages"]))
            if gathered.is_whole and isinstance(stopped, Temporary):
                return replace(gathered.completion(), usage=usage)
            if gathered.has_content:
                asking.pay(usage)
            raise

    async def _read(self, request: dict[str, Any], gathered: Gathered, asking: Asking) -> Completion:
        before, asking.sent = asking.sent, True
        silence = Silence(self._idle)
        try:
            async with asyncio.timeout(self._total), silence:
                # Not `chat.completions.create`, which walks through a request by its types: 0.5 ms of CPU each time.
                response: Any = await self._client.post(
                    "/chat/completions",
                    cast_to=httpx2.Response,
                    body=as_body(request),
                    stream=True,
                    stream_cls=AsyncStream[Any],
                )
                completion = await read_completion(response, gathered, silence.heard)
                first = silence.first_heard_at
                return completion if first is None else replace(completion, first_seconds=first - silence.began_at)
        except TimeoutError:
            raise ModelTimeout(self._idle if silence.expired() else self._total) from None
        except REFUSALS:
            raise
        except ModelAnswerTooLarge as failure:
            raise failure.classed() from None
        except NotAStream as failure:
            raise failure.failure from None
        except (openai.APIConnectionError, httpx2.HTTPError) as failure:
            asking.not_sent_by(failure, before)
            raise ModelUnavailable(connection_words(failure, by_proxy=self._by_proxy)) from None
        except openai.OpenAIError as failure:
            raise classed(failure) from None
        except ValueError:
            # An event of the stream that is not JSON.
            raise ModelUnavailable("invalid answer") from None


def _usable(completion: Completion, answer_type: type[Structured]) -> Structured | None:
    """Return the validated answer; None if it may be repaired. Raises ModelRefused."""
    if completion.refused:
        raise ModelRefused("invalid answer")
    if completion.finish_reason == CONTENT_FILTER:
        raise ModelRefused("content filter")
    if completion.finish_reason == "length":
        return None
    try:
        return answer_type.model_validate(load_json(strip_fence(completion.text)))
    except ValueError:
        return None
