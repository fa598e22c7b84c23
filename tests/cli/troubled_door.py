"""The API's port as a desk reaches it, which can answer with errors first."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dev.simulators.serving import serve_in_thread
from tests.kit.receiver import SECRET, Receiver
from tests.kit.signing import is_timed


@dataclass(frozen=True)
class Knock:
    at: float
    headers: dict[str, str]
    body: bytes

    def assert_signed(self) -> None:
        assert is_timed(SECRET, self.headers, self.body)


class TroubledDoor:
    """Serve the real `POST /webhook`; send each of `first` once instead."""

    def __init__(self) -> None:
        self.receiver = Receiver()
        self.first: list[int] = []
        self.headers: dict[str, str] = {}
        self.knocks: list[Knock] = []
        self.url = ""

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        self.knocks.append(Knock(time.time(), dict(request.headers), body))
        if self.first:
            return Response("<html>a page", self.first.pop(0), self.headers)
        status, told = await self.receiver.post([body], request.headers.raw)
        return Response(told, status)

    def trouble(self, *first: int, retry_after: str = "") -> None:
        """Forget earlier requests, and answer with these first."""
        self.first, self.knocks = list(first), []
        self.headers = {"Location": "/elsewhere", "Retry-After": retry_after}
        self.receiver.events.clear()

    def tickets(self) -> list[tuple[str, str | None]]:
        return [(event.ticket_id, event.event) for event in self.receiver.events]


@contextmanager
def opened_door(port: int = 0) -> Iterator[TroubledDoor]:
    door = TroubledDoor()
    app = Starlette(routes=[Route("/webhook", door.answer, methods=["POST"])])
    with serve_in_thread(app, port=port) as url:
        door.url = f"{url}/webhook"
        yield door


def pasted(text: str, name: str) -> str:
    """Return the part of a kit below the heading."""
    return text.split(f"----- {name} -----\n")[1].split("\n-----", maxsplit=1)[0] + "\n"
