"""Faults of the workers, of Postgres and of Redis, and a desk or a GPT-4 that is slow; see `faults`."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from tests.documents.faults import FaultStage, Inject, healthy, tell_of_a_change
from tests.kit.world import wait_for

_NUMBERS = itertools.count(1)


@contextmanager
def slow_context(stage: FaultStage) -> Iterator[str]:
    """The documents can't be read in time: another transaction has their table."""
    with stage.world.admin() as connection:
        connection.execute("LOCK TABLE passages IN ACCESS EXCLUSIVE MODE")
        ticket_id = stage.world.create_ticket()
        stage.world.ended(ticket_id)
    yield ticket_id


@contextmanager
def slow_gpt4(stage: FaultStage, seconds: float = 1.2) -> Iterator[str]:
    """GPT-4 writes, slowly: so long for each piece, and longer than any reading of the document takes."""
    subject = f"Scanner is slow, {next(_NUMBERS)}"
    stage.world.openai_fault(kind="slow_stream", match=subject, seconds=seconds, pieces=200)
    ticket_id = stage.world.create_ticket(subject)
    try:
        wait_for(lambda: stage.world.gpt4_requests(subject))
        yield ticket_id
    finally:
        stage.world.clear_faults()


def backlog(count: int) -> Inject:
    """So many tickets at once, while the desk is slow and the worker has few places."""

    @contextmanager
    def inject(stage: FaultStage) -> Iterator[str]:
        stage.world.desk_fault(kind="slow", operation="read_ticket", seconds=4)
        with _many(stage, count) as ticket_id:
            try:
                yield ticket_id
            finally:
                stage.world.clear_faults()

    return inject


@contextmanager
def backlog_and_still(stage: FaultStage) -> Iterator[str]:
    """Over 100 jobs wait, and the worker is there and does nothing."""
    stage.worker.pause()
    with _many(stage, 105) as ticket_id:
        try:
            yield ticket_id
        finally:
            stage.worker.resume()
    # What it has started since is gone with its lines.
    stage.system.restart(stage.worker)


@contextmanager
def _many(stage: FaultStage, count: int) -> Iterator[str]:
    """The last of so many tickets, all queued; at the end they are deleted, so that their jobs are done soon."""
    tickets = [stage.world.create_ticket() for _ in range(count)]
    try:
        for ticket_id in tickets:
            stage.says(stage.system.api, f"ticket_id={ticket_id} ")
        yield tickets[-1]
    finally:
        for ticket_id in tickets:
            stage.world.delete_ticket(ticket_id)
    for ticket_id in tickets:
        stage.world.ended(ticket_id)


@contextmanager
def no_database(stage: FaultStage) -> Iterator[str]:
    """Postgres is down when the webhook comes."""
    stage.system.postgres.stop()
    try:
        yield (ticket_id := stage.queued())
    finally:
        stage.system.postgres.restart()
    stage.world.ended(ticket_id)


@contextmanager
def database_lost(stage: FaultStage) -> Iterator[str]:
    """Postgres goes down while GPT-4 writes."""
    with slow_gpt4(stage) as ticket_id:
        stage.system.postgres.stop()
        try:
            yield ticket_id
        finally:
            stage.system.postgres.restart()
    stage.world.ended(ticket_id)


@contextmanager
def no_redis(stage: FaultStage) -> Iterator[str]:
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
def redis_lost(stage: FaultStage) -> Iterator[str]:
    """Redis goes down while the job waits in it."""
    stage.worker.pause()
    ticket_id = stage.queued()
    stage.system.redis.stop()
    try:
        yield ticket_id
    finally:
        stage.system.redis.restart()
        stage.worker.resume()
    stage.world.ended(ticket_id)


@contextmanager
def worker_killed(stage: FaultStage) -> Iterator[str]:
    """The worker is killed for memory in mid-job, and does not come again."""
    with slow_gpt4(stage) as ticket_id:
        stage.kill_worker()
        # Its lease runs out, and the relay queues the job again.
        try:
            wait_for(lambda: stage.world.job(ticket_id)["state"] == "waiting")
            yield ticket_id
        finally:
            stage.system.restart(stage.worker)
    stage.world.ended(ticket_id)


@contextmanager
def no_stores(stage: FaultStage) -> Iterator[str]:
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
def desk_down(stage: FaultStage) -> Iterator[str]:
    """The desk fails for so long that its jobs are held back."""
    stage.world.desk_fault(kind="status", operation="read_ticket", tenant="acme", code=500)
    tickets = [stage.world.create_ticket() for _ in range(6)]
    # An attempt at each fails, and the next one is not made.
    for ticket_id in tickets:
        stage.says(stage.worker, f"ticket_id={ticket_id}, reason=desk unavailable")
    # And one that comes later is held back before anything is asked.
    late = stage.world.create_ticket()
    stage.says(stage.worker, f"ticket_id={late}, reason=desk unavailable")
    try:
        yield late
    finally:
        stage.world.clear_faults()


@contextmanager
def lines_gone(stage: FaultStage) -> Iterator[str]:
    """The job ended well, then a rollout took the pods away, and their lines with them."""
    with healthy(stage) as ticket_id:
        stage.roll_out("api")
        stage.roll_out("worker")
        yield ticket_id


@contextmanager
def came_twice(stage: FaultStage) -> Iterator[str]:
    """The same, but for the worker, and the desk sent the webhook once more."""
    with healthy(stage) as ticket_id:
        stage.roll_out("api")
        stage.world.send_webhook(ticket_id, same_delivery_id=True)
        yield ticket_id


@contextmanager
def came_twice_while_away(stage: FaultStage) -> Iterator[str]:
    """The same webhook again while Postgres is away: that it is the same is found out when Postgres is back."""
    with healthy(stage) as ticket_id:
        stage.system.postgres.stop()
        try:
            stage.world.send_webhook(ticket_id, same_delivery_id=True)
        finally:
            stage.system.postgres.restart()
        wait_for(lambda: stage.world.job(ticket_id)["state"] == "skipped")
        yield ticket_id


@contextmanager
def sent_again_meanwhile(stage: FaultStage) -> Iterator[str]:
    """The ticket was changed while its job is at work, and the desk sends a webhook for that too."""
    with slow_gpt4(stage) as ticket_id:
        tell_of_a_change(stage.world, ticket_id)
        wait_for(lambda: stage.world.job(ticket_id)["reason"] == "another job of this ticket")
        yield ticket_id


@contextmanager
def api_replaced(stage: FaultStage) -> Iterator[str]:
    """The API's pod was replaced while GPT-4 writes: that the job was queued is told nowhere any more."""
    with slow_gpt4(stage) as ticket_id:
        stage.roll_out("api")
        yield ticket_id


@contextmanager
def too_late(stage: FaultStage) -> Iterator[str]:
    """No worker took the job until its deadline, which the test moves nearer; now one is well again."""
    stage.worker.pause()
    ticket_id = stage.world.create_ticket()
    wait_for(lambda: stage.world.job(ticket_id))
    with stage.world.admin() as connection:
        connection.execute("UPDATE jobs SET deadline_at = now() WHERE ticket_id = %s", (ticket_id,))
    assert stage.world.ended(ticket_id)["state"] == "failed"
    stage.worker.resume()
    yield ticket_id
