"""`python -m dev.benchmarks.load`: webhooks at full speed or at a fixed rate.

A separate process with a few kept connections and requests signed beforehand. It reads a `Plan` as JSON from stdin and
writes a `LoadResult`.
"""

import asyncio
import gc
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from uuid import uuid4

import uvloop

from jobs.payloads import DELIVERY_HEADER, signed_headers

_FILLER = "Since this morning the VPN client says 809. The office network works, a colleague's laptop too. " * 8
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ACCEPTED = "202"


@dataclass(frozen=True, slots=True)
class Plan:
    """Up to `requests` webhooks for new tickets; at full speed without a `rate`."""

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
    """Start (`time.monotonic()`), answers, `refused` by status, quantiles in ms.

    `refused` counts answers other than 202. At a fixed rate the time of an answer starts when its request was due.
    """

    began: float
    answers: int
    refused: dict[str, int]
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


def run(plan: Plan) -> LoadResult:
    command = [sys.executable, "-m", "dev.benchmarks.load"]
    done = subprocess.run(command, input=json.dumps(asdict(plan)), stdout=subprocess.PIPE, text=True, check=True)
    return LoadResult(**json.loads(done.stdout))


def request(plan: Plan, number: int) -> bytes:
    """Return a signed request, head and body (about 880 bytes), for a new ticket."""
    ticket = {"tenant_id": plan.tenant, "ticket_id": str(plan.first_ticket + number), "event": "ticket.created"}
    body = json.dumps(ticket | {"subject": "VPN does not connect", "description": _FILLER}).encode()
    headers = signed_headers(plan.secret, body, time.time()) | {
        "Host": f"127.0.0.1:{plan.port}",
        "Content-Length": str(len(body)),
        DELIVERY_HEADER: str(uuid4()),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /webhook HTTP/1.1\r\n{head}\r\n".encode() + body


class _Load:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests = [request(plan, number) for number in range(plan.requests)]
        self._milliseconds: list[float] = []
        self._refused: Counter[str] = Counter()

    async def run(self) -> LoadResult:
        pairs = [await asyncio.open_connection("127.0.0.1", self._plan.port) for _ in range(self._plan.connections)]
        began = time.monotonic()
        numbers = iter(range(self._plan.requests))
        await asyncio.gather(*(self._send(*pair, began, numbers) for pair in pairs))
        seconds, times = time.monotonic() - began, sorted(self._milliseconds)
        p50, p99 = (times[int(len(times) * share)] for share in (0.5, 0.99))
        return LoadResult(began, len(times), dict(self._refused), seconds, p50, p99)

    async def _send(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, began: float, numbers: Iterator[int]
    ) -> None:
        end, rate = began + self._plan.seconds, self._plan.rate
        while (now := time.monotonic()) < end and (number := next(numbers, None)) is not None:
            due = now if rate is None else began + number / rate
            if due >= end:
                return
            if due > now:
                await asyncio.sleep(due - now)
            writer.write(self._requests[number])
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
            self._milliseconds.append((time.monotonic() - due) * 1000)
            if (status := head[9:12].decode()) != _ACCEPTED:
                self._refused[status] += 1


def main() -> None:
    load = _Load(Plan(**json.load(sys.stdin)))
    gc.collect()
    gc.disable()  # a pause of this process would count as the server's
    json.dump(asdict(uvloop.run(load.run())), sys.stdout)


if __name__ == "__main__":
    main()
