"""Webhooks from a desk: signed, sent once, and every delivery remembered.

A real desk does not sign; its script or a proxy next to it does. Schemes: `servicedesk` (hex over
`<timestamp>.<body>`), `github` (`X-Hub-Signature-256` over the body), `standard` (Standard Webhooks).
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import itertools
import json
import secrets
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from simulators.servicedesk.desk import Desk
from simulators.servicedesk.records import Ticket

MAX_DELIVERIES = 20_000
TIMEOUT_SECONDS = 10.0
STALE_SECONDS = 3600


@dataclass(slots=True)
class Delivery:
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

    def as_json(self) -> dict[str, Any]:
        """Return the delivery as the control interface shows it."""
        return asdict(self)


def _standard_key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return secret.encode()


def sign(scheme: str, secret: str, delivery_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a signed webhook; `timestamp` is Unix seconds."""
    if scheme == "github":
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return {"X-Hub-Signature-256": f"sha256={digest}", "X-ServiceDesk-Delivery": delivery_id}
    if scheme == "standard":
        signed = f"{delivery_id}.{timestamp}.".encode() + body
        mac = hmac.new(_standard_key(secret), signed, hashlib.sha256).digest()
        return {
            "webhook-id": delivery_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        }
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "X-ServiceDesk-Signature": f"sha256={digest}",
        "X-ServiceDesk-Timestamp": str(timestamp),
        "X-ServiceDesk-Delivery": delivery_id,
    }


@dataclass(frozen=True, slots=True)
class Flaws:
    """What is wrong with a webhook, or repeated in it, on demand."""

    delivery_id: str | None = None
    wrong_signature: bool = False
    no_signature: bool = False
    stale_timestamp: bool = False
    body: str | None = None
    secret: str | None = None


class WebhookSender:
    """Sends webhooks and remembers the newest 20,000 deliveries. Open it within the server's event loop."""

    def __init__(self) -> None:
        self._deliveries: deque[Delivery] = deque(maxlen=MAX_DELIVERIES)
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

    def send_soon(self, desk: Desk, ticket: Ticket, what: str) -> None:
        """Announce a ticket that was created or updated in the background; nothing happens without a webhook URL."""
        if desk.settings.webhook_url is None:
            return
        delivery = self.prepare(desk, ticket.id, ticket.subject, Flaws(), what)
        task = asyncio.get_running_loop().create_task(self.send(delivery))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def prepare(self, desk: Desk, ticket_id: str, subject: str, flaws: Flaws, what: str = "created") -> Delivery:
        """Build, sign and remember a webhook; the desk must have a URL."""
        body = flaws.body if flaws.body is not None else _body(desk.tenant, ticket_id, subject, what)
        delivery_id = flaws.delivery_id or f"dlv_{secrets.token_hex(12)}"
        timestamp = int(time.time()) - (STALE_SECONDS if flaws.stale_timestamp else 0)
        secret = flaws.secret if flaws.secret is not None else desk.settings.webhook_secret
        if flaws.wrong_signature:
            secret += "-but-not-this-one"
        headers = sign(desk.settings.webhook_scheme, secret, delivery_id, timestamp, body.encode(errors="replace"))
        if flaws.no_signature:
            headers = {name: value for name, value in headers.items() if "signature" not in name.lower()}
        delivery = Delivery(
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

    async def send(self, delivery: Delivery) -> None:
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

    def deliveries(self, tenant: str | None = None, ticket_id: str | None = None) -> list[Delivery]:
        """Return the remembered deliveries in order, of one tenant or ticket if given."""
        return [
            delivery
            for delivery in self._deliveries
            if tenant in {None, delivery.tenant} and ticket_id in {None, delivery.ticket_id}
        ]

    def last(self, tenant: str, ticket_id: str) -> Delivery | None:
        """Return the latest delivery about a ticket, or None."""
        return next(reversed(self.deliveries(tenant, ticket_id)), None)

    def forget(self) -> None:
        """Forget all deliveries."""
        self._deliveries.clear()


def _body(tenant: str, ticket_id: str, subject: str, what: str) -> str:
    announcement = {
        "tenant_id": tenant,
        "ticket_id": ticket_id,
        "event": f"ticket.{what}",
        "subject": subject,
    }
    return json.dumps(announcement, ensure_ascii=False)
