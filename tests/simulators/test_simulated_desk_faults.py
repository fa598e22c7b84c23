"""Every fault of the desk looks on the wire as it was ordered, and hits only what it was ordered for."""

import json
import time
from typing import Any

import httpx
import pytest

TICKET = "/acme/api/v3/requests/103"
NOTES = f"{TICKET}/notes"


def order(desk: httpx.Client, **fault: Any) -> None:
    response = desk.post("/_sim/faults", json=fault)
    assert response.status_code == 201, response.text


def add_note(desk: httpx.Client) -> httpx.Response:
    return desk.post(NOTES, data={"input_data": json.dumps({"note": {"description": "x"}})})


def notes_kept(desk: httpx.Client) -> int:
    return len(desk.get("/_sim/tickets/acme/103").json()["notes"])


def test_a_status_hits_n_times_only_its_operation_and_ticket(desk: httpx.Client) -> None:
    order(desk, kind="status", code=429, retry_after=7, times=2, operation="read_ticket", ticket_id="103")
    assert desk.get("/acme/api/v3/requests/104").status_code == 200
    assert desk.get(NOTES).status_code == 200
    limited = desk.get(TICKET)
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
    assert limited.json()["response_status"]["messages"][0]["status_code"] == 4015
    assert [desk.get(TICKET).status_code for _ in range(2)] == [429, 200]
    assert desk.get("/_sim/faults").json()["faults"][0]["used"] == 2


@pytest.mark.parametrize("code", [401, 403, 404, 500, 503])
def test_a_status_without_retry_after_lasts_until_it_is_cleared(desk: httpx.Client, code: int) -> None:
    order(desk, kind="status", code=code, tenant="acme")
    for _ in range(2):
        answer = desk.get(TICKET)
        assert answer.status_code == code
        assert "retry-after" not in answer.headers
    assert desk.delete("/_sim/faults").status_code == 204
    assert desk.get(TICKET).status_code == 200


def test_answers_that_are_no_answers(desk: httpx.Client) -> None:
    order(desk, kind="html", times=1)
    order(desk, kind="not_json", times=1)
    order(desk, kind="redirect", times=1, location="https://elsewhere.example/")
    html, broken, redirect = desk.get(TICKET), desk.get(TICKET), desk.get(TICKET)
    assert (html.status_code, html.headers["content-type"]) == (200, "text/html;charset=UTF-8")
    assert broken.headers["content-type"].startswith("application/json")
    with pytest.raises(json.JSONDecodeError):
        broken.json()
    assert (redirect.status_code, redirect.headers["location"]) == (302, "https://elsewhere.example/")
    order(desk, kind="html", times=1, code=502, message="Bad gateway")
    gateway = desk.get(TICKET)
    assert (gateway.status_code, "<h1>Bad gateway</h1>" in gateway.text) == (502, True)
    order(desk, kind="token_refused", times=1, message="Access Denied")
    refused = desk.get(TICKET)
    assert (refused.status_code, refused.json()["error"]) == (200, "Access Denied")


def test_an_inner_failure_and_a_warning_come_under_200_and_do_nothing(desk: httpx.Client) -> None:
    before = notes_kept(desk)
    order(desk, kind="inner_failure", times=1, operation="add_note")
    order(desk, kind="warning", times=1, operation="add_note")
    failed, warned = add_note(desk), add_note(desk)
    assert (failed.status_code, warned.status_code) == (200, 200)
    assert failed.json()["response_status"]["messages"][0]["status_code"] == 4004
    assert warned.json()["response_status"]["status_code"] == 3000
    assert notes_kept(desk) == before


def test_silence_is_recorded_though_never_answered(desk: httpx.Client) -> None:
    order(desk, kind="silence", times=1)
    with pytest.raises(httpx.ReadTimeout):
        desk.get(TICKET, timeout=0.3)
    time.sleep(0.05)
    (entry,) = desk.get("/_sim/requests").json()["requests"]
    assert (entry["fault"], entry["status"], entry["outcome"]) == ("silence", None, "client_left")
    assert entry["ticket_id"] == "103"


def test_slow_is_late_but_right_and_done_at_once(desk: httpx.Client) -> None:
    before = notes_kept(desk)
    order(desk, kind="slow", seconds=0.4, times=1)
    with pytest.raises(httpx.ReadTimeout):
        desk.post(NOTES, data={"input_data": '{"note": {"description": "x"}}'}, timeout=0.1)
    assert notes_kept(desk) == before + 1
    order(desk, kind="slow", seconds=0.2, times=1)
    started = time.monotonic()
    assert add_note(desk).json()["note"]["id"]
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("kind", ["cut", "cut_after"])
def test_a_cut_connection_leaves_the_note_there(desk: httpx.Client, kind: str) -> None:
    before = notes_kept(desk)
    order(desk, kind=kind, times=1, operation="add_note")
    with pytest.raises(httpx.RemoteProtocolError):
        add_note(desk)
    assert notes_kept(desk) == before + 1


def test_a_status_can_come_after_the_operation_was_done(desk: httpx.Client) -> None:
    before = notes_kept(desk)
    order(desk, kind="status", code=500, performed=True, times=1, operation="add_note")
    assert add_note(desk).status_code == 500
    assert notes_kept(desk) == before + 1


def test_huge_is_bounded(desk: httpx.Client) -> None:
    order(desk, kind="huge", megabytes=3, times=1)
    with desk.stream("GET", TICKET) as response:
        size = sum(len(part) for part in response.iter_bytes())
    assert 2_900_000 < size < 3_100_000


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"kind": "gremlins"}, "gremlins"),
        ({"kind": "slow", "speed": 1}, "speed"),
        ({"kind": "slow", "code": 500}, "code"),
        ({"kind": "status", "operation": "dance"}, "dance"),
        ({"kind": "status", "times": 0}, "times"),
        ({}, "kind"),
    ],
)
def test_a_wrong_order_is_a_422_that_names_it(desk: httpx.Client, fault: Any, named: str) -> None:
    response = desk.post("/_sim/faults", json=fault)
    assert response.status_code == 422
    assert named in response.json()["error"]


def test_the_memory_has_decoded_input_and_no_key(desk: httpx.Client) -> None:
    add_note(desk)
    (entry,) = desk.get("/_sim/requests", params={"operation": "add_note"}).json()["requests"]
    assert entry["payload"] == {"note": {"description": "x"}}
    assert (entry["tenant"], entry["ticket_id"], entry["status"]) == ("acme", "103", 200)
    assert "acme-key" not in json.dumps(entry)
    desk.delete("/_sim/requests")
    assert desk.get("/_sim/requests").json()["requests"] == []


@pytest.mark.parametrize("kind", ["status", "html"])
@pytest.mark.parametrize("code", [100, 204, 304])
def test_a_status_that_may_have_no_body_can_not_be_ordered(desk: httpx.Client, kind: str, code: int) -> None:
    """With one it would spoil the connection, and the next request's answer."""
    response = desk.post("/_sim/faults", json={"kind": kind, "code": code})
    assert response.status_code == 422
    assert "code" in response.json()["error"]
    assert code != 304 or "304 has no body" in response.json()["error"]
    assert desk.get("/_sim/faults").json()["faults"] == []
