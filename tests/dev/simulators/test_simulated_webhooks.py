"""The desk's webhooks, against a receiver that is a real server too."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.simulators.servicedesk import create_desk
from dev.simulators.serving import serve_in_thread
from tests.kit.signing import is_timed
from tests.kit.world import wait_for

SECRET = "a secret of the desk"


class RecordingReceiver:
    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def take(self, request: Request) -> Response:
        self.received.append((dict(request.headers), await request.body()))
        return JSONResponse({"job_id": "j1"}, status_code=202)


@pytest.fixture(scope="module")
def receiver() -> RecordingReceiver:
    return RecordingReceiver()


@pytest.fixture(scope="module")
def announcing(receiver: RecordingReceiver) -> Iterator[httpx2.Client]:
    app = Starlette(routes=[Route("/webhook", receiver.take, methods=["POST"])])
    with serve_in_thread(app) as url:
        receiver.url = f"{url}/webhook"
        desk: dict[str, Any] = {"api_key": "k", "webhook_url": receiver.url, "webhook_secret": SECRET}
        desks = {"acme": desk, "unreachable": {**desk, "webhook_url": "http://127.0.0.1:1/webhook"}}
        with (
            serve_in_thread(create_desk({"desks": desks})) as desk_url,
            httpx2.Client(base_url=desk_url, trust_env=False) as client,
        ):
            yield client


def delivered(client: httpx2.Client, tenant: str, ticket: str) -> dict[str, Any]:
    def answered() -> Any:
        query = {"tenant": tenant, "ticket_id": ticket}
        found = client.get("/_sim/webhooks", params=query).json()["deliveries"]
        return [item for item in found if item["status"] or item["error"]]

    delivery: dict[str, Any] = wait_for(answered, 5)[-1]
    return delivery


def test_a_new_ticket_is_announced_and_signed(announcing: httpx2.Client, receiver: RecordingReceiver) -> None:
    created = {"tenant": "acme", "subject": "Grüße from the printer", "priority": "High"}
    ticket = announcing.post("/_sim/tickets", json=created).json()["ticket_id"]
    delivery = delivered(announcing, "acme", ticket)
    assert delivery["status"] == 202
    assert json.loads(delivery["answer"]) == {"job_id": "j1"}
    headers, body = next(item for item in receiver.received if json.loads(item[1])["ticket_id"] == ticket)
    assert is_timed(SECRET, headers, body)
    assert json.loads(body) == {
        "tenant_id": "acme",
        "ticket_id": ticket,
        "event": "ticket.created",
        "subject": "Grüße from the printer",
    }


def test_a_webhook_is_sent_again_with_the_flaws_that_are_ordered(
    announcing: httpx2.Client, receiver: RecordingReceiver
) -> None:
    created = {"tenant": "acme", "subject": "Again"}
    ticket = announcing.post("/_sim/tickets", json=created).json()["ticket_id"]
    first = delivered(announcing, "acme", ticket)
    path = f"/_sim/webhooks/acme/{ticket}"
    assert announcing.post(path).json()["delivery_id"] != first["delivery_id"]
    same = announcing.post(path, json={"delivery_id": first["delivery_id"]}).json()
    assert same["delivery_id"] == first["delivery_id"]
    assert announcing.post(path, json={"same_delivery_id": True}).json()["delivery_id"] == same["delivery_id"]
    announcing.post(path, json={"wrong_signature": True})
    assert not is_timed(SECRET, *receiver.received[-1])
    assert announcing.post(path, json={"wrong": True}).status_code == 422


def test_a_receiver_that_is_not_there_is_recorded(announcing: httpx2.Client) -> None:
    ticket = announcing.post("/_sim/tickets", json={"tenant": "unreachable", "subject": "x"}).json()["ticket_id"]
    delivery = delivered(announcing, "unreachable", ticket)
    assert delivery["status"] is None
    assert "ConnectError" in delivery["error"]
    assert "webhook failed" in announcing.get(f"/desks/unreachable/tickets/{ticket}").text


@pytest.fixture
def unsigned(announcing: httpx2.Client, receiver: RecordingReceiver) -> Iterator[httpx2.Client]:
    """Return a desk with settings for one test."""
    receiver.received.clear()
    yield announcing
    announcing.patch("/_sim/desks/acme", json={"webhook_form": None, "trigger_command": None})


def form(client: httpx2.Client, body: str, url: str) -> None:
    settings = {"webhook_form": {"url": url, "headers": {"X-Its-Own": "fixed"}, "body": body}}
    client.patch("/_sim/desks/acme", json=settings).raise_for_status()


@pytest.mark.parametrize(
    ("subject", "body", "came"),
    [
        (
            "Printer",
            '{"id": "$RequestID", "of": "$SUBJECT, $PRIORITY, $STATUS"}',
            '{"id": "ID", "of": "Printer, High, Open"}',
        ),
        ('The "big" printer', '{"subject": "$SUBJECT"}', '{"subject": "The "big" printer"}'),
        ("Two\nlines", '{"subject": "$SUBJECT"}', '{"subject": "Two\nlines"}'),
        ("Printer", '{"id": "$WORKORDERID", "is": "$UnheardOf"}', '{"id": "ID", "is": "$UnheardOf"}'),
    ],
)
def test_a_desks_own_webhook_pastes_values_into_a_text_and_signs_nothing(
    subject: str, body: str, came: str, unsigned: httpx2.Client, receiver: RecordingReceiver
) -> None:
    form(unsigned, body, receiver.url)
    created = {"tenant": "acme", "subject": subject, "priority": "High"}
    ticket = unsigned.post("/_sim/tickets", json=created).json()["ticket_id"]
    assert delivered(unsigned, "acme", ticket)["status"] == 202
    ((headers, sent),) = receiver.received
    assert sent.decode() == came.replace("ID", ticket)
    assert headers["x-its-own"] == "fixed"
    assert not [name for name in headers if name.startswith("x-servicedesk")]
