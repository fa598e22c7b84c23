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
from integrations.errors import DeskDeniedError, DeskRefusedError, DeskTimeoutError, DeskUnavailableError
from integrations.http import AnswerTooLargeError, connection_words
from integrations.servicedesk.parsing import is_throttled

KEY = "desk-token:"
"""How a token's key begins; the tenant's id and a colon follow."""
_SPARE_SECONDS = 60
_LIFETIME_SECONDS = 3600.0
_LONGEST_LIFETIME_SECONDS = 1e9
_LOCK_SECONDS = 15
# Characters that are valid in a header.
_TOKEN = re.compile(r"[!-~]{1,4096}")


class DeskTokens:
    """Access tokens by tenant."""

    def __init__(self, http: httpx2.AsyncClient, redis: Redis | None, timeout_seconds: float) -> None:
        self._http = http
        self._redis = redis
        self._timeout = timeout_seconds
        self._tokens: dict[str, tuple[str, float]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, tenant_id: str, desk: DeskSettings) -> str:
        """Return a token that is valid for at least a minute.

        Raises DeskDeniedError, DeskRefusedError, DeskUnavailableError or DeskTimeoutError.
        """
        name = _name(tenant_id, desk)
        async with self._locks.setdefault(name, asyncio.Lock()):
            token = self._own(name) or await self._shared(name)
            if token is None:
                token = await self._fetch_once(name, desk)
            return token

    async def drop(self, tenant_id: str, desk: DeskSettings, token: str) -> None:
        """Drop a refused token, unless another process has replaced it already."""
        name = _name(tenant_id, desk)
        if self._own(name) == token:
            del self._tokens[name]
        if self._redis is not None and await self._shared(name) == token:
            with suppress(RedisError):
                await self._redis.delete(_key(name))
                self._tokens.pop(name, None)

    def _own(self, name: str) -> str | None:
        token, ends = self._tokens.get(name, ("", 0.0))
        return token if time.time() < ends - _SPARE_SECONDS else None

    async def _shared(self, name: str) -> str | None:
        if self._redis is None:
            return None
        try:
            stored = await self._redis.get(_key(name))
        except RedisError:
            return None
        if stored is None:
            return None
        token, ends = json.loads(stored)
        self._tokens[name] = (token, float(ends))
        return self._own(name)

    async def _fetch_once(self, name: str, desk: DeskSettings) -> str:
        async with self._locked(name):
            # Checked with the lock too: another process may have fetched a token and released the lock meanwhile.
            if (token := await self._shared(name)) is not None:
                return token
            token, lifetime = await self._request(desk)
            self._tokens[name] = (token, time.time() + lifetime)
            if self._redis is not None:
                with suppress(RedisError):
                    await self._redis.set(_key(name), json.dumps(self._tokens[name]), ex=max(1, int(lifetime)))
            return token

    @asynccontextmanager
    async def _locked(self, name: str) -> AsyncIterator[None]:
        if self._redis is None:
            yield
            return
        key, seconds, locked = f"{_key(name)}:lock", _LOCK_SECONDS, False
        lock = Lock(self._redis, key, timeout=seconds, blocking_timeout=seconds, sleep=0.25)
        with suppress(RedisError):
            locked = await lock.acquire()
        try:
            yield
        finally:
            if locked:
                with suppress(RedisError):
                    await lock.release()

    async def _request(self, desk: DeskSettings) -> tuple[str, float]:
        form = {
            "grant_type": "refresh_token",
            "client_id": desk.client_id,
            "client_secret": desk.client_secret,
            "refresh_token": desk.refresh_token,
        }
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.stream("POST", f"{desk.accounts_url}/oauth/v2/token", data=form) as response,
            ):
                status, content = response.status_code, await response.aread()
                body = json.loads(content)
        except TimeoutError:
            raise DeskTimeoutError from None
        except httpx2.HTTPError as failure:
            raise DeskUnavailableError(connection_words(failure)) from None
        except (ValueError, RecursionError, AnswerTooLargeError):
            raise DeskUnavailableError("invalid answer") from None
        if is_throttled(content):
            raise DeskUnavailableError("429")
        if status == 429 or status >= 500:
            raise DeskUnavailableError(str(status))
        if not isinstance(body, dict) or not _is_token(body.get("access_token")):
            raise _refusal(status, str(body.get("error", "")) if isinstance(body, dict) else "")
        return body["access_token"], _lifetime(body.get("expires_in"))


class NoSharedTokenError(Exception):
    """Redis has no token, or the desk refuses it; the text distinguishes them."""


class LentTokens(DeskTokens):
    """The shared tokens for diagnostics: none is fetched, stored or dropped."""

    async def get(self, tenant_id: str, desk: DeskSettings) -> str:
        token = await self._shared(_name(tenant_id, desk))
        if token is None:
            raise NoSharedTokenError("its workers share no token just now, and none is fetched for a look")
        return token

    async def drop(self, tenant_id: str, desk: DeskSettings, token: str) -> None:  # noqa: ARG002 -- no token is dropped
        raise NoSharedTokenError("it refuses the token that its workers share: they fetch another one")


def _is_token(token: Any) -> bool:
    return isinstance(token, str) and _TOKEN.fullmatch(token) is not None


def _lifetime(seconds: Any) -> float:
    """Return a token's lifetime in seconds. Raises DeskUnavailableError if invalid."""
    if not isinstance(seconds, int | float):
        return _LIFETIME_SECONDS
    if not 0 <= seconds <= _LONGEST_LIFETIME_SECONDS:
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


def _name(tenant_id: str, desk: DeskSettings) -> str:
    """Return a name for the desk settings: a token is never sent to another desk."""
    parts = (desk.url, desk.accounts_url, desk.client_id, desk.refresh_token)
    return f"{tenant_id}:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"


def _key(name: str) -> str:
    return f"{KEY}{name}"
