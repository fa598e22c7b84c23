"""The FAQ's faults of webhooks, desk and GPT-4 as context managers on the running system; see `outages`."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

from cli.pilot.processes import Process, Server
from dev.stack.system import System
from tests.kit.faq_runner import Shell
from tests.kit.system import other_settings
from tests.kit.world import World, wait_for

_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class FaultStage:
    """The running system, its outside, and an operator at a shell."""

    system: System
    world: World
    shell: Shell

    @property
    def worker(self) -> Process:
        return self.system.workers[0]

    def says(self, process: Process, text: str) -> None:
        """Wait until a process has logged a text."""
        wait_for(lambda: text in process.log_path.read_text(encoding="utf-8"))

    def failing(self, ticket_id: str) -> None:
        """Wait until an attempt at the ticket's job has failed."""
        self.says(self.worker, f"ticket_id={ticket_id}, reason=")

    def queued(self, **ticket: Any) -> str:
        """Create a ticket and wait until its job is queued."""
        ticket_id = self.world.create_ticket(**ticket)
        self.says(self.system.api, f"ticket_id={ticket_id} ")
        return ticket_id

    def recorded(self) -> str:
        """Create a ticket and wait until its job has a row."""
        ticket_id = self.world.create_ticket()
        wait_for(lambda: self.world.job(ticket_id))
        return ticket_id

    def unsent(self) -> str:
        return self.world.create_ticket(send_webhook=False)

    def change(self, ticket_id: str, values: str) -> None:
        """Change the row of a ticket's job."""
        with self.world.admin() as connection:
            connection.execute(f"UPDATE jobs SET {values} WHERE ticket_id = %s".encode(), (ticket_id,))  # noqa: S608 -- ours

    def kill_worker(self) -> None:
        """Kill the worker with SIGKILL, as Kubernetes does for memory."""
        os.kill(self.worker.pid, signal.SIGKILL)
        self.worker.wait(5)
        self.shell.look("OOMKilled")

    def roll_out(self, name: str) -> None:
        """Replace the pod of `api` or `worker`; its log is lost."""
        self.shell.replace({"api": self.system.api, "worker": self.worker}[name])

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep the worker alive without taking jobs."""
        self.worker.pause()
        try:
            yield
        finally:
            self.worker.resume()

    @contextmanager
    def away(self, *servers: Server) -> Iterator[None]:
        for server in servers:
            server.stop()
        try:
            yield
        finally:
            for server in reversed(servers):
                server.restart()

    @contextmanager
    def stopped(self, process: Process, **settings: str) -> Iterator[None]:
        """Stop a process; without these settings it would start again."""
        own = {name: process.environment[name] for name in settings}
        process.stop(8)
        process.environment.update(settings)
        try:
            yield
        finally:
            self.system.restart(process, own)

    @contextmanager
    def desk_set(self, **settings: Any) -> Iterator[None]:
        own: dict[str, Any] = {"webhook_url": f"{self.system.state['api_url']}/webhook", "webhook_on_update": False}
        own["webhook_secret"] = self.system.state["tenants"]["acme"]
        self.world.configure_desk(**settings)
        try:
            yield
        finally:
            self.world.configure_desk(**{name: own[name] for name in settings})

    @contextmanager
    def cleared(self) -> Iterator[None]:
        """Clear the simulators' faults at the end."""
        try:
            yield
        finally:
            self.world.clear_faults()


P = ParamSpec("P")
Inject = Callable[[FaultStage], AbstractContextManager[str]]


@dataclass(frozen=True)
class FaqFault:
    """A fault, which returns the client's ticket, and where support must arrive.

    `quick`: the quick way's end, if it differs; `traced`: the trace's end; `json`: tried with JSON logs too.
    """

    name: str
    inject: Inject
    resolution: str
    cause: str
    quick: str | None = None
    traced: str | None = None
    json: bool = False


def with_parameters(generator: Callable[Concatenate[FaultStage, P], Iterator[str]]) -> Callable[P, Inject]:
    """Return a function that makes a fault of its parameters."""

    def of(*args: P.args, **kwargs: P.kwargs) -> Inject:
        return lambda stage: contextmanager(generator)(stage, *args, **kwargs)

    return of


def ends(inject: Inject) -> Inject:
    """Wait for the end of the ticket's job after the fault."""

    @contextmanager
    def also(stage: FaultStage) -> Iterator[str]:
        with inject(stage) as ticket_id:
            yield ticket_id
        stage.world.ended(ticket_id)

    return also


@contextmanager
def webhook_off(stage: FaultStage) -> Iterator[str]:
    with stage.desk_set(webhook_url=None):
        yield stage.world.create_ticket()


@contextmanager
def wrong_secret(stage: FaultStage) -> Iterator[str]:
    """Paste the secret with a trailing blank."""
    with stage.desk_set(webhook_secret=f"{stage.system.state['tenants']['acme']} "):
        ticket_id = stage.world.create_ticket()
        stage.says(stage.system.api, f"ticket_id: {ticket_id}, tenant_id: acme")
        yield ticket_id


@contextmanager
def tenant_closed(stage: FaultStage) -> Iterator[str]:
    """Make a setting of the tenant unusable in the API."""
    with other_settings(stage.system, stage.system.api, {"SERVICEDESK_URL_ACME": "nowhere"}):
        ticket_id = stage.world.create_ticket()
        stage.says(stage.system.api, "reason=tenant closed")
        yield ticket_id


@ends
@contextmanager
def tenant_closed_in_worker(stage: FaultStage) -> Iterator[str]:
    """Make a setting unusable in the worker only."""
    with other_settings(stage.system, stage.worker, {"SERVICEDESK_URL_ACME": "nowhere"}):
        ticket_id = stage.world.create_ticket()
        stage.failing(ticket_id)
        yield ticket_id


@contextmanager
def too_many_waiting(stage: FaultStage) -> Iterator[str]:
    """Hold the worker and fill the tenant's limit of waiting jobs."""
    with stage.paused(), other_settings(stage.system, stage.system.api, {"acme.jobs.most_waiting": 1}):
        waits, ticket_id = stage.queued(), stage.world.create_ticket()
        stage.says(stage.system.api, "reason=too many jobs waiting")
        yield ticket_id
    stage.world.ended(waits)


@contextmanager
def longer_number(stage: FaultStage) -> Iterator[str]:
    """Refuse a forged webhook of a ticket whose number begins with this one.

    This ticket's webhook is off.
    """
    with webhook_off(stage) as ticket_id:
        assert stage.world.post_webhook(f"{ticket_id}0", secret="somebody else's").status_code == 403
        stage.says(stage.system.api, f"ticket_id: {ticket_id}0, tenant_id: acme")
        yield ticket_id


@with_parameters
def wrong_body(stage: FaultStage, body: str) -> Iterator[str]:
    """Send such a body from the desk's template; `{}` is the ticket's number."""
    ticket_id = stage.unsent()
    stage.world.send_webhook(ticket_id, body=body.replace("{}", ticket_id))
    yield ticket_id


@contextmanager
def wrong_address(stage: FaultStage) -> Iterator[str]:
    """Mistype the webhook's path."""
    with stage.desk_set(webhook_url=f"{stage.system.state['api_url']}/webhok"):
        ticket_id = stage.world.create_ticket()
        stage.says(stage.system.api, "status=404")
        yield ticket_id


@contextmanager
def healthy(stage: FaultStage) -> Iterator[str]:
    ticket_id = stage.world.create_ticket()
    stage.world.ended(ticket_id)
    yield ticket_id


@with_parameters
def sent_at_a_change(stage: FaultStage, /, before: Inject, **job: str) -> Iterator[str]:
    """Change the ticket at a desk that sends webhooks for changes too, and wait for its job."""
    with before(stage) as ticket_id:
        with stage.desk_set(webhook_on_update=True):
            stage.world.change_ticket(ticket_id, subject="Scanner is slow, and loud")
        wait_for(lambda: job.items() <= stage.world.job(ticket_id).items())
        yield ticket_id


@contextmanager
def came_twice(stage: FaultStage) -> Iterator[str]:
    """Replace the API's pod after the job's end, and repeat the webhook."""
    with healthy(stage) as ticket_id:
        stage.roll_out("api")
        stage.world.send_webhook(ticket_id, same_delivery_id=True)
        yield ticket_id


@contextmanager
def came_twice_while_away(stage: FaultStage) -> Iterator[str]:
    """Repeat the webhook while Postgres is away: the duplicate is found afterwards."""
    with healthy(stage) as ticket_id:
        with stage.away(stage.system.postgres):
            stage.world.send_webhook(ticket_id, same_delivery_id=True)
        wait_for(lambda: stage.world.job(ticket_id)["state"] == "skipped")
        yield ticket_id


@contextmanager
def forgotten(stage: FaultStage) -> Iterator[str]:
    """Forget the ticket before its webhook arrives."""
    ticket_id = stage.unsent()
    words = f"ai-agents forget --tenant acme --ticket {ticket_id} --yes"
    stage.shell.run(f"kubectl exec deployment/ai-agents-api -n ai-agents-production -- {words}")
    assert stage.world.post_webhook(ticket_id).status_code == 202
    assert stage.world.ended(ticket_id)["reason"] == "forgotten"
    yield ticket_id


@with_parameters
def gone(stage: FaultStage, change: Callable[[World, str], None]) -> Iterator[str]:
    """Close or delete the ticket before its webhook arrives."""
    ticket_id = stage.unsent()
    change(stage.world, ticket_id)
    assert stage.world.post_webhook(ticket_id).status_code == 202
    stage.world.ended(ticket_id)
    yield ticket_id


@with_parameters
def gpt4(stage: FaultStage, /, kind: str, **fault: Any) -> Iterator[str]:
    # Redaction would hide a number, so letters identify the fault.
    told = "".join(chr(ord("a") + ord(each) % 26) for each in str(fault) if each.isalnum())
    subject = f"Scanner jams, {kind} like {told}"
    stage.world.openai_fault(kind=kind, match=subject, **fault)
    ticket_id = stage.world.create_ticket(subject)
    stage.failing(ticket_id)
    with stage.cleared():
        yield ticket_id


@with_parameters
def desk(stage: FaultStage, /, kind: str, operation: str, **fault: Any) -> Iterator[str]:
    ticket_id = stage.unsent()
    stage.world.desk_fault(kind=kind, operation=operation, tenant="acme", ticket_id=ticket_id, **fault)
    stage.world.send_webhook(ticket_id)
    stage.failing(ticket_id)
    with stage.cleared():
        yield ticket_id


@with_parameters
def held_by(stage: FaultStage, refused: Inject) -> Iterator[str]:
    """Hold the job with that fault for longer than a reading of the document takes."""
    with refused(stage) as ticket_id:
        stage.change(ticket_id, "due_at = now() + interval '1 hour'")
        yield ticket_id
        stage.change(ticket_id, "due_at = now()")
    # Otherwise the next fault's jobs would be held, and this job would meet that fault.
    stage.system.restart(stage.worker)
    stage.world.ended(ticket_id)


GPT4_KEY_REFUSED = held_by(gpt4("status", code=401, times=1))
DESK_KEY_REFUSED = held_by(desk("status", "read_ticket", code=401))


@contextmanager
def slow_gpt4(stage: FaultStage) -> Iterator[str]:
    """Slow GPT-4 by 1.2 s per piece: longer than a reading of the document."""
    subject = f"Scanner is slow, {next(_NUMBERS)}"
    stage.world.openai_fault(kind="slow_stream", match=subject, seconds=1.2, pieces=200)
    ticket_id = stage.world.create_ticket(subject)
    with stage.cleared():
        wait_for(lambda: stage.world.gpt4_requests(subject))
        yield ticket_id


@contextmanager
def slow_context(stage: FaultStage) -> Iterator[str]:
    """Lock the documents' table in another transaction."""
    with stage.world.admin() as connection:
        connection.execute("LOCK TABLE passages IN ACCESS EXCLUSIVE MODE")
        ticket_id = stage.world.create_ticket()
        stage.world.ended(ticket_id)
    yield ticket_id


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
    with stage.cleared():
        yield late
