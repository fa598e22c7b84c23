"""The FAQ's faults of GPT-4 and of the desk, each for one ticket."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.documents.faults import FaultStage, Inject


@contextmanager
def _failing(stage: FaultStage, ticket_id: str) -> Iterator[None]:
    stage.failing(ticket_id)
    try:
        yield
    finally:
        stage.world.clear_faults()


def gpt4(kind: str, **fault: Any) -> Inject:
    @contextmanager
    def inject(stage: FaultStage) -> Iterator[str]:
        # Redaction would hide a number, so letters identify the fault.
        told = "".join(chr(ord("a") + ord(each) % 26) for each in str(fault) if each.isalnum())
        subject = f"Scanner jams, {kind} like {told}"
        stage.world.openai_fault(kind=kind, match=subject, **fault)
        ticket_id = stage.world.create_ticket(subject)
        with _failing(stage, ticket_id):
            yield ticket_id

    return inject


def desk(kind: str, operation: str, **fault: Any) -> Inject:
    @contextmanager
    def inject(stage: FaultStage) -> Iterator[str]:
        ticket_id = stage.world.create_ticket(send_webhook=False)
        stage.world.desk_fault(kind=kind, operation=operation, tenant="acme", ticket_id=ticket_id, **fault)
        stage.world.send_webhook(ticket_id)
        with _failing(stage, ticket_id):
            yield ticket_id

    return inject


def held_by(refused: Inject) -> Inject:
    """Hold the job with that fault for longer than a reading of the document takes."""
    due = b"UPDATE jobs SET due_at = now() + interval '1 minute' * %s WHERE ticket_id = %s AND state = 'waiting'"

    @contextmanager
    def inject(stage: FaultStage) -> Iterator[str]:
        with refused(stage) as ticket_id, stage.world.admin() as connection:
            connection.autocommit = True
            connection.execute(due, (60, ticket_id))
            yield ticket_id
            connection.execute(due, (0, ticket_id))
        # Otherwise the next fault's jobs would be held, and this job would meet that fault.
        stage.system.restart(stage.worker)
        stage.world.ended(ticket_id)

    return inject


GPT4_KEY_REFUSED = held_by(gpt4("status", code=401, times=1))
DESK_KEY_REFUSED = held_by(desk("status", "read_ticket", code=401))
