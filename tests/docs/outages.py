"""The FAQ's faults of workers, pods, Postgres and Redis; see `faults`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from redis import Redis

from cli.pilot.processes import Process
from tests.docs.faults import FaultStage, Inject, ends, slow_gpt4, webhook_off, with_parameters
from tests.kit.system import other_settings
from tests.kit.world import wait_for

_LONG_LEASE = {"LEASE_SECONDS": "45"}
_EXEC = "kubectl exec deployment/ai-agents-api -n ai-agents-production --"


@ends
@contextmanager
def worker_still(stage: FaultStage) -> Iterator[str]:
    with stage.paused():
        yield stage.queued()


@with_parameters
def backlog(stage: FaultStage, count: int) -> Iterator[str]:
    """Create this many tickets at once, with a slow desk and few worker slots."""
    stage.world.desk_fault(kind="slow", operation="read_ticket", seconds=4)
    with _many(stage, count) as ticket_id, stage.cleared():
        yield ticket_id


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


@ends
@contextmanager
def no_database(stage: FaultStage) -> Iterator[str]:
    """Stop Postgres before the webhook arrives."""
    with stage.away(stage.system.postgres):
        yield stage.queued()


@ends
@contextmanager
def database_lost(stage: FaultStage) -> Iterator[str]:
    """Stop Postgres while GPT-4 writes."""
    with slow_gpt4(stage) as ticket_id, stage.away(stage.system.postgres):
        yield ticket_id


@ends
@contextmanager
def no_redis(stage: FaultStage) -> Iterator[str]:
    """Stop Redis before the webhook arrives."""
    with stage.away(stage.system.redis):
        yield stage.recorded()


@ends
@contextmanager
def redis_lost(stage: FaultStage) -> Iterator[str]:
    """Stop Redis while the job waits in it."""
    with stage.paused():
        ticket_id = stage.queued()
        with stage.away(stage.system.redis):
            yield ticket_id


@contextmanager
def no_stores(stage: FaultStage) -> Iterator[str]:
    """Stop Postgres and Redis before the webhook arrives."""
    with stage.away(stage.system.postgres, stage.system.redis):
        ticket_id = stage.unsent()
        assert stage.world.post_webhook(ticket_id).status_code == 503
        yield ticket_id


@contextmanager
def api_without_stores(stage: FaultStage) -> Iterator[str]:
    """Run the API without Postgres and Redis, with the desk's webhook off."""
    # A new log, without refusals of earlier tests.
    stage.system.restart(stage.system.api)
    with webhook_off(stage) as ticket_id, stage.away(stage.system.postgres, stage.system.redis):
        yield ticket_id


@ends
@contextmanager
def full_redis(stage: FaultStage) -> Iterator[str]:
    """Let Redis answer and refuse writes."""
    # Ends an earlier outage, which would have its own line.
    stage.world.ended(stage.world.create_ticket())
    ask = f"{_EXEC} redis-cli -h redis CONFIG SET maxmemory"
    assert stage.shell.run(f"{ask} 1").lines == ["OK"]
    try:
        ticket_id = stage.recorded()
        stage.says(stage.system.api, "Redis error: jobs wait in the database")
        yield ticket_id
    finally:
        stage.shell.run(f"{ask} 0")


@ends
@contextmanager
def redis_refuses(stage: FaultStage) -> Iterator[str]:
    """Set a password in Redis that the pods lack; open connections stay."""
    with stage.paused(), Redis.from_url(stage.system.state["redis_url"]) as redis:
        ticket_id = stage.queued()
        redis.config_set("requirepass", "of-somebody-else")
        try:
            yield ticket_id
        finally:
            redis.config_set("requirepass", "")


@ends
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


@contextmanager
def too_late(stage: FaultStage) -> Iterator[str]:
    """Hold the worker past the job's deadline, which is moved nearer."""
    with stage.paused():
        ticket_id = stage.recorded()
        stage.change(ticket_id, "deadline_at = now()")
        assert stage.world.ended(ticket_id)["state"] == "failed"
    yield ticket_id


@with_parameters
def replaced(stage: FaultStage, fault: Inject, *pods: str) -> Iterator[str]:
    """Replace the pods after the fault; their logs are lost."""
    with fault(stage) as ticket_id:
        for pod in pods:
            stage.roll_out(pod)
        yield ticket_id


@contextmanager
def worker_back(stage: FaultStage) -> Iterator[str]:
    """Kill the worker in mid-job and restart it before its claim expires."""
    with other_settings(stage.system, stage.worker, _LONG_LEASE):
        with slow_gpt4(stage) as ticket_id:
            stage.kill_worker()
            stage.system.restart(stage.worker)
            yield ticket_id
        stage.change(ticket_id, "lease_until = now()")
        stage.world.ended(ticket_id)


@contextmanager
def _expiring(stage: FaultStage, ticket_id: str, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let the lease of a job expire while an open transaction makes the relay skip its row."""
    with stage.world.admin() as connection:
        connection.execute("SELECT 1 FROM jobs WHERE ticket_id = %s FOR UPDATE", (ticket_id,))
        meanwhile()
        show = f"{_EXEC} ai-agents show {stage.world.job(ticket_id)['id']}"
        wait_for(lambda: "its worker is lost" in stage.shell.run(show).output)
        yield


@ends
@contextmanager
def worker_silent(stage: FaultStage) -> Iterator[str]:
    """Stop the worker's machine in mid-job, and keep the relay away."""
    with slow_gpt4(stage) as ticket_id, stage.paused(), _expiring(stage, ticket_id):
        yield ticket_id


@ends
@contextmanager
def worker_silent_and_back(stage: FaultStage) -> Iterator[str]:
    # The same, with the worker killed and restarted.

    def killed_and_back() -> None:
        stage.kill_worker()
        stage.system.restart(stage.worker)

    with slow_gpt4(stage) as ticket_id, _expiring(stage, ticket_id, killed_and_back):
        yield ticket_id


@contextmanager
def last_attempt_lost(stage: FaultStage) -> Iterator[str]:
    """Lose the worker of a job's last attempt (set in the row)."""
    with slow_gpt4(stage) as ticket_id, stage.paused():
        stage.change(ticket_id, "attempt = 8, lease_until = now()")
        assert stage.world.ended(ticket_id)["state"] == "failed"
        yield ticket_id


@ends
@contextmanager
def claim_lost(stage: FaultStage) -> Iterator[str]:
    """Pause a worker past its claim, until another one has the job."""
    with slow_gpt4(stage) as ticket_id, stage.paused():
        other = stage.system.add_worker()
        try:
            stage.says(other, f"ticket_id={ticket_id} ")
            stage.worker.resume()
            stage.says(stage.worker, f"ticket_id={ticket_id}, reason=claim lost")
            yield ticket_id
        finally:
            stage.world.clear_faults()
            other.stop(8)
            stage.system.workers.remove(other)


@ends
@contextmanager
def attempt_too_long(stage: FaultStage) -> Iterator[str]:
    """Delay the desk past the attempt's time limit."""
    with other_settings(stage.system, stage.worker, {"ATTEMPT_TIMEOUT_SECONDS": "1"}), stage.cleared():
        stage.world.desk_fault(kind="slow", operation="read_ticket", seconds=8)
        ticket_id = stage.queued()
        stage.says(stage.worker, f"ticket_id={ticket_id}, reason=attempt took too long")
        yield ticket_id


@contextmanager
def statement_cancelled(stage: FaultStage) -> Iterator[str]:
    """Lock the table of jobs, then cancel the statements that wait for it."""
    cancel = (
        b"SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
        b" WHERE application_name = 'ai-agents worker' AND wait_event_type = 'Lock'"
    )
    with other_settings(stage.system, stage.worker, _LONG_LEASE):
        stage.world.desk_fault(kind="slow", operation="read_ticket", seconds=1.5)
        ticket_id = stage.queued()
        stage.says(stage.worker, f"ticket_id={ticket_id} ")
        with (
            psycopg.connect(stage.system.postgres.superuser_url, autocommit=True) as superuser,
            stage.world.admin() as connection,
        ):
            connection.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
            wait_for(lambda: superuser.execute(cancel).fetchall())
            stage.says(stage.worker, f"Database error: unreachable | ticket_id: {ticket_id},")
        with stage.cleared():
            stage.says(stage.worker, f"ticket_id={ticket_id}, reason=database unreachable")
            # Later than any reading of the document takes.
            stage.change(ticket_id, "due_at = now() + interval '5 minutes'")
            yield ticket_id
        stage.change(ticket_id, "due_at = now()")
        stage.world.ended(ticket_id)


def _crash(stage: FaultStage, process: Process) -> None:
    for _ in range(3):
        process.start()
        assert process.wait(20) is not None
        stage.shell.look()


@ends
@contextmanager
def crash_loop(stage: FaultStage) -> Iterator[str]:
    """Roll out a worker without a setting that it needs."""
    with stage.stopped(stage.worker, OPENAI_API_KEY=""):
        _crash(stage, stage.worker)
        yield stage.queued()


@contextmanager
def api_crash_loop(stage: FaultStage) -> Iterator[str]:
    """Roll out an API without a setting that it needs; the desk's calls fail."""
    with stage.stopped(stage.system.api, REDIS_URL=""):
        _crash(stage, stage.system.api)
        yield stage.world.create_ticket()


@contextmanager
def no_api(stage: FaultStage) -> Iterator[str]:
    with stage.stopped(stage.system.api):
        yield stage.world.create_ticket()


@ends
@contextmanager
def no_worker(stage: FaultStage) -> Iterator[str]:
    with stage.stopped(stage.worker):
        yield stage.queued()


@with_parameters
def worker_waits(stage: FaultStage, state: str) -> Iterator[str]:
    """Leave the worker's pod without a container; `state` is Kubernetes' reason."""
    with no_worker(stage) as ticket_id:
        stage.shell.held[stage.worker.name] = state
        try:
            yield ticket_id
        finally:
            del stage.shell.held[stage.worker.name]


@with_parameters
def while_a_rollout_waits(stage: FaultStage, inject: Inject, deployment: str, state: str) -> Iterator[str]:
    """Add a new pod of `api` or `worker` without a container; `state` is the reason."""
    process = {"api": stage.system.api, "worker": stage.worker}[deployment]
    with stage.shell.surging(process, state), inject(stage) as ticket_id:
        yield ticket_id
