"""Model answers whose JSON has unexpected types."""

import json
from typing import Any

import pytest

from integrations.errors import ModelUnavailable
from integrations.values import Usage
from simulators.serving import serve_in_thread
from tests.integrations.endpoints import ADVICE, endpoint, piece, stream, whole
from tests.kit.desk import line_of
from tests.kit.logs import StartLog
from tests.kit.model import ask, failure_of

EVENTS, JSON = "text/event-stream", "application/json"


def message(content: Any) -> bytes:
    return whole(choices=[{"message": {"content": content}}])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (stream({"choices": ["x"]}), EVENTS),
        (stream({"choices": [None]}), EVENTS),
        (stream({"choices": [[]]}), EVENTS),
        (stream({"choices": {"0": {}}}), EVENTS),
        (stream({"choices": [{"delta": "abc"}]}), EVENTS),
        (stream({"choices": [{"delta": [1]}]}), EVENTS),
        (stream({"choices": [{"delta": {"content": 5}}]}), EVENTS),
        (stream({"choices": [{"delta": {"content": ["a"]}}]}), EVENTS),
        (stream("[" * 100_000), EVENTS),
        (b"data: \xff\xfe\n\n", EVENTS),
        (b"", EVENTS),
        (b": comment\n\n", EVENTS),
        (stream("[DONE]"), EVENTS),
        (stream("not json"), EVENTS),
        (stream("17"), EVENTS),
        (stream([]), EVENTS),
        (stream({"choices": 5}), EVENTS),
        *((body, JSON) for body in (b"", b"null", b"[]", b'"ok"', b"{}", b"[" * 100_000, b"\xff\xfe")),
        (whole(choices=None), JSON),
        (whole(choices=[]), JSON),
        (whole(choices=[{}]), JSON),
        (whole(choices=[{"message": None}]), JSON),
        (b"<html>Sign in</html>", "text/html"),
        (whole(choices=["x"]), JSON),
        (whole(choices="x"), JSON),
        (message(5), JSON),
        (message(["a"]), JSON),
        (message({"a": 1}), JSON),
    ],
)
async def test_a_200_that_is_no_answer_may_be_one_later(body: bytes, content_type: str) -> None:
    with serve_in_thread(endpoint(body, content_type)) as url:
        failure = await failure_of(url)
    assert (type(failure), line_of(failure)) == (ModelUnavailable, "OpenAI API error: invalid answer")


USAGES = [
    *("null", "{}", '{"prompt_tokens": null}', '{"cost": "much"}'),
    '"hunter2 ticket text"',
    '["hunter2"]',
    "5",
    "true",
    '{"prompt_tokens": [1], "completion_tokens": "hunter2", "cost": {"a": 1}}',
    '{"prompt_tokens": 1e400, "completion_tokens": -5, "cost": 1e400}',
    '{"prompt_tokens": NaN, "completion_tokens": true, "cost": true}',
    '{"prompt_tokens": 1%s, "completion_tokens_details": "hunter2"}' % ("0" * 4000),
]


@pytest.mark.parametrize("usage", USAGES)
@pytest.mark.parametrize("content_type", [EVENTS, JSON])
async def test_odd_numbers_are_not_counted_and_never_logged(usage: str, content_type: str, start_log: StartLog) -> None:
    log = start_log()
    streamed = stream(piece(json.dumps(ADVICE)), {"choices": [], "usage": "U"}, "[DONE]")
    body = (streamed if content_type == EVENTS else whole(usage="U")).replace(b'"U"', usage.encode())
    with serve_in_thread(endpoint(body, content_type)) as url:
        answer = await ask(url)
    assert answer.content.summary == "S"
    assert answer.usage == Usage(0, 0, None)
    assert "hunter2" not in log.getvalue()
    assert "Warning" not in log.getvalue()


@pytest.mark.parametrize("odd", [{"model": 5, "id": ["a"]}, {"model": None, "id": {"a": 1}}])
async def test_odd_names_beside_an_answer_do_not_harm_it(odd: dict[str, Any]) -> None:
    bodies = [(whole(**odd), JSON), (stream({**piece(json.dumps(ADVICE), finish_reason=5), **odd}, "[DONE]"), EVENTS)]
    for body, content_type in bodies:
        with serve_in_thread(endpoint(body, content_type)) as url:
            answer = await ask(url)
        assert (answer.content.summary, answer.model, answer.response_id) == ("S", "gpt-6-luna", "")


@pytest.mark.parametrize("odd", ["\ud83d", "\x00"])
async def test_what_no_database_takes_does_not_get_any_further(odd: str) -> None:
    """Raw or escaped, in the answer and in the names beside it."""
    names = {"model": f"gpt{odd}-6", "id": f"{odd}1"}
    text = json.dumps(ADVICE | {"summary": "SX"}).replace("X", odd)
    escaped = json.dumps(ADVICE | {"summary": f"S{odd}"})
    bodies = [
        *(
            (whole(choices=[{"message": {"content": one}, "finish_reason": f"stop{odd}"}], **names), JSON)
            for one in (text, escaped)
        ),
        (stream({**piece(text, finish_reason=f"stop{odd}"), **names}, "[DONE]"), EVENTS),
    ]
    for body, content_type in bodies:
        with serve_in_thread(endpoint(body, content_type)) as url:
            answer = await ask(url)
        assert (answer.content.summary, answer.model, answer.response_id) == ("S", "gpt-6", "1")
        assert answer.finish_reason == "stop"


@pytest.mark.parametrize("nothing", [None, {}, False, ""])
async def test_no_error_beside_an_answer_is_none(nothing: Any) -> None:
    with serve_in_thread(endpoint(whole(error=nothing), JSON)) as url:
        assert (await ask(url)).content.summary == "S"
