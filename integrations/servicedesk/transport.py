"""Calls to one tenant's desk, within its breaker, rate and time limit."""

import asyncio
import json
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import httpx2

from config.tenants import DeskSettings
from integrations.errors import (
    DeferredError,
    DeskDeniedError,
    DeskRefusedError,
    ExternalError,
)
from integrations.http import retry_after_of, send_to_desk
from integrations.ports import DeskLimits
from integrations.rate_limit import LONGEST_THROTTLE_SECONDS, THROTTLED, THROTTLED_SECONDS
from integrations.resilience import DeskHoldReason
from integrations.servicedesk.auth import AccessToken
from integrations.servicedesk.parsing import DeskAnswer, decode
from observability import metrics

_ACCEPT = "application/vnd.manageengine.sdp.v3+json"
_PLACE_SECONDS = 1.0
_BUSY_SECONDS = (5.0, 6.0)
# How often a call that needs a permission of its own, while others succeed with that token, gets a fresh token: the
# next one would lack that permission too, and one in ten minutes is a tenth of a desk's tokens.
_FRESH_TOKEN_SECONDS = 3600.0
MOST_REFUSED_TICKETS = 3
"""A note that is refused with 403 may be refused for its ticket; those of so many in a row are for a missing right."""


class DeskCalls:
    """Send a tenant's credentials to its desk only.

    `timeout_seconds` is for one answer.
    """

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
        # The credentials that were last accepted, for any call.
        self._taken: dict[str, str] = {}
        self._fresh_token_at = -_FRESH_TOKEN_SECONDS
        self._places = asyncio.Semaphore(limits.most_at_once)

    async def authenticate(self) -> None:
        await self._credentials()

    def check_notes(self, *, answered: bool) -> None:
        """Raise DeferredError while notes are refused. `answered`: the answer is paid for."""
        if self._limits.note_hold is not None:
            self._limits.note_hold.check(pays=not answered)

    async def make(
        self,
        method: str,
        path: str,
        data: dict[str, Any] | None = None,
        about_to_send: Callable[[], Awaitable[None]] | None = None,
        *,
        who: str = "",
        begun: bool = True,
        own_right: bool = False,
    ) -> DeskAnswer:
        """Make one call, with `data` as its `input_data`.

        A cloud desk that refuses the token gets a fresh one, once. `who` and `begun` are those of `DeskRate.take`.
        `own_right`: the call needs a permission that tickets do not, so a 401 is a DeskRefusedError and does not
        concern the credentials. A POST is a note, which needs a permission of its own too. `about_to_send` is awaited
        right before the call is sent. Raises DeferredError before anything is sent, or if the sent call surely did
        nothing; DeskTimeoutError, DeskUnavailableError or DeskRefusedError, and without a hold DeskDeniedError. Only
        answers about an outage, credentials or permissions raise.
        """
        # Checked first: jobs that find the desk down must not use up its rate.
        limits = self._limits
        limits.breaker.check()
        self._check_throttle()
        holds = [each for each in (limits.hold, limits.note_hold if method == "POST" else None) if each is not None]
        for each in holds:
            each.check()
        async with self._place():
            await limits.rate.take(who, begun=begun)
            # Checked last: a copy waits minutes for its turn.
            limits.check()
            with ExitStack() as watches:
                watched = [(each, watches.enter_context(each.watch())) for each in holds]
                call = watches.enter_context(metrics.external_call("servicedesk", self._tenant_id, ExternalError))
                answer = await self._make(method, path, data, about_to_send, who, own_right=own_right)
                self._refuse(answer, who, own_right=own_right)
                call.failed = not (answer.succeeded or answer.not_found or answer.names_extra_key)
                for each, one in watched:
                    # A sender without permission for notes may get these other answers too.
                    one.granted = answer.succeeded if each is limits.note_hold else not answer.put_off
        if answer.throttled:
            answer.failure().log()
            asked = THROTTLED_SECONDS if answer.retry_after is None else max(1.0, answer.retry_after)
            until = self._monotonic() + min(asked, LONGEST_THROTTLE_SECONDS)
            self._throttled_until = max(self._throttled_until, until)
            self._check_throttle()
        return answer

    def _check_throttle(self) -> None:
        """Raise DeferredError while the desk throttles this process. The wait extends the job's deadline."""
        left = self._throttled_until - self._monotonic()
        if left > 0:
            raise DeferredError(THROTTLED, left + self._jitter(0, left / 5))

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_PLACE_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise DeferredError("desk busy", self._jitter(*_BUSY_SECONDS)) from None
        try:
            yield
        finally:
            self._places.release()

    async def _make(
        self,
        method: str,
        path: str,
        data: dict[str, Any] | None,
        about_to_send: Callable[[], Awaitable[None]] | None,
        who: str,
        *,
        own_right: bool,
    ) -> DeskAnswer:
        with self._limits.breaker.watch():
            headers = await self._credentials()
            if about_to_send is not None:
                await about_to_send()
            answer = await self._send(method, path, data, headers)
            if answer.unauthorized and self._wants_fresh_token(headers, own_right=own_right or answer.posted):
                await self._token.drop(headers["Authorization"].rpartition(" ")[2])
                headers = await self._credentials()
                # One more call. A refused token did nothing, so the call may be held back.
                await self._limits.rate.take(who, begun=True)
                answer = await self._send(method, path, data, headers)
            if answer.down:
                raise answer.failure()
            if not answer.unauthorized:
                self._taken = headers
        return answer

    def _wants_fresh_token(self, refused: dict[str, str], *, own_right: bool) -> bool:
        if self._desk.edition != "cloud":
            return False
        if own_right and refused == self._taken:
            now = self._monotonic()
            if now < self._fresh_token_at + _FRESH_TOKEN_SECONDS:
                return False
            self._fresh_token_at = now
        return True

    def _refuse(self, answer: DeskAnswer, who: str, *, own_right: bool) -> None:
        status = answer.effective_status
        if answer.posted:
            if answer.succeeded:
                self._refused_tickets.clear()
            elif status == 403 and len(self._refused_tickets) < MOST_REFUSED_TICKETS:
                self._refused_tickets.add(who)
            missing = status == 403 and len(self._refused_tickets) >= MOST_REFUSED_TICKETS
            if answer.unauthorized or missing:
                raise DeskDeniedError(str(status), DeskHoldReason.NOTES_REFUSED)
        elif answer.unauthorized:
            raise DeskRefusedError(str(status)) if own_right else answer.failure()

    async def _credentials(self) -> dict[str, str]:
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
