"""The outside of the system under test: tickets, faults and database rows."""

import json
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx2
import psycopg
from psycopg.rows import dict_row

from dev.stack.system import System
from tests.kit.signing import timed

Found = TypeVar("Found")
# httpx2.post would load all authorities again each time.
_TLS = httpx2.create_ssl_context()


def wait_for(condition: Callable[[], Found], seconds: float = 30) -> Found:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s; the last answer was {found!r}"
        time.sleep(0.1)
    return found


class World:
    """The simulators and the database of a running system."""

    def __init__(self, system: System) -> None:
        self._desk = httpx2.Client(base_url=system.state["desk_url"], timeout=30)
        self._openai = httpx2.Client(base_url=system.state["openai_url"].removesuffix("/v1"), timeout=30)
        self._admin_url = system.state["database_admin_url"]
        self._api_url = system.state["api_url"]
        self._secrets = system.state["tenants"]
        self._desks = system.state["desks"]

    def close(self) -> None:
        self._desk.close()
        self._openai.close()

    def create_ticket(self, subject: str = "VPN does not connect from home", tenant: str = "acme", **more: Any) -> str:
        """Create a ticket on a desk, which posts its signed webhook; return its id."""
        body = {"tenant": tenant, "subject": subject, "description": f"<p>{subject}, since this morning.</p>", **more}
        return str(self._post(self._desk, "/_sim/tickets", body)["ticket_id"])

    def change_ticket(self, ticket_id: str, tenant: str = "acme", **change: Any) -> None:
        # json.dumps, because httpx2 rejects the lone surrogates that some tests need.
        self._desk.patch(f"/_sim/tickets/{tenant}/{ticket_id}", content=json.dumps(change)).raise_for_status()

    def configure_desk(self, tenant: str = "acme", **settings: Any) -> None:
        self._desk.patch(f"/_sim/desks/{tenant}", json=settings).raise_for_status()

    def deliveries(self, ticket_id: str, tenant: str = "acme") -> list[dict[str, Any]]:
        query = {"tenant": tenant, "ticket_id": ticket_id}
        sent: list[dict[str, Any]] = self._desk.get("/_sim/webhooks", params=query).json()["deliveries"]
        return sent

    def delete_ticket(self, ticket_id: str, tenant: str = "acme") -> None:
        self._desk.delete(f"/_sim/tickets/{tenant}/{ticket_id}").raise_for_status()

    def send_webhook(self, ticket_id: str, tenant: str = "acme", **how: Any) -> None:
        delivery = self._post(self._desk, f"/_sim/webhooks/{tenant}/{ticket_id}", how)
        assert delivery["error"] is None, delivery

    def post_webhook(
        self, ticket_id: str, tenant: str = "acme", headers: dict[str, str] | None = None, secret: str | None = None
    ) -> httpx2.Response:
        """Post a webhook without the desk, signed with the tenant's `secret`.

        The ticket need not exist.
        """
        body, signed = self.signed(ticket_id, tenant, secret)
        url, both = f"{self._api_url}/webhook", signed | (headers or {})
        return httpx2.post(url, content=body, headers=both, timeout=30, verify=_TLS)

    def signed_request(self, ticket_id: str, tenant: str = "acme") -> bytes:
        body, signed = self.signed(ticket_id, tenant)
        head = {"Host": "api", "Content-Length": str(len(body)), **signed}
        lines = ["POST /webhook HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def signed(self, ticket_id: str, tenant: str = "acme", secret: str | None = None) -> tuple[bytes, dict[str, str]]:
        body = json.dumps({"tenant_id": tenant, "ticket_id": ticket_id}).encode()
        return body, self.sign(body, tenant, secret)

    def sign(self, body: bytes, tenant: str = "acme", secret: str | None = None) -> dict[str, str]:
        return timed(secret or self._secrets[tenant], body)

    def notes(self, ticket_id: str, tenant: str = "acme") -> list[str]:
        answer = self._desk.get(f"/_sim/tickets/{tenant}/{ticket_id}").raise_for_status()
        return [note["description"] for note in answer.json()["notes"]]

    def remove_notes(self, ticket_id: str, tenant: str = "acme") -> None:
        self._desk.delete(f"/_sim/tickets/{tenant}/{ticket_id}/notes").raise_for_status()

    def feedback_link(self, ticket_id: str, tenant: str = "acme") -> str:
        (note,) = self.notes(ticket_id, tenant)
        (link,) = re.findall(r'href="([^"]*/f/[^"]*)"', note)
        return str(link)

    def vote(self, ticket_id: str, vote: str, tenant: str = "acme", **reason: str) -> None:
        link = self.feedback_link(ticket_id, tenant)
        httpx2.post(link, data={"vote": vote, **reason}, timeout=30, verify=_TLS).raise_for_status()

    def solve(self, ticket_id: str, resolution: str, tenant: str = "acme") -> None:
        desk = self._desks[tenant]
        form = {"input_data": json.dumps({"resolution": {"content": resolution}})}
        url = f"{desk['url']}/api/v3/requests/{ticket_id}/resolutions"
        httpx2.post(url, data=form, headers={"authtoken": desk["key"]}, timeout=30, verify=_TLS).raise_for_status()
        self.change_ticket(ticket_id, tenant, status="Closed")

    def steps(self, ticket_id: str, tenant: str = "acme") -> list[str]:
        answer = self.job(ticket_id, tenant)["enhancement"]
        return [step if isinstance(step, str) else step["text"] for step in answer["next_steps"]]

    def display_id(self, ticket_id: str, tenant: str = "globex") -> str:
        return str(self._desk.get(f"/_sim/tickets/{tenant}/{ticket_id}").raise_for_status().json()["display_id"])

    def desk_fault(self, **fault: Any) -> None:
        self._post(self._desk, "/_sim/faults", fault)

    def openai_fault(self, **fault: Any) -> None:
        self._post(self._openai, "/_sim/faults", fault)

    def faults(self) -> list[dict[str, Any]]:
        listed = [server.get("/_sim/faults").raise_for_status().json() for server in (self._desk, self._openai)]
        return [fault for answer in listed for fault in answer["faults"]]

    def clear_faults(self) -> None:
        for server in (self._desk, self._openai):
            server.delete("/_sim/faults").raise_for_status()

    def gpt4_requests(self, text: str) -> list[dict[str, Any]]:
        return [request for request in self.model_requests("chat") if text in str(request)]

    def model_requests(self, operation: str) -> list[dict[str, Any]]:
        requests = self._openai.get("/_sim/requests").raise_for_status().json()["requests"]
        return [request for request in requests if request["operation"] == operation]

    def desk_requests(self, tenant: str = "acme") -> list[dict[str, Any]]:
        answer = self._desk.get("/_sim/requests", params={"tenant": tenant}).raise_for_status()
        requests: list[dict[str, Any]] = answer.json()["requests"]
        return requests

    def jobs(self, ticket_id: str, tenant: str = "acme") -> list[dict[str, Any]]:
        question = "SELECT * FROM jobs WHERE tenant_id = %s AND ticket_id = %s ORDER BY accepted_at, id"
        with psycopg.connect(self._admin_url, row_factory=dict_row) as connection:
            return connection.execute(question, (tenant, ticket_id)).fetchall()

    def job(self, ticket_id: str, tenant: str = "acme") -> dict[str, Any]:
        """Return the newest row of a ticket's job; empty if there is none."""
        return (self.jobs(ticket_id, tenant) or [{}])[-1]

    def admin(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._admin_url)

    def ended(self, ticket_id: str, tenant: str = "acme", seconds: float = 60) -> dict[str, Any]:
        wait_for(lambda: self.job(ticket_id, tenant).get("state") in ("completed", "skipped", "failed"), seconds)
        return self.job(ticket_id, tenant)

    def _post(self, server: httpx2.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = server.post(path, json=body).raise_for_status().json()
        return answer
