"""The webhook endpoint of a running system: its log, memory and side effects."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from devstack.system import System
from tests.kit.world import World, wait_for
from tests.system.odd_requests import Odd, all_odd
from tests.system.senders import memory_mb

MOST_MORE_MB = 32
HAS_PROC = Path("/proc/self/status").exists()


class ApiDoor:
    """The API of a system, which logs nothing between two tests."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.world = World(system)
        self.url = system.state["api_url"]
        self._log = system.api.log_path
        self._seen = 0
        self.listen()

    def close(self) -> None:
        self.world.close()

    def listen(self) -> None:
        """Discard the earlier log lines."""
        self._seen = self._log.stat().st_size

    def said(self) -> list[str]:
        """Return the lines since `listen`."""
        return self._log.read_bytes()[self._seen :].decode("utf-8").splitlines()

    def reasons(self) -> list[str]:
        """Return the sorted rejection reasons since `listen`; no other line is allowed."""
        return sorted(line.split("Webhook rejected: ")[1].split("reason=")[1].split(" | ")[0] for line in self.said())

    def assert_refused(self, status: int, reason: str) -> None:
        """Check for one line with this status and reason, and no other."""
        wait_for(self.said, 5)
        time.sleep(0.05)
        (line,) = self.said()
        assert f"warning Webhook rejected: status={status}, reason={reason} |" in line
        assert "trace_id: " in line
        assert not any(word in line.lower() for word in ("error", "traceback", "\x1b"))

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Check that the block leaves no row, no message and little memory behind."""
        before, memory = self.counts(), self.memory_mb("VmHWM:")
        yield
        assert self.counts() == before
        assert self.memory_mb("VmHWM:") - memory < MOST_MORE_MB

    def counts(self) -> dict[str, int]:
        with self.world.admin() as connection, redis.Redis.from_url(self.system.state["redis_url"]) as client:
            rows = {table: count(connection, table) for table in ("jobs", "delivery_keys")}
            return rows | {"celery": client.llen("celery"), "inbox": client.hlen("inbox")}

    def memory_mb(self, what: str = "VmRSS:") -> float:
        """Return the API's memory in MB (`VmHWM:` its peak), 0 if unavailable."""
        return memory_mb(self.system.api.pid, what) if HAS_PROC else 0.0

    def odd_requests(self) -> list[Odd]:
        return all_odd(self.world.sign)


def opened(system: System) -> Iterator[ApiDoor]:
    door = ApiDoor(system)
    yield door
    door.close()


@pytest.fixture
def door(door_of_system: ApiDoor) -> ApiDoor:
    door_of_system.listen()
    return door_of_system


@pytest.fixture
def closed_door(door: ApiDoor) -> Iterator[ApiDoor]:
    """Yield a door for a test that posts nothing valid."""
    with door.unchanged():
        yield door


def count(connection: psycopg.Connection[tuple[int]], table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 -- a name of ours
    assert row is not None
    return row[0]
