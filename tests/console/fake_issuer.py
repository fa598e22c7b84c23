"""An OpenID provider as a real HTTP server with changeable answers, and logins by it."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from tests.console.site import LETTING_IN, Browser, ConsoleSite, console_site

CLIENT_ID, CLIENT_SECRET = "console", "secret of the client: +/&"


@cache
def rsa_key(kid: str, _number: int = 0) -> RSAKey:
    """Return a key pair; another number gives another one of the same name."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


@dataclass
class FakeIssuer:
    """A provider; `claims` override those of a valid ID token, `told` the metadata, and `others` are more keys."""

    url: str
    key: RSAKey = field(default_factory=lambda: rsa_key("one"))
    shown: list[RSAKey] = field(default_factory=lambda: [rsa_key("one")])
    others: list[Any] = field(default_factory=list)
    silent_until: asyncio.Event | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    sign: Callable[["FakeIssuer", dict[str, Any]], str] | None = None
    token_answer: tuple[int, Any] | None = None
    public: bool = False
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def grant(self, query: dict[str, str]) -> str:
        """Log a person in for this query; return the code."""
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        assert len(query["state"]) >= 32
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        return code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.asked.append(request.url.path)
        if self.silent_until is not None:
            await self.silent_until.wait()
        await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        match request.url.path:
            case "/.well-known/openid-configuration":
                places = {"token_endpoint": f"{self.url}/token", "jwks_uri": f"{self.url}/keys"}
                places["authorization_endpoint"] = f"{self.url}/authorize?tenant=ours"
                known = {"issuer": self.url, "scopes_supported": ["openid", "groups"], **places}
                return JSONResponse(known | self.told)
            case "/keys":
                shown = KeySet(list(self.shown)).as_dict(private=False)
                return JSONResponse({"keys": [*self.others, *shown["keys"]]})
            case "/token":
                return await self._token(request)
        return Response(status_code=404)

    async def _token(self, request: Request) -> Response:
        if self.token_answer is not None:
            status, content = self.token_answer
            return Response(content, status) if isinstance(content, bytes) else JSONResponse(content, status)
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        asked = self.codes.pop(form.get("code", ""), None)
        sent = _encoded(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            asked is None
            or not self._is_client(request, form)
            or form["redirect_uri"] != asked["redirect_uri"]
            or sent != asked["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant", "error_description": "<script>"}, 400)
        claims = self.honest(asked["nonce"]) | self.claims
        signed = self.sign(self, claims) if self.sign else self.signed(claims)
        return JSONResponse({"access_token": "at", "token_type": "Bearer", "id_token": signed})

    def _is_client(self, request: Request, form: dict[str, str]) -> bool:
        if self.public:
            return form.get("client_id") == CLIENT_ID and "authorization" not in request.headers
        if "client_secret_post" in self.told.get("token_endpoint_auth_methods_supported", []):
            return (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        name, _, secret = base64.b64decode(given).decode().partition(":")
        return kind == "Basic" and (unquote(name), unquote(secret)) == (CLIENT_ID, CLIENT_SECRET)

    def honest(self, nonce: str) -> dict[str, Any]:
        """Return the claims of a valid ID token."""
        now = int(time.time())
        told = {"iss": self.url, "aud": CLIENT_ID, "sub": "248289761001", "iat": now, "exp": now + 300, "nonce": nonce}
        return told | {"preferred_username": "zoe", "groups": ["staff", "desk-ops"]}

    def signed(self, claims: dict[str, Any], key: RSAKey | None = None, alg: str = "RS256") -> str:
        signer = key or self.key
        return jwt.encode({"alg": alg, "kid": signer.kid}, claims, signer, algorithms=[alg])


def by_shared_secret(issuer: FakeIssuer, claims: dict[str, Any]) -> str:
    """Sign with the public key as the secret of HS256."""
    told = f"{_part({'alg': 'HS256', 'kid': 'one'})}.{_part(claims)}"
    return f"{told}.{_encoded(hmac.digest(issuer.key.as_pem(private=False), told.encode(), 'sha256'))}"


def unsigned(_issuer: FakeIssuer, claims: dict[str, Any]) -> str:
    return f"{_part({'alg': 'none', 'kid': 'one'})}.{_part(claims)}."


def _part(said: dict[str, Any]) -> str:
    return _encoded(json.dumps(said).encode())


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@asynccontextmanager
async def issuing() -> AsyncIterator[FakeIssuer]:
    listener = socket.create_server(("127.0.0.1", 0))
    issuer = FakeIssuer(f"http://127.0.0.1:{listener.getsockname()[1]}")
    config, state = Config(issuer, log_config=None, access_log=False, ws="none", lifespan="off"), ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: H11Protocol(config, state, {}), sock=listener)
    try:
        yield issuer
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()


class Member(Browser):
    """A browser of a person whom the issuer knows."""

    def __init__(self, client: httpx2.AsyncClient, issuer: FakeIssuer, site: ConsoleSite) -> None:
        super().__init__(client)
        self.issuer = issuer
        self.site = site

    async def begun(self, to: str = "/") -> dict[str, str]:
        """Follow the login page's link; return the query for the provider."""
        answer = await self.client.get("/login/provider", params={"next": to})
        assert answer.status_code == 302, answer.text
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    async def came_back(self, to: str = "/", **changed: str) -> httpx2.Response:
        query = await self.begun(to)
        back = {"code": self.issuer.grant(query), "state": query["state"]} | changed
        return await self.back({name: one for name, one in back.items() if one})

    async def back(self, query: dict[str, str]) -> httpx2.Response:
        return await self.client.get("/login/provider/back", params=query)


@asynccontextmanager
async def with_provider(**settings: str) -> AsyncIterator[Member]:
    async with issuing() as issuer:
        client = {"CONSOLE_OIDC_CLIENT_ID": CLIENT_ID, "CONSOLE_OIDC_CLIENT_SECRET": CLIENT_SECRET}
        roles = "desk-ops=operator+texts, acme=support:acme, staff=support"
        values = {"CONSOLE_OIDC_ISSUER": issuer.url, **client, "CONSOLE_OIDC_ROLES": roles, **settings}
        given = LETTING_IN | {name: value for name, value in values.items() if value}
        async with console_site(values=given) as site, site.browser() as browser:
            yield Member(browser.client, issuer, site)


@pytest.fixture
async def member() -> AsyncIterator[Member]:
    async with with_provider() as opened:
        yield opened
