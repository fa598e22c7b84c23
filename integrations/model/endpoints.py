"""The endpoints in use: for each a client, with its connections and its breaker."""

import asyncio
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field

from integrations.model.client import ModelClient
from observability import counting


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model at an address, with a key; `server` names it in logs and metrics."""

    base_url: str
    api_key: str = field(repr=False)
    name: str
    server: str


@dataclass(slots=True)
class _Opened:
    client: ModelClient
    calls: int = 0
    retired: bool = False


class Endpoints:
    """Clients from their first use, made by `open_client`; `close()` them."""

    def __init__(self, open_client: Callable[[Endpoint], ModelClient]) -> None:
        self._open_client = open_client
        self._opened: dict[Endpoint, _Opened] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._opened)

    def check(self, endpoint: Endpoint) -> None:
        self._open(endpoint).client.check()

    @contextmanager
    def call(self, endpoint: Endpoint) -> Iterator[ModelClient]:
        """Yield the client of an endpoint, which stays open during the block."""
        opened = self._open(endpoint)
        opened.calls += 1
        try:
            yield opened.client
        finally:
            opened.calls -= 1
            self._close_if_done(opened)

    def keep(self, wanted: Set[Endpoint | None]) -> None:
        """Close all others and remove their metrics; running calls end normally."""
        gone = self._opened.keys() - wanted
        for endpoint in gone:
            opened = self._opened.pop(endpoint)
            opened.retired = True
            self._close_if_done(opened)
        # An endpoint with another key has the same name, and the metric is its own now.
        for server in {endpoint.server for endpoint in gone} - {endpoint.server for endpoint in self._opened}:
            counting.server_gone(server)

    async def close(self) -> None:
        for opened in self._opened.values():
            await opened.client.close()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _open(self, endpoint: Endpoint) -> _Opened:
        if endpoint not in self._opened:
            self._opened[endpoint] = _Opened(self._open_client(endpoint))
        return self._opened[endpoint]

    def _close_if_done(self, opened: _Opened) -> None:
        if opened.retired and not opened.calls:
            task = asyncio.create_task(opened.client.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
