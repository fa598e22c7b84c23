"""Faults of workers, Postgres and Redis, and a slow desk or GPT-4; see `faults`."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from tests.documents.faults import FaultStage, Inject, healthy, tell_of_a_change
from tests.kit.world import wait_for

_NUMBERS = itertools.count(1)


@contextmanager
def slow_context(stage: FaultStage) -> Iterator[str]:
    """Lock the documents' table in another transaction."""
    with stage.world.admin() as connection:
        connection.execute("LOCK TABLE passages IN ACCESS EXCLUSIVE MODE")
        ticket_id = stage.world.create_ticket()
        stage.world.ended(ticket_id)
    yield ticket_id


@contextmanager
def slow_gpt4(stage: FaultStage, seconds: float = 1.2) -> Iterator[str]:
    """Slow GPT-4 by this time per piece: longer than a reading of the document."""
    subject = f"Scanner is slow, {next(_NUMBERS)}"
    stage.world.openai_fault(kind="slow_stream", match=subject, seconds=seconds, pieces=200)
    ticket_id = stage.world.create_ticket(subject)
    try:
        wait_for(lambda: stage.world.gpt4_requests(subject))
        yield ticket_id
    finally:
        stage.world.clear_faults()


def backlog(count: int) -> Inject:
    """Create this many tickets at once, with a slow desk and few worker slots."""

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
    """Queue over 100 jobs for a worker that takes none."""
    stage.worker.pause()
    with _many(stage, 105) as ticket_id:
        try:
            yield ticket_id
        finally:
            stage.worker.resume()
    # Work started since is gone with its lines.
    stage.system.restart(stage.worker)


@contextmanager
def _many(stage: FaultStage, count: int) -> Iterator[str]:
    """Queue this many tickets and return the last.

    They are deleted at the end, so that their jobs end soon.
    """
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
    """Stop Postgres before the webhook arrives."""
    stage.system.postgres.stop()
    try:
        yield (ticket_id := stage.queued())
    finally:
        stage.system.postgres.restart()
    stage.world.ended(ticket_id)


@contextmanager
def database_lost(stage: FaultStage) -> Iterator[str]:
    """Stop Postgres while GPT-4 writes."""
    with slow_gpt4(stage) as ticket_id:
        stage.system.postgres.stop()
        try:
            yield ticket_id
        finally:
            stage.system.postgres.restart()
    stage.world.ended(ticket_id)


@contextmanager
def no_redis(stage: FaultStage) -> Iterator[str]:
    """Stop Redis before the webhook arrives."""
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
    """Stop Redis while the job waits in it."""
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
    """Kill the worker in mid-job for good."""
    with slow_gpt4(stage) as ticket_id:
        stage.kill_worker()
        # Its lease expires, and the relay queues the job again.
        try:
            wait_for(lambda: stage.world.job(ticket_id)["state"] == "waiting")
            yield ticket_id
        finally:
            stage.system.restart(stage.worker)
    stage.world.ended(ticket_id)


@contextmanager
def no_stores(stage: FaultStage) -> Iterator[str]:
    """Stop Postgres and Redis before the webhook arrives."""
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
    """Fail the desk until its jobs are held back."""
    stage.world.desk_fault(kind="status", operation="read_ticket", tenant="acme", code=500)
    tickets = [stage.world.create_ticket() for _ in range(6)]
    # An attempt at each fails, and the next one is not made.
    for ticket_id in tickets:
        stage.says(stage.worker, f"ticket_id={ticket_id}, reason=desk unavailable")
    # A later one is held back before any call.
    late = stage.world.create_ticket()
    stage.says(stage.worker, f"ticket_id={late}, reason=desk unavailable")
    try:
        yield late
    finally:
        stage.world.clear_faults()


@contextmanager
def lines_gone(stage: FaultStage) -> Iterator[str]:
    """Complete the job, then replace the pods; their logs are lost."""
    with healthy(stage) as ticket_id:
        stage.roll_out("api")
        stage.roll_out("worker")
        yield ticket_id


@contextmanager
def came_twice(stage: FaultStage) -> Iterator[str]:
    """The same without the worker, and with a repeated webhook."""
    with healthy(stage) as ticket_id:
        stage.roll_out("api")
        stage.world.send_webhook(ticket_id, same_delivery_id=True)
        yield ticket_id


@contextmanager
def came_twice_while_away(stage: FaultStage) -> Iterator[str]:
    """Repeat the webhook while Postgres is away: the duplicate is found afterwards."""
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
    """Send a webhook for a change while the job runs."""
    with slow_gpt4(stage) as ticket_id:
        tell_of_a_change(stage.world, ticket_id)
        wait_for(lambda: stage.world.job(ticket_id)["reason"] == "another job of this ticket")
        yield ticket_id


@contextmanager
def api_replaced(stage: FaultStage) -> Iterator[str]:
    """Replace the API's pod while GPT-4 writes: the line about queueing is lost."""
    with slow_gpt4(stage) as ticket_id:
        stage.roll_out("api")
        yield ticket_id


@contextmanager
def too_late(stage: FaultStage) -> Iterator[str]:
    """Hold the worker past the job's deadline, which is moved nearer."""
    stage.worker.pause()
    ticket_id = stage.world.create_ticket()
    wait_for(lambda: stage.world.job(ticket_id))
    with stage.world.admin() as connection:
        connection.execute("UPDATE jobs SET deadline_at = now() WHERE ticket_id = %s", (ticket_id,))
    assert stage.world.ended(ticket_id)["state"] == "failed"
    stage.worker.resume()
    yield ticket_id
