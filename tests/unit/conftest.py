"""What tests of single parts share: a log that is put back afterwards, and loopback servers."""

import io
import json
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
import structlog
from redis.asyncio import Redis
from starlette.types import ASGIApp

from config.settings import LogSettings
from devstack.valkey import Valkey
from dispatch.queue import open_redis
from observability import foreign
from observability.logging import start_logging
from simulators.openai import create_openai
from simulators.servicedesk import create_desk
from simulators.serving import serve_in_thread
from tests.spans import spans  # noqa: F401 -- a fixture

StartLog = Callable[..., io.StringIO]


@pytest.fixture
def untouched_logging() -> Iterator[None]:
    """Logging as it is before a process configures it, and again after the test."""
    root, manager = logging.getLogger(), logging.root.manager
    handlers, level, hooks = list(root.handlers), root.level, (sys.excepthook, threading.excepthook)
    known = [logger for logger in manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    states = [(logger, logger.level, logger.propagate, list(logger.handlers)) for logger in known]
    structlog.reset_defaults()
    for logger in known:
        # Another test's server in this process may have silenced its loggers.
        logger.setLevel(logging.NOTSET)
    yield
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    foreign._collector_told.clear()
    for made in manager.loggerDict.values():
        if isinstance(made, logging.Logger) and made not in known:
            made.setLevel(logging.NOTSET)
    for logger, its_level, propagate, its_handlers in states:
        logger.setLevel(its_level)
        logger.propagate = propagate
        logger.handlers[:] = its_handlers
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks


@pytest.fixture
def start_log(untouched_logging: None) -> StartLog:  # noqa: ARG001 -- puts everything back
    """Start logging as a process does; answers with the stream that the lines go to."""

    def start(log_format: str = "text", log_level: str = "INFO") -> io.StringIO:
        stream = io.StringIO()
        settings = LogSettings.model_validate({"log_format": log_format, "log_level": log_level})
        start_logging(settings, stream)
        return stream

    return start


class Simulator:
    """A simulator's control interface."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._control = httpx.Client(base_url=url, timeout=10, trust_env=False)

    def order(self, **fault: Any) -> None:
        """Order a fault."""
        answer = self._control.post("/_sim/faults", json=fault)
        assert answer.status_code == 201, answer.text

    def requests(self, **equal: str) -> list[dict[str, Any]]:
        """What was received since the test began."""
        found: list[dict[str, Any]] = self._control.get("/_sim/requests", params=equal).json()["requests"]
        return found

    def look(self, path: str) -> Any:
        """What is at a path of the control interface."""
        return self._control.get(f"/_sim{path}").json()

    def change(self, method: str, path: str, **values: Any) -> Any:
        """Do something there."""
        # json.dumps, since httpx would not send the halves of characters that some tests are about.
        answer = self._control.request(method, f"/_sim{path}", content=json.dumps(values))
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def forget(self) -> None:
        """Clear faults and memory."""
        for path in ("/faults", "/requests"):
            self._control.delete(f"/_sim{path}")

    def close(self) -> None:
        """Close the connection."""
        self._control.close()


def simulator_of(app: ASGIApp) -> Iterator[Simulator]:
    """An application behind its real door, with its control interface."""
    with serve_in_thread(app) as url:
        simulator = Simulator(url)
        yield simulator
        simulator.close()


@pytest.fixture(scope="session")
def openai_simulator() -> Iterator[Simulator]:
    """A fast model: eight pieces within 50 ms."""
    yield from simulator_of(
        create_openai({"api_key": "sk-test", "first_token_seconds": 0.01, "seconds": 0.05, "chunks": 8})
    )


@pytest.fixture
def model(openai_simulator: Simulator) -> Simulator:
    """The model, without faults and memory."""
    openai_simulator.forget()
    openai_simulator.change("DELETE", "/answers")
    return openai_simulator


CLOUD = {"edition": "cloud", "portal": "it", "client_id": "id", "client_secret": "secret", "refresh_token": "refresh"}


@pytest.fixture(scope="session")
def desk_simulator() -> Iterator[Simulator]:
    """Two desks: acme on premises, globex in the cloud."""
    yield from simulator_of(create_desk({"desks": {"acme": {"api_key": "acme-key"}, "globex": CLOUD}}))


@pytest.fixture
def desks(desk_simulator: Simulator) -> Simulator:
    """The desks, without faults and memory."""
    desk_simulator.forget()
    return desk_simulator


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An embedded Valkey."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client of an empty Valkey."""
    client = open_redis(redis_url, seconds=5)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def tokens(redis_url: str) -> AsyncIterator[Redis]:
    """A Redis that keeps the cloud desk's token from test to test: a desk gives ten in ten minutes."""
    client = open_redis(redis_url.removesuffix("/0") + "/1", seconds=5)
    yield client
    await client.aclose()
