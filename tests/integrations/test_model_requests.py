"""Requests to GPT-4, and adaptation to an endpoint's refusals."""

import json
from typing import Any

import httpx2
import openai
import pytest

from integrations.model.client import Refusal, Wire, refused_part, strip_fence
from tests.kit.clock import Clock
from workflow.enhancement import Enhancement

OPENAI, OPENROUTER = "https://api.openai.com/v1", "https://openrouter.ai/api/v1"
NO_ENDPOINT = "No endpoints found that can handle the requested parameters."
MESSAGES = [{"role": "system", "content": "Rules."}, {"role": "user", "content": "{}"}]


def refusal(message: str, param: str | None = None) -> openai.BadRequestError:
    request = httpx2.Request("POST", OPENAI)
    body = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return openai.BadRequestError(message, response=httpx2.Response(400, request=request), body=body)


def unsupported(param: str) -> openai.BadRequestError:
    return refusal(f"Unsupported parameter: '{param}' is not supported with this model.", param)


def asked(wire: Wire) -> dict[str, Any]:
    return wire.request(MESSAGES, Enhancement, wire.refused())


def learn(wire: Wire, refused: Refusal) -> bool:
    """Learn from a refusal; the request without the refused part succeeds."""
    part = refused_part(refused, asked(wire))
    wire.keep(frozenset({part} if part else ()))
    return part is not None


def schema_of(request: dict[str, Any]) -> Any:
    return request["response_format"]["json_schema"]["schema"]


def test_openai_is_asked_for_a_strict_schema_streamed_and_without_reasoning() -> None:
    request = asked(Wire(OPENAI, "gpt-6-luna"))
    assert request["response_format"]["json_schema"]["strict"] is True
    assert schema_of(request) == Enhancement.model_json_schema()
    assert (request["model"], request["messages"]) == ("gpt-6-luna", MESSAGES)
    assert (request["stream"], request["stream_options"]) == (True, {"include_usage": True})
    assert request["reasoning_effort"] == "none"
    assert request["max_completion_tokens"] > 0
    assert not {"max_tokens", "extra_body", "temperature"} & set(request)


@pytest.mark.parametrize("base_url", [OPENROUTER, "https://eu.openrouter.ai/api/v1"])
def test_openrouter_must_not_ignore_the_schema(base_url: str) -> None:
    request = asked(Wire(base_url, "openai/gpt-6-luna"))
    assert request["extra_body"] == {"provider": {"require_parameters": True}, "reasoning": {"effort": "none"}}
    assert request["max_tokens"] > 0
    assert not {"max_completion_tokens", "reasoning_effort"} & set(request)
    # A host that only looks like it.
    for other in ("https://notopenrouter.ai/v1", "https://openrouter.ai.example/v1"):
        assert "extra_body" not in asked(Wire(other, "m"))


def test_the_schema_is_strict_in_every_object_of_it() -> None:
    schema = schema_of(asked(Wire(OPENAI, "m")))
    objects = [schema, *schema["$defs"].values()]
    assert len(objects) == 4
    for part in objects:
        assert part["additionalProperties"] is False
        assert set(part["required"]) == set(part["properties"])


@pytest.mark.parametrize(
    ("refused", "left_out"),
    [
        (
            refusal("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "max_tokens"),
            "max_tokens",
        ),
        (refusal("Unknown field: 'provider'"), "provider"),
        (refusal("No such thing.", "provider.require_parameters"), "provider"),
        (refusal("Reasoning can't be turned off.", "reasoning"), "reasoning"),
        (refusal('Unrecognized key "reasoning"'), "reasoning"),
        (refusal("No provider available"), None),
        (refusal("No allowed provider available for 'openai/gpt-6-luna'"), None),
    ],
)
def test_of_what_only_openrouter_knows_the_refused_part_is_left_out(refused: Refusal, left_out: str | None) -> None:
    wire = Wire(OPENROUTER, "m")
    assert learn(wire, refused) is (left_out is not None)
    request = asked(wire)
    whole = {"max_tokens", "provider", "reasoning"}
    assert whole - {*request, *request["extra_body"]} == ({left_out} if left_out else set())


def test_a_404_that_names_no_part_takes_one_after_the_other() -> None:
    wire, body = (
        Wire(OPENROUTER, "m"),
        {"message": f"{NO_ENDPOINT} To learn more: https://openrouter.ai/docs", "code": 404},
    )
    response = httpx2.Response(404, request=httpx2.Request("POST", OPENROUTER))
    missing = openai.NotFoundError("Error code: 404", response=response, body=body)
    left = []
    while learn(wire, missing):
        request = asked(wire)
        left.append((request.get("response_format", {}).get("type"), *request["extra_body"]))
    every = ("provider", "reasoning")
    assert left == [("json_object", *every), ("json_object", "provider"), (None, "provider"), (None,)]
    assert asked(wire)["max_tokens"]
    other = openai.NotFoundError("Error code: 404", response=response, body={"message": "No endpoints found for m."})
    assert not learn(Wire(OPENROUTER, "m"), other)


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
def test_without_param_the_message_may_name_the_parameter(
    message: str, param: str | None, left_out: str | None
) -> None:
    assert refused_part(refusal(message, param), asked(Wire(OPENAI, "m"))) == left_out


def test_what_was_learned_expires() -> None:
    clock = Clock(0.0)
    wire = Wire(OPENAI, "m", clock)
    assert learn(wire, unsupported("reasoning_effort"))
    clock.now = 300.0
    assert learn(wire, refusal("no schemas", "response_format"))
    clock.now = 601.0
    assert "reasoning_effort" in asked(wire)
    assert asked(wire)["response_format"] == {"type": "json_object"}
    clock.now = 901.0
    assert asked(wire) == asked(Wire(OPENAI, "m"))


def test_the_ladder_goes_from_the_schema_to_json_to_the_prompt_alone() -> None:
    wire = Wire(OPENAI, "m")
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


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('```\n{"a": 1}\n```', '{"a": 1}'),
        (' \n```json\r\n{"a":\n 1}\n``` \n', '{"a":\n 1}'),
        ('```json\n{"a": "```"}\n```', '{"a": "```"}'),
        ('Sure! ```json\n{"a": 1}\n```', 'Sure! ```json\n{"a": 1}\n```'),
        ("", ""),
    ],
)
def test_a_fence_around_an_answer_is_taken_off(text: str, inside: str) -> None:
    assert strip_fence(text) == inside


def test_a_repair_shows_the_model_its_own_answer_within_bounds() -> None:
    wire = Wire(OPENAI, "m")
    shown, request = wire.repair("x" * 100_000)
    assert (shown["role"], request["role"]) == ("assistant", "user")
    assert 0 < len(shown["content"]) < 10_000
    assert wire.repair("")[0]["content"] != ""
