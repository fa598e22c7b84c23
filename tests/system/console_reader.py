"""The console's verdict on a ticket, read with a support login."""

import re

import httpx2

from devstack.system import System
from tests.system.console_ground import csrf_of

AWAY = "the database is away"
_VERDICT = re.compile(r'data-verdict="(\w+)"')


class ConsoleReader:
    def __init__(self, system: System) -> None:
        self._client = httpx2.Client(base_url=system.state["console_url"], trust_env=False, timeout=30)
        form = {"token": system.state["console_token"], "csrf": csrf_of(self._client.get("/login"))}
        assert self._client.post("/login", data=form).status_code == 303

    def verdict(self, ticket_id: str, tenant: str = "acme") -> str:
        """Return the verdict of a ticket's page, or AWAY if the database is unavailable."""
        answer = self._client.get(f"/tickets/{tenant}/{ticket_id}")
        if answer.status_code == 503:
            assert "database" in answer.text
            return AWAY
        found = _VERDICT.search(answer.text)
        assert found, answer.text
        return found[1]

    def close(self) -> None:
        self._client.close()
