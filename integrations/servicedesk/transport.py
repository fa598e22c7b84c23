"""Calls to one tenant's desk, within its breaker, rate and time limit."""

import asyncio
import json
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Any

import httpx2

from config.tenants import DeskSettings
from integrations.errors import DeferredError, DeskDeniedError, DeskRefusedError, ExternalError
from integrations.http import retry_after_of, send_to_desk
from integrations.ports import DeskLimits
from integrations.rate_limit import MAX_THROTTLE_SECONDS, THROTTLED, THROTTLED_SECONDS
from integrations.resilience import DeskHoldReason
from integrations.servicedesk.auth import AccessToken
from integrations.servicedesk.parsing import DeskAnswer, decode
from observability import metrics

_ACCEPT = "application/vnd.manageengine.sdp.v3+json"
_SLOT_SECONDS = 1.0
_BUSY_SECONDS = (5.0, 6.0)
# A new token does not add a missing permission, and only ten are granted in ten minutes.
_FRESH_TOKEN_SECONDS = 3600.0
MAX_REFUSED_TICKETS = 3
"""A 403 for a note may concern its ticket only. After so many tickets in a row, the permission for notes is missing."""

_Send = Callable[[dict[str, str]], Awaitable[DeskAnswer]]


class DeskCalls:
    """Calls with a tenant's credentials, to its desk only."""

    def __init__(
        self,
        tenant_id: str,
        desk: DeskSettings,
        http: httpx2.AsyncClient,
        token: AccessToken,
        timeout_seconds: float,
        limits: DeskLimits,
        *,
        jitter: Callable[[float, float], float] = random.uniform,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tenant_id = tenant_id
        self._desk = desk
        self._http = http
        self._token = token
        self._timeout = timeout_seconds
        self._limits = limits
        self._refused_tickets: set[str] = set()
        self._jitter = jitter
        self._monotonic = monotonic
        self._throttled_until = -math.inf
        self._accepted: dict[str, str] = {}
        self._fresh_token_at = -_FRESH_TOKEN_SECONDS
        self._slots = asyncio.Semaphore(limits.most_at_once)

    def check_notes(self, *, answered: bool) -> None:
        if self._limits.note_hold is not None:
            self._limits.note_hold.check(pays=not answered)

    async def make(
        self,
        method: str,
        path: str,
        data: dict[str, Any] | None = None,
        about_to_send: Callable[[], Awaitable[None]] | None = None,
        *,
        caller: str = "",
        begun: bool = True,
        own_permission: bool = False,
    ) -> DeskAnswer:
        """Make one call, with `data` as its `input_data`.

        A cloud desk's 401 is retried once, with a new token. `caller` and `begun`: see `DeskRate.take`.
        `own_permission`: the call needs a permission beyond those for tickets, so a 401 raises DeskRefusedError. A POST
        adds a note, which needs its own permission too. `about_to_send` is awaited right before the request. Raises
        DeferredError if the desk did nothing, and other errors only for an outage, credentials or permissions.
        """
        limits = self._limits
        # Before the rate: jobs that find the desk down must not use it up.
        limits.breaker.check()
        self._check_throttle()
        posts = method == "POST"
        holds = [hold for hold in (limits.hold, limits.note_hold if posts else None) if hold is not None]
        for hold in holds:
            hold.check()
        async with self._slot():
            await limits.rate.take(caller, begun=begun)
            # Checked again, because a background call may have waited minutes for the rate.
            limits.check()
            with ExitStack() as watches:
                watched = [watches.enter_context(hold.watch()) for hold in holds]
                call = watches.enter_context(metrics.external_call("servicedesk", self._tenant_id, ExternalError))
                send = partial(self._send, method, path, data)
                answer = await self._authorized(send, about_to_send, caller, is_limited=own_permission or posts)
                self._refuse(answer, caller, own_permission=own_permission)
                call.failed = not (answer.succeeded or answer.not_found or answer.names_extra_key)
                for hold, call_of_hold in zip(holds, watched, strict=True):
                    # Only a posted note proves the permission for notes. A note may also fail for other reasons.
                    call_of_hold.granted = answer.succeeded if hold is limits.note_hold else not answer.is_temporary
        if answer.throttled:
            answer.failure().log()
            seconds = THROTTLED_SECONDS if answer.retry_after is None else max(1.0, answer.retry_after)
            until = self._monotonic() + min(seconds, MAX_THROTTLE_SECONDS)
            self._throttled_until = max(self._throttled_until, until)
            self._check_throttle()
        return answer

    def _check_throttle(self) -> None:
        left = self._throttled_until - self._monotonic()
        if left > 0:
            raise DeferredError(THROTTLED, left + self._jitter(0, left / 5))

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_SLOT_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            raise DeferredError("desk busy", self._jitter(*_BUSY_SECONDS)) from None
        try:
            yield
        finally:
            self._slots.release()

    async def _authorized(
        self, send: _Send, about_to_send: Callable[[], Awaitable[None]] | None, caller: str, *, is_limited: bool
    ) -> DeskAnswer:
        with self._limits.breaker.watch():
            headers = await self.credentials()
            if about_to_send is not None:
                await about_to_send()
            answer = await send(headers)
            if answer.unauthorized and self._needs_fresh_token(headers, is_limited=is_limited):
                await self._token.drop(headers["Authorization"].rpartition(" ")[2])
                headers = await self.credentials()
                # A refused token did nothing, so the second call may be deferred.
                await self._limits.rate.take(caller, begun=True)
                answer = await send(headers)
            if answer.down:
                raise answer.failure()
            if not answer.unauthorized:
                self._accepted = headers
        return answer

    def _needs_fresh_token(self, refused: dict[str, str], *, is_limited: bool) -> bool:
        if self._desk.edition != "cloud":
            return False
        if is_limited and refused == self._accepted:
            now = self._monotonic()
            if now < self._fresh_token_at + _FRESH_TOKEN_SECONDS:
                return False
            self._fresh_token_at = now
        return True

    def _refuse(self, answer: DeskAnswer, caller: str, *, own_permission: bool) -> None:
        status = answer.effective_status
        if answer.posted:
            if answer.succeeded:
                self._refused_tickets.clear()
            elif status == 403 and len(self._refused_tickets) < MAX_REFUSED_TICKETS:
                self._refused_tickets.add(caller)
            missing = status == 403 and len(self._refused_tickets) >= MAX_REFUSED_TICKETS
            if answer.unauthorized or missing:
                raise DeskDeniedError(str(status), DeskHoldReason.NOTES_REFUSED)
        elif answer.unauthorized:
            raise DeskRefusedError(str(status)) if own_permission else answer.failure()

    async def credentials(self) -> dict[str, str]:
        if self._desk.edition == "cloud":
            return {"Authorization": f"Zoho-oauthtoken {await self._token.get()}"}
        portal = {"PORTALID": self._desk.portal_id} if self._desk.portal_id else {}
        return {"authtoken": self._desk.api_key} | portal

    async def _send(self, method: str, path: str, data: dict[str, Any] | None, headers: dict[str, str]) -> DeskAnswer:
        form = None if data is None else {"input_data": json.dumps(data, ensure_ascii=False)}
        posted = method != "GET"
        status, answered, content = await send_to_desk(
            self._http,
            self._timeout,
            method,
            f"{self._desk.url}/api/v3{path}",
            changes=posted,
            headers={"Accept": _ACCEPT, **headers},
            **{"data" if posted else "params": form},
        )
        return decode(status, content, retry_after_of(answered), posted=posted)
