"""Leases that expire although no process was stopped.

A busy machine may be too slow to renew them, which is like SIGSTOP; the GPT-4 call is repeated. Broken renewals
would look the same for more jobs, so only a few are allowed.
"""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import redis

from tests.system.chaos.held import Excuse

_POLL_SECONDS = 0.2
# A call begins before the lease expires, or it has no excuse; GPT-4 records it when it reads it.
_ON_ITS_WAY_SECONDS = 0.5
_MOST_PER_ACCEPTED = 0.02
# In a short run beside another one, a single stall of a worker causes this many.
_FEW = 10


def too_many(ran_out: int, accepted: int) -> list[str]:
    """Return the problem if too many leases expired unforced, else none."""
    if ran_out <= max(_FEW, _MOST_PER_ACCEPTED * accepted):
        return []
    return [
        f"{ran_out} leases ran out though nobody stopped their process, more than {_FEW} "
        f"and {_MOST_PER_ACCEPTED:.0%} of {accepted} webhooks: "
        "the machine was too busy, or renewals don't work; this run proves nothing"
    ]


class LeaseWatch:
    """Polls the rows; `ran_out` has each attempt whose lease was seen to be over."""

    def __init__(
        self, connect: Callable[[], psycopg.Connection[Any]], redis_url: str, is_excused: Callable[[str, float], bool]
    ) -> None:
        self.ran_out: list[Excuse] = []
        self._connect = connect
        self._redis = redis.Redis.from_url(redis_url, socket_timeout=2, socket_connect_timeout=2)
        self._is_excused = is_excused
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._redis.close()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with self._connect() as connection:
                    connection.autocommit = True
                    while not self._over.wait(_POLL_SECONDS):
                        self._look(connection)
            except (psycopg.Error, redis.RedisError):
                self._over.wait(_POLL_SECONDS)  # a scenario has stopped one of the stores

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        found = connection.execute(
            "SELECT id::text, extract(epoch FROM started_at)::float, extract(epoch FROM lease_until)::float FROM jobs"
            " WHERE state = 'running' AND lease_until < clock_timestamp() AND enhancement IS NULL"
        )
        for job_id, claimed, moment in found.fetchall():
            seen = any(one.job_id == job_id and one.claimed == claimed for one in self.ran_out)
            if not seen and not self._is_excused(job_id, claimed) and not self._redis.exists(f"answer:{job_id}"):
                self.ran_out.append(Excuse(job_id, claimed, moment + _ON_ITS_WAY_SECONDS))
