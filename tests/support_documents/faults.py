"""The faults of the FAQ, each done to the running system for the length of a block, and the cause that it is."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from devstack.processes import Process
from devstack.system import System
from tests.e2e.world import World, wait_for
from tests.support_documents.shell import Shell

_BACKLOG = 64
WEBHOOK, QUEUING, BACKLOG, CRASHES, FAILURE, RUNNING, DELIVERED = (
    f"Resolution: {name}"
    for name in (
        "Webhook Delivery Failure",
        "Queuing Failure",
        "High Queue Backlog",
        "Worker Crashes",
        "Job Processing Failure",
        "Still Running",
        "Delivered",
    )
)
GPT4, DESK = "1. GPT-4 API Timeout/Error", "2. ServiceDesk Plus API Unavailable"
GONE, CONTEXT = "3. Invalid Ticket ID", "4. Context Gathering Timeout"


@dataclass(frozen=True)
class Stage:
    """The running system, its outside, and the person at a shell who is asked about it."""

    system: System
    world: World
    shell: Shell

    @property
    def worker(self) -> Process:
        return self.system.workers[0]

    def says(self, process: Process, text: str) -> None:
        """Wait until a process has said that."""
        wait_for(lambda: text in process.log_path.read_text(encoding="utf-8"))

    def failing(self, ticket_id: str) -> None:
        """Wait until an attempt at the ticket's job has failed."""
        self.says(self.worker, f"ticket_id={ticket_id}, reason=")

    def desk(self, **settings: Any) -> None:
        """Change how the desk is set up."""
        url = f"{self.system.state['desk_url']}/_sim/desks/acme"
        httpx.patch(url, json=settings, timeout=10).raise_for_status()


Inject = Callable[[Stage], AbstractContextManager[str]]


@dataclass(frozen=True)
class Fault:
    """What to do to the system (it answers with the ticket that a client asks about), and where support must arrive.

    `quick` is where the quicker way ends, if elsewhere.
    """

    name: str
    inject: Inject
    resolution: str
    cause: str
    quick: str | None = None


@contextmanager
def webhook_off(stage: Stage) -> Iterator[str]:
    """The desk's webhook is switched off."""
    stage.desk(webhook_url=None)
    yield stage.world.create_ticket()
    stage.desk(webhook_url=f"{stage.system.state['api_url']}/webhook")


@contextmanager
def wrong_secret(stage: Stage) -> Iterator[str]:
    """The secret was pasted with a blank at its end."""
    secret = stage.system.state["tenants"]["acme"]
    stage.desk(webhook_secret=f"{secret} ")
    ticket_id = stage.world.create_ticket()
    stage.says(stage.system.api, f"ticket_id: {ticket_id}, tenant_id: acme")
    yield ticket_id
    stage.desk(webhook_secret=secret)


@contextmanager
def wrong_form(stage: Stage) -> Iterator[str]:
    """The desk's template left the ticket's number empty."""
    ticket_id = stage.world.create_ticket(send_webhook=False)
    stage.world.send_webhook(ticket_id, body='{"tenant_id": "acme", "ticket_id": ""}')
    yield ticket_id


@contextmanager
def wrong_address(stage: Stage) -> Iterator[str]:
    """A typing mistake in the webhook's path."""
    stage.desk(webhook_url=f"{stage.system.state['api_url']}/webhok")
    ticket_id = stage.world.create_ticket()
    stage.says(stage.system.api, "status=404")
    yield ticket_id
    stage.desk(webhook_url=f"{stage.system.state['api_url']}/webhook")


@contextmanager
def worker_still(stage: Stage) -> Iterator[str]:
    """The worker is there and does nothing."""
    stage.worker.pause()
    ticket_id = stage.world.create_ticket()
    stage.says(stage.system.api, f"ticket_id={ticket_id} ")
    yield ticket_id
    stage.worker.resume()
    stage.world.ended(ticket_id)


@contextmanager
def healthy(stage: Stage) -> Iterator[str]:
    """Nothing is wrong."""
    ticket_id = stage.world.create_ticket()
    stage.world.ended(ticket_id)
    yield ticket_id


def gpt4(kind: str, **fault: Any) -> Inject:
    """GPT-4 has a fault for this ticket."""

    @contextmanager
    def inject(stage: Stage) -> Iterator[str]:
        subject = f"Scanner jams, {kind} {fault}"
        stage.world.openai_fault(kind=kind, match=subject, **fault)
        ticket_id = stage.world.create_ticket(subject)
        stage.failing(ticket_id)
        yield ticket_id
        stage.world.clear_faults()

    return inject


def desk(kind: str, operation: str, **fault: Any) -> Inject:
    """The desk has a fault for this ticket."""

    @contextmanager
    def inject(stage: Stage) -> Iterator[str]:
        ticket_id = stage.world.create_ticket(send_webhook=False)
        stage.world.desk_fault(kind=kind, operation=operation, tenant="acme", ticket_id=ticket_id, **fault)
        stage.world.send_webhook(ticket_id)
        stage.failing(ticket_id)
        yield ticket_id
        stage.world.clear_faults()

    return inject


def gone(change: Callable[[World, str], None]) -> Inject:
    """The ticket is not open any more when its webhook comes."""

    @contextmanager
    def inject(stage: Stage) -> Iterator[str]:
        ticket_id = stage.world.create_ticket(send_webhook=False)
        change(stage.world, ticket_id)
        assert stage.world.post_webhook(ticket_id).status_code == 202
        stage.world.ended(ticket_id)
        yield ticket_id

    return inject


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
    subject = "Scanner is slow"
    stage.world.openai_fault(kind="slow_stream", match=subject, seconds=0.6)
    ticket_id = stage.world.create_ticket(subject)
    wait_for(lambda: stage.world.gpt4_requests(subject))
    yield ticket_id
    stage.world.clear_faults()


@contextmanager
def too_few_workers(stage: Stage) -> Iterator[str]:
    """Over 50 jobs wait, since the desk is slow and the worker has few places."""
    stage.world.desk_fault(kind="slow", operation="read_ticket", seconds=4)
    tickets = [stage.world.create_ticket() for _ in range(_BACKLOG)]
    for ticket_id in tickets:
        stage.says(stage.system.api, f"ticket_id={ticket_id} ")
    yield tickets[-1]
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
        wait_for(lambda: stage.world.job(ticket_id)["lease_until"] < _now(stage))
        yield ticket_id
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
    yield ticket_id
    stage.system.restart(stage.worker, {"OPENAI_API_KEY": key})
    stage.world.ended(ticket_id)


def _now(stage: Stage) -> Any:
    with contextlib.closing(stage.world.admin()) as connection:
        row = connection.execute("SELECT now()").fetchone()
    assert row is not None
    return row[0]


FAULTS = [
    # These two first: one looks for what was started lately, the other for what was refused lately.
    Fault("webhook switched off", webhook_off, WEBHOOK, "Never Sent"),
    Fault("worker alive, takes nothing", worker_still, CRASHES, "Alive but Taking Nothing"),
    Fault("wrong secret", wrong_secret, WEBHOOK, "Refused With 403"),
    Fault("no ticket in the body", wrong_form, WEBHOOK, "Refused for Its Form"),
    Fault("wrong address", wrong_address, WEBHOOK, "Wrong Address"),
    Fault("healthy", healthy, DELIVERED, "Nothing Is Wrong"),
    Fault("GPT-4 timeout", gpt4("silence"), FAILURE, GPT4),
    Fault("GPT-4 429", gpt4("status", code=429), FAILURE, GPT4),
    Fault("desk timeout", desk("silence", "read_ticket"), FAILURE, DESK),
    Fault("desk 500", desk("status", "add_note", code=500), FAILURE, DESK),
    Fault("desk throttles", desk("status", "read_ticket", code=429), FAILURE, DESK),
    Fault("ticket deleted", gone(lambda world, ticket: world.delete_ticket(ticket)), FAILURE, GONE),
    Fault("ticket closed", gone(lambda world, ticket: world.change_ticket(ticket, status="Closed")), FAILURE, GONE),
    Fault("context timeout", slow_context, FAILURE, CONTEXT, quick="Nothing Is Wrong"),
    Fault("slow", slow_gpt4, RUNNING, "Slow but in Progress"),
    Fault("backlog", too_few_workers, BACKLOG, "Too Few Workers"),
    Fault("database down", no_database, CRASHES, "Database Down"),
    Fault("database lost in mid-job", database_lost, CRASHES, "Database Down"),
    Fault("Redis down", no_redis, QUEUING, "Redis or Both Stores Down"),
    Fault("worker killed in mid-job", worker_killed, CRASHES, "Crashing"),
    Fault("worker crash-looping", crash_loop, CRASHES, "Crashing"),
]
