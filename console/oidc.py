"""Login by an OpenID provider: authorization code flow with PKCE, with Authlib.

Metadata and keys are cached for an hour. The console uses the subject, a name and one claim's values from the verified
ID token; it stores no access token.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.base_client import MismatchingStateError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.integrations.starlette_client import StarletteIntegration, StarletteOAuth2App
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.requests import Request
from starlette.responses import Response

from config.addresses import address_problem
from console.access import OidcSettings
from integrations.http import (
    PLAIN,
    STRAIGHT,
    AnswerTooLargeError,
    EgressConfig,
    TracedTransport,
    bound,
    connection_words,
    open_transport,
)

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures of ID tokens: `none` proves nothing, and with HS256 the client would have the key."""
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_CALL_SECONDS = 5.0
_KEPT_SECONDS = 3600.0
_KEYS_AGAIN_SECONDS = 60.0
_REST_SECONDS = 5.0
_LEEWAY_SECONDS = 60
_MAX_SUBJECT_LENGTH = 255


class ProviderError(Exception):
    """The provider does not answer correctly. The text is our own words."""


class LoginError(Exception):
    """The user's identity is missing or not verifiable. The text is our own words."""


class Person(NamedTuple):
    """A person at the provider; `values` are the claim's."""

    subject: str
    name: str
    values: frozenset[str]


class _HttpClient(AsyncOAuth2Client):  # type: ignore[misc] # Authlib has no types
    """Authlib's client over our transport: proxy, no redirects, bounded answers."""

    def __init__(self, *args: Any, egress: EgressConfig, **options: Any) -> None:
        super().__init__(
            *args,
            transport=TracedTransport(open_transport(connections=1, egress=egress)),
            trust_env=False,
            follow_redirects=False,
            timeout=_CALL_SECONDS,
            headers=PLAIN,
            event_hooks={"response": [bound]},
            **options,
        )


class _App(StarletteOAuth2App):  # type: ignore[misc]
    client_cls = _HttpClient

    def __init__(self, oidc: OidcSettings, egress: EgressConfig, monotonic: Callable[[], float]) -> None:
        super().__init__(
            StarletteIntegration("provider"),
            client_id=oidc.client_id,
            client_secret=oidc.client_secret or None,
            server_metadata_url=f"{oidc.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={"egress": egress, "code_challenge_method": "S256"},
        )
        self.oidc = oidc
        self.read_at = monotonic()
        self._monotonic = monotonic
        self._keys_at = float("-inf")

    async def load(self) -> None:
        """Load and check the metadata, which Authlib then keeps. Raises ProviderError."""
        async with _calling():
            metadata: dict[str, Any] = await self.load_server_metadata()
            if metadata["issuer"].rstrip("/") != self.oidc.issuer.rstrip("/"):
                raise ProviderError("another issuer answers")
        if not all(_is_address(metadata.get(name)) for name in _ENDPOINTS):
            raise ProviderError("unusable endpoints")
        scopes = metadata.get("scopes_supported")
        # Some providers require a scope with the claim's name.
        more = [self.oidc.claim] if isinstance(scopes, list) and self.oidc.claim in scopes else []
        methods = metadata.get("token_endpoint_auth_methods_supported")
        is_posted = isinstance(methods, list) and "client_secret_basic" not in methods
        method = "client_secret_post" if is_posted else "client_secret_basic"
        method = method if self.oidc.client_secret else "none"
        self.client_kwargs |= {"scope": " ".join(["openid", "profile", *more]), "token_endpoint_auth_method": method}
        # Authlib passes all metadata to its client as options, so only these are kept, and its own marks.
        allowed = {name: value for name, value in metadata.items() if name in ("issuer", *_ENDPOINTS) or name[0] == "_"}
        metadata.clear()
        metadata.update(allowed, id_token_signing_alg_values_supported=list(ALGORITHMS))

    async def fetch_jwk_set(self, force: bool = False) -> dict[str, Any]:
        """Return the usable keys (RFC 7517, 5), read at most once a minute."""
        if self._monotonic() - self._keys_at >= _KEYS_AGAIN_SECONDS and (force or "jwks" not in self.server_metadata):
            async with _calling():
                await super().fetch_jwk_set(force=True)
            self._keys_at = self._monotonic()
        key_set = self.server_metadata.get("jwks")
        keys = key_set.get("keys") if isinstance(key_set, dict) else None
        usable = [key for key in keys if _is_usable(key)] if isinstance(keys, list) else []
        if not usable:
            raise ProviderError("invalid keys")
        return {"keys": usable}


class Provider:
    """The current provider of the settings."""

    def __init__(self, egress: EgressConfig = STRAIGHT, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._egress = egress
        self._monotonic = monotonic
        self._app: _App | None = None
        self._rests_until = float("-inf")
        self._loading = asyncio.Lock()

    async def authorize(self, request: Request, oidc: OidcSettings, redirect_uri: str) -> Response:
        """Return the provider redirect; `request.session` gets the values to verify."""
        app = await self._loaded(oidc)
        redirect: Response = await app.authorize_redirect(request, redirect_uri, state=secrets.token_urlsafe(24))
        return redirect

    async def person(self, request: Request, oidc: OidcSettings) -> Person:
        """Return the person after the redirect back.

        Raises LoginError, ProviderError, and MismatchingStateError for a login of another browser.
        """
        app = await self._loaded(oidc)
        options = {
            "iss": {"essential": True, "value": app.server_metadata["issuer"]},
            "aud": {"essential": True, "value": app.client_id},
            "nonce": {"essential": True},
        }
        try:
            async with _calling(2 * _CALL_SECONDS):
                token = await app.authorize_access_token(
                    request, claims_options=options, claims_cls=CodeIDToken, leeway=_LEEWAY_SECONDS
                )
        except MismatchingStateError:
            raise
        except AuthlibBaseError as failure:
            raise LoginError("login not given" if "error" in request.query_params else "code refused") from failure
        except JoseError as failure:
            raise LoginError(f"ID token not valid ({type(failure).__name__})") from failure
        claims = token.get("userinfo") or {}
        subject = one_line(claims.get("sub"), _MAX_SUBJECT_LENGTH)
        if not subject:
            raise LoginError("ID token without a subject")
        names = (one_line(claims.get(claim)) for claim in ("preferred_username", "name", "email"))
        value = claims.get(oidc.claim)
        values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        texts = frozenset(each for each in values if isinstance(each, str))
        return Person(subject, next(filter(None, names), subject), texts)

    async def _loaded(self, oidc: OidcSettings) -> _App:
        async with self._loading:
            now = self._monotonic()
            if self._app is not None and self._app.oidc == oidc and now - self._app.read_at < _KEPT_SECONDS:
                return self._app
            if now < self._rests_until:
                raise ProviderError("it was away just now")
            app = _App(oidc, self._egress, self._monotonic)
            try:
                await app.load()
            except ProviderError:
                self._rests_until = self._monotonic() + _REST_SECONDS
                raise
            self._app = app
            return app


@contextlib.asynccontextmanager
async def _calling(seconds: float = _CALL_SECONDS) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except httpx2.HTTPStatusError as failure:
        raise ProviderError(f"answered {failure.response.status_code}") from failure
    except AnswerTooLargeError as failure:
        raise ProviderError("answer too large") from failure
    except (TimeoutError, httpx2.TimeoutException) as failure:
        raise ProviderError("timeout") from failure
    except httpx2.HTTPError as failure:
        raise ProviderError(connection_words(failure)) from failure
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as failure:
        raise ProviderError("invalid answer") from failure


def _is_address(url: object) -> bool:
    try:
        # Some texts look like a URL but can't be requested, e.g. a name without an ASCII form.
        httpx2.URL(url)  # type: ignore[arg-type]
        # A provider's endpoint may have a query.
        return address_problem(urlsplit(str(url))._replace(query="").geturl(), secure=True) is None
    except (TypeError, ValueError, httpx2.InvalidURL):
        return False


def _is_usable(key: Any) -> bool:
    try:
        KeySet.import_key_set({"keys": [key]})
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return False
    return True


def one_line(value: object, longest: int = 80) -> str:
    """Return an external text on one line, shortened; empty for other types."""
    text = value if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else " " for character in text).strip()[:longest]
