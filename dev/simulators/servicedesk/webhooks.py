"""Webhooks of a desk: sent once, never retried; every delivery is recorded.

A real desk does not sign; its script or function does: hex over `<timestamp>.<body>`. If a test has no script or form
(`dev.simulators.servicedesk.settings`), the simulator signs in their place.
"""

import asyncio
import hmac
import json
import re
import secrets
import shlex
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2
from pydantic import BaseModel, ConfigDict

from dev.simulators.servicedesk.desk import SimulatedDesk
from dev.simulators.servicedesk.records import StoredTicket
from dev.simulators.servicedesk.settings import WebhookForm
from dev.simulators.servicedesk.shapes import ticket_in_full

MAX_DELIVERIES = 20_000
TIMEOUT_SECONDS = 10.0
# No public page lists the variables of the webhook's form. These are names from elsewhere: subjects of mails ("[Request
# ID :##$RequestID##]") and scripts' arguments (`$SUBJECT`, `$PRIORITY`, `$STATUS` on the vendor's page on custom
# triggers, `$WORKORDERID` in github.com/jkrhrt/SDPUpdate). That the form supports them too is a guess.
_VARIABLE = re.compile(r"\$(RequestID|WORKORDERID|SUBJECT|PRIORITY|STATUS)\b")


_FILE = "$COMPLETE_V3_JSON_FILE"
# A real desk's time limit is not known; this one keeps a test from hanging.
_MAX_SECONDS = 120.0


@dataclass(slots=True)
class SentWebhook:
    """One sent webhook. `status` and `answer` are None until it is answered.

    For a command the answer is its output, with its `exit_status`.
    """

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
    exit_status: int | None = None
    seconds: float | None = None


def sign(secret: str, delivery_id: str, body: bytes) -> dict[str, str]:
    timestamp = int(time.time())
    digest = hmac.digest(secret.encode(), f"{timestamp}.".encode() + body, "sha256").hex()
    return {
        "X-ServiceDesk-Signature": f"sha256={digest}",
        "X-ServiceDesk-Timestamp": str(timestamp),
        "X-ServiceDesk-Delivery": delivery_id,
    }


class Resend(BaseModel):
    """`POST /_sim/webhooks/{tenant}/{ticket_id}`: repeat or corrupt a webhook.

    `same_delivery_id` repeats the id of the ticket's last delivery; `body` replaces the whole body.
    """

    model_config = ConfigDict(extra="forbid")

    same_delivery_id: bool = False
    delivery_id: str | None = None
    wrong_signature: bool = False
    body: str | None = None


class WebhookSender:
    """Sends webhooks and records the newest 20,000. Open it in the server's loop."""

    def __init__(self) -> None:
        self._deliveries: deque[SentWebhook] = deque(maxlen=MAX_DELIVERIES)
        self._running: set[asyncio.Task[None]] = set()
        self._client: httpx2.AsyncClient

    async def __aenter__(self) -> Self:
        # One connection a webhook: the receiver could close a kept one just then, and a webhook is never retried.
        limits = httpx2.Limits(max_connections=100, max_keepalive_connections=0)
        self._client = httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, limits=limits, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._client.aclose()

    def send_soon(self, desk: SimulatedDesk, ticket: StoredTicket, event: str) -> None:
        """Announce a created or updated ticket in the background, as the desk is set up."""
        settings = desk.settings
        if settings.trigger_command is not None:
            delivery = self._remember(desk, ticket.id, shlex.join(settings.trigger_command), {}, "")
            work = self._run(delivery, settings.trigger_command, ticket_in_full(ticket, settings.edition))
        elif settings.webhook_form is not None:
            form = settings.webhook_form
            delivery = self._remember(desk, ticket.id, form.url, form.headers, filled(form, ticket))
            work = self.send(delivery, form.method)
        elif settings.webhook_url is not None:
            work = self.send(self.prepare(desk, ticket.id, ticket.subject, Resend(), event))
        else:
            return
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def prepare(
        self, desk: SimulatedDesk, ticket_id: str, subject: str, order: Resend, event: str = "created"
    ) -> SentWebhook:
        body = order.body if order.body is not None else _body(desk.tenant, ticket_id, subject, event)
        last = self.last(desk.tenant, ticket_id) if order.same_delivery_id else None
        delivery_id = last.delivery_id if last else order.delivery_id or f"dlv_{secrets.token_hex(12)}"
        secret = desk.settings.webhook_secret + ("-but-not-this-one" if order.wrong_signature else "")
        headers = sign(secret, delivery_id, body.encode(errors="replace"))
        headers = {"Content-Type": "application/json", "User-Agent": "ManageEngine-ServiceDesk", **headers}
        return self._remember(desk, ticket_id, desk.settings.webhook_url or "", headers, body, delivery_id)

    def _remember(
        self, desk: SimulatedDesk, ticket_id: str, url: str, headers: dict[str, str], body: str, delivery_id: str = ""
    ) -> SentWebhook:
        delivery = SentWebhook(desk.tenant, ticket_id, delivery_id, time.time(), url, headers, body)
        self._deliveries.append(delivery)
        return delivery

    async def _run(self, delivery: SentWebhook, command: list[str], ticket: dict[str, Any]) -> None:
        started = time.monotonic()
        try:
            delivery.exit_status, delivery.answer = await run_command(command, ticket)
        except OSError as error:
            delivery.error = f"{type(error).__name__}: {error}"[:500]
        delivery.seconds = round(time.monotonic() - started, 4)

    async def send(self, delivery: SentWebhook, method: str = "POST") -> None:
        """Send a webhook once and record the result, also a receiver's failure."""
        started = time.monotonic()
        try:
            response = await self._client.request(
                method, delivery.url, content=delivery.body.encode(errors="replace"), headers=delivery.headers
            )
            delivery.status, delivery.answer = response.status_code, response.text[:4000]
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            delivery.error = f"{type(error).__name__}: {error}"[:500]
        delivery.seconds = round(time.monotonic() - started, 4)

    def deliveries(self, tenant: str | None = None, ticket_id: str | None = None) -> list[SentWebhook]:
        return [
            delivery
            for delivery in self._deliveries
            if tenant in {None, delivery.tenant} and ticket_id in {None, delivery.ticket_id}
        ]

    def last(self, tenant: str, ticket_id: str) -> SentWebhook | None:
        return next(reversed(self.deliveries(tenant, ticket_id)), None)


async def run_command(command: list[str], ticket: dict[str, Any]) -> tuple[int, str]:
    """Run a custom trigger's command; return its exit status and output.

    After https://help.servicedeskplus.com/executing_script_in_business_rule: `$COMPLETE_V3_JSON_FILE` is the path of a
    temporary file `<requestid_timestamp>.json`, which holds `{"request": {...}}` and is deleted after the run. Raises
    OSError if the command cannot start.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{ticket['id']}_{time.time_ns() // 1_000_000}.json"
        file.write_text(json.dumps({"request": ticket}), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *(str(file) if part == _FILE else part for part in command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(_MAX_SECONDS):
                printed, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return process.returncode or 0, printed.decode(errors="replace")[:4000]


def filled(form: WebhookForm, ticket: StoredTicket) -> str:
    """Return the form's text with values; quotes break JSON, as on a real desk."""
    values = {
        "RequestID": ticket.id,
        "WORKORDERID": ticket.id,
        "SUBJECT": ticket.subject,
        "PRIORITY": ticket.priority or "",
        "STATUS": ticket.status,
    }
    return _VARIABLE.sub(lambda match: values[match[1]], form.body)


def _body(tenant: str, ticket_id: str, subject: str, event: str) -> str:
    announcement = {"tenant_id": tenant, "ticket_id": ticket_id, "event": f"ticket.{event}", "subject": subject}
    return json.dumps(announcement, ensure_ascii=False)
