"""The simulated endpoint answers as OpenAI does, from the given context."""

import json
import time
from typing import Any

import httpx2
import pytest

TEXT: dict[str, Any] = {"type": "string"}


def strict(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": list(properties)}


ADVICE = strict(
    summary=TEXT,
    next_steps={"type": "array", "items": strict(text=TEXT, sources={"type": "array", "items": TEXT}, quote=TEXT)},
    sources={
        "type": "array",
        "items": strict(id=TEXT, quote=TEXT, same_problem={"type": "string", "enum": ["yes", "partly", "no"]}),
    },
)


def source(number: str, kind: str, **texts: str) -> dict[str, str]:
    return {"id": number, "kind": kind, "ticket_id": number.removeprefix("ticket-"), **texts}


CONTEXT = {
    "ticket": {
        "id": "12345",
        "subject": 'Printer "Röntgen" is offline',
        "description": "<p>The printer shows offline since this morning. Jobs stay in the queue.</p>",
        "category": "Printers",
    },
    "sources": [
        source("ticket-101", "ticket", subject="VPN drops", resolution="Reinstalled the VPN client."),
        source("ticket-102", "ticket", subject="Printer offline", resolution="Restarted the print spooler. It prints."),
        source("doc-000001", "document", title="Printer offline", text="Remove the stuck jobs. Restart the spooler."),
    ],
}


def body(schema: Any = ADVICE, **more: Any) -> dict[str, Any]:
    return {
        "model": "gpt-6-luna",
        "messages": [
            {"role": "system", "content": 'Advise. Answer in JSON such as {"summary": ""}.'},
            {"role": "user", "content": json.dumps(CONTEXT)},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "advice", "strict": True, "schema": schema}},
        **more,
    }


def ask(gpt4: httpx2.Client, /, **more: Any) -> httpx2.Response:
    return gpt4.post("/v1/chat/completions", json=body(**more))


def content(response: httpx2.Response) -> Any:
    assert response.status_code == 200, response.text
    return json.loads(response.json()["choices"][0]["message"]["content"])


def test_the_answer_is_made_from_the_context(gpt4: httpx2.Client) -> None:
    response = ask(gpt4)
    answer = content(response)
    assert set(answer) == set(ADVICE["properties"])
    assert "Röntgen" in answer["summary"]
    assert any("print spooler" in step["text"] and step["sources"] == ["ticket-102"] for step in answer["next_steps"])
    assert all(claim["quote"] in json.dumps(CONTEXT) for claim in answer["next_steps"])
    assert any("stuck jobs" in step["text"] and step["sources"] == ["doc-000001"] for step in answer["next_steps"])
    assert [item["id"] for item in answer["sources"]] == ["ticket-102", "doc-000001"]
    usage = response.json()["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert response.headers["x-request-id"].startswith("req_")
    (kept,) = gpt4.get("/_sim/answers").json()["answers"]
    assert (kept["ticket_id"], json.loads(kept["content"])) == ("12345", answer)
    (entry,) = gpt4.get("/_sim/requests").json()["requests"]
    assert (entry["operation"], entry["ticket_id"], entry["status"]) == ("chat", "12345", 200)
    assert "sk-test" not in json.dumps(entry)


def test_a_slow_answer_stays_slow_until_the_fault_is_cleared(gpt4: httpx2.Client) -> None:
    gpt4.post("/_sim/faults", json={"kind": "slow_stream", "seconds": 0.3, "pieces": 60}).raise_for_status()
    with gpt4.stream("POST", "/v1/chat/completions", json=body(stream=True)) as response:
        events = (line for line in response.iter_lines() if '"content": ' in line and '""' not in line)
        next(events)
        begun = time.monotonic()
        next(events)
        assert time.monotonic() - begun > 0.2
        gpt4.delete("/_sim/faults")
        begun = time.monotonic()
        assert 45 < len(list(events)) < 60
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("more", "status", "param"),
    [
        ({"model": "gpt-4"}, 404, None),
        ({"messages": []}, 400, "messages"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, 400, None),
        ({"schema": {"type": "object", "properties": {}}}, 400, "response_format"),
        ({"schema": {**strict(a=TEXT), "required": []}}, 400, "response_format"),
        ({"response_format": {"type": "yaml"}}, 400, "response_format"),
        ({"provider": {"require_parameters": True}}, 400, None),
        ({"reasoning_effort": "minimal"}, 400, "reasoning_effort"),
        ({"model": "gpt-4o-mini", "reasoning_effort": "none"}, 400, None),
        (
            {"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "Hi"}]},
            400,
            "messages",
        ),
    ],
)
def test_what_openai_refuses_is_refused_in_its_envelope(
    gpt4: httpx2.Client, more: dict[str, Any], status: int, param: str | None
) -> None:
    response = ask(gpt4, **more)
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param


def test_the_key_and_the_body_are_checked(gpt4: httpx2.Client) -> None:
    denied = gpt4.post("/v1/chat/completions", headers={"authorization": "Bearer wrong"})
    assert (denied.status_code, denied.json()["error"]["code"]) == (401, "invalid_api_key")
    assert gpt4.get("/v1/nonsense").status_code == 404
    assert gpt4.post("/v1/chat/completions", content=b"{").status_code == 400
