"""Fault scenarios, run one at a time under load; each restores its system."""

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import redis

from cli.pilot.valkey import Valkey
from tests.system.chaos.stage import LEASE_SECONDS, Held, Stage
from tests.system.vanishing import VANISHED, about_to_vanish

_COUNT = 24
_STEP_SECONDS = 15.0
_POLL_SECONDS = 0.02
_IN_A_BATCH = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%accept_jobs%' AND pid <>"
    " pg_backend_pid()"
)


def _postgres_dies(stage: Stage) -> None:
    # The rows are not committed yet.
    with _rows_under_way(stage):
        stage.system.postgres.process.kill()
    stage.system.postgres.restart()


def _redis_dies(stage: Stage) -> None:
    # The rows are committed, and their messages are under way.
    with _messages_under_way(stage):
        stage.system.redis.process.kill()
    stage.system.redis.start()


def _api_dies(stage: Stage) -> None:
    """Before the commit, and then before the messages."""
    with _rows_under_way(stage):
        stage.kill(stage.system.api)
    with _messages_under_way(stage):
        stage.kill(stage.system.api)


@contextmanager
def _rows_under_way(stage: Stage) -> Iterator[None]:
    # A batch waits for a locked table until the end of the block or of Postgres.
    with closing(stage.world.admin()) as connection:
        connection.execute("LOCK TABLE delivery_keys")
        stage.burst(_COUNT)
        _await(stage, lambda: _count(stage, _IN_A_BATCH) > 0, "no batch was under way")
        yield


@contextmanager
def _messages_under_way(stage: Stage) -> Iterator[None]:
    # The rows are committed, and Redis is suspended before their messages.
    stage.system.redis.pause()
    try:
        tickets = stage.burst(_COUNT)
        recorded = f"SELECT count(*) FROM jobs WHERE ticket_id IN ({', '.join(map(repr, tickets))})"  # noqa: S608 -- ours
        _await(stage, lambda: _count(stage, recorded) > 1, "no batch was recorded")
        yield
    finally:
        stage.system.redis.resume()


def _count(stage: Stage, question: str) -> int:
    # Only a superuser sees the statements of other sessions.
    with psycopg.connect(stage.system.postgres.superuser_url) as connection:
        ((count,),) = connection.execute(question.encode()).fetchall()
    return int(count)


def _await(stage: Stage, come: Callable[[], bool], otherwise: str, seconds: float = _STEP_SECONDS) -> None:
    give_up_at = time.monotonic() + seconds
    while not (there := come()) and time.monotonic() < give_up_at:
        time.sleep(_POLL_SECONDS)
    stage.expect(there, otherwise)


_READ_ONLY_SECONDS = 4.0


def _redis_fails_over(stage: Stage) -> None:
    # The replica takes over, its old master follows it, and they swap back.
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


def _redis_is_read_only(stage: Stage) -> None:
    # An old master is read-only while it cannot reach the new one.
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
    _await(stage, lambda: replica.info("replication").get("master_link_status") == "up", "a replica did not follow")


_OF_THE_VANISHED = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{VANISHED}'"  # noqa: S608 -- ours
_LOCK_WAITING = "SELECT id FROM jobs WHERE state = 'waiting' FOR UPDATE SKIP LOCKED"
_ANSWERED = "GPT-4 API call: status=200"
_REFUSED = "Webhook rejected: status=503"
# Postgres ends an idle transaction of ours after 10 s.
_NOTICED_SECONDS = 14.0
# A lease may be a third old when a worker is suspended.
_SHORTER_THAN_A_LEASE = LEASE_SECONDS * 2 / 3


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    happen: Callable[[Stage], None]
    seconds: int = 10
    """About how long it takes, with what comes after it: most of that is waiting."""


def _kill_worker(stage: Stage) -> None:
    for worker in stage.system.workers:
        time.sleep(1)
        stage.kill(worker)


def _kill_at(phrase: str, meant: Callable[[Held], bool], stage: Stage) -> None:
    """Kill the worker at these log lines until a job is caught as meant, three times at most."""
    held: list[Held] = []
    for _ in range(3):
        held += stage.kill_at(phrase)
        if any(map(meant, held)):
            return
    stage.expect(False, f"no job was caught in time; caught: {held}")


def _kill_answered(stage: Stage) -> None:
    # The answer is committed and no note is under way; the desk reads slowly, to leave time for it.
    with stage.desk(kind="slow", operation="read_ticket", seconds=0.3):
        _kill_at(_ANSWERED, lambda job: job.answered and not job.posting, stage)


def _kill_noted(stage: Stage) -> None:
    for _ in range(2):
        stage.kill_at("ServiceDesk Plus ticket updated")


def _kill_while_posting(stage: Stage) -> None:
    # The worker dies during the POST; one desk has stored the note by then, the other never does.
    with (
        stage.desk(kind="slow", operation="add_note", tenant="acme", seconds=1, performed=True),
        stage.desk(kind="silence", operation="add_note", tenant="globex"),
    ):
        for _ in range(2):
            stage.kill_at(_ANSWERED)
            time.sleep(0.5)


def _kill_api(stage: Stage) -> None:
    for _ in range(2):
        time.sleep(1)
        stage.kill(stage.system.api)


def _pause_api(stage: Stage) -> None:
    """Its relay is suspended too, and the desks wait for an answer."""
    time.sleep(1)
    stage.pause(stage.system.api, 4)


def _at_random(stage: Stage) -> None:
    for kind in stage.random.sample(["api", "worker", "worker"], 3):
        time.sleep(stage.random.uniform(0.1, 2.5))
        process = stage.system.api if kind == "api" else stage.random.choice(stage.system.workers)
        stage.kill(process, down_seconds=stage.random.uniform(0, 1))


def _redis_forgets(stage: Stage) -> None:
    """Redis dies with a list full of unclaimed jobs, and restarts empty."""
    with _workers_still(stage):
        time.sleep(1)
        stage.system.redis.kill()
        stage.system.redis.wipe()
        stage.system.redis.start()


def _redis_away(stage: Stage) -> None:
    time.sleep(1)
    stage.system.redis.stop()
    time.sleep(2)
    stage.system.redis.start()


def _redis_still(stage: Stage) -> None:
    time.sleep(1)
    stage.system.redis.pause()
    time.sleep(3)
    stage.system.redis.resume()


def _postgres_away(stage: Stage) -> None:
    """Answers cannot be committed and wait in Redis, so no repeated call is excused."""
    time.sleep(1)
    stage.system.postgres.stop()
    time.sleep(3)
    stage.system.postgres.restart()


def _idle_connections_die(stage: Stage) -> None:
    """Idle connections are dead after a restart, and Postgres is stopped in need.

    The API is suspended for a moment each time, so that the waiting webhooks need many connections at once. A webhook
    that it was taking then may be refused: the pause uses up the second that a write to Redis may take.
    """
    api, begun = stage.system.api, len(stage.system.api.output())
    may_be_refused: set[str] = set()
    for again in (False, True):
        stage.system.postgres.stop()
        api.pause()
        may_be_refused |= _under_way(api.output())
        time.sleep(1.5)
        api.resume()
        time.sleep(0.5)
        stage.system.postgres.restart()
        if not again:
            time.sleep(1)
            stage.system.redis.restart()
            time.sleep(1)
    refused = _traces(api.output()[begun:], _REFUSED) - may_be_refused
    stage.expect(not refused, f"{len(refused)} deliveries were refused though one of the two stores was there")


def _under_way(log: str) -> set[str]:
    return _traces(log, "Webhook received") - _traces(log, "Webhook rejected")


def _traces(log: str, words: str) -> set[str]:
    return set(re.findall(rf"{words}.*trace_id: ([0-9a-f]{{32}})", log))


def _peer_vanishes(stage: Stage) -> None:
    # It has locked a tenant's waiting jobs, and Postgres has to detect its absence.
    with about_to_vanish(stage.system.state["database_url"], "acme", _LOCK_WAITING) as vanish:
        with _workers_still(stage):
            time.sleep(1)
            stage.expect(vanish() > 0, "no job was waiting to be locked")
        _await(stage, lambda: not _count(stage, _OF_THE_VANISHED), "its session goes on", _NOTICED_SECONDS)


@contextmanager
def _workers_still(stage: Stage) -> Iterator[None]:
    began = time.monotonic()
    for worker in stage.system.workers:
        worker.pause()
    yield
    for worker in stage.system.workers:
        worker.resume()
    seconds = time.monotonic() - began
    stage.expect(seconds < _SHORTER_THAN_A_LEASE, f"the workers were held still for {seconds:.1f} s")


def _desk(stage: Stage, **fault: Any) -> None:
    with stage.desk(**fault):
        time.sleep(5)


def _openai(stage: Stage, **fault: Any) -> None:
    with stage.openai(**fault):
        time.sleep(5)


def _pause_worker(stage: Stage) -> None:
    time.sleep(1)
    stage.pause(stage.system.workers[0], 7)


def _rolling_restart(stage: Stage) -> None:
    """Answers take longer than a worker's grace period, so it has to give jobs back."""
    with stage.openai(kind="slow_stream", seconds=0.15):
        for process in (*stage.system.workers, stage.system.api):
            time.sleep(1.5)
            printed = stage.stop(process)
            if process is not stage.system.api:
                stage.expect("reason=worker stopping" in printed, f"{process.name} had no job to give back")
            stage.system.restart(process)


SCENARIOS = [
    Scenario("worker killed", _kill_worker),
    Scenario("worker killed right after its claim", partial(_kill_at, "Task started", lambda job: not job.answered)),
    Scenario("worker killed in the GPT-4 call", partial(_kill_at, "Context gathered", lambda job: not job.answered)),
    Scenario("worker killed right after the answer", _kill_answered),
    Scenario("worker killed while it posts the note", _kill_while_posting),
    Scenario("worker killed right after the note", _kill_noted),
    Scenario("worker held still for longer than its lease", _pause_worker),
    Scenario("API killed", _kill_api),
    Scenario("API held still", _pause_api),
    Scenario("API and workers killed at random", _at_random),
    Scenario("rolling restart", _rolling_restart, seconds=12),
    Scenario("Redis restarted with its data", _redis_away),
    Scenario("Redis restarted without its data", _redis_forgets),
    Scenario("Redis accepts and never answers", _redis_still),
    Scenario("Redis fails over to its replica and back", _redis_fails_over, seconds=15),
    Scenario("Redis read-only", _redis_is_read_only),
    Scenario("Postgres restarted", _postgres_away),
    Scenario("Redis restarted, later Postgres away", _idle_connections_die, seconds=15),
    Scenario("peer vanishes in a transaction", _peer_vanishes, seconds=15),
    Scenario("Postgres killed in a batch of webhooks", _postgres_dies, seconds=12),
    Scenario("Redis killed in a batch of webhooks", _redis_dies),
    Scenario("API killed in a batch of webhooks", _api_dies, seconds=45),
    Scenario("desk silent", partial(_desk, kind="silence"), seconds=23),
    Scenario("desk throttles (429)", partial(_desk, kind="status", code=429, retry_after=2)),
    Scenario("desk cuts after it took the note", partial(_desk, kind="cut_after", operation="add_note")),
    Scenario("desk answers 500", partial(_desk, kind="status", code=500), seconds=24),
    Scenario("GPT-4 silent", partial(_openai, kind="silence"), seconds=29),
    Scenario("GPT-4 answers 500", partial(_openai, kind="status", code=500), seconds=28),
    Scenario("GPT-4 cuts in mid-answer", partial(_openai, kind="cut"), seconds=27),
    Scenario("GPT-4 throttles (429)", partial(_openai, kind="status", code=429)),
]
