"""Sessions and logins in signed cookies; only ended ones stored (docs/adr/0037).

Cookies contain no rights. Rights are looked up per request, so a deleted token or mapping ends its sessions.
"""

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from itsdangerous import BadData, Signer, URLSafeSerializer
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from console.access import AccessDirectory, ConsoleRole, ConsoleToken, OidcSettings
from db.session import Database

_SECONDS = 2.0
_END = text(
    "INSERT INTO ended_sessions (id, expires_at) VALUES (:id, now() + CAST(:lasts AS interval)) ON CONFLICT DO NOTHING"
)
_USE = text(
    "INSERT INTO ended_sessions (id, expires_at) VALUES (:id, now() + interval '1 hour') "
    "ON CONFLICT DO NOTHING RETURNING id"
)
_HAS = text("SELECT EXISTS (SELECT FROM ended_sessions WHERE id = :id)")
LASTS_SECONDS = 8 * 3600
IDLE_SECONDS = 3600
LOGIN_SECONDS = 600
LINK_SECONDS = 300
CLOCK_SKEW_SECONDS = 60
"""How far the clock of another console may be ahead."""
_RENEWED_AFTER_SECONDS = 60
_SESSION, _LOGIN, _CSRF, _TOKEN, _PROVIDER, _PERSON = "session", "login", "csrf", "token", "provider", "person"
_LINK = "link"
_SIGNER: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
_OPAQUE = re.compile(r"[A-Za-z0-9._|:/+=~-]{1,100}")
_HERE = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?", re.ASCII)


class EndedSessions:
    """Ids of ended sessions; raises one of DATABASE_FAILURES, or TimeoutError (2 s)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, session_id: str) -> None:
        """Store an ended session for the longest validity of its cookie."""
        async with asyncio.timeout(_SECONDS):
            await self._database.call(_END, id=session_id, lasts=timedelta(seconds=LASTS_SECONDS))

    async def has(self, session_id: str) -> bool:
        async with asyncio.timeout(_SECONDS):
            return bool(await self._database.call_for_one(_HAS, id=session_id))

    async def use(self, link_id: str) -> bool:
        """Return True for the first use of a link."""
        async with asyncio.timeout(_SECONDS):
            return await self._database.call_for_one(_USE, id=link_id) is not None


class ConsoleAddress:
    """The console's address: `CONSOLE_URL`, or any local name without it.

    The host check prevents DNS rebinding: a foreign page under a name that resolves to this machine has another host.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url
        self.is_secure = url is not None and url.startswith("https:")
        parts = urlsplit(url or "")
        # Some proxies include the default port.
        default_port = 443 if self.is_secure else 80
        self._hosts = {parts.netloc, parts.netloc if parts.port else f"{parts.netloc}:{default_port}"}

    def accepts(self, host: str) -> bool:
        return host.lower() in self._hosts if self._url is not None else _HERE.fullmatch(host.lower()) is not None

    def origin(self, request: Request) -> str:
        return self._url or f"http://{request.headers.get('host', '').lower()}"

    def is_own(self, request: Request) -> bool:
        """Return False if the browser reports another origin. Other clients report none."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        return site in (None, "same-origin") and origin in (None, self.origin(request))


class ConsoleKeys:
    """Signed texts and hashes; first key signs, all verify. `now` is wall-clock time."""

    def __init__(self, keys: Sequence[str], *, now: Callable[[], float] = time.time) -> None:
        # itsdangerous signs with the last key.
        self._keys = list(keys)[::-1]
        self.now = now

    def sign(self, purpose: str, content: object) -> str:
        signed: str = self._serializer(purpose).dumps([int(self.now()), content])
        return signed

    def read(self, purpose: str, text: str, seconds: int) -> tuple[Any, int] | None:
        """Return a signed text's content and time; None if not signed within `seconds`."""
        try:
            at, content = self._serializer(purpose).loads(text)
        except BadData:
            return None
        return (content, at) if -CLOCK_SKEW_SECONDS <= int(self.now()) - at <= seconds else None

    def mark(self, purpose: str, secret: str) -> str:
        """Return a keyed hash that identifies the secret without revealing it."""
        return self._signer(purpose).get_signature(secret).decode()

    def is_mark(self, mark: str, purpose: str, secret: str) -> bool:
        return self._signer(purpose).verify_signature(secret, mark.encode("utf-8", "replace"))

    def _serializer(self, purpose: str) -> URLSafeSerializer:
        return URLSafeSerializer(self._keys, salt=f"ai-agents console {purpose}", signer_kwargs=_SIGNER)

    def _signer(self, purpose: str) -> Signer:
        return Signer(self._keys, salt=f"ai-agents console mark of {purpose}", **_SIGNER)


class Account(NamedTuple):
    """The proof of a login.

    `kind` is `token` or `provider`, `mark` its keyed hash, `value` the value of the provider's claim. `id` is for log
    lines: a token's name, or the provider's subject, as a keyed hash if it is more than an opaque id.
    """

    kind: str
    id: str
    mark: str
    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """A user with current rights.

    `tenant_id`: the only visible tenant, None for all. `reads_texts`: may see prompts and answers of models.
    `account`: the user in log lines, which never contain the name.
    """

    name: str
    role: str
    tenant_id: str | None = None
    reads_texts: bool = False
    account: str = ""

    def sees(self, tenant_id: str) -> bool:
        return self.tenant_id in (None, tenant_id)


class Session(NamedTuple):
    """A session, issued and last renewed at Unix seconds. Its forms contain `csrf`."""

    id: str
    account: Account
    issued_at: int
    signed_at: int
    user: User
    csrf: str


class Sessions:
    """Reads and writes the two cookies: of the session, and of a login in progress."""

    def __init__(
        self, keys: ConsoleKeys, access: AccessDirectory, ended: EndedSessions, address: ConsoleAddress
    ) -> None:
        self.access = access
        self.address = address
        self._keys = keys
        self.ended = ended
        # Only a TLS origin can set a cookie with this prefix, for itself and all of its paths.
        prefix = "__Host-" if address.is_secure else ""
        self._cookie, self._login_cookie = f"{prefix}console", f"{prefix}console-login"

    def read(self, request: Request) -> Session | None:
        """Return the request's valid session. Check `ended` before granting access."""
        found = self._keys.read(_SESSION, request.cookies.get(self._cookie, ""), IDLE_SECONDS)
        if found is None:
            return None
        (session_id, issued_at, fields), signed_at = found
        account = Account(*fields)
        role = self._role(account)
        if role is None or self._keys.now() - issued_at >= LASTS_SECONDS:
            return None
        user = User(account.name, role.kind, role.tenant_id, role.reads_texts, account.id)
        return Session(session_id, account, issued_at, signed_at, user, self.csrf(session_id))

    def link(self, token: ConsoleToken) -> str:
        """Return a text that logs the token's holder in, once and within five minutes."""
        return self._keys.sign(_LINK, [secrets.token_urlsafe(18), token.name])

    async def use_link(self, link: str) -> ConsoleToken | None:
        """Return the holder of an unused link. Raises as `EndedSessions`."""
        found = self._keys.read(_LINK, link, LINK_SECONDS)
        if found is None:
            return None
        link_id, name = found[0]
        holder = next((token for token in self.access.now().tokens if token.name == name), None)
        return holder if holder is not None and await self.ended.use(f"link {link_id}") else None

    def begin(self, account: Account, response: Response) -> None:
        self._write(response, secrets.token_urlsafe(18), int(self._keys.now()), account)

    def renew(self, session: Session, response: Response) -> None:
        """Restart the idle time of a session, at most once a minute."""
        if self._keys.now() - session.signed_at >= _RENEWED_AFTER_SECONDS:
            self._write(response, session.id, session.issued_at, session.account)

    def delete_cookie(self, response: Response) -> None:
        response.delete_cookie(self._cookie, path="/", secure=self.address.is_secure, httponly=True, samesite="lax")

    def read_login(self, request: Request) -> dict[str, Any]:
        """Return the login in progress or a new one; its `id` is never a session's."""
        content = self._keys.read(_LOGIN, request.cookies.get(self._login_cookie, ""), LOGIN_SECONDS)
        return {"id": f"login {secrets.token_urlsafe(18)}"} if content is None else dict(content[0])

    def write_login(self, response: Response, login: dict[str, Any]) -> None:
        self._set(response, self._login_cookie, self._keys.sign(_LOGIN, login))

    def csrf(self, session_id: str) -> str:
        return self._keys.mark(_CSRF, session_id)

    def is_csrf(self, token: str, session_id: str) -> bool:
        return self._keys.is_mark(token, _CSRF, session_id)

    def account_of_token(self, token: ConsoleToken) -> Account:
        return Account(_TOKEN, token.name, self._keys.mark(_TOKEN, token.token), token.name)

    def account_of_person(self, oidc: OidcSettings, subject: str, name: str, value: str) -> Account:
        is_id = _OPAQUE.fullmatch(subject) is not None and "error" not in subject.lower()
        person = subject if is_id else self._keys.mark(_PERSON, subject)
        return Account(_PROVIDER, person, self._keys.mark(_PROVIDER, _provider(oidc)), name, value)

    def _role(self, account: Account) -> ConsoleRole | None:
        access = self.access.now()
        if account.kind == _TOKEN:
            proofs = [(token.token, token.role) for token in access.tokens if token.name == account.id]
        else:
            oidc = access.oidc
            proofs = [(_provider(oidc), oidc.roles[account.value])] if oidc and account.value in oidc.roles else []
        is_mark = self._keys.is_mark
        return next((role for proof, role in proofs if is_mark(account.mark, account.kind, proof)), None)

    def _write(self, response: Response, session_id: str, issued_at: int, account: Account) -> None:
        self._set(response, self._cookie, self._keys.sign(_SESSION, [session_id, issued_at, account]))

    def _set(self, response: Response, name: str, value: str) -> None:
        response.set_cookie(name, value, path="/", secure=self.address.is_secure, httponly=True, samesite="lax")


def _provider(oidc: OidcSettings) -> str:
    return "\0".join((oidc.issuer, oidc.client_id, oidc.claim))
