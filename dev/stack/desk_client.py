"""The demo's client of the simulated desk, for tickets and notes."""

import re
from collections.abc import Sequence
from typing import Any

import httpx2

from dev.stack.environment import SimulatedTenant
from integrations.plain_text import lines_of

_SECONDS = 5.0
# Each tag becomes a blank, also before a colon.
_LINK = re.compile("</?a(?: [^>]*)?>")


class DeskClient(httpx2.Client):
    """Tickets and notes of the tenants' desks at `url`."""

    def __init__(self, url: str, tenants: Sequence[SimulatedTenant]) -> None:
        # The environment is ignored: its proxy must not get loopback requests.
        super().__init__(base_url=url, timeout=_SECONDS, trust_env=False)
        self._access = {tenant.id: {"authtoken": tenant.desk_key, "PORTALID": tenant.portal_id} for tenant in tenants}

    def create_ticket(self, ticket: dict[str, str]) -> str:
        """Create a ticket, which triggers its webhook; return its id. Raises HTTPError."""
        answer = self.post("/_sim/tickets", json=ticket).raise_for_status()
        return str(answer.json()["ticket_id"])

    def notes(self, tenant_id: str, ticket_id: str) -> list[str]:
        """Return a ticket's notes (HTML). Raises httpx2.HTTPError."""
        path = f"/requests/{ticket_id}/notes"
        listed = self._read(tenant_id, path)["notes"]
        return [self._read(tenant_id, f"{path}/{note['id']}")["note"]["description"] for note in listed]

    def _read(self, tenant_id: str, path: str) -> Any:
        headers = self._access[tenant_id] | {"Accept": "application/vnd.manageengine.sdp.v3+json"}
        return self.get(f"/{tenant_id}/api/v3{path}", headers=headers).raise_for_status().json()


def as_text(note: str) -> str:
    """Return a note's text with a dash before each item of a list."""
    note = _LINK.sub("", note).replace("<li>", "<li>- ")
    # Control characters of a note must not reach a terminal.
    return "".join(char for char in lines_of(note) if char.isprintable() or char == "\n")
