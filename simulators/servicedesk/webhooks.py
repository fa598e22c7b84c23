"""Webhooks from a desk: signed, sent once, and every delivery remembered.

A real desk does not sign; its script or a proxy next to it does: hex over `<timestamp>.<body>`.
"""

import asyncio
import hmac
import itertools
import json
import secrets
import time
from collections import deque
from dataclasses import dataclass

import httpx
from pydantic import BaseModel, ConfigDict

from simulators.servicedesk.desk import SimulatedDesk
from simulators.servicedesk.records import StoredTicket

MAX_DELIVERIES = 20_000
TIMEOUT_SECONDS = 10.0


@dataclass(slots=True)
class SentWebhook:
    """One sent webhook. `status` and `answer` are None until, or unless, it was answered."""

    seq: int
    tenant: str
    ticket_id: str
    delivery_id: str
    time: float
    url: str
    headers: dict[str, str]
    body: str
    status: int | None = None
    answer: str | None = None
    error: str | None = None
    seconds: float | None = None


def sign(secret: str, delivery_id: str, body: bytes) -> dict[str, str]:
    """Return the headers of a webhook that is signed now."""
    timestamp = int(time.time())
    digest = hmac.digest(secret.encode(), f"{timestamp}.".encode() + body, "sha256").hex()
    return {
        "X-ServiceDesk-Signature": f"sha256={digest}",
        "X-ServiceDesk-Timestamp": str(timestamp),
        "X-ServiceDesk-Delivery": delivery_id,
    }


class Resend(BaseModel):
    """`POST /_sim/webhooks/{tenant}/{ticket_id}`: what is repeated or wrong in this webhook.

    `same_delivery_id` repeats the id of the ticket's last delivery; `body` replaces the whole body.
    """

    model_config = ConfigDict(extra="forbid")

    same_delivery_id: bool = False
    delivery_id: str | None = None
    wrong_signature: bool = False
    body: str | None = None


class WebhookSender:
    """Sends webhooks and remembers the newest 20,000 deliveries. Open it within the server's event loop."""

    def __init__(self) -> None:
        self._deliveries: deque[SentWebhook] = deque(maxlen=MAX_DELIVERIES)
        self._numbers = itertools.count(1)
        self._running: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Open the HTTP client."""
        # A connection for each webhook: one kept from the last could be closed by the receiver just then, and nobody
        # sends a webhook a second time.
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, limits=limits, trust_env=False)

    async def close(self) -> None:
        """Give up what is still under way and close the HTTP client."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def send_soon(self, desk: SimulatedDesk, ticket: StoredTicket, what: str) -> None:
        """Announce a ticket that was created or updated in the background; nothing happens without a webhook URL."""
        if desk.settings.webhook_url is None:
            return
        delivery = self.prepare(desk, ticket.id, ticket.subject, Resend(), what)
        task = asyncio.get_running_loop().create_task(self.send(delivery))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def prepare(
        self, desk: SimulatedDesk, ticket_id: str, subject: str, order: Resend, what: str = "created"
    ) -> SentWebhook:
        """Build, sign and remember a webhook; the desk must have a URL."""
        body = order.body if order.body is not None else _body(desk.tenant, ticket_id, subject, what)
        last = self.last(desk.tenant, ticket_id) if order.same_delivery_id else None
        delivery_id = last.delivery_id if last else order.delivery_id or f"dlv_{secrets.token_hex(12)}"
        secret = desk.settings.webhook_secret + ("-but-not-this-one" if order.wrong_signature else "")
        headers = sign(secret, delivery_id, body.encode(errors="replace"))
        delivery = SentWebhook(
            seq=next(self._numbers),
            tenant=desk.tenant,
            ticket_id=ticket_id,
            delivery_id=delivery_id,
            time=time.time(),
            url=desk.settings.webhook_url or "",
            headers={"Content-Type": "application/json", "User-Agent": "ManageEngine-ServiceDesk", **headers},
            body=body,
        )
        self._deliveries.append(delivery)
        return delivery

    async def send(self, delivery: SentWebhook) -> None:
        """Post a webhook once and record what came of it; never raises for a receiver's failure."""
        if self._client is None:
            raise RuntimeError("the sender is not open")
        started = time.monotonic()
        try:
            response = await self._client.post(
                delivery.url, content=delivery.body.encode(errors="replace"), headers=delivery.headers
            )
            delivery.status, delivery.answer = response.status_code, response.text[:4000]
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            delivery.error = f"{type(error).__name__}: {error}"[:500]
        delivery.seconds = round(time.monotonic() - started, 4)

    def deliveries(self, tenant: str | None = None, ticket_id: str | None = None) -> list[SentWebhook]:
        """Return the remembered deliveries in order, of one tenant or ticket if given."""
        return [
            delivery
            for delivery in self._deliveries
            if tenant in {None, delivery.tenant} and ticket_id in {None, delivery.ticket_id}
        ]

    def last(self, tenant: str, ticket_id: str) -> SentWebhook | None:
        """Return the latest delivery about a ticket, or None."""
        return next(reversed(self.deliveries(tenant, ticket_id)), None)


def _body(tenant: str, ticket_id: str, subject: str, what: str) -> str:
    announcement = {
        "tenant_id": tenant,
        "ticket_id": ticket_id,
        "event": f"ticket.{what}",
        "subject": subject,
    }
    return json.dumps(announcement, ensure_ascii=False)
