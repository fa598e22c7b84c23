"""Celery's own commands: what they do is in docs/celery.md."""

import subprocess
import sys
from contextlib import closing

import pytest
import redis

from dev.stack.system import System
from tests.config.given import ENOUGH
from tests.kit.fresh_process import in_a_fresh_process
from tests.kit.world import World, wait_for
from tests.system.outcomes import assert_one_note

LOSS_IS_SURE_SECONDS = 120


def celery(system: System, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "worker.app", *words],
        env=system.settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", ["status --timeout 1", "inspect ping --timeout 1", "inspect active --timeout 1"])
def test_workers_do_not_answer_remote_control(quick: System, words: str) -> None:
    status, told = celery(quick, *words.split())
    assert status == 69
    assert "No nodes replied" in told


def test_celery_sends_no_events_has_no_schedule_and_uses_threads() -> None:
    program = (
        "import json; from worker.app import app; conf = app.conf;"
        "print(json.dumps([conf.worker_send_task_events, conf.beat_schedule, conf.worker_pool]))"
    )
    assert in_a_fresh_process(program, **ENOUGH) == [False, {}, "threads"]


@pytest.mark.slow
def test_a_purged_queue_loses_no_job(quick: System) -> None:
    worker = quick.workers[0]
    with closing(World(quick)) as world, redis.Redis.from_url(quick.state["redis_url"]) as client:
        worker.stop(8)
        ticket = world.create_ticket()
        wait_for(lambda: client.llen("celery"))
        status, told = celery(quick, "purge", "--force")
        assert (status, client.llen("celery")) == (0, 0), told
        quick.restart(worker)
        assert_one_note(world, ticket, seconds=LOSS_IS_SURE_SECONDS)
