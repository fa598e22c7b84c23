"""Fault scenarios, run one at a time under load; each restores its system."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.system.chaos import bursts, failovers
from tests.system.chaos.held import Held
from tests.system.chaos.stage import LEASE_SECONDS, Stage
from tests.system.chaos.vanished import NAME as VANISHED
from tests.system.chaos.vanished import about_to_vanish

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


def _kill_at(phrase: str, meant: Callable[[Held], bool] | None, stage: Stage) -> None:
    """Kill the worker at these log lines, three times at most.

    None kills it twice at any moment.
    """
    if meant is None:
        stage.kill_at(phrase)
        stage.kill_at(phrase)
        return
    held: list[Held] = []
    for _ in range(3):
        held += stage.kill_at(phrase)
        if any(map(meant, held)):
            return
    stage.expect(False, f"no job was caught in time; caught: {held}")


def _kill_answered(stage: Stage) -> None:
    """The answer is committed and no note is under way.

    The desk reads slowly, to leave time for it.
    """
    with stage.desk(kind="slow", operation="read_ticket", seconds=0.3):
        _kill_at(_ANSWERED, lambda job: job.answered and not job.posting, stage)


def _kill_while_posting(stage: Stage) -> None:
    """The worker dies during the POST.

    One desk has stored the note by then, the other never does.
    """
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


def _redis_away(stage: Stage) -> None:
    time.sleep(1)
    stage.system.redis.stop()
    time.sleep(2)
    stage.system.redis.start()


def _redis_forgets(stage: Stage) -> None:
    """Redis dies with a list full of unclaimed jobs, and restarts empty."""
    with _workers_still(stage):
        time.sleep(1)
        stage.system.redis.kill()
        stage.system.redis.wipe()
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

    The API is suspended for a moment each time, so that the waiting webhooks need many connections at once.
    """
    before = stage.system.api.output().count(_REFUSED)
    for again in (False, True):
        stage.system.postgres.stop()
        stage.pause(stage.system.api, 1.5)
        time.sleep(0.5)
        stage.system.postgres.restart()
        if not again:
            time.sleep(1)
            stage.system.redis.restart()
            time.sleep(1)
    refused = stage.system.api.output().count(_REFUSED) - before
    stage.expect(not refused, f"{refused} deliveries were refused though one of the two stores was there")


def _peer_vanishes(stage: Stage) -> None:
    """It has locked a tenant's waiting jobs, and Postgres has to detect its absence."""
    with about_to_vanish(stage.system.state["database_url"], "acme") as vanish:
        with _workers_still(stage):
            time.sleep(1)
            stage.expect(vanish() > 0, "no job was waiting to be locked")
        give_up_at = time.monotonic() + _NOTICED_SECONDS
        while _sessions(stage, VANISHED) and time.monotonic() < give_up_at:
            time.sleep(0.2)
        stage.expect(not _sessions(stage, VANISHED), f"its session goes on after {_NOTICED_SECONDS:g} s")


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


def _sessions(stage: Stage, application_name: str) -> int:
    with stage.world.admin() as connection:
        question = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
        ((count,),) = connection.execute(question, (application_name,)).fetchall()
    return int(count)


def _desk(fault: dict[str, Any], stage: Stage) -> None:
    with stage.desk(**fault):
        time.sleep(5)


def _openai(fault: dict[str, Any], stage: Stage) -> None:
    with stage.openai(**fault):
        time.sleep(5)


def _pause_worker(stage: Stage) -> None:
    time.sleep(1)
    stage.pause(stage.system.workers[0], 7)


def _rolling_restart(stage: Stage) -> None:
    """Stop and replace each process in turn, as in a rollout.

    Answers take longer than a worker's grace period, so it has to give jobs back.
    """
    with stage.openai(kind="slow_stream", seconds=0.15):
        for process in (*stage.system.workers, stage.system.api):
            time.sleep(1.5)
            printed = stage.stop(process)
            if process is not stage.system.api:
                stage.expect("reason=worker stopping" in printed, f"{process.name} had no job to give back")
            stage.system.restart(process)


SCENARIOS = [
    Scenario("worker killed", _kill_worker, seconds=67),
    Scenario("worker killed right after its claim", partial(_kill_at, "Task started", lambda job: not job.answered)),
    Scenario("worker killed in the GPT-4 call", partial(_kill_at, "Context gathered", lambda job: not job.answered)),
    Scenario("worker killed right after the answer", _kill_answered, seconds=50),
    Scenario("worker killed while it posts the note", _kill_while_posting, seconds=28),
    Scenario("worker killed right after the note", partial(_kill_at, "ServiceDesk Plus ticket updated", None)),
    Scenario("worker held still for longer than its lease", _pause_worker),
    Scenario("API killed", _kill_api, seconds=34),
    Scenario("API held still", _pause_api, seconds=27),
    Scenario("API and workers killed at random", _at_random, seconds=13),
    Scenario("rolling restart", _rolling_restart, seconds=17),
    Scenario("Redis restarted with its data", _redis_away, seconds=32),
    Scenario("Redis restarted without its data", _redis_forgets),
    Scenario("Redis accepts and never answers", _redis_still),
    Scenario("Redis fails over to its replica and back", failovers.redis_fails_over, seconds=21),
    Scenario("Redis read-only", failovers.redis_is_read_only, seconds=12),
    Scenario("Postgres restarted", _postgres_away),
    Scenario("Redis restarted, later Postgres away", _idle_connections_die, seconds=16),
    Scenario("peer vanishes in a transaction", _peer_vanishes, seconds=14),
    Scenario("Postgres killed in a batch of webhooks", bursts.postgres_dies),
    Scenario("Redis killed in a batch of webhooks", bursts.redis_dies),
    Scenario("API killed in a batch of webhooks", bursts.api_dies, seconds=14),
    Scenario("desk silent", partial(_desk, {"kind": "silence"}), seconds=26),
    Scenario("desk throttles (429)", partial(_desk, {"kind": "status", "code": 429, "retry_after": 2})),
    Scenario("desk cuts after it took the note", partial(_desk, {"kind": "cut_after", "operation": "add_note"})),
    Scenario("desk answers 500", partial(_desk, {"kind": "status", "code": 500}), seconds=27),
    Scenario("GPT-4 silent", partial(_openai, {"kind": "silence"}), seconds=29),
    Scenario("GPT-4 answers 500", partial(_openai, {"kind": "status", "code": 500}), seconds=27),
    Scenario("GPT-4 cuts in mid-answer", partial(_openai, {"kind": "cut"}), seconds=28),
    Scenario("GPT-4 throttles (429)", partial(_openai, {"kind": "status", "code": 429})),
]
