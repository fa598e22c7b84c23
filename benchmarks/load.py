"""`python -m benchmarks.load`: webhooks sent over a few connections that are kept, at full speed or at a fixed rate.

In a process of its own that costs little: each request is signed and put together beforehand, an answer is looked at
for its status alone. It reads what to do as JSON from its input (`Plan`), and writes as JSON what came (`LoadResult`).
"""

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from uuid import uuid4

import uvloop

from webhooks.signing import DELIVERY_HEADER, signed_headers

_FILLER = "Since this morning the VPN client says 809. The office network works, a colleague's laptop too. " * 8
_TICK_SECONDS = 0.001
_ACCEPTED = "202"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent: `requests` at most, tickets from `first_ticket` on; at full speed unless there is a `rate`."""

    port: int
    secret: str
    tenant: str
    first_ticket: int
    seconds: float
    requests: int
    connections: int = 32
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class LoadResult:
    """When it began (`time.monotonic()`), how many answers came (`refused`: not 202, by status), how long they took.

    At a fixed rate an answer takes as long as from the moment when its request was due, whether it could be sent or
    not; at full speed from when it was sent.
    """

    began: float
    answers: int
    refused: dict[str, int]
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def run(plan: Plan) -> LoadResult:
    """Have a process of its own carry out the plan."""
    command = [sys.executable, "-m", "benchmarks.load"]
    done = subprocess.run(command, input=json.dumps(asdict(plan)), stdout=subprocess.PIPE, text=True, check=True)
    return LoadResult(**json.loads(done.stdout))


def request(plan: Plan, number: int) -> bytes:
    """Return a signed request, head and body (about 880 bytes), for a ticket of its own."""
    ticket = {"tenant_id": plan.tenant, "ticket_id": str(plan.first_ticket + number), "event": "ticket.created"}
    body = json.dumps(ticket | {"subject": "VPN does not connect", "description": _FILLER}).encode()
    headers = signed_headers(plan.secret, body, time.time()) | {
        "Host": f"127.0.0.1:{plan.port}",
        "Content-Length": str(len(body)),
        DELIVERY_HEADER: str(uuid4()),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /webhook HTTP/1.1\r\n{head}\r\n".encode() + body


class _Sender(asyncio.Protocol):
    """One connection with one request under way at most."""

    def __init__(self, answered: Callable[["_Sender", str], None], lost: Callable[[], None]) -> None:
        self._answered = answered
        self._lost = lost
        self._read = b""
        self.due = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep what is written to."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's name
        """Tell of it."""
        self._lost()

    def send(self, data: bytes, due: float) -> None:
        """Send a request that was due then."""
        self.due = due
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """See whether the answer is there as a whole."""
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        if not end:
            return
        size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= size:
            status, self._read = head[9:12].decode(), b""
            self._answered(self, status)


class _Load:
    """Sends what is due over whichever connection is free."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests = [request(plan, number) for number in range(plan.requests)]
        self._free: deque[_Sender] = deque()
        self._milliseconds: list[float] = []
        self._sent = 0
        self._refused: Counter[str] = Counter()
        self._began = self._ended = 0.0

    async def run(self) -> LoadResult:
        """Connect, send all, and wait for the last answer."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        for _ in range(self._plan.connections):
            address = ("127.0.0.1", self._plan.port)
            _, sender = await loop.create_connection(lambda: _Sender(self._answered, self._lose), *address)
            self._free.append(sender)
        self._began = time.monotonic()
        self._tick()
        await self._over
        found = sorted(self._milliseconds)
        p50, p99 = (found[int(len(found) * share)] for share in (0.5, 0.99))
        return LoadResult(self._began, len(found), dict(self._refused), self._ended - self._began, p50, p99)

    def _tick(self) -> None:
        self._send_due()
        if not self._over.done():
            asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)

    def _send_due(self) -> None:
        now = time.monotonic()
        due = self._due(now - self._began)
        while self._free and self._sent < due:
            rate = self._plan.rate
            moment = now if rate is None else self._began + self._sent / rate
            self._free.popleft().send(self._requests[self._sent], moment)
            self._sent += 1
        no_more = self._sent == self._plan.requests or now - self._began >= self._plan.seconds
        if no_more and len(self._free) == self._plan.connections and not self._over.done():
            self._over.set_result(None)

    def _due(self, seconds: float) -> int:
        """Return the number of requests that are to be sent so many seconds after the beginning."""
        if self._plan.rate is None:
            return self._plan.requests if seconds < self._plan.seconds else self._sent
        # The first at once, and each at the moment from which its time counts.
        return min(self._plan.requests, int(min(seconds, self._plan.seconds) * self._plan.rate) + 1)

    def _lose(self) -> None:
        if not self._over.done():
            self._over.set_exception(ConnectionError("the server closed a connection"))

    def _answered(self, sender: _Sender, status: str) -> None:
        self._ended = time.monotonic()
        self._milliseconds.append((self._ended - sender.due) * 1000)
        if status != _ACCEPTED:
            self._refused[status] += 1
        self._free.append(sender)
        self._send_due()


def main() -> None:
    """Carry out the plan that is in the input."""
    load = _Load(Plan(**json.load(sys.stdin)))
    gc.collect()
    gc.disable()  # a pause of this process would count as the server's
    json.dump(asdict(uvloop.run(load.run())), sys.stdout)


if __name__ == "__main__":
    main()
