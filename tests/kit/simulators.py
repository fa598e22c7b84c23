"""The simulated desk and model behind real HTTP, and the test's orders to them."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.types import ASGIApp

from dev.simulators.openai import create_openai
from dev.simulators.servicedesk import create_desk
from dev.simulators.serving import serve_in_thread

FAST_MODEL = {"api_key": "sk-test", "first_token_seconds": 0.01, "seconds": 0.05, "chunks": 8}
CLOUD = {"edition": "cloud", "portal": "it", "client_id": "id", "client_secret": "secret", "refresh_token": "refresh"}
DESKS: dict[str, Any] = {"desks": {"acme": {"api_key": "acme-key"}, "globex": CLOUD}}


class Simulator:
    """A simulator's control interface."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._control = httpx2.Client(base_url=url, timeout=10, trust_env=False)

    def order(self, **fault: Any) -> None:
        answer = self._control.post("/_sim/faults", json=fault)
        assert answer.status_code == 201, answer.text

    def requests(self, **equal: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._control.get("/_sim/requests", params=equal).json()["requests"]
        return found

    def look(self, path: str) -> Any:
        return self._control.get(f"/_sim{path}").json()

    def change(self, method: str, path: str, **values: Any) -> Any:
        # json.dumps, because httpx2 rejects the lone surrogates that some tests need.
        answer = self._control.request(method, f"/_sim{path}", content=json.dumps(values))
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def forget(self) -> None:
        for path in ("/faults", "/requests"):
            self._control.delete(f"/_sim{path}")

    def close(self) -> None:
        self._control.close()


def simulator_of(app: ASGIApp) -> Iterator[Simulator]:
    with serve_in_thread(app) as url:
        simulator = Simulator(url)
        yield simulator
        simulator.close()


@pytest.fixture(scope="session")
def openai_simulator() -> Iterator[Simulator]:
    yield from simulator_of(create_openai(FAST_MODEL))


@pytest.fixture
def model(openai_simulator: Simulator) -> Simulator:
    openai_simulator.forget()
    openai_simulator.change("DELETE", "/answers")
    return openai_simulator


@pytest.fixture(scope="session")
def desk_simulator() -> Iterator[Simulator]:
    """Start two desks: acme on premises, globex in the cloud."""
    yield from simulator_of(create_desk(DESKS))


@pytest.fixture
def desks(desk_simulator: Simulator) -> Simulator:
    desk_simulator.forget()
    return desk_simulator
