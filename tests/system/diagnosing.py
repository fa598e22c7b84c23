"""`ai-agents diagnose` with a worker's settings, and its results."""

import json
from contextlib import closing
from typing import Any, NamedTuple, cast

from config.exit_codes import OF_VERDICTS
from dev.stack.system import System
from tests.kit.world import World, wait_for
from tests.system.by_hand import Answer, here
from tests.system.console_ground import ConsoleReader


class Diagnosed(NamedTuple):
    status: int
    said: dict[str, Any]

    @property
    def because(self) -> str:
        return "\n".join(fact["what"] for fact in self.said["because"])


def ask(system: System, *words: str, **settings: str) -> Answer:
    """Run `diagnose` with a worker's settings."""
    return here("diagnose", *words, **system.workers[0].environment | settings)


def diagnose(system: System, ticket_id: str, tenant: str = "acme", **settings: str) -> Diagnosed:
    """Diagnose a ticket; a console, which is given no settings, must give the same verdict."""
    if settings or "console_url" not in system.state:
        return diagnosed(system, ticket_id, tenant, **settings)
    with closing(ConsoleReader(system)) as reader:

        def agreed() -> Diagnosed | None:
            # The state may change in between, so both are read again.
            diagnosis = diagnosed(system, ticket_id, tenant)
            return diagnosis if reader.verdict(ticket_id, tenant) == diagnosis.said["verdict"] else None

        return cast("Diagnosed", wait_for(agreed))


def diagnosed(system: System, ticket_id: str, tenant: str = "acme", **settings: str) -> Diagnosed:
    """Return the result of the command alone."""
    return read(ask(system, "--ticket", ticket_id, "--tenant", tenant, "--json", **settings))


def read(answer: Answer) -> Diagnosed:
    """Read an answer of `diagnose --json`, whose exit status must be its verdict's."""
    assert answer.stdout, answer.stderr
    document = json.loads(answer.stdout)
    assert answer.returncode == document["exit_status"] == OF_VERDICTS[document["verdict"]], answer.stderr
    return Diagnosed(answer.returncode, document)


def verdict(system: System, ticket_id: str, tenant: str = "acme") -> str:
    return str(diagnose(system, ticket_id, tenant).said["verdict"])


def done(world: World, subject: str, tenant: str = "acme", **more: Any) -> str:
    ticket_id = world.create_ticket(subject, tenant, **more)
    assert world.ended(ticket_id, tenant)["state"] == "completed"
    return ticket_id
