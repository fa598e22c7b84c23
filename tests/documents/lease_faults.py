"""Faults in mid-job, and after the worker's log is gone; see `faults`."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.documents.faults import FaultStage, Inject
from tests.documents.outages import slow_gpt4
from tests.kit.system import QUICK
from tests.kit.world import wait_for

_LONG_LEASE = {"LEASE_SECONDS": "45"}
_SHORT_LEASE = {"LEASE_SECONDS": QUICK["LEASE_SECONDS"]}


def worker_replaced(fault: Inject) -> Inject:
    """Replace the worker's pod after the fault; its log is lost."""

    @contextmanager
    def inject(stage: FaultStage) -> Iterator[str]:
        with fault(stage) as ticket_id:
            stage.roll_out("worker")
            yield ticket_id

    return inject


@contextmanager
def _lease_of(stage: FaultStage, seconds: dict[str, str]) -> Iterator[None]:
    try:
        stage.system.restart(stage.worker, seconds)
        yield
    finally:
        stage.system.restart(stage.worker, _SHORT_LEASE)


@contextmanager
def worker_back(stage: FaultStage) -> Iterator[str]:
    """Kill the worker in mid-job and restart it before its claim expires."""
    with _lease_of(stage, _LONG_LEASE):
        with slow_gpt4(stage) as ticket_id:
            stage.kill_worker()
            stage.system.restart(stage.worker)
            yield ticket_id
        with stage.world.admin() as connection:
            connection.execute("UPDATE jobs SET lease_until = now() WHERE ticket_id = %s", (ticket_id,))
        stage.world.ended(ticket_id)


def _relay_kept_away(stage: FaultStage, ticket_id: str) -> None:
    """Let its lease expire while an open transaction makes the relay skip the row."""
    wait_for(
        lambda: (
            "fell silent"
            in stage.shell.run(
                "kubectl exec deployment/ai-agents-api -n ai-agents-production -- ai-agents show "
                + str(stage.world.job(ticket_id)["id"])
            ).output
        )
    )


@contextmanager
def worker_silent(stage: FaultStage) -> Iterator[str]:
    """Stop the worker's machine in mid-job, and keep the relay away."""
    with slow_gpt4(stage) as ticket_id, stage.world.admin() as connection:
        stage.worker.pause()
        connection.execute("SELECT 1 FROM jobs WHERE ticket_id = %s FOR UPDATE", (ticket_id,))
        try:
            _relay_kept_away(stage, ticket_id)
            yield ticket_id
        finally:
            stage.worker.resume()
    stage.world.ended(ticket_id)


@contextmanager
def worker_silent_and_back(stage: FaultStage) -> Iterator[str]:
    """The same, with the worker killed and restarted."""
    with slow_gpt4(stage) as ticket_id, stage.world.admin() as connection:
        connection.execute("SELECT 1 FROM jobs WHERE ticket_id = %s FOR UPDATE", (ticket_id,))
        stage.kill_worker()
        stage.system.restart(stage.worker)
        _relay_kept_away(stage, ticket_id)
        yield ticket_id
    stage.world.ended(ticket_id)


@contextmanager
def last_attempt_lost(stage: FaultStage) -> Iterator[str]:
    """Lose the worker of a job's last attempt (set in the row)."""
    with slow_gpt4(stage) as ticket_id:
        stage.worker.pause()
        with stage.world.admin() as connection:
            connection.execute(
                "UPDATE jobs SET attempt = 8, lease_until = now() WHERE ticket_id = %s AND state = 'running'",
                (ticket_id,),
            )
        try:
            assert stage.world.ended(ticket_id)["state"] == "failed"
            yield ticket_id
        finally:
            stage.worker.resume()


@contextmanager
def claim_lost(stage: FaultStage) -> Iterator[str]:
    """Pause a worker past its claim, until another one has the job."""
    with slow_gpt4(stage) as ticket_id:
        stage.worker.pause()
        other = stage.system.add_worker()
        try:
            stage.says(other, f"ticket_id={ticket_id} ")
            stage.worker.resume()
            stage.says(stage.worker, f"ticket_id={ticket_id}, reason=claim lost")
            yield ticket_id
        finally:
            stage.worker.resume()
            stage.world.clear_faults()
            other.stop(8)
            stage.system.workers.remove(other)
    stage.world.ended(ticket_id)


@contextmanager
def attempt_too_long(stage: FaultStage) -> Iterator[str]:
    """Delay the desk past the attempt's time limit."""
    try:
        stage.system.restart(stage.worker, {"ATTEMPT_TIMEOUT_SECONDS": "1"})
        stage.world.desk_fault(kind="slow", operation="read_ticket", seconds=8)
        ticket_id = stage.queued()
        stage.says(stage.worker, f"ticket_id={ticket_id}, reason=attempt took too long")
        yield ticket_id
    finally:
        stage.world.clear_faults()
        stage.system.restart(stage.worker, {"ATTEMPT_TIMEOUT_SECONDS": ""})
    stage.world.ended(ticket_id)


def _due(stage: FaultStage, ticket_id: str, moment: str) -> None:
    with stage.world.admin() as connection:
        connection.execute(f"UPDATE jobs SET due_at = {moment} WHERE ticket_id = %s".encode(), (ticket_id,))  # noqa: S608 -- ours


@contextmanager
def statement_cancelled(stage: FaultStage) -> Iterator[str]:
    """Lock the table of jobs, then cancel the statements that wait for it."""
    waiting = "application_name = 'ai-agents worker' AND wait_event_type = 'Lock'"
    with _lease_of(stage, _LONG_LEASE):
        stage.world.desk_fault(kind="slow", operation="read_ticket", seconds=1.5)
        ticket_id = stage.queued()
        stage.says(stage.worker, f"ticket_id={ticket_id} ")
        with (
            psycopg.connect(stage.system.postgres.superuser_url, autocommit=True) as superuser,
            stage.world.admin() as connection,
        ):
            connection.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
            wait_for(
                lambda: superuser.execute(
                    f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {waiting}"  # noqa: S608 -- ours
                ).fetchall()
            )
            stage.says(stage.worker, f"Database error: unreachable | ticket_id: {ticket_id},")
        try:
            stage.says(stage.worker, f"ticket_id={ticket_id}, reason=database unreachable")
            # Later than any reading of the document takes.
            _due(stage, ticket_id, "now() + interval '5 minutes'")
            yield ticket_id
        finally:
            stage.world.clear_faults()
            _due(stage, ticket_id, "now()")
        stage.world.ended(ticket_id)
