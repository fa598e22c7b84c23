"""Sessions and pending logins in signed cookies, without a store (docs/adr/0037).

Cookies contain no rights. Rights are looked up per request, so a deleted token or mapping ends its sessions.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from config.console_access import AccessDirectory, ConsoleAccess, ConsoleRole, ConsoleToken, OidcSettings
from storage.ended_sessions import EndedSessions
from support.console.address import ConsoleAddress
from support.console.signing import ConsoleKeys, InvalidSignature

LASTS_SECONDS = 8 * 3600
IDLE_SECONDS = 3600
LOGIN_SECONDS = 600
_RENEWED_AFTER_SECONDS = 60
_SESSION, _LOGIN, _CSRF, _TOKEN, _PROVIDER, _PERSON = "session", "login", "csrf", "token", "provider", "person"
_OPAQUE = re.compile(r"[A-Za-z0-9._|:/+=~-]{1,100}")


@dataclass(frozen=True, slots=True)
class Account:
    """The proof of a login.

    `kind` is `token` or `provider`, and `mark` identifies it. `id` is the account in log lines: a token's name, or the
    provider's subject, replaced by a keyed hash if it could be an address or more than an id. `value` is the value of
    the provider's claim.
    """

    kind: str
    id: str
    mark: str
    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """A user with current rights.

    `tenant_id`: the only visible tenant, None for all. `reads_texts`: may see prompts and answers of models. Only an
    operator may change several jobs at once. `account` is the user in log lines, which never contain the name.
    """

    name: str
    role: str
    tenant_id: str | None = None
    reads_texts: bool = False
    account: str = ""

    def sees(self, tenant_id: str) -> bool:
        return self.tenant_id is None or self.tenant_id == tenant_id


@dataclass(frozen=True, slots=True)
class Session:
    """A session, issued and last renewed at Unix seconds. Its forms contain `csrf`."""

    id: str
    account: Account
    issued_at: int
    signed_at: int
    user: User
    csrf: str


class Sessions:
    """Reads and writes the two cookies."""

    def __init__(
        self, keys: ConsoleKeys, access: AccessDirectory, ended: EndedSessions, address: ConsoleAddress
    ) -> None:
        self.access = access
        self.address = address
        self._keys = keys
        self._ended = ended
        # Only a TLS origin can set a cookie of that name, for itself and all of its paths.
        prefix = "__Host-" if address.is_secure else ""
        self._cookie, self._login_cookie = f"{prefix}console", f"{prefix}console-login"

    def read(self, request: Request) -> Session | None:
        """Return the request's valid session. Check `is_ended` before granting access."""
        try:
            content, signed_at = self._keys.read(_SESSION, request.cookies.get(self._cookie, ""), IDLE_SECONDS)
        except InvalidSignature:
            return None
        session_id, issued_at, account = content[0], content[1], Account(*content[2])
        role = self._role(account, self.access.now())
        if role is None or self._keys.now() - issued_at >= LASTS_SECONDS:
            return None
        user = User(account.name, role.kind, role.tenant_id, role.reads_texts, account.id)
        return Session(session_id, account, issued_at, signed_at, user, self.csrf(session_id))

    async def is_ended(self, session: Session) -> bool:
        """Return True after a logout. Raises DATABASE_FAILURES or TimeoutError."""
        return await self._ended.has(session.id)

    async def end(self, session: Session) -> None:
        """End a session at all consoles. Raises DATABASE_FAILURES or TimeoutError."""
        await self._ended.end(session.id, timedelta(seconds=LASTS_SECONDS))

    def begin(self, account: Account, response: Response) -> None:
        """Start a session with a new id, which prevents fixation."""
        self._write(response, secrets.token_urlsafe(18), int(self._keys.now()), account)

    def renew(self, session: Session, response: Response) -> None:
        """Restart the idle time of a session, at most once a minute."""
        if self._keys.now() - session.signed_at >= _RENEWED_AFTER_SECONDS:
            self._write(response, session.id, session.issued_at, session.account)

    def forget(self, response: Response) -> None:
        response.delete_cookie(self._cookie, path="/", secure=self.address.is_secure, httponly=True, samesite="lax")

    def read_login(self, request: Request) -> dict[str, Any]:
        """Return the browser's pending login; empty if missing or expired."""
        try:
            content, _ = self._keys.read(_LOGIN, request.cookies.get(self._login_cookie, ""), LOGIN_SECONDS)
        except InvalidSignature:
            return {}
        return dict(content)

    def write_login(self, response: Response, login: dict[str, Any]) -> None:
        """Store a pending login in the browser for ten minutes."""
        self._set(response, self._login_cookie, self._keys.sign(_LOGIN, login))

    def csrf(self, session_id: str) -> str:
        return self._keys.mark(_CSRF, session_id)

    def is_csrf(self, given: str, session_id: str) -> bool:
        return self._keys.is_mark(given, _CSRF, session_id)

    def account_of_token(self, token: ConsoleToken) -> Account:
        return Account(_TOKEN, token.name, self._keys.mark(_TOKEN, token.token), token.name)

    def account_of_person(self, oidc: OidcSettings, subject: str, name: str, value: str) -> Account:
        """Return the account of a provider's user; `value` has a role."""
        is_id = _OPAQUE.fullmatch(subject) is not None and "error" not in subject.lower()
        person = subject if is_id else self._keys.mark(_PERSON, subject)
        return Account(_PROVIDER, person, self._keys.mark(_PROVIDER, _provider(oidc)), name, value)

    def _role(self, account: Account, access: ConsoleAccess) -> ConsoleRole | None:
        if account.kind == _TOKEN:
            named = [token for token in access.tokens if token.name == account.id]
            return next((one.role for one in named if self._keys.is_mark(account.mark, _TOKEN, one.token)), None)
        oidc = access.oidc
        if oidc is None or not self._keys.is_mark(account.mark, _PROVIDER, _provider(oidc)):
            return None
        return oidc.roles.get(account.value)

    def _write(self, response: Response, session_id: str, issued_at: int, account: Account) -> None:
        fields = [account.kind, account.id, account.mark, account.name, account.value]
        self._set(response, self._cookie, self._keys.sign(_SESSION, [session_id, issued_at, fields]))

    def _set(self, response: Response, name: str, value: str) -> None:
        response.set_cookie(name, value, path="/", secure=self.address.is_secure, httponly=True, samesite="lax")


def _provider(oidc: OidcSettings) -> str:
    """Return the provider's identity, claim included: values depend on the claim."""
    return "\0".join((oidc.issuer, oidc.client_id, oidc.claim))
