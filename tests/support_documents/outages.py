"""Faults of the workers, of Postgres and of Redis, and a desk or a GPT-4 that is slow; see `faults`."""

import itertools
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.world import wait_for
from tests.support_documents.faults import Stage, healthy

_BACKLOG = 80
_NUMBERS = itertools.count(1)


@contextmanager
def slow_context(stage: Stage) -> Iterator[str]:
    """The documents can't be read in time: another transaction has their table."""
    with stage.world.admin() as connection:
        connection.execute("LOCK TABLE passages IN ACCESS EXCLUSIVE MODE")
        ticket_id = stage.world.create_ticket()
        stage.world.ended(ticket_id)
    yield ticket_id


@contextmanager
def slow_gpt4(stage: Stage) -> Iterator[str]:
    """GPT-4 writes, slowly."""
    subject = f"Scanner is slow, {next(_NUMBERS)}"
    stage.world.openai_fault(kind="slow_stream", match=subject, seconds=1.2)
    ticket_id = stage.world.create_ticket(subject)
    try:
        wait_for(lambda: stage.world.gpt4_requests(subject))
        yield ticket_id
    finally:
        stage.world.clear_faults()


@contextmanager
def too_few_workers(stage: Stage) -> Iterator[str]:
    """Over 50 jobs wait, since the desk is slow and the worker has few places."""
    stage.world.desk_fault(kind="slow", operation="read_ticket", seconds=4)
    tickets = [stage.world.create_ticket() for _ in range(_BACKLOG)]
    try:
        for ticket_id in tickets:
            stage.says(stage.system.api, f"ticket_id={ticket_id} ")
        yield tickets[-1]
    finally:
        # So that the others are done soon.
        for ticket_id in tickets:
            stage.world.delete_ticket(ticket_id)
        stage.world.clear_faults()
    for ticket_id in tickets:
        stage.world.ended(ticket_id)


@contextmanager
def no_database(stage: Stage) -> Iterator[str]:
    """Postgres is down when the webhook comes."""
    stage.system.postgres.stop()
    try:
        ticket_id = stage.world.create_ticket()
        stage.says(stage.system.api, f"ticket_id={ticket_id} ")
        yield ticket_id
    finally:
        stage.system.postgres.restart()
    stage.world.ended(ticket_id)


@contextmanager
def database_lost(stage: Stage) -> Iterator[str]:
    """Postgres goes down while GPT-4 writes."""
    with slow_gpt4(stage) as ticket_id:
        stage.system.postgres.stop()
        try:
            yield ticket_id
        finally:
            stage.system.postgres.restart()
    stage.world.ended(ticket_id)


@contextmanager
def no_redis(stage: Stage) -> Iterator[str]:
    """Redis is down when the webhook comes."""
    stage.system.redis.stop()
    try:
        ticket_id = stage.world.create_ticket()
        wait_for(lambda: stage.world.job(ticket_id))
        yield ticket_id
    finally:
        stage.system.redis.restart()
    stage.world.ended(ticket_id)


@contextmanager
def worker_killed(stage: Stage) -> Iterator[str]:
    """The worker is killed for memory in mid-job, and does not come again."""
    with slow_gpt4(stage) as ticket_id:
        os.kill(stage.worker.pid, signal.SIGKILL)
        stage.worker.wait(5)
        stage.shell.look("OOMKilled")
        # Its lease runs out, and the relay queues the job again.
        try:
            wait_for(lambda: stage.world.job(ticket_id)["state"] == "waiting")
            yield ticket_id
        finally:
            stage.system.restart(stage.worker)
    stage.world.ended(ticket_id)


@contextmanager
def crash_loop(stage: Stage) -> Iterator[str]:
    """A rollout took a setting away that the worker needs."""
    key = stage.worker.environment["OPENAI_API_KEY"]
    stage.worker.stop(5)
    stage.worker.environment["OPENAI_API_KEY"] = ""
    for _ in range(3):
        stage.worker.start()
        assert stage.worker.wait(20) is not None
        stage.shell.look()
    ticket_id = stage.world.create_ticket()
    stage.says(stage.system.api, f"ticket_id={ticket_id} ")
    try:
        yield ticket_id
    finally:
        stage.system.restart(stage.worker, {"OPENAI_API_KEY": key})
    stage.world.ended(ticket_id)


@contextmanager
def no_stores(stage: Stage) -> Iterator[str]:
    """Postgres and Redis are both down when the webhook comes."""
    stage.system.postgres.stop()
    stage.system.redis.stop()
    try:
        ticket_id = stage.world.create_ticket(send_webhook=False)
        assert stage.world.post_webhook(ticket_id).status_code == 503
        yield ticket_id
    finally:
        stage.system.redis.restart()
        stage.system.postgres.restart()


@contextmanager
def desk_down(stage: Stage) -> Iterator[str]:
    """The desk fails for so long that its jobs are held back."""
    stage.world.desk_fault(kind="status", operation="read_ticket", tenant="acme", code=500)
    tickets = [stage.world.create_ticket() for _ in range(6)]
    # An attempt at each fails, and the next one is not made.
    for ticket_id in tickets:
        stage.says(stage.worker, f"ticket_id={ticket_id}, reason=desk unavailable")
    try:
        yield tickets[0]
    finally:
        stage.world.clear_faults()


@contextmanager
def lines_gone(stage: Stage) -> Iterator[str]:
    """The job ended well, then a rollout took the pods away, and their lines with them."""
    with healthy(stage) as ticket_id:
        for name in ("api", "worker"):
            done = stage.shell.run(f"kubectl rollout restart deployment/ai-agents-{name} -n ai-agents-production")
            assert done.status == 0, done
        yield ticket_id


@contextmanager
def came_twice(stage: Stage) -> Iterator[str]:
    """The same, but for the worker, and the desk sent the webhook once more."""
    with healthy(stage) as ticket_id:
        stage.shell.run("kubectl rollout restart deployment/ai-agents-api -n ai-agents-production")
        stage.world.send_webhook(ticket_id, same_delivery_id=True)
        yield ticket_id


@contextmanager
def too_late(stage: Stage) -> Iterator[str]:
    """No worker took the job until its deadline, which the test moves nearer; now one is well again."""
    stage.worker.pause()
    ticket_id = stage.world.create_ticket()
    wait_for(lambda: stage.world.job(ticket_id))
    with stage.world.admin() as connection:
        connection.execute("UPDATE jobs SET deadline_at = now() WHERE ticket_id = %s", (ticket_id,))
    assert stage.world.ended(ticket_id)["state"] == "failed"
    stage.worker.resume()
    yield ticket_id
