"""Leases that run out though nobody stopped the process: on a machine too busy to let it renew them in time.

Such a process is held still as surely as by SIGSTOP, only nobody ordered it; what it was asking GPT-4 is asked again.
Renewals that never work would look the same, only for more jobs: so it may be a few, and no more.
"""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import redis

from tests.system.chaos.held import Excuse

_POLL_SECONDS = 0.2
# A call is begun before the lease ran out, or it has no excuse; GPT-4 notes it when it gets to read it.
_ON_ITS_WAY_SECONDS = 0.5
_MOST_PER_ACCEPTED = 0.02
# In a short run, beside another one, one stall of a worker is as many.
_FEW = 10


def too_many(ran_out: int, accepted: int) -> list[str]:
    """The problem with so many leases that ran out unforced, for so many webhooks; none if it may be."""
    if ran_out <= max(_FEW, _MOST_PER_ACCEPTED * accepted):
        return []
    return [
        f"{ran_out} leases ran out though nobody stopped their process, more than {_FEW} "
        f"and {_MOST_PER_ACCEPTED:.0%} of {accepted} webhooks: "
        "the machine was too busy, or renewals don't work; this run proves nothing"
    ]


class LeaseWatch:
    """Looks at the rows while it runs; `ran_out` has a job's attempt once, when its lease was seen to be over."""

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
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
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
                self._over.wait(_POLL_SECONDS)  # one of them is away, as a scenario wants it

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        found = connection.execute(
            "SELECT id::text, extract(epoch FROM started_at)::float, extract(epoch FROM lease_until)::float FROM jobs"
            " WHERE state = 'running' AND lease_until < clock_timestamp() AND enhancement IS NULL"
        )
        for job_id, claimed, moment in found.fetchall():
            seen = any(one.job_id == job_id and one.claimed == claimed for one in self.ran_out)
            if not seen and not self._is_excused(job_id, claimed) and not self._redis.exists(f"answer:{job_id}"):
                self.ran_out.append(Excuse(job_id, claimed, moment + _ON_ITS_WAY_SECONDS))
