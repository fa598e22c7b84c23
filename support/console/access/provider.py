"""Logging in by an OpenID provider: the authorization code flow with PKCE, and an ID token that is verified.

What the provider says of itself, and its keys, are kept for an hour. Redirects are not followed, and no access token is
kept: of all that the provider gives, the console uses who it is and the values of one claim.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuthError
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from config.console_access import OidcSettings
from integrations.http import AnswerTooLarge, trust, trust_of_proxy
from integrations.model.bounds import PLAIN, bound
from integrations.outward import STRAIGHT, Outward
from support.console.access.issuer import CALL_SECONDS, Issuer, Issuers, ProviderAway, failure_words
from support.console.access.sessions import as_text

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""By what an ID token may be signed: `none` proves nothing, and of HS256 the client would have the key."""
_LEEWAY_SECONDS = 60
_MOST_AT_ONCE = 8
_LONGEST_SUBJECT = 255


class NotVouchedFor(Exception):
    """The provider did not say who it is, or that can't be verified: the text is of our own words."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a login has begun with, and its end must fit to."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> "Begun":
        """Return one that nobody can guess."""
        return cls(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48))


@dataclass(frozen=True, slots=True)
class VouchedFor:
    """Whom the provider vouches for; `values` are those of the claim."""

    subject: str
    name: str
    values: frozenset[str]


class Provider:
    """Asks the provider of the settings, whichever that is by then. `now` is for its tokens, in seconds since 1970."""

    def __init__(
        self,
        outward: Outward = STRAIGHT,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outward = outward
        self._now = now
        self._issuers = Issuers(outward, monotonic=monotonic)
        self._free = asyncio.Semaphore(_MOST_AT_ONCE)

    async def login_url(self, oidc: OidcSettings, redirect_uri: str, begun: Begun) -> str:
        """Return where to send a browser. Raises ProviderAway."""
        known = await self._issuers.discovered(oidc.issuer)
        async with self._client(oidc, redirect_uri, known) as client:
            url, _ = client.create_authorization_url(
                known.told["authorization_endpoint"],
                state=begun.state,
                code_verifier=begun.verifier,
                nonce=begun.nonce,
            )
        return str(url)

    async def person(self, oidc: OidcSettings, redirect_uri: str, code: str, begun: Begun) -> VouchedFor:
        """Return for whom the provider gave the code. Raises ProviderAway and NotVouchedFor."""
        known = await self._issuers.discovered(oidc.issuer)
        if self._free.locked():
            raise ProviderAway("too many logins at once")
        async with self._free:
            token = await self._exchanged(oidc, redirect_uri, code, begun, known)
            claims = await self._verified(oidc, token, begun.nonce, known)
        subject = as_text(claims.get("sub"), _LONGEST_SUBJECT)
        if not subject:
            raise NotVouchedFor("ID token without a subject")
        named = (as_text(claims.get(claim)) for claim in ("preferred_username", "name", "email"))
        value = claims.get(oidc.claim)
        values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        return VouchedFor(
            subject,
            next(filter(None, named), subject),
            frozenset(each for each in values if isinstance(each, str)),
        )

    def _client(self, oidc: OidcSettings, redirect_uri: str, known: Issuer) -> AsyncOAuth2Client:
        offered = known.told.get("scopes_supported")
        # Some give a claim only to who asks for a scope of its name.
        more = [oidc.claim] if isinstance(offered, list) and oidc.claim in offered else []
        outward = self._outward
        to_proxy = httpx2.Proxy(outward.proxy, ssl_context=trust_of_proxy(outward)) if outward.proxy else None
        return AsyncOAuth2Client(
            client_id=oidc.client_id,
            client_secret=oidc.client_secret or None,
            token_endpoint_auth_method=_way_of_proof(oidc, known.told),
            redirect_uri=redirect_uri,
            scope=" ".join(["openid", "profile", *more]),
            code_challenge_method="S256",
            verify=trust(outward.ca_bundle),
            proxy=to_proxy if outward.by_proxy(known.told["token_endpoint"]) else None,
            trust_env=False,
            follow_redirects=False,
            timeout=CALL_SECONDS,
            headers=PLAIN,
            event_hooks={"response": [bound]},
        )

    async def _exchanged(
        self, oidc: OidcSettings, redirect_uri: str, code: str, begun: Begun, known: Issuer
    ) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(2 * CALL_SECONDS), self._client(oidc, redirect_uri, known) as client:
                token = await client.fetch_token(
                    known.told["token_endpoint"],
                    code=code,
                    code_verifier=begun.verifier,
                    grant_type="authorization_code",
                )
        except OAuthError as failure:
            raise NotVouchedFor("code refused") from failure
        except (httpx2.HTTPError, TimeoutError, AnswerTooLarge) as failure:
            raise ProviderAway(failure_words(failure)) from failure
        except (ValueError, RecursionError) as failure:
            raise ProviderAway("invalid answer") from failure
        return dict(token)

    async def _verified(
        self, oidc: OidcSettings, token: Mapping[str, Any], nonce: str, known: Issuer
    ) -> Mapping[str, Any]:
        text = token.get("id_token")
        if not isinstance(text, str):
            raise NotVouchedFor("no ID token")
        registry = jwt.JWTClaimsRegistry(
            now=int(self._now()),
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": known.told["issuer"]},
            aud={"essential": True, "value": oidc.client_id},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
            sub={"essential": True},
        )
        try:
            claims = await self._decoded(text, known)
            registry.validate(claims)
        except (JoseError, ValueError, TypeError, KeyError) as failure:
            raise NotVouchedFor(f"ID token not valid ({type(failure).__name__})") from failure
        if claims["nonce"] != nonce:
            raise NotVouchedFor("ID token of another login")
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else oidc.client_id) != oidc.client_id:
            raise NotVouchedFor("ID token of another client")
        return claims

    async def _decoded(self, text: str, known: Issuer) -> dict[str, Any]:
        """Return the claims of a token that one of the issuer's keys has signed."""
        try:
            return _claims(text, await self._issuers.keys(known))
        except (JoseError, ValueError):
            # By a key that is new, perhaps.
            if not self._issuers.may_ask_again(known):
                raise
            return _claims(text, await self._issuers.keys(known, again=True))


def _claims(text: str, keys: KeySet) -> dict[str, Any]:
    return dict(jwt.decode(text, keys, algorithms=list(ALGORITHMS)).claims)


def _way_of_proof(oidc: OidcSettings, told: Mapping[str, Any]) -> str:
    """How the client proves itself to the token endpoint: in the head unless the provider wants it in the body."""
    if not oidc.client_secret:
        return "none"
    ways = told.get("token_endpoint_auth_methods_supported")
    in_head = not isinstance(ways, list) or "client_secret_basic" in ways
    return "client_secret_basic" if in_head else "client_secret_post"
