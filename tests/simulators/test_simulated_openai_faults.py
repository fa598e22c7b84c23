"""Every fault of the endpoint, as one piece and as a stream."""

import json
import time
from typing import Any

import httpx
import pytest

from simulators.openai.context import find_context

CONTEXT = {"ticket": {"id": "77", "subject": 'Say "hi" to Zoë', "description": "The mailbox is full again."}}
ADVICE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"summary": {"type": "string"}, "likely_cause": {"type": "string"}},
    "required": ["summary", "likely_cause"],
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "advice", "strict": True, "schema": ADVICE}}
BODY: dict[str, Any] = {
    "model": "gpt-6-luna",
    "messages": [{"role": "user", "content": json.dumps(CONTEXT)}],
    "response_format": FORMAT,
}
CHAT = "/v1/chat/completions"


def order(gpt4: httpx.Client, **fault: Any) -> None:
    response = gpt4.post("/_sim/faults", json=fault)
    assert response.status_code == 201, response.text


def ask(gpt4: httpx.Client, /, **more: Any) -> httpx.Response:
    return gpt4.post(CHAT, json=BODY | more)


def content(response: httpx.Response) -> Any:
    return response.json()["choices"][0]["message"]["content"]


def stream(gpt4: httpx.Client, seconds: float = 2.0) -> tuple[list[str], str]:
    """Return the lines of a stream and how it ended: `done`, `cut`, `silent` or `late`."""
    lines: list[str] = []
    deadline = time.monotonic() + seconds
    try:
        with gpt4.stream("POST", CHAT, json=BODY | {"stream": True}, timeout=0.3) as response:
            for line in response.iter_lines():
                lines += [line] if line else []
                if time.monotonic() > deadline:
                    return lines, "late"
    except httpx.ReadTimeout:
        return lines, "silent"
    except httpx.RemoteProtocolError:
        return lines, "cut"
    return lines, "done"


def text_of(lines: list[str]) -> str:
    text = ""
    for line in lines:
        if line.startswith("data: {"):
            for choice in json.loads(line[6:]).get("choices", []):
                text += choice["delta"].get("content") or ""
    return text


def test_statuses_come_in_the_envelope_for_the_matching_request_only(gpt4: httpx.Client) -> None:
    order(gpt4, kind="status", code=429, retry_after=3, match='"hi" to Zoë', times=1)
    other = [{"role": "user", "content": json.dumps({"ticket": {"id": "78", "subject": "x"}})}]
    assert ask(gpt4, messages=other).status_code == 200
    limited = ask(gpt4)
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "3")
    assert limited.json()["error"]["code"] == "rate_limit_exceeded"
    assert ask(gpt4).status_code == 200
    for code in (401, 404, 500, 503):
        order(gpt4, kind="status", code=code, times=1)
        assert ask(gpt4).status_code == code
    order(gpt4, kind="status", code=400, param="temperature", message="No.", times=1)
    error = ask(gpt4).json()["error"]
    assert (error["param"], error["message"]) == ("temperature", "No.")
    assert len(gpt4.get("/_sim/requests").json()["requests"]) == 8


def test_parameters_are_refused_only_where_they_occur(gpt4: httpx.Client) -> None:
    order(gpt4, kind="refuse_parameter", param="temperature")
    order(gpt4, kind="no_json_schema")
    assert ask(gpt4, temperature=0).json()["error"]["param"] == "temperature"
    assert ask(gpt4).json()["error"]["param"] == "response_format"
    assert ask(gpt4, response_format={"type": "text"}).status_code == 200


def test_bodies_that_are_no_completions(gpt4: httpx.Client) -> None:
    for kind in ("html", "error_in_200", "empty_choices"):
        order(gpt4, kind=kind, times=1)
    html, routed, empty = ask(gpt4), ask(gpt4), ask(gpt4)
    assert html.headers["content-type"].startswith("text/html")
    assert (routed.status_code, routed.json()["error"]["code"]) == (200, 502)
    assert empty.json()["choices"] == []
    order(gpt4, kind="html", code=502, message="Bad gateway", times=1)
    gateway = ask(gpt4)
    assert (gateway.status_code, "<h1>Bad gateway</h1>" in gateway.text) == (502, True)


def test_a_stream_that_is_answered_in_one_piece(gpt4: httpx.Client) -> None:
    order(gpt4, kind="not_streamed", times=1)
    whole, streamed = ask(gpt4, stream=True), ask(gpt4, stream=True)
    assert json.loads(content(whole))["summary"]
    assert streamed.headers["content-type"].startswith("text/event-stream")


def test_contents_that_are_wrong(gpt4: httpx.Client) -> None:
    kinds = ("refusal", "cut_off", "malformed", "fenced", "wrong_schema", "hostile")
    for kind in kinds:
        order(gpt4, kind=kind, times=1)
    answers = {kind: ask(gpt4) for kind in kinds}
    refusal = answers["refusal"].json()["choices"][0]["message"]
    assert refusal["content"] is None
    assert refusal["refusal"]
    assert answers["cut_off"].json()["choices"][0]["finish_reason"] == "length"
    for kind in ("cut_off", "malformed", "fenced"):
        with pytest.raises(json.JSONDecodeError):
            json.loads(content(answers[kind]))
    fenced = content(answers["fenced"])
    assert set(json.loads(fenced.removeprefix("```json").removesuffix("```"))) == set(ADVICE["required"])
    assert json.loads(content(answers["wrong_schema"]))["summary"] == ["not", "a", "text"]
    hostile = json.loads(content(answers["hostile"]))
    assert set(hostile) == set(ADVICE["required"])
    assert "<script>" in hostile["summary"]
    assert "\x1b" in hostile["likely_cause"]


def test_a_whole_stream_then_one_that_stalls_is_cut_or_reports_an_error(gpt4: httpx.Client) -> None:
    lines, end = stream(gpt4)
    assert (end, lines[-1]) == ("done", "data: [DONE]")
    whole = text_of(lines)
    assert "mailbox" in json.loads(whole)["summary"]
    for kind, ending in (("stall", "silent"), ("cut", "cut"), ("error_event", "done")):
        order(gpt4, kind=kind, chunks=2, times=1)
        lines, end = stream(gpt4)
        assert end == ending
        assert whole.startswith(text_of(lines))
        assert 0 < len(text_of(lines)) < len(whole)
    assert json.loads(lines[-1][6:])["error"]["code"] == 502


def test_keep_alives_and_empty_deltas_are_no_content(gpt4: httpx.Client) -> None:
    order(gpt4, kind="keep_alive", seconds=0.05, times=1)
    lines, end = stream(gpt4, 0.5)
    assert end == "late"
    assert text_of(lines) == ""
    assert lines.count(": OPENROUTER PROCESSING") > 3
    order(gpt4, kind="empty_deltas", seconds=0.05, times=1)
    lines, end = stream(gpt4, 0.5)
    assert (end, text_of(lines)) == ("late", "")
    order(gpt4, kind="keep_alive", seconds=0.02, comments=3, times=1)
    lines, end = stream(gpt4)
    assert (end, lines.count(": OPENROUTER PROCESSING")) == ("done", 3)


def test_slow_streams_and_silence(gpt4: httpx.Client) -> None:
    order(gpt4, kind="slow_stream", seconds=0.1, times=1)
    started = time.monotonic()
    assert stream(gpt4)[1] == "done"
    assert time.monotonic() - started > 0.7
    order(gpt4, kind="silence", times=1)
    assert stream(gpt4) == ([], "silent")


def test_a_wrong_order_is_a_422_that_names_it(gpt4: httpx.Client) -> None:
    for fault, named in (({"kind": "boredom"}, "boredom"), ({"kind": "fenced", "chunks": 1}, "chunks")):
        response = gpt4.post("/_sim/faults", json=fault)
        assert response.status_code == 422
        assert named in response.json()["error"]


def test_the_context_is_found_in_parts_and_behind_prose() -> None:
    parts = [{"type": "text", "text": "Look {here}: ```json\n" + json.dumps(CONTEXT) + "\n```"}]
    found = find_context([{"role": "user", "content": parts}, {"role": "assistant", "content": "{}"}])
    assert found is not None
    assert found.ticket_id == "77"
    assert find_context([{"role": "user", "content": "{" * 5000}]) is None


def test_huge_is_bounded(gpt4: httpx.Client) -> None:
    order(gpt4, kind="huge", megabytes=3, times=1)
    with gpt4.stream("POST", CHAT, json=BODY | {"stream": True}) as response:
        size = sum(len(part) for part in response.iter_bytes())
    assert response.headers["content-type"].startswith("text/event-stream")
    assert 2_900_000 < size < 3_100_000


@pytest.mark.parametrize("kind", ["status", "html"])
@pytest.mark.parametrize("code", [100, 204, 304])
def test_a_status_that_may_have_no_body_can_not_be_ordered(gpt4: httpx.Client, kind: str, code: int) -> None:
    """With one it would spoil the connection, and the next request's answer."""
    response = gpt4.post("/_sim/faults", json={"kind": kind, "code": code})
    assert response.status_code == 422
    assert "code" in response.json()["error"]
    assert code != 304 or "304 has no body" in response.json()["error"]
    assert gpt4.get("/_sim/faults").json()["faults"] == []
