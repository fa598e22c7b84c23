"""Simulators from a caller's view, one of each per module, cleared for each test."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from dev.simulators.openai import create_openai
from dev.simulators.servicedesk import create_desk
from dev.simulators.serving import serve_in_thread
from tests.kit.simulators import DESKS, FAST_MODEL

API = "/acme/api/v3"


def call(desk: httpx2.Client, method: str, path: str, data: Any = None, status: int = 200, api: str = API) -> Any:
    form = {"input_data": json.dumps(data)} if data is not None else None
    where: dict[str, Any] = {"params": form} if method == "GET" else {"data": form}
    response = desk.request(method, api + path, **where)
    assert response.status_code == status, response.text
    return response.json()


def new_ticket(desk: httpx2.Client, tenant: str = "acme", **fields: Any) -> str:
    order = {"tenant": tenant, "subject": "VPN drops", "send_webhook": False, **fields}
    return str(desk.post("/_sim/tickets", json=order).json()["ticket_id"])


def inner_code(document: Any) -> tuple[int, str | None]:
    message = document["response_status"]["messages"][0]
    return message["status_code"], message.get("field")


def _fresh_client(url: str, *memory: str, **headers: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, timeout=5, trust_env=False) as client:
        for path in ("faults", "requests", *memory):
            client.delete(f"/_sim/{path}")
        client.headers.update(headers)
        yield client


@pytest.fixture(scope="module")
def desk_url() -> Iterator[str]:
    with serve_in_thread(create_desk(DESKS)) as url:
        yield url


@pytest.fixture
def desk(desk_url: str) -> Iterator[httpx2.Client]:
    yield from _fresh_client(desk_url, authtoken="acme-key")


@pytest.fixture(scope="module")
def openai_url() -> Iterator[str]:
    with serve_in_thread(create_openai(FAST_MODEL)) as url:
        yield url


@pytest.fixture
def gpt4(openai_url: str) -> Iterator[httpx2.Client]:
    yield from _fresh_client(openai_url, "answers", authorization="Bearer sk-test")
