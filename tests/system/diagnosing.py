"""`ai-agents diagnose` where a worker runs, and what it says of a ticket."""

import json
from typing import Any, NamedTuple

from config.exits import OF_VERDICTS
from devstack.system import System
from tests.kit.world import World
from tests.system.by_hand import Answer, here


class Diagnosed(NamedTuple):
    """What a diagnosis said, and its exit status."""

    status: int
    said: dict[str, Any]

    @property
    def because(self) -> str:
        """All that it rests on."""
        return "\n".join(fact["what"] for fact in self.said["because"])


def ask(system: System, *words: str, **settings: str) -> Answer:
    """What it says where a worker runs."""
    return here("diagnose", *words, **system.workers[0].environment | settings)


def diagnose(system: System, ticket_id: str, tenant: str = "acme", **settings: str) -> Diagnosed:
    """What it says of a ticket."""
    answer = ask(system, "--ticket", ticket_id, "--tenant", tenant, "--json", **settings)
    assert answer.stdout, answer.stderr
    said = json.loads(answer.stdout)
    assert answer.returncode == OF_VERDICTS[said["verdict"]], answer.stderr
    return Diagnosed(answer.returncode, said)


def verdict(system: System, ticket_id: str, tenant: str = "acme") -> str:
    """The verdict alone."""
    return str(diagnose(system, ticket_id, tenant).said["verdict"])


def done(world: World, subject: str, tenant: str = "acme", **more: Any) -> str:
    """A ticket that has its note."""
    ticket_id = world.create_ticket(subject, tenant, **more)
    assert world.ended(ticket_id, tenant)["state"] == "completed"
    return ticket_id
