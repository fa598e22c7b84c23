"""GPT-4 through the openai package: one structured answer, usually streamed.

`idle_seconds` without content is the timeout (keep-alives, comments and empty chunks are not content), `total_seconds`
limits the whole. The package's own retries are off: a retry belongs to the job. An unusable answer is sent back once
for repair. If that fails (open breaker, 429), a later call may begin with the repair: see `unusable`.

The order of formats: strict `json_schema`; if refused, `json_object` with the schema in the prompt; if refused too, the
schema in the prompt alone.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
from openai import AsyncOpenAI, AsyncStream
from pydantic import BaseModel

from config.settings import WorkerSettings
from integrations.errors import (
    DeferredError,
    ExternalError,
    ModelDeniedError,
    ModelRefusedError,
    ModelTimeoutError,
    ModelUnavailableError,
    TemporaryError,
)
from integrations.http import (
    STRAIGHT,
    AnswerTooLargeError,
    EgressConfig,
    connection_words,
    never_connected,
    open_client,
)
from integrations.llm.errors import CONTENT_FILTER, classed, message_of, of_too_large
from integrations.llm.streaming import Completion, read_completion
from integrations.resilience import Breaker, Hold, HoldReason
from integrations.values import ModelAnswer, Prompt, Structured, Unanswered, Usage, load_json

Refusal = openai.BadRequestError | openai.NotFoundError
"""A refusal that may be about a part of the request."""
_MAX_TOKENS = 2000
# Thinking counts as output.
_MAX_THINKING_TOKENS = 10_000
# Models that refuse the effort `none`: OpenAI's o series, GPT-6 Astra and 6.1, and reasoning variants of other makers.
_ALWAYS_THINKS = re.compile(r"o\d|gpt-6-astra|gpt-6\.1-sol|.*(?:-r1|(?<!non-)reason|think)")
_FENCE = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)
_FORMATS = ("json_schema", "json_object", "none")
_LEARNED_SECONDS = 600.0
# OpenRouter's 404 if no endpoint accepts all parts; it names none. The strict schema is left out first, because the
# prompt can contain it. Without `reasoning` a model may think, which costs; without `provider` it may ignore the rest.
_NO_ENDPOINT = "No endpoints found that can handle the requested parameters"
_LEAVE_OUT_ORDER = ("json_schema", "reasoning", "json_object", "provider")
# Quoted names, and words with an underscore: "no provider available" is about no parameter.
_NAMES = re.compile(r"""["'`]([a-z_]+)(?=["'`.\[])|\b([a-z]+(?:_[a-z]+)+)\b""")
# Each optional part of a request may be refused once, and each format but the last.
_MAX_REFUSALS = 8
_OPTIONAL = {
    *("reasoning_effort", "max_completion_tokens", "max_tokens", "max_output_tokens", "stream_options"),
    *("provider", "reasoning"),
}
_STREAMING = frozenset({"stream", "stream_options"})
_REPAIR = "That was not one complete JSON object of the schema. Answer with it alone, shorter."
# Precision of the idle timeout: setting it for each piece takes a fiftieth of a job's CPU.
_IDLE_PRECISION_SECONDS = 0.1


def open_openai(
    base_url: str, api_key: str, egress: EgressConfig, *, connections: int, timeout: httpx2.Timeout
) -> AsyncOpenAI:
    """Return a client of the openai package without its own retries."""
    return AsyncOpenAI(
        api_key=api_key or "none",  # required by the package
        base_url=base_url,
        max_retries=0,
        timeout=timeout,
        http_client=open_client(connections=connections, egress=egress, traced=False),
    )


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The settings `OPENAI_API`, `OPENAI_REASONING_EFFORT` and `OPENAI_MAX_OUTPUT_TOKENS`."""

    api: str = "chat"
    effort: str = "auto"
    max_tokens: int | None = None

    @classmethod
    def of(cls, settings: WorkerSettings) -> "ModelOptions":
        return cls(settings.openai_api, settings.openai_reasoning_effort, settings.openai_max_output_tokens)


@dataclass(slots=True)
class _ModelCall:
    on_paid: Callable[[Usage], None]
    started: float = field(default_factory=time.monotonic)
    usage: Usage = field(default_factory=Usage)
    sent: bool = False  # or may have been

    def pay(self, usage: Usage) -> None:
        self.usage = usage.plus(self.usage)
        self.on_paid(usage)

    @property
    def milliseconds(self) -> int:
        return round((time.monotonic() - self.started) * 1000)


async def _ignore(_unusable: str) -> None:
    pass


class ModelClient:
    """The model's client of one process; `close()` it."""

    provider = "openai"
    """The API, as OpenTelemetry names it."""

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
        egress: EgressConfig = STRAIGHT,
        options: ModelOptions = ModelOptions(),
    ) -> None:
        self.name = self.check_name = model
        self.base_url = base_url
        self._host = urlsplit(base_url).hostname or ""
        self._has_key = bool(api_key)
        self._idle = idle_seconds
        self._total = total_seconds
        self._breaker = breaker
        self._hold = hold or Hold(breaker.server)
        # `idle_seconds` and `total_seconds` end a call earlier.
        safety_net = httpx2.Timeout(total_seconds + 5, connect=min(10.0, idle_seconds))
        self._client = open_openai(base_url, api_key, egress, connections=connections, timeout=safety_net)
        self._wire = RequestFormat(base_url, model, options)
        self._in_flight = 0
        self._is_closing = False
        self._only_streams = False

    async def close(self) -> None:
        """Close after the calls in flight."""
        self._is_closing = True
        if not self._in_flight:
            await self._client.close()

    @property
    def left_out_parts(self) -> frozenset[str]:
        return self._wire.refused()

    def check(self) -> None:
        """Raise DeferredError while the model is held or down, before a prompt is made."""
        self._hold.check()
        self._breaker.check()

    async def complete(
        self,
        prompt: Prompt,
        answer_type: type[Structured],
        on_paid: Callable[[Usage], None] = lambda _: None,
        *,
        unusable: str | None = None,
        on_unusable: Callable[[str], Awaitable[None]] = _ignore,
        on_unanswered: Callable[[Unanswered], None] = lambda _: None,
        is_check: bool = False,
    ) -> ModelAnswer[Structured]:
        """Return an answer of that type, see `workflow.ports.Model`."""
        call = _ModelCall(on_paid)
        messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
        async with self._in_flight_call(call, on_unanswered):
            for is_repair in (False, True) if unusable is None else (True,):
                if is_repair:
                    messages += repair_messages(unusable or "")
                completion = await self._complete(messages, answer_type, call, is_check=is_check)
                call.pay(completion.usage)
                content = _usable(completion, answer_type)
                if content is not None:
                    return ModelAnswer(
                        content,
                        completion.status,
                        completion.model or self.name,
                        completion.response_id,
                        completion.finish_reason or "unknown",
                        call.usage,
                        call.milliseconds,
                        round(completion.first_seconds * 1000),
                        self._host,
                    )
                if not is_repair:
                    unusable = completion.text
                    await on_unusable(unusable)
            raise ModelRefusedError("invalid answer")

    @asynccontextmanager
    async def _in_flight_call(
        self, call: _ModelCall, on_unanswered: Callable[[Unanswered], None]
    ) -> AsyncIterator[None]:
        self._in_flight += 1
        try:
            yield
        except BaseException as stopped:
            if call.sent:
                reason = "unexpected failure"
                if isinstance(stopped, asyncio.CancelledError):
                    reason = "stopped during the request"
                elif isinstance(stopped, (DeferredError, ExternalError)):
                    reason = stopped.reason
                on_unanswered(Unanswered(self._host, self.name, reason, call.usage, call.milliseconds))
            raise
        finally:
            self._in_flight -= 1
            if self._is_closing:
                await self.close()

    async def _complete(
        self, messages: list[dict[str, str]], answer_type: type[BaseModel], call: _ModelCall, *, is_check: bool
    ) -> Completion:
        """Make one paid call; refusals before it are unpaid and drop a part each."""
        with self._hold.watch():
            if not self._has_key:
                raise ModelDeniedError("no key", HoldReason.KEY_REFUSED)
            known = refused = self._wire.refused()
            for _ in range(_MAX_REFUSALS):
                streamed = self._only_streams or not is_check
                request = self._wire.request(messages, answer_type, refused if streamed else refused | _STREAMING)
                try:
                    with nullcontext() if is_check else self._breaker.watch():
                        completion = await self._call(request, call)
                except (openai.BadRequestError, openai.NotFoundError) as refusal:
                    part = refused_part(refusal, request)
                    if part is not None:
                        refused |= {part}
                    elif not streamed and "stream" in message_of(refusal).lower():
                        self._only_streams = True
                    else:
                        raise classed(refusal) from None
                else:
                    self._wire.keep(refused - known)
                    return completion
            raise ModelRefusedError("400 Bad Request")

    async def _call(self, request: dict[str, Any], call: _ModelCall) -> Completion:
        completion = Completion()
        try:
            await self._read(request, completion, call)
        except BaseException as stopped:
            # Received content is paid for; a broken stream lacks the usage of its last event.
            messages = request.get("messages") or request["input"]
            completion.estimate(sum(len(message["content"]) for message in messages))
            if completion.is_whole and isinstance(stopped, TemporaryError):
                return completion
            # A model that only thought, or whose answer comes in one piece, costs its prompt at least.
            was_stopped = call.sent and isinstance(stopped, asyncio.CancelledError | ModelTimeoutError)
            if completion.has_content or completion.reported is not None or was_stopped:
                call.pay(completion.usage)
            raise
        return completion

    async def _read(self, request: dict[str, Any], completion: Completion, call: _ModelCall) -> None:
        was_sent, call.sent = call.sent, True
        began = asyncio.get_running_loop().time()
        silence = asyncio.timeout(self._idle if request.get("stream") else None)

        def on_content() -> None:
            now = asyncio.get_running_loop().time()
            if not completion.first_seconds:
                completion.first_seconds = now - began
            if (ends := silence.when()) is not None and now + self._idle - ends > _IDLE_PRECISION_SECONDS:
                silence.reschedule(now + self._idle)

        try:
            async with asyncio.timeout(self._total), silence:
                # `chat.completions.create` walks through a request by its types: 0.5 ms of CPU each time.
                response: Any = await self._client.post(
                    self._wire.path,
                    cast_to=httpx2.Response,
                    body=request,
                    stream=True,
                    stream_cls=AsyncStream[Any],
                )
                await read_completion(response, completion, on_content)
        except TimeoutError:
            raise ModelTimeoutError(self._idle if silence.expired() else self._total) from None
        except (openai.BadRequestError, openai.NotFoundError):
            raise
        except AnswerTooLargeError as failure:
            raise of_too_large(failure.response) from None
        except (openai.APIConnectionError, httpx2.HTTPError) as failure:
            if never_connected(failure):
                call.sent = was_sent
            raise ModelUnavailableError(connection_words(failure)) from None
        except openai.OpenAIError as failure:
            raise classed(failure) from None
        except ValueError:
            raise ModelUnavailableError("invalid answer") from None  # an event that is not JSON


def _usable(completion: Completion, answer_type: type[Structured]) -> Structured | None:
    """Return the valid answer; None if repairable. Raises ModelRefusedError."""
    if completion.refused:
        raise ModelRefusedError("invalid answer")
    if completion.finish_reason == CONTENT_FILTER:
        raise ModelRefusedError("content filter")
    if completion.finish_reason == "length":
        return None
    try:
        return answer_type.model_validate(load_json(strip_fence(completion.text)))
    except ValueError:
        return None


def strip_fence(text: str) -> str:
    found = _FENCE.match(text)
    return found[1] if found else text


class RequestFormat:
    """The request format of one endpoint.

    A refused part is left out for ten minutes, once a request without it has succeeded.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        options: ModelOptions = ModelOptions(),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        host = urlsplit(base_url).hostname or ""
        self._openrouter = host == "openrouter.ai" or host.endswith(".openrouter.ai")
        self._model = model
        self._is_responses = options.api == "responses"
        self.path = "/responses" if self._is_responses else "/chat/completions"
        always_thinks = _ALWAYS_THINKS.match(model.rpartition("/")[2].lower()) is not None
        self._effort = options.effort if options.effort != "auto" else "low" if always_thinks else "none"
        self._max_tokens = options.max_tokens
        self._monotonic = monotonic
        self._refused_until: dict[str, float] = {}

    def refused(self) -> frozenset[str]:
        now = self._monotonic()
        return frozenset(name for name, until in self._refused_until.items() if until > now)

    def keep(self, learned: frozenset[str]) -> None:
        until = self._monotonic() + _LEARNED_SECONDS
        self._refused_until |= dict.fromkeys(learned, until)

    def request(
        self, messages: list[dict[str, str]], answer_type: type[BaseModel], refused: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        schema = _schema_of(answer_type)
        form = next(form for form in _FORMATS if form not in refused)
        response_format: dict[str, Any] = {"type": form}
        if form == "json_schema":
            response_format["json_schema"] = {"name": answer_type.__name__, "strict": True, "schema": schema}
        else:
            system = f"{messages[0]['content']}\nAnswer with one JSON object of this schema:\n{json.dumps(schema)}"
            messages = [{**messages[0], "content": system}, *messages[1:]]
        # Without the parameter for the effort, the model may think.
        thinks = self._effort != "none" or not refused.isdisjoint({"reasoning", "reasoning_effort"})
        most = self._max_tokens or (_MAX_THINKING_TOKENS if thinks else _MAX_TOKENS)
        request: dict[str, Any] = {"model": self._model, "stream": True}
        if self._is_responses:
            # In this API the format's fields are not nested.
            flat = {"type": form, **response_format.get("json_schema", {})}
            request |= {"input": messages, "store": False, "max_output_tokens": most}
            request["reasoning"] = {"effort": self._effort}
            if form != "none":
                request["text"] = {"format": flat}
            return {name: value for name, value in request.items() if name not in refused}
        request |= {"messages": messages, "stream_options": {"include_usage": True}}
        if form != "none":
            request["response_format"] = response_format
        if self._openrouter:
            # Without `provider` an endpoint may ignore the response format.
            request |= {"provider": {"require_parameters": True}, "reasoning": {"effort": self._effort}}
            request["max_tokens"] = most
        else:
            request["reasoning_effort"] = self._effort
            request["max_completion_tokens"] = most
        return {name: value for name, value in request.items() if name not in refused}


def repair_messages(unusable: str) -> list[dict[str, str]]:
    return [
        {"role": "assistant", "content": unusable[:4000] or "(nothing)"},
        {"role": "user", "content": _REPAIR},
    ]


@cache
def _schema_of(answer_type: type[BaseModel]) -> dict[str, Any]:
    return answer_type.model_json_schema()


def refused_part(refusal: Refusal, sent: dict[str, Any]) -> str | None:
    """Return the part to leave out after a refusal of `sent`; None if there is none."""
    form = (sent.get("response_format") or sent.get("text", {}).get("format", {})).get("type")
    parts = dict.fromkeys(("response_format", "text", "json_schema", "json_object"), form) if form else {}
    parts |= {name: name for name in _OPTIONAL & sent.keys()}
    if isinstance(refusal, openai.NotFoundError):
        unnamed = _LEAVE_OUT_ORDER if message_of(refusal).startswith(_NO_ENDPOINT) else ()
        return next((name for name in unnamed if name in parts.values()), None)
    return next((parts[name] for name in _refused_names(refusal) if name in parts), None)


def _refused_names(refusal: Refusal) -> list[str]:
    param: object = refusal.param
    if isinstance(param, str) and param:
        return [re.split(r"[.\[]", param)[0]]
    return [quoted or word for quoted, word in _NAMES.findall(message_of(refusal))]
