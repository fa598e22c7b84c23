"""GPT-4's client on an endpoint that answers, and on each kind of failure."""

import asyncio
from typing import Any

import pytest

from devstack.free_ports import free_port
from integrations.errors import ModelRefused, ModelUnavailable, OutsideFailure
from tests.kit.desk import line_of
from tests.kit.model import BARE, PROMPT, ask, case_in, failure_of, opened
from tests.kit.simulators import Simulator
from workflow.enhancement import Enhancement
from workflow.prompts import Instructions

ERROR = "OpenAI API error: "


async def test_an_answer_is_validated_and_its_cost_is_told(model: Simulator) -> None:
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


RATE = "429 Rate Limit"


def status(code: int, told: str, wait: float | None = None, **more: Any) -> tuple[dict[str, Any], Any, str, Any]:
    kind = ModelUnavailable if code in (408, 429) or code >= 500 else ModelRefused
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
        ({"kind": "error_in_200", "code": 502}, ModelUnavailable, "502 Bad Gateway", None),
        ({"kind": "error_in_200", "code": 429}, ModelUnavailable, RATE, None),
        ({"kind": "error_in_200", "code": 403}, ModelRefused, "403 Forbidden", None),
        ({"kind": "error_event", "code": 502}, ModelUnavailable, "502 Bad Gateway", None),
        ({"kind": "error_event", "code": 429}, ModelUnavailable, RATE, None),
        ({"kind": "html"}, ModelUnavailable, "invalid answer", None),
        ({"kind": "cut"}, ModelUnavailable, "connection", None),
        ({"kind": "cut", "chunks": 0}, ModelUnavailable, "connection", None),
        ({"kind": "refusal"}, ModelRefused, "invalid answer", None),
        ({"kind": "content_filter"}, ModelRefused, "content filter", None),
    ],
)
async def test_each_failure_has_its_class_and_its_line_after_one_call(
    fault: dict[str, Any], kind: type[OutsideFailure], shown: str, retry_after: float | None, model: Simulator
) -> None:
    model.order(**fault)
    failure = await failure_of(model.url)
    assert (type(failure), line_of(failure)) == (kind, ERROR + shown)
    assert "error on our side" not in str(failure)
    assert getattr(failure, "retry_after", None) == retry_after
    assert len(model.requests()) == 1


async def test_an_endpoint_that_is_not_there_is_a_connection_failure() -> None:
    failure = await failure_of(f"http://127.0.0.1:{free_port()}")
    assert (type(failure), line_of(failure)) == (ModelUnavailable, ERROR + "connection")


UNUSABLE = ["cut_off", "malformed", "wrong_schema", "empty_choices"]


@pytest.mark.parametrize("kind", UNUSABLE)
async def test_an_unusable_answer_is_repaired_once_and_both_are_paid(kind: str, model: Simulator) -> None:
    """A second one ends it, and what both cost is told."""
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
        with pytest.raises(ModelRefused) as refused:
            await gpt4.ask(PROMPT, Enhancement, lambda usage: paid.append(usage.input_tokens))
    assert line_of(refused.value) == ERROR + "invalid answer"
    assert paid == [kept["usage"]["prompt_tokens"] for kept in model.look("/answers")["answers"]][-2:]
    assert len(paid) == len(model.requests()) == 2


async def test_a_fenced_answer_needs_no_repair(model: Simulator) -> None:
    model.order(kind="fenced")
    assert (await ask(model.url)).content.summary
    assert len(model.requests()) == 1


async def test_a_hostile_answer_is_cleaned_and_cut(model: Simulator) -> None:
    model.order(kind="hostile")
    async with opened(model.url) as gpt4:
        content = (await gpt4.ask(Instructions().prompt(case_in(BARE)), Enhancement)).content
    for text in (content.summary, content.likely_cause.text, *(step.text for step in content.next_steps)):
        assert len(text) <= 1500
        assert not set(text) & set("\x00\x07\x1b\x9b\r\u202e\u2066\ufeff\u2028")


@pytest.mark.parametrize("param", ["reasoning_effort", "max_completion_tokens", "stream_options"])
async def test_what_an_endpoint_refuses_is_left_out_and_not_tried_again(param: str, model: Simulator) -> None:
    model.order(kind="refuse_parameter", param=param)
    async with opened(model.url) as gpt4:
        assert (await gpt4.ask(PROMPT, Enhancement)).content.summary
        first = len(model.requests())
        assert (await gpt4.ask(PROMPT, Enhancement)).content.summary
    assert first == 2
    assert len(model.requests()) == first + 1
    whole, left = (set(model.requests()[number]["payload"]) for number in (0, -1))
    assert whole - left == {param}


async def test_an_endpoint_that_knows_none_of_the_optional_parts_is_asked_without_them(model: Simulator) -> None:
    model.order(kind="no_json_schema")
    for param in ("reasoning_effort", "max_completion_tokens", "stream_options"):
        model.order(kind="refuse_parameter", param=param)
    assert (await ask(model.url)).content.summary


@pytest.mark.parametrize(
    "fault", [{"kind": "refuse_parameter", "param": "reasoning_effort"}, {"kind": "no_json_schema"}]
)
async def test_jobs_that_are_refused_at_the_same_time_all_learn_from_it(
    fault: dict[str, Any], model: Simulator
) -> None:
    model.order(**fault)
    async with opened(model.url) as gpt4:
        answers = await asyncio.gather(*(gpt4.ask(PROMPT, Enhancement) for _ in range(6)))
    assert all(answer.content.summary for answer in answers)
    if fault["kind"] == "no_json_schema":
        assert model.requests()[-1]["payload"]["response_format"] == {"type": "json_object"}


NO_FORMAT = {"kind": "status", "code": 400, "param": "response_format"}


def formats(model: Simulator) -> list[Any]:
    asked = [request["payload"].get("response_format", {}) for request in model.requests(operation="chat")]
    return [form.get("type") for form in asked]


@pytest.mark.parametrize(
    ("faults", "first"),
    [
        ([{**NO_FORMAT, "times": 3}], ["json_schema", "json_object", None]),
        ([{**NO_FORMAT, "times": 1}, {**NO_FORMAT, "param": "model", "times": 1}], ["json_schema", "json_object"]),
    ],
    ids=["refused whatever is left out", "refused for something else in the end"],
)
async def test_a_job_that_fails_all_the_same_teaches_the_next_one_nothing(
    faults: list[dict[str, Any]], first: list[Any], model: Simulator
) -> None:
    for fault in faults:
        model.order(**fault)
    async with opened(model.url) as gpt4:
        with pytest.raises(ModelRefused):
            await gpt4.ask(PROMPT, Enhancement)
        assert (await gpt4.ask(PROMPT, Enhancement)).content.summary
    assert formats(model) == [*first, "json_schema"]
