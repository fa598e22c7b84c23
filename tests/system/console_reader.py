"""What the console says of a ticket, to somebody of support who is logged in to it."""

import re

import httpx2

from devstack.system import System
from tests.system.console_ground import csrf_of

AWAY = "the database is away"
_VERDICT = re.compile(r'data-verdict="(\w+)"')


class ConsoleReader:
    """Reads pages of a system's console, with the token of its developer."""

    def __init__(self, system: System) -> None:
        self._client = httpx2.Client(base_url=system.state["console_url"], trust_env=False, timeout=30)
        form = {"token": system.state["console_token"], "csrf": csrf_of(self._client.get("/login"))}
        assert self._client.post("/login", data=form).status_code == 303

    def verdict(self, ticket_id: str, tenant: str = "acme") -> str:
        """The verdict of a ticket's page; AWAY where it says that the database is, and no verdict."""
        answer = self._client.get(f"/tickets/{tenant}/{ticket_id}")
        if answer.status_code == 503:
            assert "database" in answer.text
            return AWAY
        found = _VERDICT.search(answer.text)
        assert found, answer.text
        return found[1]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
