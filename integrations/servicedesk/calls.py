"""Calls to one tenant's desk: let through by its breaker and its rate, with its credentials, within the time limit."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from config.tenants import DeskSettings
from integrations.breaker import Breaker
from integrations.errors import (
    DeskDenied,
    DeskRefused,
    DeskTimeout,
    DeskUnavailable,
    HeldBack,
    OutsideFailure,
)
from integrations.holds import DeskHoldReason, Hold
from integrations.http import AnswerTooLarge, connection_words, read_bounded
from integrations.rate import DeskRate, Throttle
from integrations.servicedesk.answers import DeskAnswer, decode
from integrations.servicedesk.tokens import DeskTokens
from integrations.statuses import retry_after_of
from observability import timing
from observability.logging import say

_ACCEPT = "application/vnd.manageengine.sdp.v3+json"
_PLACE_SECONDS = 1.0
_BUSY_SECONDS = (5.0, 6.0)
_FRESH_TOKEN_SECONDS = 3600.0
"""How often a right of its own is asked for with a fresh token: one in ten minutes is a tenth of a desk's tokens."""
MOST_REFUSED_TICKETS = 3
"""A note that is refused with 403 may be refused for its ticket; those of so many in a row are for a missing right."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What lets a call to a desk through.

    `most_at_once`: calls in flight. A desk that falls silent holds each call until its timeout, and its breaker opens
    only then; until that it must not have all of the worker's jobs. `check` raises HeldBack or DeskUnavailable where
    the desk's credentials are not the tenant's any more. `hold` makes a HeldBack of a desk that refuses them,
    `note_hold` of one that lets them read and refuses their notes.
    """

    breaker: Breaker
    rate: DeskRate
    most_at_once: int
    check: Callable[[], None] = lambda: None
    hold: Hold | None = None
    note_hold: Hold | None = None


class DeskCalls:
    """Sends that tenant's credentials to that tenant's desk only; `timeout_seconds` is for one answer."""

    def __init__(
        self,
        tenant_id: str,
        desk: DeskSettings,
        http: httpx2.AsyncClient,
        tokens: DeskTokens,
        timeout_seconds: float,
        limits: Limits,
        *,
        jitter: Callable[[float, float], float] = random.uniform,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tenant_id = tenant_id
        self._desk = desk
        self._http = http
        self._tokens = tokens
        self._timeout = timeout_seconds
        self._breaker = limits.breaker
        self._rate = limits.rate
        self._check = limits.check
        self._hold = limits.hold
        self._note_hold = limits.note_hold
        self._refused_tickets: set[str] = set()
        self._jitter = jitter
        self._monotonic = monotonic
        self._throttle = Throttle(monotonic, jitter)
        # The credentials that were last taken, for whatever call.
        self._taken: dict[str, str] = {}
        self._fresh_token_at = -_FRESH_TOKEN_SECONDS
        self._places = asyncio.Semaphore(limits.most_at_once)

    def check_notes(self, *, answered: bool) -> None:
        """Raise HeldBack while the desk lets us write no note. `answered`: what the note will say is paid for."""
        if self._note_hold is not None:
            self._note_hold.check(pays=not answered)

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
        """One call, with `data` as its `input_data`; a cloud desk that refuses the token gets a fresh one, once.

        Of a call that takes a right of its own, while others are let through with that token, at most one an hour does:
        the next token would lack that right as well.

        `who` and `begun` are those of `DeskRate.take`. `own_right`: it takes a right that tickets do not, so a 401 is a
        DeskRefused and says nothing about the credentials. A POST is a note, which takes a right of its own too.

        `about_to_send` is awaited when the call may be made, right before it is. Raises HeldBack before anything is
        sent, or after what was sent has surely done nothing; DeskTimeout, DeskUnavailable or DeskRefused, and without a
        hold DeskDenied; of answers only those that say the desk is down, or that credentials or a right are
        missing.
        """
        # Looked at first: jobs that find the desk down must not use up its rate.
        self._breaker.check()
        self._throttle.check()
        holds = [each for each in (self._hold, self._note_hold if method == "POST" else None) if each is not None]
        for each in holds:
            each.check()
        async with self._place():
            await self._rate.take(who, begun=begun)
            # Last: a copy waits for its turn for minutes.
            self._check()
            with ExitStack() as watches:
                watched = [(each, watches.enter_context(each.watch())) for each in holds]
                call = watches.enter_context(timing.external_call("servicedesk", self._tenant_id, OutsideFailure))
                answer = await self._make(method, path, data, about_to_send, who, own_right=own_right)
                self._refuse(answer, who, own_right=own_right)
                call.failed = not (answer.succeeded or answer.not_found or answer.names_extra_key)
                for each, one in watched:
                    # What else is answered to a note may be answered to who may write none.
                    one.granted = answer.succeeded if each is self._note_hold else not answer.put_off
        self._insist_on_rate(answer)
        return answer

    def _insist_on_rate(self, answer: DeskAnswer) -> None:
        """Raise HeldBack for a throttled call, which has done nothing."""
        if answer.throttled:
            failure = answer.failure()
            say(failure.phrase, failure.values, also=failure.also)
            self._throttle.begin(answer.retry_after)
            self._throttle.check()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the places. Raises HeldBack after a second: a desk that answers frees many of them meanwhile."""
        try:
            async with asyncio.timeout(_PLACE_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise HeldBack("desk busy", self._jitter(*_BUSY_SECONDS)) from None
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
        with self._breaker.watch():
            headers = await self._credentials()
            if about_to_send is not None:
                await about_to_send()
            answer = await self._send(method, path, data, headers)
            if answer.unauthorized and self._wants_fresh_token(headers, own_right=own_right or answer.posted):
                await self._tokens.drop(self._tenant_id, self._desk, headers["Authorization"].rpartition(" ")[2])
                headers = await self._credentials()
                # One call more. What was refused for its token has done nothing, so it may be held back.
                await self._rate.take(who, begun=True)
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
        """Raise DeskDenied or DeskRefused where an answer says that the credentials, or a right, are not there."""
        status = answer.effective_status
        if answer.posted:
            if answer.succeeded:
                self._refused_tickets.clear()
            elif status == 403 and len(self._refused_tickets) < MOST_REFUSED_TICKETS:
                self._refused_tickets.add(who)
            missing = status == 403 and len(self._refused_tickets) >= MOST_REFUSED_TICKETS
            if answer.unauthorized or missing:
                raise DeskDenied(str(status), DeskHoldReason.NOTES_REFUSED)
        elif answer.unauthorized:
            raise DeskRefused(str(status)) if own_right else answer.failure()

    async def _credentials(self) -> dict[str, str]:
        if self._desk.edition == "cloud":
            return {"Authorization": f"Zoho-oauthtoken {await self._tokens.get(self._tenant_id, self._desk)}"}
        portal = {"PORTALID": self._desk.portal_id} if self._desk.portal_id else {}
        return {"authtoken": self._desk.api_key} | portal

    async def _send(self, method: str, path: str, data: dict[str, Any] | None, headers: dict[str, str]) -> DeskAnswer:
        form = None if data is None else {"input_data": json.dumps(data, ensure_ascii=False)}
        posted = method != "GET"
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.stream(
                    method,
                    f"{self._desk.url}/api/v3{path}",
                    params=form if method == "GET" else None,
                    data=form if method != "GET" else None,
                    headers={"Accept": _ACCEPT, **headers},
                ) as response,
            ):
                content = await read_bounded(response)
                return decode(response.status_code, content, retry_after_of(response.headers), posted=posted)
        except (httpx2.ConnectTimeout, httpx2.PoolTimeout):
            raise DeskTimeout from None
        except (TimeoutError, httpx2.TimeoutException):
            raise DeskTimeout(outcome_unknown=posted) from None
        except (httpx2.ConnectError, httpx2.ProxyError) as failure:
            raise DeskUnavailable(connection_words(failure)) from None
        except httpx2.HTTPError:
            raise DeskUnavailable("connection", outcome_unknown=posted) from None
        except AnswerTooLarge:
            raise DeskUnavailable("invalid answer", outcome_unknown=posted) from None
