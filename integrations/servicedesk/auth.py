"""OAuth tokens of cloud desks, shared by all processes through Redis.

A refresh token gives at most 10 access tokens in 10 minutes, so processes must not each fetch their own. Without Redis
each process keeps its own token for its lifetime of an hour.
"""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
from redis.asyncio import Redis
from redis.asyncio.lock import Lock
from redis.exceptions import RedisError

from config.tenants import DeskSettings
from integrations.errors import DeskDeniedError, DeskRefusedError, DeskUnavailableError
from integrations.http import send_to_desk
from integrations.ports import ProbeSkippedError
from integrations.servicedesk.parsing import is_throttled

KEY = "desk-token:"
"""Start of a token's key; the tenant's id and a colon follow."""
_SPARE_SECONDS = 60
_LIFETIME_SECONDS = 3600.0
_MAX_LIFETIME_SECONDS = 1e9
_LOCK_SECONDS = 15
# Characters that are valid in a header.
_TOKEN = re.compile(r"[!-~]{1,4096}")


class AccessToken:
    """The access token of one cloud desk."""

    def __init__(
        self, tenant_id: str, desk: DeskSettings, http: httpx2.AsyncClient, redis: Redis | None, timeout_seconds: float
    ) -> None:
        self._desk = desk
        self._http = http
        self._redis = redis
        self._timeout = timeout_seconds
        # The hash prevents that a token is sent to another desk.
        settings = "\0".join((desk.url, desk.accounts_url, desk.client_id, desk.refresh_token))
        self._key = f"{KEY}{tenant_id}:{hashlib.sha256(settings.encode()).hexdigest()[:16]}"
        self._cached: tuple[str, float] = ("", 0.0)
        self._lock = asyncio.Lock()

    async def get(self) -> str:
        """Return a token that is valid for at least a minute.

        Raises DeskDeniedError, DeskRefusedError, DeskUnavailableError or DeskTimeoutError.
        """
        async with self._lock:
            return self._cached_token() or await self._shared() or await self._fetch_once()

    async def drop(self, token: str) -> None:
        """Drop a refused token, unless another process has replaced it already."""
        if self._cached_token() == token:
            self._cached = ("", 0.0)
        if self._redis is not None and await self._shared() == token:
            with suppress(RedisError):
                await self._redis.delete(self._key)
                self._cached = ("", 0.0)

    def _cached_token(self) -> str | None:
        token, expires_at = self._cached
        return token if time.time() < expires_at - _SPARE_SECONDS else None

    async def _shared(self) -> str | None:
        stored = None
        if self._redis is not None:
            with suppress(RedisError):
                stored = await self._redis.get(self._key)
        if stored is None:
            return None
        token, expires_at = json.loads(stored)
        self._cached = (token, float(expires_at))
        return self._cached_token()

    async def _fetch_once(self) -> str:
        async with self._locked():
            # Checked with the lock too: another process may have fetched a token and released the lock meanwhile.
            if (token := await self._shared()) is not None:
                return token
            token, lifetime = await self._request()
            self._cached = (token, time.time() + lifetime)
            if self._redis is not None:
                with suppress(RedisError):
                    await self._redis.set(self._key, json.dumps(self._cached), ex=max(1, int(lifetime)))
            return token

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        if self._redis is None:
            yield
            return
        locked, seconds = False, _LOCK_SECONDS
        lock = Lock(self._redis, f"{self._key}:lock", timeout=seconds, blocking_timeout=seconds, sleep=0.25)
        with suppress(RedisError):
            locked = await lock.acquire()
        try:
            yield
        finally:
            if locked:
                with suppress(RedisError):
                    await lock.release()

    async def _request(self) -> tuple[str, float]:
        form = {"grant_type": "refresh_token", "refresh_token": self._desk.refresh_token}
        fields = await _tokens(self._desk, form, self._http, self._timeout)
        return fields["access_token"], _lifetime(fields.get("expires_in"))


async def refresh_token_of(desk: DeskSettings, code: str, http: httpx2.AsyncClient, timeout_seconds: float) -> str:
    """Return the refresh token for a grant code of a self client, which is valid once and for minutes.

    Raises the errors of `AccessToken.get`. Source: https://www.zoho.com/accounts/protocol/oauth/self-client/
    """
    fields = await _tokens(desk, {"grant_type": "authorization_code", "code": code}, http, timeout_seconds)
    token = fields.get("refresh_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise DeskRefusedError("no refresh token")
    return token


async def _tokens(
    desk: DeskSettings, form: dict[str, str], http: httpx2.AsyncClient, timeout_seconds: float
) -> dict[str, Any]:
    """Return the answer of the accounts host, with a valid access token."""
    form = {"client_id": desk.client_id, "client_secret": desk.client_secret, **form}
    url = f"{desk.accounts_url}/oauth/v2/token"
    status, _, content = await send_to_desk(http, timeout_seconds, "POST", url, data=form)
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise DeskUnavailableError("invalid answer") from None
    if is_throttled(content):
        raise DeskUnavailableError("429")
    if status == 429 or status >= 500:
        raise DeskUnavailableError(str(status))
    fields = body if isinstance(body, dict) else {}
    token = fields.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise _refusal(status, str(fields.get("error", "")))
    return fields


class SharedToken(AccessToken):
    """The access token for probes: none is fetched, stored or dropped."""

    async def get(self) -> str:
        token = await self._shared()
        if token is None:
            raise ProbeSkippedError("the workers share no token at the moment, and a probe fetches none")
        return token

    async def drop(self, token: str) -> None:  # noqa: ARG002 -- no token is dropped
        raise ProbeSkippedError("it refuses the token that the workers share; they fetch another one")


def _lifetime(seconds: Any) -> float:
    """Return a token's lifetime in seconds. Raises DeskUnavailableError if invalid."""
    if not isinstance(seconds, int | float):
        return _LIFETIME_SECONDS
    if not 0 <= seconds <= _MAX_LIFETIME_SECONDS:
        raise DeskUnavailableError("invalid answer")
    return float(seconds)


def _refusal(status: int, error: str) -> DeskDeniedError | DeskRefusedError | DeskUnavailableError:
    if error.casefold() == "access denied":
        # The answer for a refresh token that was used too often.
        return DeskUnavailableError("429")
    # invalid_client, invalid_code, unauthorized_client, unsupported_grant_type
    if status == 401 or error.startswith(("invalid", "un")):
        return DeskDeniedError()
    return DeskRefusedError(str(status)) if status >= 400 else DeskUnavailableError("invalid answer")
