"""What an OpenID provider says of itself, and its keys: asked for when they are needed, and kept for an hour."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet

from config.addresses import address_problem
from integrations.http import AnswerTooLarge, connection_words, open_client, read_bounded
from integrations.outward import STRAIGHT, Outward

CALL_SECONDS = 5.0
_KEPT_SECONDS = 3600.0
_KEYS_AGAIN_SECONDS = 60.0
_REST_SECONDS = 5.0
_MOST_WAITING = 8
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class ProviderAway(Exception):
    """The provider does not answer, or not as one: the text is of our own words."""


@dataclass(slots=True)
class Issuer:
    """What is known of a provider: what it told of itself, and its keys."""

    told: Mapping[str, Any]
    read_at: float
    keys: KeySet | None = None
    keys_at: float = 0.0


class Issuers:
    """Asks providers, of which there is one at a time."""

    def __init__(self, outward: Outward = STRAIGHT, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._outward = outward
        self._monotonic = monotonic
        self._known: dict[str, Issuer] = {}
        self._asking = asyncio.Lock()
        self._places = asyncio.Semaphore(_MOST_WAITING)
        self._rests_until = 0.0

    def may_ask_again(self, known: Issuer) -> bool:
        """Return True if its keys are not new: another one may have come."""
        return self._monotonic() - known.keys_at >= _KEYS_AGAIN_SECONDS

    async def discovered(self, issuer: str) -> Issuer:
        """Return what the issuer says of itself. Raises ProviderAway; at once for seconds after it was away."""
        # Anybody may ask for a login: one asks, few wait for that, and the connections of the others are free again.
        if self._places.locked():
            raise ProviderAway("too many logins at once")
        async with self._places, self._asking:
            known, now = self._known.get(issuer), self._monotonic()
            if known is not None and now - known.read_at < _KEPT_SECONDS:
                return known
            if now < self._rests_until:
                raise ProviderAway("it was away just now")
            try:
                self._known[issuer] = Issuer(await self._asked(issuer), now)
            except ProviderAway:
                self._rests_until = self._monotonic() + _REST_SECONDS
                raise
            return self._known[issuer]

    async def _asked(self, issuer: str) -> Mapping[str, Any]:
        told = await self._read(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if str(told.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
            raise ProviderAway("another issuer answers")
        if any(_is_odd(told.get(name)) for name in _ENDPOINTS):
            raise ProviderAway("unusable endpoints")
        return told

    async def keys(self, known: Issuer, *, again: bool = False) -> KeySet:
        """Return its keys, asked for once more or as they were within the hour. Raises ProviderAway."""
        now = self._monotonic()
        if again or known.keys is None or now - known.keys_at >= _KEPT_SECONDS:
            told: Any = await self._read(known.told["jwks_uri"])
            try:
                usable = list(_usable(told["keys"]))
            except (TypeError, KeyError) as failure:
                raise ProviderAway("invalid keys") from failure
            if not usable:
                raise ProviderAway("invalid keys")
            known.keys, known.keys_at = KeySet(usable), now
        return known.keys

    async def _read(self, url: str) -> dict[str, Any]:
        """Return a JSON object. Raises ProviderAway."""
        try:
            async with (
                asyncio.timeout(CALL_SECONDS),
                open_client(connections=1, outward=self._outward) as client,
                client.stream("GET", url) as response,
            ):
                if response.status_code != 200:
                    raise ProviderAway(f"answered {response.status_code}")
                told = json.loads(await read_bounded(response))
        except (httpx2.HTTPError, TimeoutError, AnswerTooLarge) as failure:
            raise ProviderAway(failure_words(failure)) from failure
        except (ValueError, RecursionError) as failure:
            raise ProviderAway("invalid answer") from failure
        if not isinstance(told, dict):
            raise ProviderAway("invalid answer")
        return told


def _is_odd(url: object) -> bool:
    """Return True for what is no address that a code, a secret or a person may be sent to."""
    if not isinstance(url, str):
        return True
    try:
        # Of a few that look like an address none can be made, e.g. of a name that has no form in ASCII.
        httpx2.URL(url)
        # A provider's endpoint may have a query.
        return address_problem(urlsplit(url)._replace(query="").geturl(), secure=True) is not None
    except (ValueError, httpx2.InvalidURL):
        return True


def _usable(told: Iterable[dict[str, Any]]) -> Iterator[Key]:
    """Yield the keys of a kind that we know: others' clients may have theirs in the same set (RFC 7517, 5)."""
    for each in told:
        with contextlib.suppress(JoseError, ValueError, TypeError, KeyError, AttributeError):
            yield from KeySet.import_key_set({"keys": [each]}).keys


def failure_words(failure: Exception) -> str:
    """Return how a call failed, in our words."""
    if isinstance(failure, TimeoutError) or type(failure).__name__.endswith("Timeout"):
        return "timeout"
    return "answer too large" if isinstance(failure, AnswerTooLarge) else connection_words(failure)
