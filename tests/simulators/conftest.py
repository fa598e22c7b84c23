"""Simulators behind their real HTTP door, one of each per module; faults and memory cleared for each test."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from simulators.openai import create_openai
from simulators.servicedesk import create_desk
from simulators.serving import serve_in_thread

DESKS: dict[str, Any] = {
    "desks": {
        "acme": {"api_key": "acme-key"},
        "globex": {
            "edition": "cloud",
            "portal": "it",
            "client_id": "id",
            "client_secret": "secret",
            "refresh_token": "refresh",
        },
    }
}


def _fresh_client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=5, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def desk_url() -> Iterator[str]:
    with serve_in_thread(create_desk(DESKS)) as url:
        yield url


@pytest.fixture
def desk(desk_url: str) -> Iterator[httpx.Client]:
    for client in _fresh_client(desk_url):
        client.delete("/_sim/faults")
        client.delete("/_sim/requests")
        client.headers["authtoken"] = "acme-key"
        yield client


@pytest.fixture(scope="module")
def openai_url() -> Iterator[str]:
    config = {"api_key": "sk-test", "first_token_seconds": 0.01, "seconds": 0.05, "chunks": 8}
    with serve_in_thread(create_openai(config)) as url:
        yield url


@pytest.fixture
def model(openai_url: str) -> Iterator[httpx.Client]:
    for client in _fresh_client(openai_url):
        client.delete("/_sim/faults")
        client.delete("/_sim/requests")
        client.delete("/_sim/answers")
        client.headers["authorization"] = "Bearer sk-test"
        yield client
