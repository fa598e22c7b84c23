"""Results of a webhook."""

import httpx2

from dev.stack.system import System
from tests.kit.world import World


def assert_one_note(world: World, ticket_id: str, tenant: str = "acme", seconds: float = 60) -> None:
    """Check that the job is completed and its ticket has one note."""
    row = world.ended(ticket_id, tenant, seconds)
    assert row["state"] == "completed"
    notes = world.notes(ticket_id, tenant)
    assert len(notes) == 1
    assert f"Ref {row['id']}" in notes[0]


def log_of(system: System, ticket_id: str) -> str:
    lines = system.api.log_path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if f"ticket_id: {ticket_id}," in f"{line},")


def exposition(system: System, process: str) -> str:
    return httpx2.get(system.state["metrics"][process], timeout=10).raise_for_status().text


def figures(system: System, process: str = "api") -> dict[str, float]:
    lines = [line.rpartition(" ") for line in exposition(system, process).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}
