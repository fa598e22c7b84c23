"""What the desk meets: `POST /webhook`, kept on disk before it is answered; and `GET /health` for its admin."""

import asyncio
import hmac
import time
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from uuid_utils.compat import uuid7

from observability import metrics, phrases
from observability.logging import say
from signer.forwarding import Forwarding
from signer.spool import Delivery, Spool, SpoolFull
from webhooks.bodies import LARGEST_BODY_BYTES, read_unsigned, read_within
from webhooks.fields import DeskWebhook, Unusable, is_check, parse
from webhooks.json_text import Malformed

BODY_SECONDS = 10.0
_ADDRESS = "the address is http://HOST:PORT/webhook, the method POST"


@dataclass(eq=False)
class WebhookNotKept(Exception):
    """A webhook that is not kept: the status, and why in words for the desk's admin."""

    status: int
    reason: str


class SignerDoor:
    """Takes the webhooks of one tenant's desk."""

    def __init__(self, spool: Spool, forwarding: Forwarding, tenant_id: str, key: str) -> None:
        self._spool = spool
        self._forwarding = forwarding
        self._tenant_id = tenant_id
        self._key = key.encode()

    def create_app(self) -> Starlette:
        """Return the application of a web server."""
        routes = [Route("/webhook", self._receive, methods=["POST"]), Route("/health", self._health, methods=["GET"])]
        app = Starlette(routes=routes, exception_handlers={404: self._refuse_address, 405: self._refuse_address})
        # Not every desk would follow one.
        app.router.redirect_slashes = False
        return app

    async def _receive(self, request: Request) -> JSONResponse:
        """Keep a webhook; 202 once it is safe on disk."""
        try:
            webhook = await self._read(request)
            if webhook is None:
                return await self._check()
            delivery = Delivery(str(uuid7()), self._tenant_id, webhook.ticket_id, webhook.event, time.time())
            await self._keep(delivery)
        except WebhookNotKept as refused:
            return _refuse(refused)
        metrics.SIGNER_WEBHOOKS.labels("kept").inc()
        also = {"tenant_id": self._tenant_id, "delivery": delivery.id}
        say(phrases.WEBHOOK_KEPT, ticket_id=delivery.ticket_id, also=also)
        self._forwarding.arrived()
        return JSONResponse({"delivery": delivery.id, "status": "kept"}, 202)

    async def _read(self, request: Request) -> DeskWebhook | None:
        """Return what the webhook says; None if it is a check. Raises WebhookNotKept."""
        # As bytes: whatever comes can be compared, and in a time that tells nothing.
        if not hmac.compare_digest(request.headers.get("x-signer-key", "").encode(), self._key):
            raise WebhookNotKept(403, "the header X-Signer-Key is missing, or is not SIGNER_KEY")
        body = await _read_body(request)
        try:
            return _understood(body, self._tenant_id)
        except (Malformed, Unusable) as failure:
            raise WebhookNotKept(400, f"the body can't be read: {failure.cause}") from None

    async def _check(self) -> JSONResponse:
        """Ask the API at once, and say what it said: there is a person who waits for that."""
        verdict = await self._forwarding.check()
        works = verdict.what == "accepted"
        say(phrases.WAY_WORKS if works else phrases.WAY_FAILS, reason=verdict.words)
        return JSONResponse({"status": "verified"} if works else {"detail": verdict.words}, 200 if works else 502)

    async def _keep(self, delivery: Delivery) -> None:
        try:
            await self._spool.keep(delivery)
        except SpoolFull:
            oldest = f"the oldest for {self._forwarding.oldest_seconds():.0f}s"
            waiting = f"{len(self._spool.waiting)} wait, {oldest}, {self._spool.count_aside()} are set aside"
            raise WebhookNotKept(507, f"SIGNER_SPOOL_MEGABYTES is reached: {waiting}") from None
        except OSError as failure:
            say(phrases.SPOOL_FAILED, reason="a webhook can't be written", failure=failure)
            raise WebhookNotKept(503, "it can't be written to SIGNER_SPOOL_DIR") from None

    async def _health(self, _request: Request) -> JSONResponse:
        """Tell whether a webhook would be kept, how many wait, and for how long the oldest has."""
        ok, told = await self.health()
        return JSONResponse({"ok": ok, **told}, 200 if ok else 503)

    async def health(self) -> tuple[bool, dict[str, int]]:
        """Return True if a webhook that came now would be kept, and what there is of others."""
        told = {
            "waiting": len(self._spool.waiting),
            "oldest_seconds": round(self._forwarding.oldest_seconds()),
            "set_aside": self._spool.count_aside(),
        }
        return await self._spool.can_keep(), told

    async def _refuse_address(self, request: Request, _failure: Exception) -> JSONResponse:
        if request.url.path in ("/webhook", "/health"):
            return _refuse(WebhookNotKept(405, _ADDRESS))
        return _refuse(WebhookNotKept(404, _ADDRESS))


def _refuse(refused: WebhookNotKept) -> JSONResponse:
    metrics.SIGNER_WEBHOOKS.labels("refused").inc()
    # What the desk sends once is lost now: who looks for failures has to find it.
    lost = refused.status >= 500 or refused.status == 408
    say(phrases.WEBHOOK_LOST if lost else phrases.WEBHOOK_REFUSED, status=refused.status, reason=refused.reason)
    return JSONResponse({"detail": "forbidden" if refused.status == 403 else refused.reason}, refused.status)


def _understood(body: bytes, tenant_id: str) -> DeskWebhook | None:
    """Return what a body of the tenant's desk says; None if it is a check. Raises Malformed and Unusable."""
    payload = read_unsigned(body)
    if payload.get("tenant_id", tenant_id) != tenant_id:
        raise Malformed("tenant_id is another one than this signer signs for")
    return None if is_check(payload) else parse(payload)


async def _read_body(request: Request) -> bytes:
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise WebhookNotKept(400, "the body can't be read: it is compressed")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await read_within(request.stream(), LARGEST_BODY_BYTES)
    except TimeoutError:
        raise WebhookNotKept(408, "the body came too slowly") from None
    except ClientDisconnect:
        raise WebhookNotKept(408, "the connection ended before the body") from None
    if body is None:
        raise WebhookNotKept(413, f"the body is larger than {LARGEST_BODY_BYTES // 1024} KiB: send ids only")
    return body
