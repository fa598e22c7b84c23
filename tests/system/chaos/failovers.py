"""Failovers of Redis: the master moves, or is missing for a while."""

import tempfile
import time
from pathlib import Path

import redis

from devstack.valkey import Valkey
from tests.system.chaos.stage import Stage

_STEP_SECONDS = 15.0
_POLL_SECONDS = 0.05
_READ_ONLY_SECONDS = 4.0


def redis_fails_over(stage: Stage) -> None:
    """The replica takes over, its old master follows it, and they swap back."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Valkey(Path(folder)) as other,
        redis.Redis.from_url(stage.system.state["redis_url"]) as here,
        redis.Redis.from_url(other.url) as there,
    ):
        _follow(stage, there, stage.system.redis)
        time.sleep(1)
        there.replicaof("NO", "ONE")
        _follow(stage, here, other)
        time.sleep(1)
        here.replicaof("NO", "ONE")
    _expect_workers(stage)


def redis_is_read_only(stage: Stage) -> None:
    """An old master is read-only while it cannot reach the new one."""
    with redis.Redis.from_url(stage.system.state["redis_url"]) as client:
        time.sleep(1)
        client.replicaof("127.0.0.1", 1)
        time.sleep(_READ_ONLY_SECONDS)
        client.replicaof("NO", "ONE")
    _expect_workers(stage)


def _expect_workers(stage: Stage) -> None:
    for worker in stage.system.workers:
        stage.expect(worker.running, f"{worker.name} has ended, status {worker.returncode}")


def _follow(stage: Stage, replica: redis.Redis, master: Valkey) -> None:
    replica.replicaof("127.0.0.1", master.port)
    give_up_at = time.monotonic() + _STEP_SECONDS
    while replica.info("replication").get("master_link_status") != "up" and time.monotonic() < give_up_at:
        time.sleep(_POLL_SECONDS)
    stage.expect(time.monotonic() < give_up_at, "a replica did not follow")
