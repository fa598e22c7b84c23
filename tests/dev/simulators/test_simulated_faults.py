"""Fault orders at either simulator: their targets and refused orders.

The effects of each fault are tested by its callers: tests/integrations/test_desk_calls.py,
test_model_client.py and test_model_streaming.py there, and each row of tests/system/test_fault_table.py.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

TICKET = "/acme/api/v3/requests/103"
NOTES = f"{TICKET}/notes"
CONTEXT = {"ticket": {"id": "77", "subject": 'Say "hi" to Zoë', "description": "The mailbox is full again."}}
NO_BODY = [{"kind": kind, "code": code} for kind in ("status", "html") for code in (100, 204, 304)]


@pytest.fixture
def servers(desk: httpx2.Client, gpt4: httpx2.Client) -> dict[str, httpx2.Client]:
    return {"desk": desk, "gpt4": gpt4}


def order(server: httpx2.Client, **fault: Any) -> None:
    response = server.post("/_sim/faults", json=fault)
    assert response.status_code == 201, response.text


def ask(gpt4: httpx2.Client, context: Any = CONTEXT, **more: Any) -> httpx2.Response:
    messages = [{"role": "user", "content": json.dumps(context)}]
    return gpt4.post("/v1/chat/completions", json={"model": "gpt-6-luna", "messages": messages, **more})


def test_a_fault_hits_n_times_only_its_operation_and_ticket(desk: httpx2.Client) -> None:
    order(desk, kind="status", code=429, retry_after=7, times=2, operation="read_ticket", ticket_id="103")
    assert desk.get("/acme/api/v3/requests/104").status_code == 200
    assert desk.get(NOTES).status_code == 200
    assert [desk.get(TICKET).status_code for _ in range(3)] == [429, 429, 200]
    assert desk.get("/_sim/faults").json()["faults"][0]["used"] == 2


def test_a_fault_of_the_model_hits_only_the_question_that_it_matches(gpt4: httpx2.Client) -> None:
    order(gpt4, kind="status", code=429, match='"hi" to Zoë', times=1)
    assert ask(gpt4, {"ticket": {"id": "78", "subject": "x"}}).status_code == 200
    assert [ask(gpt4).status_code for _ in range(2)] == [429, 200]
    assert len(gpt4.get("/_sim/requests").json()["requests"]) == 3


def test_parameters_are_refused_only_where_they_occur(gpt4: httpx2.Client) -> None:
    order(gpt4, kind="refuse_parameter", param="temperature")
    order(gpt4, kind="no_json_schema")
    assert ask(gpt4, temperature=0).json()["error"]["param"] == "temperature"
    schema = {"type": "json_schema", "json_schema": {"name": "advice", "strict": True, "schema": {}}}
    assert ask(gpt4, response_format=schema).json()["error"]["param"] == "response_format"
    assert ask(gpt4, response_format={"type": "text"}).status_code == 200


@pytest.mark.parametrize(
    ("server", "fault", "named"),
    [
        ("desk", {"kind": "gremlins"}, "gremlins"),
        ("desk", {"kind": "slow", "speed": 1}, "speed"),
        ("desk", {"kind": "slow", "code": 500}, "code"),
        ("desk", {"kind": "status", "operation": "dance"}, "dance"),
        ("desk", {"kind": "status", "times": 0}, "times"),
        ("desk", {}, "kind"),
        ("gpt4", {"kind": "boredom"}, "boredom"),
        ("gpt4", {"kind": "fenced", "chunks": 1}, "chunks"),
        # With a body it would spoil the connection, and the next request's answer.
        *((server, fault, "has no body") for server in ("desk", "gpt4") for fault in NO_BODY if fault["code"] == 304),
        *((server, fault, "code") for server in ("desk", "gpt4") for fault in NO_BODY),
    ],
)
def test_a_wrong_order_is_a_422_that_names_it(
    server: str, fault: Any, named: str, servers: dict[str, httpx2.Client]
) -> None:
    response = servers[server].post("/_sim/faults", json=fault)
    assert response.status_code == 422
    assert named in response.json()["error"]
    assert servers[server].get("/_sim/faults").json()["faults"] == []


def test_the_memory_has_decoded_input_and_no_key(desk: httpx2.Client) -> None:
    desk.post(NOTES, data={"input_data": json.dumps({"note": {"description": "x"}})})
    (entry,) = desk.get("/_sim/requests", params={"operation": "add_note"}).json()["requests"]
    assert entry["payload"] == {"note": {"description": "x"}}
    assert (entry["tenant"], entry["ticket_id"], entry["status"]) == ("acme", "103", 200)
    assert "acme-key" not in json.dumps(entry)
    desk.delete("/_sim/requests")
    assert desk.get("/_sim/requests").json()["requests"] == []


ROOT = Path(__file__).parents[3]


@contextmanager
def started(*arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_the_desk_ends_on_sigterm_with_a_silent_request_open(tmp_path: Path) -> None:
    config = tmp_path / "desks.json"
    config.write_text(json.dumps({"desks": {"acme": {"api_key": "k"}}}))
    with started("dev.simulators.servicedesk", "--config", str(config)) as (process, url):
        with httpx2.Client(base_url=url, trust_env=False) as client:
            assert client.get("/_sim/health").json() == {"status": "ok"}
            client.post("/_sim/faults", json={"kind": "silence"})
            with pytest.raises(httpx2.ReadTimeout):
                client.get("/api/v3/requests", timeout=0.2)
        process.terminate()
        assert process.communicate(timeout=10) == ("", "")
        assert process.returncode == 0


def test_a_wrong_configuration_is_a_message_not_a_traceback(tmp_path: Path) -> None:
    config = tmp_path / "desks.json"
    config.write_text('{"desks": {"acme": {"edition": "cloud"}}}')
    with started("dev.simulators.servicedesk", "--config", str(config)) as (process, first_line):
        _, err = process.communicate(timeout=10)
        assert first_line == ""
        assert process.returncode == 1
        assert "client_id" in err
        assert "Traceback" not in err
