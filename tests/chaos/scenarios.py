"""What breaks, one thing at a time; each is done while webhooks stream in, and ends mended."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.chaos.stage import Stage


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fault of the table; `short` ones are part of `make test`."""

    name: str
    happen: Callable[[Stage], None]
    short: bool = False


def _kill_worker(stage: Stage) -> None:
    for worker in stage.system.workers:
        time.sleep(1)
        stage.kill(worker)


def _kill_at(phrase: str, stage: Stage) -> None:
    for _ in range(2):
        stage.kill_at(phrase)


def _kill_while_posting(stage: Stage) -> None:
    """The desk takes its time with notes, and carries them out: the worker dies with the POST under way."""
    stage.world.desk_fault(kind="slow", operation="add_note", seconds=1, performed=True)
    _kill_at("GPT-4 API call: status=200", stage)
    stage.world.clear_faults()


def _kill_api(stage: Stage) -> None:
    for _ in range(2):
        time.sleep(1)
        stage.kill(stage.system.api)


def _redis_away(stage: Stage) -> None:
    time.sleep(1)
    stage.system.redis.stop()
    time.sleep(2)
    stage.system.redis.start()


def _redis_forgets(stage: Stage) -> None:
    """It dies with a list full of jobs that nobody has taken yet, and comes back empty."""
    with stage.breaking():
        for worker in stage.system.workers:
            worker.pause()
        time.sleep(1.5)
        stage.system.redis.kill()
        stage.system.redis.wipe()
        stage.system.redis.start()
        for worker in stage.system.workers:
            worker.resume()


def _redis_still(stage: Stage) -> None:
    time.sleep(1)
    stage.system.redis.pause()
    time.sleep(3)
    stage.system.redis.resume()


def _postgres_away(stage: Stage) -> None:
    time.sleep(1)
    # What an attempt does meanwhile can't be written down.
    with stage.breaking():
        stage.system.postgres.stop()
        time.sleep(3)
        stage.system.postgres.restart()


def _desk(fault: dict[str, Any], stage: Stage) -> None:
    stage.world.desk_fault(**fault)
    time.sleep(5)
    stage.world.clear_faults()


def _openai(fault: dict[str, Any], stage: Stage) -> None:
    stage.world.openai_fault(**fault)
    time.sleep(5)
    stage.world.clear_faults()


def _pause_worker(stage: Stage) -> None:
    time.sleep(1)
    stage.pause(stage.system.workers[0], 5)


def _rolling_restart(stage: Stage) -> None:
    """Each process in turn is told to end, and a new one takes its place, as a rollout does."""
    for process in (*stage.system.workers, stage.system.api):
        time.sleep(0.5)
        with stage.breaking():
            stage.system.restart(process)


SCENARIOS = [
    Scenario("worker killed", _kill_worker),
    Scenario("worker killed right after its claim", partial(_kill_at, "Task started")),
    Scenario("worker killed in the GPT-4 call", partial(_kill_at, "Context gathered")),
    Scenario("worker killed right after the answer", partial(_kill_at, "GPT-4 API call: status=200")),
    Scenario("worker killed while it posts the note", _kill_while_posting, short=True),
    Scenario("worker killed right after the note", partial(_kill_at, "ServiceDesk Plus ticket updated")),
    Scenario("worker held still for longer than its lease", _pause_worker),
    Scenario("API killed", _kill_api, short=True),
    Scenario("rolling restart", _rolling_restart),
    Scenario("Redis restarted with its data", _redis_away),
    Scenario("Redis restarted without its data", _redis_forgets, short=True),
    Scenario("Redis accepts and never answers", _redis_still),
    Scenario("Postgres restarted", _postgres_away, short=True),
    Scenario("desk silent", partial(_desk, {"kind": "silence"})),
    Scenario("desk throttles (429)", partial(_desk, {"kind": "status", "code": 429})),
    Scenario("desk cuts after it took the note", partial(_desk, {"kind": "cut_after", "operation": "add_note"})),
    Scenario("desk answers 500", partial(_desk, {"kind": "status", "code": 500})),
    Scenario("GPT-4 silent", partial(_openai, {"kind": "silence"})),
    Scenario("GPT-4 throttles (429)", partial(_openai, {"kind": "status", "code": 429})),
    Scenario("GPT-4 cuts in mid-answer", partial(_openai, {"kind": "cut"})),
    Scenario("GPT-4 answers 500", partial(_openai, {"kind": "status", "code": 500})),
]
