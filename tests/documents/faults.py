"""The FAQ's faults as context managers on the running system, with their causes."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from devstack.processes import Process
from devstack.system import System
from tests.kit.faq_runner import Shell
from tests.kit.system import other_settings
from tests.kit.world import World, wait_for


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

    def kill_worker(self) -> None:
        """Kill the worker with SIGKILL, as Kubernetes does for memory."""
        os.kill(self.worker.pid, signal.SIGKILL)
        self.worker.wait(5)
        self.shell.look("OOMKilled")

    def roll_out(self, name: str) -> None:
        """Replace the pod of `api` or `worker`; its log is lost."""
        self.shell.replace({"api": self.system.api, "worker": self.worker}[name])


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


@contextmanager
def webhook_off(stage: FaultStage) -> Iterator[str]:
    stage.world.configure_desk(webhook_url=None)
    yield stage.world.create_ticket()
    stage.world.configure_desk(webhook_url=f"{stage.system.state['api_url']}/webhook")


@contextmanager
def wrong_secret(stage: FaultStage) -> Iterator[str]:
    """Paste the secret with a trailing blank."""
    secret = stage.system.state["tenants"]["acme"]
    stage.world.configure_desk(webhook_secret=f"{secret} ")
    ticket_id = stage.world.create_ticket()
    stage.says(stage.system.api, f"ticket_id: {ticket_id}, tenant_id: acme")
    try:
        yield ticket_id
    finally:
        stage.world.configure_desk(webhook_secret=secret)


@contextmanager
def _mistyped(stage: FaultStage, process: Process) -> Iterator[str]:
    """Start a process with a mistyped desk address; return the next ticket."""
    url = process.environment["SERVICEDESK_URL_ACME"]
    stage.system.restart(process, {"SERVICEDESK_URL_ACME": "nowhere"})
    try:
        yield stage.world.create_ticket()
    finally:
        stage.system.restart(process, {"SERVICEDESK_URL_ACME": url})


@contextmanager
def tenant_closed(stage: FaultStage) -> Iterator[str]:
    """Make a setting of the tenant unusable in the API."""
    with _mistyped(stage, stage.system.api) as ticket_id:
        stage.says(stage.system.api, "reason=tenant closed")
        yield ticket_id


@contextmanager
def too_many_waiting(stage: FaultStage) -> Iterator[str]:
    """Hold the worker and fill the tenant's limit of waiting jobs."""
    stage.worker.pause()
    try:
        with other_settings(stage.system, stage.system.api, {"acme.jobs.most_waiting": 1}):
            waits = stage.queued()
            ticket_id = stage.world.create_ticket()
            stage.says(stage.system.api, "reason=too many jobs waiting")
            yield ticket_id
    finally:
        stage.worker.resume()
    stage.world.ended(waits)


@contextmanager
def tenant_closed_in_worker(stage: FaultStage) -> Iterator[str]:
    """Make a setting unusable in the worker only."""
    with _mistyped(stage, stage.worker) as ticket_id:
        stage.failing(ticket_id)
        yield ticket_id
    stage.world.ended(ticket_id)


@contextmanager
def longer_number(stage: FaultStage) -> Iterator[str]:
    """Refuse a forged webhook of a ticket whose number begins with this one.

    This ticket's webhook is off.
    """
    with webhook_off(stage) as ticket_id:
        assert stage.world.post_webhook(f"{ticket_id}0", secret="somebody else's").status_code == 403
        stage.says(stage.system.api, f"ticket_id: {ticket_id}0, tenant_id: acme")
        yield ticket_id


def wrong_body(body: str) -> Inject:
    """Send such a body from the desk's template; `{}` is the ticket's number."""

    @contextmanager
    def inject(stage: FaultStage) -> Iterator[str]:
        ticket_id = stage.world.create_ticket(send_webhook=False)
        stage.world.send_webhook(ticket_id, body=body.replace("{}", ticket_id))
        yield ticket_id

    return inject


@contextmanager
def wrong_address(stage: FaultStage) -> Iterator[str]:
    """Mistype the webhook's path."""
    stage.world.configure_desk(webhook_url=f"{stage.system.state['api_url']}/webhok")
    ticket_id = stage.world.create_ticket()
    stage.says(stage.system.api, "status=404")
    try:
        yield ticket_id
    finally:
        stage.world.configure_desk(webhook_url=f"{stage.system.state['api_url']}/webhook")


@contextmanager
def worker_still(stage: FaultStage) -> Iterator[str]:
    """Keep the worker alive without taking jobs."""
    stage.worker.pause()
    ticket_id = stage.queued()
    try:
        yield ticket_id
    finally:
        stage.worker.resume()
    stage.world.ended(ticket_id)


@contextmanager
def healthy(stage: FaultStage) -> Iterator[str]:
    ticket_id = stage.world.create_ticket()
    stage.world.ended(ticket_id)
    yield ticket_id


def tell_of_a_change(world: World, ticket_id: str) -> None:
    """Change a ticket at a desk that sends a webhook for changes too."""
    world.configure_desk(webhook_on_update=True)
    world.change_ticket(ticket_id, subject="Scanner is slow, and loud")
    world.configure_desk(webhook_on_update=False)


@contextmanager
def sent_at_each_change(stage: FaultStage) -> Iterator[str]:
    """Send another webhook after the ticket's enhancement."""
    with healthy(stage) as ticket_id:
        tell_of_a_change(stage.world, ticket_id)
        wait_for(lambda: stage.world.job(ticket_id)["state"] == "skipped")
        yield ticket_id


@contextmanager
def forgotten(stage: FaultStage) -> Iterator[str]:
    """Forget the ticket before its webhook arrives."""
    ticket_id = stage.world.create_ticket(send_webhook=False)
    words = f"ai-agents forget --tenant acme --ticket {ticket_id} --yes"
    stage.shell.run(f"kubectl exec deployment/ai-agents-api -n ai-agents-production -- {words}")
    assert stage.world.post_webhook(ticket_id).status_code == 202
    assert stage.world.ended(ticket_id)["reason"] == "forgotten"
    yield ticket_id


def gone(change: Callable[[World, str], None]) -> Inject:
    """Close or delete the ticket before its webhook arrives."""

    @contextmanager
    def inject(stage: FaultStage) -> Iterator[str]:
        ticket_id = stage.world.create_ticket(send_webhook=False)
        change(stage.world, ticket_id)
        assert stage.world.post_webhook(ticket_id).status_code == 202
        stage.world.ended(ticket_id)
        yield ticket_id

    return inject
