"""What holds a tenant's jobs until somebody acts, and what the runbook's command shows of it then."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.kit.world import World, wait_for


@dataclass(frozen=True)
class TypedHold:
    """A hold that `settings` of acme make, as the section below `heading` has it.

    `reason` is what its jobs say; `promised` are phrases of the expectation, and `ours` what follows them here.
    """

    heading: str
    settings: Mapping[str, object]
    reason: str
    promised: tuple[str, ...]
    ours: str = ""

    @property
    def shown(self) -> list[str]:
        """What the command has to print."""
        return [*self.promised[:-1], self.promised[-1] + self.ours]

    def holds(self, world: World) -> bool:
        """Make a ticket, and return True if its job is held; the first may spend what a limit still lets through."""
        ticket_id = world.create_ticket()
        row = wait_for(lambda: (row := world.job(ticket_id)) and (row["reason"] or row["state"] == "completed") and row)
        return bool(row["reason"] == self.reason)


HOLDS = (
    TypedHold(
        "AiAgentsSpendingLimitReached",
        {"acme.openai.daily_tokens": 1},
        "spending limit of today reached",
        ("tenant_id=",),
        "acme",
    ),
    TypedHold(
        "AiAgentsModelHeld",
        {"OPENAI_API_KEY": "refused"},
        "model key refused",
        ("Hold error: ", "OpenAI API error: 401 Unauthorized"),
    ),
    TypedHold(
        "AiAgentsDeskHeld",
        {"SERVICEDESK_API_KEY_ACME": "refused"},
        "desk credentials refused",
        ("Hold error: desk of acme", "ServiceDesk Plus API error: 401"),
    ),
)
