"""Countable costs of one webhook and one job, independent of the machine.

Their cost in time: docs/benchmarks.md. Lower the number here after an improvement.
"""

import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from redis import Redis

from dev.stack.system import System
from jobs.queue import message_of
from tests.kit.loaded import LoadedPrograms
from tests.kit.tcp_proxy import TcpProxy
from tests.kit.world import World
from tests.system.collector import Collector, collecting, trace_of
from tests.system.faq import lines_of

_TIMES = 6
MAX_PER_WEBHOOK = {"statements": 1, "round trips": 1, "redis commands": 1}
MAX_PER_JOB = {
    "statements": 17,
    "round trips": 17,
    "redis commands": 46,
    "spans of the api": 3,
    "spans of the worker": 15,
    "lines of the api": 2,
    "lines of the worker": 6,
}
MAX_MESSAGE_BYTES = 1100
# After the protocol's version each message begins with its kind.
_SESSION = struct.pack("!I", 3 << 16)
_NOT_COUNTED = {"cmdstat_info", "cmdstat_client|setinfo", "cmdstat_hello"}


class PostgresMeter(TcpProxy):
    """Counts the clients' messages by kind.

    https://www.postgresql.org/docs/current/protocol-message-formats.html
    """

    def __init__(self, database_url: str) -> None:
        self.seen: Counter[str] = Counter()
        super().__init__(database_url)

    def pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        if (source, sink) not in self.pairs:
            return super().pass_on(source, sink)
        # Until its session begins a client's messages have no kind (`head` is 0).
        head, unread = 0, b""
        while data := source.recv(65536):
            sink.sendall(data)
            unread += data
            while len(unread) >= head + 4:
                (size,) = struct.unpack("!I", unread[head : head + 4])
                if len(unread) < head + size:
                    break
                message, unread = unread[: head + size], unread[head + size :]
                if head:
                    self.seen[chr(message[0])] += 1
                elif message[4:8] == _SESSION:
                    head = 1
        return None


@dataclass
class Counting:
    system: System
    world: World
    collector: Collector
    redis: Redis
    meters: dict[str, PostgresMeter]

    def so_far(self, process: str) -> Counter[str]:
        """Return the messages to Postgres of one process and to Redis of all."""
        commands: dict[str, dict[str, int]] = self.redis.info("commandstats")
        calls = sum(of["calls"] for name, of in commands.items() if name not in _NOT_COUNTED)
        # Kinds: a simple query, an execution with bound values, and what a client waits after.
        seen = self.meters[process].seen
        statements, round_trips = seen["Q"] + seen["E"], seen["Q"] + seen["S"]
        return Counter({"statements": statements, "round trips": round_trips, "redis commands": calls})


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[Counting]:
    """Run a few jobs first: caches are warm, statements are prepared."""
    with collecting() as collector:
        export = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        folder = tmp_path_factory.mktemp("counts")
        system = System(folder, settings=export, openai_seconds=0.05, housekeeping=False, launch=loaded)
        meters = {"api": PostgresMeter(system.postgres.url), "worker": PostgresMeter(system.postgres.url)}
        system.api.environment["DATABASE_URL"] = meters["api"].url
        system.workers[0].environment["DATABASE_URL"] = meters["worker"].url
        with system:
            made = Counting(system, World(system), collector, Redis.from_url(system.redis.url), meters)
            for _ in range(_TIMES):
                made.world.ended(made.world.create_ticket())
            yield made
            made.world.close()
        for meter in meters.values():
            meter.close()


def least_of(count: Callable[[], Counter[str]]) -> Counter[str]:
    counted = [count() for _ in range(_TIMES)]
    return Counter({name: min(each[name] for each in counted) for name in counted[0]})


def over(counted: Counter[str], most: dict[str, int]) -> dict[str, int]:
    assert counted.keys() == most.keys()
    return {name: number for name, number in counted.items() if number > most[name]}


def test_a_job_takes_no_more_of_anything_than_it_did(counting: Counting) -> None:
    def count() -> Counter[str]:
        before = counting.so_far("worker")
        ticket_id = counting.world.create_ticket()
        job_id = str(counting.world.ended(ticket_id)["id"])
        counted = counting.so_far("worker")
        counted.subtract(before)
        trace_of(counting.collector, ticket_id)
        spans = [span.service for span in counting.collector.search(job_id=job_id)]
        for name, process in (("api", counting.system.api), ("worker", counting.system.workers[0])):
            counted[f"spans of the {name}"] = spans.count(f"ai-agents-{name}")
            counted[f"lines of the {name}"] = len(lines_of(process, job_id))
        return counted

    assert over(least_of(count), MAX_PER_JOB) == {}


def test_a_webhook_takes_no_more_of_anything_than_it_did(counting: Counting) -> None:
    def count() -> Counter[str]:
        counting.system.workers[0].pause()
        try:
            before = counting.so_far("api")
            assert counting.world.post_webhook("404404").status_code == 202
            counted = counting.so_far("api")
        finally:
            counting.system.workers[0].resume()
        counted.subtract(before)
        return counted

    assert over(least_of(count), MAX_PER_WEBHOOK) == {}


def test_a_message_is_the_jobs_id_its_trace_and_celerys_frame() -> None:
    assert len(message_of(uuid4(), f"00-{uuid4().hex}-{uuid4().hex[:16]}-01")) <= MAX_MESSAGE_BYTES
