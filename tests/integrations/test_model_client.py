"""GPT-4's client: requests, refusals, answers, and each kind of failure; known answers of providers."""

import asyncio
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import pytest
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cli.pilot.free_ports import free_port
from dev.simulators.openai import create_openai
from dev.simulators.serving import serve_in_thread
from integrations.errors import (
    DeferredError,
    ExternalError,
    ModelRefusedError,
    ModelTimeoutError,
    ModelUnavailableError,
    TemporaryError,
)
from integrations.http import EgressConfig
from integrations.llm.client import ModelOptions, Refusal, RequestFormat, refused_part, repair_messages, strip_fence
from integrations.llm.streaming import Completion
from integrations.resilience import Breaker, HoldReason
from integrations.values import Usage
from tests.integrations.canned import with_certificate
from tests.kit.clock import Clock
from tests.kit.desk import line_of
from tests.kit.model import BARE, PROMPT, ask, case_in, failure_of, opened
from tests.kit.proxy import ConnectProxy, serving_proxy, with_tls
from tests.kit.simulators import FAST_MODEL, Simulator
from workflow.answer import Enhancement
from workflow.prompt import Instructions

ERROR = "OpenAI API error: "


async def test_an_answer_in_one_piece_from_a_server_that_only_streams(model: Simulator) -> None:
    model.order(kind="status", code=400, message="This model only supports stream mode.", times=1)
    async with opened(model.url) as gpt4:
        for _ in range(2):
            answer = await gpt4.complete(PROMPT, Enhancement, is_check=True)
            assert answer.content.likely_cause.sources == ["ticket-101"]
    assert ["stream" in request["payload"] for request in model.requests()] == [False, True, True]


@pytest.mark.parametrize("is_check", [True, False])
async def test_a_timeout_without_content_costs_the_prompt(is_check: bool, model: Simulator) -> None:
    model.order(kind="silence", times=1)
    paid: list[Usage] = []
    async with opened(model.url, idle=5 if is_check else 0.5, total=0.5 if is_check else 5) as gpt4:
        with pytest.raises(ModelTimeoutError):
            await gpt4.complete(PROMPT, Enhancement, paid.append, is_check=is_check)
    (usage,) = paid
    assert (usage.estimated, usage.output_tokens) == (True, 0)
    assert usage.input_tokens > 100


async def test_a_failed_check_does_not_count_for_the_breaker(model: Simulator) -> None:
    breaker = Breaker("model", "model unavailable", most_failures=1)
    model.order(kind="status", code=503, times=2)
    async with opened(model.url, breaker=breaker) as gpt4:
        with pytest.raises(ModelUnavailableError):
            await gpt4.complete(PROMPT, Enhancement, is_check=True)
        breaker.check()
        with pytest.raises(ModelUnavailableError):
            await gpt4.complete(PROMPT, Enhancement)
        with pytest.raises(DeferredError):
            breaker.check()


@pytest.mark.parametrize("fenced", [False, True])
async def test_an_answer_is_validated_and_its_cost_is_told(fenced: bool, model: Simulator) -> None:
    if fenced:
        model.order(kind="fenced")
    answer = await ask(model.url)
    assert "mailbox" in answer.content.summary.lower()
    assert answer.content.likely_cause.sources == ["ticket-101"]
    (kept,) = model.look("/answers")["answers"]
    assert (answer.status, answer.model, answer.finish_reason) == (200, "gpt-6-luna", "stop")
    assert answer.response_id == kept["id"]
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (
        kept["usage"]["prompt_tokens"],
        kept["usage"]["completion_tokens"],
    )
    assert answer.usage.cost is None
    assert kept["stream"] is True
    assert len(model.requests()) == 1


RATE = "429 Rate Limit"


def status(code: int, told: str, wait: float | None = None, **more: Any) -> tuple[dict[str, Any], Any, str, Any]:
    kind = ModelUnavailableError if code in (408, 429) or code >= 500 else ModelRefusedError
    return {"kind": "status", "code": code, **more}, kind, told, wait


@pytest.mark.parametrize(
    ("fault", "kind", "shown", "retry_after"),
    [
        status(429, RATE, 7.0, retry_after=7),
        status(429, RATE, retry_after="soon"),
        status(429, RATE, 0.0, retry_after="Wed, 04 Nov 2020 09:00:00 GMT"),
        status(429, RATE, 0.4, retry_after_ms=400, retry_after=7),
        status(429, RATE, 7.0, retry_after_ms="x", retry_after=7),
        status(429, RATE, retry_after_ms="inf"),
        status(408, "408 Request Timeout"),
        status(500, "500 Internal Server Error"),
        status(503, "503 Service Unavailable", 3.0, retry_after=3),
        status(529, "529 Overloaded"),
        status(599, "500 Internal Server Error"),
        status(400, "400 Bad Request", message="No."),
        status(403, "403 Forbidden"),
        status(302, "302 Found"),
        ({"kind": "error_in_200", "code": 502}, ModelUnavailableError, "502 Bad Gateway", None),
        ({"kind": "error_in_200", "code": 429}, ModelUnavailableError, RATE, None),
        ({"kind": "error_in_200", "code": 403}, ModelRefusedError, "403 Forbidden", None),
        ({"kind": "error_event", "code": 502}, ModelUnavailableError, "502 Bad Gateway", None),
        ({"kind": "error_event", "code": 429}, ModelUnavailableError, RATE, None),
        ({"kind": "html"}, ModelUnavailableError, "invalid answer", None),
        ({"kind": "cut"}, ModelUnavailableError, "connection", None),
        ({"kind": "cut", "chunks": 0}, ModelUnavailableError, "connection", None),
        ({"kind": "refusal"}, ModelRefusedError, "invalid answer", None),
        ({"kind": "content_filter"}, ModelRefusedError, "content filter", None),
    ],
)
async def test_each_failure_has_its_class_and_line(
    fault: Any, kind: Any, shown: str, retry_after: Any, model: Simulator
) -> None:
    model.order(**fault)
    failure = await failure_of(model.url)
    assert (type(failure), line_of(failure)) == (kind, ERROR + shown)
    assert "error on our side" not in str(failure)
    assert getattr(failure, "retry_after", None) == retry_after
    assert len(model.requests()) == 1


async def test_an_endpoint_that_is_not_there_is_a_connection_failure() -> None:
    failure = await failure_of(f"http://127.0.0.1:{free_port()}")
    assert (type(failure), line_of(failure)) == (ModelUnavailableError, ERROR + "connection")


UNUSABLE = ["cut_off", "malformed", "wrong_schema", "empty_choices"]


@pytest.mark.parametrize("kind", UNUSABLE)
async def test_an_unusable_answer_is_repaired_once_and_both_are_paid(kind: str, model: Simulator) -> None:
    model.order(kind=kind, times=1)
    answer = await ask(model.url)
    assert answer.content.summary
    usages = [kept["usage"] for kept in model.look("/answers")["answers"]]
    assert len(usages) == 2
    assert answer.usage.input_tokens == sum(usage["prompt_tokens"] for usage in usages)
    assert answer.usage.output_tokens == sum(usage["completion_tokens"] for usage in usages)
    _, repair = model.requests()
    roles = [message["role"] for message in repair["payload"]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    model.forget()
    model.order(kind=kind)
    paid: list[int] = []
    async with opened(model.url) as gpt4:
        with pytest.raises(ModelRefusedError) as refused:
            await gpt4.complete(PROMPT, Enhancement, lambda usage: paid.append(usage.input_tokens))
    assert line_of(refused.value) == ERROR + "invalid answer"
    assert paid == [kept["usage"]["prompt_tokens"] for kept in model.look("/answers")["answers"]][-2:]
    assert len(paid) == len(model.requests()) == 2


async def test_a_hostile_answer_is_cleaned_and_cut(model: Simulator) -> None:
    model.order(kind="hostile")
    async with opened(model.url) as gpt4:
        content = (await gpt4.complete(Instructions().prompt(case_in(BARE)), Enhancement)).content
    for text in (content.summary, content.likely_cause.text, *(step.text for step in content.next_steps)):
        assert len(text) <= 1500
        assert not set(text) & set("\x00\x07\x1b\x9b\r\u202e\u2066\ufeff\u2028")


OPTIONAL = ("reasoning_effort", "max_completion_tokens", "stream_options")


@pytest.mark.parametrize("param", OPTIONAL)
async def test_what_an_endpoint_refuses_is_left_out_and_not_tried_again(param: str, model: Simulator) -> None:
    model.order(kind="refuse_parameter", param=param)
    async with opened(model.url) as gpt4:
        assert (await gpt4.complete(PROMPT, Enhancement)).content.summary
        first = len(model.requests())
        assert (await gpt4.complete(PROMPT, Enhancement)).content.summary
    assert first == 2
    assert len(model.requests()) == first + 1
    whole, left = (set(model.requests()[number]["payload"]) for number in (0, -1))
    assert whole - left == {param}


@pytest.mark.parametrize(
    "fault", [{"kind": "refuse_parameter", "param": "reasoning_effort"}, {"kind": "no_json_schema"}]
)
async def test_jobs_refused_at_once_all_learn(fault: dict[str, Any], model: Simulator) -> None:
    model.order(**fault)
    for param in OPTIONAL if fault["kind"] == "no_json_schema" else ():
        model.order(kind="refuse_parameter", param=param)
    async with opened(model.url) as gpt4:
        answers = await asyncio.gather(*(gpt4.complete(PROMPT, Enhancement) for _ in range(6)))
    assert all(answer.content.summary for answer in answers)
    if fault["kind"] == "no_json_schema":
        assert model.requests()[-1]["payload"]["response_format"] == {"type": "json_object"}


NO_FORMAT = {"kind": "status", "code": 400, "param": "response_format"}


def formats(model: Simulator) -> list[Any]:
    requests_seen = [request["payload"].get("response_format", {}) for request in model.requests(operation="chat")]
    return [form.get("type") for form in requests_seen]


@pytest.mark.parametrize(
    ("faults", "first"),
    [
        ([{**NO_FORMAT, "times": 3}], ["json_schema", "json_object", None]),
        ([{**NO_FORMAT, "times": 1}, {**NO_FORMAT, "param": "model", "times": 1}], ["json_schema", "json_object"]),
    ],
    ids=["refused whatever is left out", "refused for something else in the end"],
)
async def test_a_job_that_fails_teaches_nothing(faults: Any, first: Any, model: Simulator) -> None:
    for fault in faults:
        model.order(**fault)
    async with opened(model.url) as gpt4:
        with pytest.raises(ModelRefusedError):
            await gpt4.complete(PROMPT, Enhancement)
        assert (await gpt4.complete(PROMPT, Enhancement)).content.summary
    assert formats(model) == [*first, "json_schema"]


OPENAI, OPENROUTER = "https://api.openai.com/v1", "https://openrouter.ai/api/v1"
MESSAGES = [{"role": "system", "content": "Rules."}, {"role": "user", "content": "{}"}]


def refusal(message: str, param: str | None = None) -> openai.BadRequestError:
    request = httpx2.Request("POST", OPENAI)
    body = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return openai.BadRequestError(message, response=httpx2.Response(400, request=request), body=body)


def unsupported(param: str) -> openai.BadRequestError:
    return refusal(f"Unsupported parameter: '{param}' is not supported with this model.", param)


def asked(wire: RequestFormat) -> dict[str, Any]:
    return wire.request(MESSAGES, Enhancement, wire.refused())


def learn(wire: RequestFormat, refused: Refusal) -> bool:
    """Learn from a refusal; the request without the refused part succeeds."""
    part = refused_part(refused, asked(wire))
    wire.keep(frozenset({part} if part else ()))
    return part is not None


def test_openai_is_asked_for_a_strict_schema_streamed_and_without_reasoning() -> None:
    request = asked(RequestFormat(OPENAI, "gpt-6-luna"))
    schema = request["response_format"]["json_schema"]["schema"]
    assert request["response_format"]["json_schema"]["strict"] is True
    assert schema == Enhancement.model_json_schema()
    assert len(schema["$defs"]) == 2
    for part in (schema, *schema["$defs"].values()):
        assert part["additionalProperties"] is False
        assert set(part["required"]) == set(part["properties"])
    assert (request["model"], request["messages"]) == ("gpt-6-luna", MESSAGES)
    assert (request["stream"], request["stream_options"]) == (True, {"include_usage": True})
    assert (request["reasoning_effort"], request["max_completion_tokens"] > 0) == ("none", True)
    assert not {"max_tokens", "provider", "reasoning", "temperature"} & set(request)


@pytest.mark.parametrize(
    ("model", "options", "effort", "most"),
    [
        ("gpt-6-luna", ModelOptions(), "none", 2_000),
        *((each, ModelOptions(), "low", 10_000) for each in ("o4-mini", "openai/gpt-6-astra", "deepseek/deepseek-r1")),
        ("gpt-6-luna", ModelOptions(effort="high"), "high", 10_000),
        ("gpt-6-luna", ModelOptions(max_tokens=3_000), "none", 3_000),
        ("gpt-6-astra", ModelOptions(effort="none"), "none", 2_000),
    ],
)
def test_effort_and_limit_follow_the_model_or_the_settings(model: str, options: Any, effort: str, most: int) -> None:
    chat = asked(RequestFormat(OPENAI, model, options))
    assert (chat["reasoning_effort"], chat["max_completion_tokens"]) == (effort, most)
    routed = asked(RequestFormat(OPENROUTER, model, options))
    assert (routed["reasoning"], routed["max_tokens"]) == ({"effort": effort}, most)
    response = asked(RequestFormat(OPENAI, model, replace(options, api="responses")))
    assert (response["reasoning"], response["max_output_tokens"]) == ({"effort": effort}, most)


RESPONSES = ModelOptions(api="responses")


async def test_the_responses_api_stores_nothing_and_answers_the_same(model: Simulator) -> None:
    async with opened(model.url, options=RESPONSES) as gpt4:
        answer = await gpt4.complete(PROMPT, Enhancement)
    assert answer.content.likely_cause.sources == ["ticket-101"]
    assert (answer.finish_reason, answer.usage.input_tokens > 100, answer.usage.output_tokens > 10) == (
        "stop",
        True,
        True,
    )
    assert answer.response_id.startswith("resp_")
    (request,) = model.requests(operation="responses")
    sent = request["payload"]
    assert (sent["store"], sent["stream"], sent["reasoning"]) == (False, True, {"effort": "none"})
    assert (sent["text"]["format"]["type"], sent["text"]["format"]["strict"]) == ("json_schema", True)
    assert not model.requests(operation="chat")


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        *((kind, "answered") for kind in ("not_streamed", "cut_off", "malformed", "fenced", "no_json_schema")),
        *((kind, "refused") for kind in ("refusal", "content_filter")),
        ("cut", "unavailable"),
    ],
)
async def test_faults_of_the_responses_api_end_as_those_of_chat(model: Simulator, fault: str, outcome: str) -> None:
    model.order(kind=fault, times=1)
    errors = {"refused": ModelRefusedError, "unavailable": ModelUnavailableError}
    async with opened(model.url, options=RESPONSES) as gpt4:
        if outcome == "answered":
            assert (await gpt4.complete(PROMPT, Enhancement)).content.next_steps
            return
        with pytest.raises(errors[outcome]):
            await gpt4.complete(PROMPT, Enhancement)


async def test_the_responses_api_drops_a_refused_part(model: Simulator) -> None:
    async with opened(model.url, model="gpt-4o-mini", options=RESPONSES) as gpt4:
        assert (await gpt4.complete(PROMPT, Enhancement)).content.next_steps
        assert gpt4.left_out_parts == {"reasoning"}
    first, second = model.requests(operation="responses")
    assert first["status"] == 400
    assert ("reasoning" in second["payload"], second["payload"]["max_output_tokens"]) == (False, 10_000)


def test_events_without_an_answer_are_skipped_and_thoughts_are_no_answer() -> None:
    completion = Completion()
    events: list[dict[str, Any]] = [
        {"type": "keepalive", "sequence_number": 3},
        {"type": "response.reasoning_text.delta", "delta": "Let me think."},
        {"type": "response.output_text.delta", "delta": "{}"},
    ]
    assert [completion.add(event) for event in events] == [False, False, True]
    thoughts = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Let me think."}]}
    message = {"type": "message", "content": [{"type": "output_text", "text": "{}"}]}
    whole = Completion()
    whole.add_whole(json.dumps({"object": "response", "status": "completed", "output": [thoughts, message]}).encode())
    assert (completion.text, whole.text, whole.finish_reason) == ("{}", "{}", "stop")


@pytest.mark.parametrize(
    ("event", "failure"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "Slow down."}, TemporaryError),
        (
            {"type": "response.failed", "response": {"status": "failed", "error": {"code": "server_error"}}},
            TemporaryError,
        ),
        ({"type": "response.completed", "response": []}, ValueError),
        ({"type": "response.output_text.delta", "delta": 3}, ValueError),
    ],
)
def test_an_event_that_is_an_error_or_malformed(event: dict[str, Any], failure: type[Exception]) -> None:
    with pytest.raises(failure):
        Completion().add(event)


@pytest.mark.parametrize("base_url", [OPENROUTER, "https://eu.openrouter.ai/api/v1"])
def test_openrouter_must_not_ignore_the_schema(base_url: str) -> None:
    request = asked(RequestFormat(base_url, "openai/gpt-6-luna"))
    assert (request["provider"], request["reasoning"]) == ({"require_parameters": True}, {"effort": "none"})
    assert request["max_tokens"] > 0
    assert not {"max_completion_tokens", "reasoning_effort"} & set(request)
    # A host that only looks like it.
    for other in ("https://notopenrouter.ai/v1", "https://openrouter.ai.example/v1"):
        assert not {"provider", "reasoning"} & set(asked(RequestFormat(other, "m")))


@pytest.mark.parametrize(
    ("refused", "left_out"),
    [
        (unsupported("max_tokens"), "max_tokens"),
        (refusal("Unknown field: 'provider'"), "provider"),
        (refusal("No such thing.", "provider.require_parameters"), "provider"),
        (refusal("Reasoning can't be turned off.", "reasoning"), "reasoning"),
        (refusal('Unrecognized key "reasoning"'), "reasoning"),
        (refusal("No provider available"), None),
        (refusal("No allowed provider available for 'openai/gpt-6-luna'"), None),
    ],
)
def test_of_what_only_openrouter_knows_the_refused_part_is_left_out(refused: Refusal, left_out: str | None) -> None:
    wire = RequestFormat(OPENROUTER, "m")
    assert learn(wire, refused) is (left_out is not None)
    request = asked(wire)
    whole = {"max_tokens", "provider", "reasoning"}
    assert whole - set(request) == ({left_out} if left_out else set())


@pytest.mark.parametrize(
    ("message", "param", "left_out"),
    [
        ("This response_format type is unavailable now", None, "json_schema"),
        ("Extra inputs are not permitted: ('body', 'reasoning_effort')", None, "reasoning_effort"),
        ("Unsupported: `stream_options.include_usage`", None, "stream_options"),
        ("Use 'max_tokens' instead of 'max_completion_tokens'.", None, "max_completion_tokens"),
        ("my_response_format is bad", None, None),
        ("Reasoning about this provider failed", None, None),
        # `param` decides.
        ("Bad text: 'response_format'", "messages", None),
        ("We could not parse the JSON body of your request.", "messages", None),
        ("This model's maximum context length is 8192", "messages", None),
    ],
)
def test_the_message_may_name_the_parameter(message: str, param: Any, left_out: Any) -> None:
    assert refused_part(refusal(message, param), asked(RequestFormat(OPENAI, "m"))) == left_out


def test_what_was_learned_expires() -> None:
    clock = Clock(0.0)
    wire = RequestFormat(OPENAI, "m", monotonic=clock)
    assert learn(wire, unsupported("reasoning_effort"))
    clock.now = 300.0
    assert learn(wire, refusal("no schemas", "response_format"))
    clock.now = 601.0
    assert "reasoning_effort" in asked(wire)
    assert asked(wire)["response_format"] == {"type": "json_object"}
    clock.now = 901.0
    assert asked(wire) == asked(RequestFormat(OPENAI, "m"))


def test_the_ladder_goes_from_the_schema_to_json_to_the_prompt_alone() -> None:
    wire = RequestFormat(OPENAI, "m")
    assert learn(wire, refusal("'response_format' of type 'json_schema' is not supported", "response_format"))
    second = asked(wire)
    assert second["response_format"] == {"type": "json_object"}
    assert learn(wire, refusal("Invalid schema for response_format"))
    third = asked(wire)
    assert "response_format" not in third
    for request in (second, third):
        system, user = request["messages"]
        assert system["content"].startswith("Rules.")
        assert json.dumps(Enhancement.model_json_schema()) in system["content"]
        assert user == MESSAGES[1]
    assert MESSAGES[0]["content"] == "Rules."
    assert not learn(wire, refusal("response_format again"))
    assert "response_format" not in asked(wire)


@pytest.mark.parametrize("fence", ["{}", "```json\n{}\n```", "```\n{}\n```", " \n```json\r\n{}\n``` \n"])
def test_a_fence_around_an_answer_is_taken_off(fence: str) -> None:
    for inside in ('{"a":\n 1}', '{"a": "```"}'):
        assert strip_fence(fence.replace("{}", inside)) == inside
    assert strip_fence("Sure! ```json\n{}\n```") == "Sure! ```json\n{}\n```"


def test_a_repair_shows_the_model_its_own_answer_within_bounds() -> None:
    shown, request = repair_messages("x" * 100_000)
    assert (shown["role"], request["role"]) == ("assistant", "user")
    assert 0 < len(shown["content"]) < 10_000
    assert repair_messages("")[0]["content"] != ""


@dataclass(frozen=True)
class ProviderAnswer:
    """An answer that was seen or documented; it `becomes` a reason to hold, or a failure whose line has `told`."""

    provider: str
    status: int
    becomes: str
    told: str
    body: Any
    source: str
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float | None = None

    def __str__(self) -> str:
        return f"{self.provider} {self.told} {self.source.rpartition('/')[2]}"


ANSWERS = [
    ProviderAnswer(**row)
    for row in json.loads(Path(__file__).with_name("provider_answers.json").read_text(encoding="utf-8"))
]


@pytest.fixture(scope="module")
def answering() -> Iterator[str]:
    """Serve each known answer under its number."""

    async def answer(request: Request) -> Response:
        known = ANSWERS[int(request.path_params["number"])]
        if isinstance(known.body, str):
            return Response(known.body, known.status, known.headers, "text/event-stream")
        return Response(json.dumps(known.body), known.status, known.headers, "application/json")

    with serve_in_thread(Starlette(routes=[Route("/{number}/v1/chat/completions", answer, methods=["POST"])])) as url:
        yield url


@pytest.mark.parametrize("known", ANSWERS, ids=str)
async def test_each_known_answer_is_understood(known: ProviderAnswer, answering: str, log: io.StringIO) -> None:
    """Support's line is logged once: by the client for a hold, else by the worker."""
    line = f"OpenAI API error: {known.told}"
    async with opened(f"{answering}/{ANSWERS.index(known)}") as gpt4:
        with pytest.raises((ExternalError, DeferredError)) as stopped:
            await gpt4.complete(PROMPT, Enhancement)
    failure = stopped.value
    assert isinstance(failure, ExternalError | DeferredError)
    if isinstance(failure, ExternalError):
        assert type(failure).__name__ == known.becomes
        assert failure.phrase.template.format(**failure.values) == line
        assert getattr(failure, "retry_after", None) == known.wait
        assert log.getvalue() == ""
    else:
        assert (failure.reason, failure.extends_deadline) == (HoldReason[known.becomes], True)
        assert log.getvalue().count(line) == log.getvalue().count(f"Hold error: model: {failure.reason}") == 1


@contextmanager
def simulated(provider: str, **config: Any) -> Iterator[str]:
    with serve_in_thread(create_openai({**FAST_MODEL, "provider": provider, **config})) as url:
        yield url


REFUSED: list[tuple[str, str, dict[str, Any], int]] = [
    ("openrouter", "/api/v1", {"key": "sk-wrong"}, 401),
    ("openrouter", "/api/v1", {"model": "gpt-6-luna"}, 400),
    ("openrouter", "/api/v1", {"model": "openai/gpt-6-luna", "provider": {"require_parameters": True}}, 404),
    ("azure", "/openai/v1", {"key": "sk-wrong"}, 401),
    ("azure", "/openai/v1", {"model": "gpt-6-luna"}, 404),
    ("azure", "/v1", {"model": "enhancer"}, 404),
    ("local", "/v1", {"model": "x", "key": "anything"}, 404),
]


@pytest.mark.parametrize(
    ("provider", "config"),
    [("openrouter", {"lacks": ["json_schema"]}), ("azure", {"models": ["enhancer"]}), ("local", {"models": ["llama"]})],
)
def test_the_simulator_of_a_provider_refuses_in_the_words_that_are_known_of_it(provider: str, config: Any) -> None:
    schema = {"name": "a", "schema": {"type": "object", "properties": {}}}
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    body |= {"response_format": {"type": "json_schema", "json_schema": schema}}
    with simulated(provider, **config) as url, httpx2.Client(base_url=url, trust_env=False) as client:
        for _, path, asked, status in [row for row in REFUSED if row[0] == provider]:
            order = body | {"model": asked.get("model", "enhancer"), "provider": asked.get("provider")}
            key = {"authorization": f"Bearer {asked.get('key', 'sk-test')}"}
            answer = client.post(f"{path}/chat/completions", json=order, headers=key)
            assert answer.status_code == status, answer.text
            known = [each.body for each in ANSWERS if (each.provider, each.status) == (provider, status)]
            assert answer.json() in known


@pytest.mark.parametrize(
    ("provider", "path", "key", "lacks"),
    [
        # Azure is asked under the deployment's own name; a local server takes any key and need not know the formats.
        ("azure", "/openai", "sk-test", []),
        *(
            ("local", "", "anything", lacks)
            for lacks in (["json_schema"], ["json_object"], ["json_schema", "json_object"])
        ),
    ],
)
async def test_a_provider_with_models_of_its_own_answers(provider: str, path: str, key: str, lacks: list[str]) -> None:
    with simulated(provider, models=["enhancer"], lacks=lacks) as url:
        async with opened(url + path, key=key, model="enhancer") as gpt4:
            assert (await gpt4.complete(PROMPT, Enhancement)).content.summary


async def test_openrouter_is_asked_with_less_until_an_endpoint_takes_it(tmp_path: Path) -> None:
    """The proxy keeps OpenRouter's host name; other hosts are called like OpenAI."""
    with simulated("openrouter", lacks=["json_schema", "json_object", "reasoning"]) as url:
        authority, bundle, port = trustme.CA(), tmp_path / "authority.pem", urlsplit(url).port or 0
        authority.cert_pem.write_to_path(str(bundle))
        with (
            with_tls(port, with_certificate(authority, "openrouter.ai")) as its_port,
            serving_proxy(ConnectProxy({"openrouter.ai:443": its_port})) as proxy,
        ):
            way = EgressConfig(f"http://127.0.0.1:{proxy.port}", ca_bundle=bundle)
            async with opened("https://openrouter.ai/api", model="openai/gpt-6-luna", egress=way) as gpt4:
                answers = [await gpt4.complete(PROMPT, Enhancement) for _ in range(2)]
        async with httpx2.AsyncClient(trust_env=False) as client:
            received = (await client.get(f"{url}/_sim/requests")).json()["requests"]
    asked = [request["payload"] for request in received]
    assert all(answer.usage.cost for answer in answers)
    formats = [(request.get("response_format", {}).get("type"), "reasoning" in request) for request in asked]
    assert formats == [("json_schema", True), ("json_object", True), ("json_object", False), *[(None, False)] * 2]
    assert all(request["provider"] == {"require_parameters": True} for request in asked)
