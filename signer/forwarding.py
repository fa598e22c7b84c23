"""Signing and forwarding what waits, again and again until the API has accepted it.

One at a time, of those that were tried least often the oldest: so one that always fails stands behind all others. After
a failure nothing is sent for a while, which grows; a webhook that has just come is tried at once all the same, unless
the API has said when to come back.
"""

import asyncio
import contextlib
import json
import random
import ssl
import time
from collections.abc import Mapping
from typing import Any, NoReturn
from uuid import UUID

import httpx2
from uuid_utils.compat import uuid7

from config.tenant_directory import TenantDirectory
from config.tenant_names import setting_suffix
from observability import metrics, phrases
from observability.logging import say
from observability.outage import Outage
from signer.spool import Delivery, Spool
from signer.verdicts import Verdict, is_reason, judge, pause_seconds, retry_after_seconds
from webhooks.bodies import read_within
from webhooks.fields import CHECK_EVENT
from webhooks.signing import DELIVERY_HEADER, signed_headers

ANSWER_SECONDS = 30.0
ACCEPTED = 202
"""How the API answers a webhook that it has taken; its body has the job's id."""
OLD_SECONDS = 86400.0
_SHORTEST_PAUSE_SECONDS = 0.5
# How often the settings are looked at for a secret that a person has mended.
_LOOK_SECONDS = 1.0
_LARGEST_ANSWER_BYTES = 4096
_REST_SECONDS = 2.0
_UNREACHED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)


def open_client(trusted: ssl.SSLContext) -> httpx2.AsyncClient:
    """Return a client that follows no redirect, and takes the proxies of the environment (`HTTPS_PROXY`, `NO_PROXY`).

    Raises ValueError or ImportError for a proxy that can't be used.
    """
    return httpx2.AsyncClient(
        verify=trusted,
        trust_env=True,
        follow_redirects=False,
        timeout=httpx2.Timeout(ANSWER_SECONDS, connect=10),
        limits=httpx2.Limits(max_connections=2, keepalive_expiry=3),
        headers={"Accept-Encoding": "identity", "User-Agent": "ai-agents-signer"},
    )


class Forwarding:
    """The tries of one tenant's webhooks at one address."""

    def __init__(
        self, spool: Spool, tenants: TenantDirectory, tenant_id: str, url: str, client: httpx2.AsyncClient
    ) -> None:
        self._spool = spool
        self._tenants = tenants
        self._tenant_id = tenant_id
        self._url = url
        self._client = client
        self._woken = asyncio.Event()
        self._tries: dict[str, int] = {}
        self._failures = 0
        # Of the monotonic clock: when something may be sent again, and what not even a new webhook passes.
        self._send_at = self._closed_until = 0.0
        self._tried_with: str | None = None
        self._arrived = False
        self._outage = Outage(phrases.FORWARDING_FAILED)
        self._old = Outage(phrases.WEBHOOKS_OLD, again_seconds=3600)

    def arrived(self) -> None:
        """Try a webhook that has just been kept."""
        self._arrived = True
        self._send_at = min(self._send_at, max(self._closed_until, time.monotonic()))
        self._woken.set()

    def oldest_seconds(self) -> float:
        """For how long the oldest webhook has waited; 0 if none waits."""
        kept = [delivery.kept_at for delivery in self._spool.waiting.values()]
        return max(0.0, time.time() - min(kept)) if kept else 0.0

    async def run(self) -> NoReturn:
        """Forward until cancelled."""
        while True:
            pause = self._send_at - time.monotonic()
            if not self._spool.waiting:
                await self._wait(None)
            elif pause > 0 and not self._is_mended():
                await self._wait(min(pause, _LOOK_SECONDS))
            else:
                await self._try(min(self._spool.waiting.values(), key=lambda one: (self._tries.get(one.id, 0), one.id)))

    async def _wait(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    def _secret(self) -> str | None:
        tenant = self._tenants.get(self._tenant_id)
        return tenant.webhook_secrets[0] if tenant is not None and tenant.webhook_secrets else None

    def _is_mended(self) -> bool:
        """Return True if the secret is another one than at the last failure."""
        return self._secret() != self._tried_with and time.monotonic() >= self._closed_until

    async def check(self) -> Verdict:
        """Post a signed webhook that makes no job, once, whatever waits; what its answer means."""
        secret = self._secret()
        if secret is None:
            return self._without_secret()
        verdict, _, _ = await self._post(secret, {"tenant_id": self._tenant_id, "event": CHECK_EVENT}, str(uuid7()))
        return verdict

    async def _try(self, delivery: Delivery) -> None:
        self._arrived = False
        secret = self._tried_with = self._secret()
        if secret is None:
            self._failed(delivery, self._without_secret())
            return
        content = {"tenant_id": delivery.tenant_id, "ticket_id": delivery.ticket_id}
        content |= {"event": delivery.event} if delivery.event else {}
        try:
            verdict, wait, job_id = await self._post(secret, content, delivery.id)
        except Exception as failure:  # noqa: BLE001 -- the others must not wait for a restart, nor for this one
            self._failed(delivery, Verdict("later", "unexpected failure"), failure=failure)
            return
        if verdict.what == "later":
            self._failed(delivery, verdict, wait)
        else:
            self._ended(delivery, verdict, job_id)

    def _without_secret(self) -> Verdict:
        words = f"WEBHOOK_SECRET_{setting_suffix(self._tenant_id)} is missing: nothing can be signed"
        return Verdict("later", words, slow=True, reached=False)

    async def _post(self, secret: str, content: dict[str, str], delivery_id: str) -> tuple[Verdict, float, str | None]:
        """Return what the answer means, the seconds that it asks to wait, and the job's id if it has one."""
        body = json.dumps(content).encode()
        headers = signed_headers(secret, body, time.time()) | {DELIVERY_HEADER: delivery_id}
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self._client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                wait = retry_after_seconds(response.headers.get("retry-after"), time.time())
                told = await _told(response)
                taken = response.status_code == ACCEPTED and _job_id(told) is not None
                checked = "ticket_id" not in content and told.get("status") == "verified"
                by_api = (
                    taken or checked if response.is_success else is_reason(response.status_code, told.get("detail"))
                )
                return judge(response.status_code, self._tenant_id, by_api=by_api), wait, _job_id(told)
        except (httpx2.HTTPError, TimeoutError) as failure:
            return Verdict("later", _words(failure), reached=not isinstance(failure, _UNREACHED)), 0.0, None

    def _failed(
        self, delivery: Delivery, verdict: Verdict, wait: float = 0.0, failure: Exception | None = None
    ) -> None:
        """Keep it; if the API refused it, behind those that were tried less often."""
        self._tries[delivery.id] = self._tries.get(delivery.id, 0) + verdict.reached
        self._failures += 1
        pause = pause_seconds(self._failures, slow=verdict.slow, jitter=random.random())  # noqa: S311 -- no secret
        now = time.monotonic()
        self._closed_until = now + max(_SHORTEST_PAUSE_SECONDS, wait)
        # One that came during this try waits for no pause either.
        self._send_at = self._closed_until if self._arrived else max(self._closed_until, now + pause)
        metrics.SIGNER_WEBHOOKS.labels("failed").inc()
        waiting = f"{len(self._spool.waiting)} waiting, the oldest for {self.oldest_seconds():.0f}s"
        self._outage.seen(f"{verdict.words}; {waiting}", failure)
        if self.oldest_seconds() > OLD_SECONDS:
            self._old.seen(waiting)

    def _ended(self, delivery: Delivery, verdict: Verdict, job_id: str | None) -> None:
        """Remove it: it was accepted, or never will be."""
        self._tries.pop(delivery.id, None)
        self._failures = 0
        self._send_at = self._closed_until = 0.0
        also = {"tenant_id": delivery.tenant_id, "delivery": delivery.id} | ({"job_id": job_id} if job_id else {})
        try:
            if verdict.what == "accepted":
                self._spool.drop(delivery)
            else:
                self._spool.set_aside(delivery)
        except OSError as failure:
            say(phrases.SPOOL_FAILED, reason="a file stays, and is forwarded again after a restart", failure=failure)
        if verdict.what == "accepted":
            metrics.SIGNER_WEBHOOKS.labels("forwarded").inc()
            say(phrases.WEBHOOK_FORWARDED, ticket_id=delivery.ticket_id, also=also)
        else:
            metrics.SIGNER_WEBHOOKS.labels("set aside").inc()
            say(phrases.WEBHOOK_SET_ASIDE, ticket_id=delivery.ticket_id, reason=verdict.words, also=also)


async def _told(response: httpx2.Response) -> dict[str, Any]:
    """Return what the API says in its answer; nothing where it is not the API that answers."""
    try:
        async with asyncio.timeout(_REST_SECONDS):
            told = json.loads(await read_within(response.aiter_bytes(), _LARGEST_ANSWER_BYTES) or b"")
    except (httpx2.HTTPError, TimeoutError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _job_id(told: Mapping[str, Any]) -> str | None:
    """Return what the API calls the job; None if it does not say so."""
    try:
        return str(UUID(told.get("job_id")))
    except (ValueError, TypeError, AttributeError):
        return None


def _words(failure: BaseException) -> str:
    """Why there was no answer, in our own words."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "the API's certificate is not trusted: a private CA belongs into SIGNER_CA_BUNDLE"
        cause = cause.__cause__ or cause.__context__
    if isinstance(failure, httpx2.ProxyError):
        return "the proxy of HTTPS_PROXY does not let it through"
    if isinstance(failure, TimeoutError | httpx2.TimeoutException):
        return "no answer in time"
    return "no connection: is --to right, and the network there"
