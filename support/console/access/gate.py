"""Whom a request is from, and the cookies that tell it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from config.console_access import AccessDirectory
from storage.ended_sessions import EndedSessions
from support.console.access.address import ConsoleAddress
from support.console.access.keys import ConsoleKeys, NotOurs
from support.console.access.sessions import LASTS_SECONDS, Account, LoggedIn, Sessions
from support.console.visitor import Visitor

LOGIN_SECONDS = 600
_LOGIN = "login"


@dataclass(frozen=True, slots=True)
class OpenVisit:
    """A visitor with a session. `csrf` is what each form has to send along."""

    visitor: Visitor
    session: LoggedIn
    csrf: str

    @property
    def account(self) -> str:
        """What the log calls the visitor."""
        return self.session.account.id


class Gate:
    """Knows the cookies: one of a session, and one of a login that has begun."""

    def __init__(
        self, keys: ConsoleKeys, access: AccessDirectory, ended: EndedSessions, address: ConsoleAddress
    ) -> None:
        self.sessions = Sessions(keys)
        self.access = access
        self.address = address
        self._keys = keys
        self._ended = ended
        # Only an origin with TLS can set a cookie of that name, for itself and all of its paths.
        prefix = "__Host-" if address.is_secure else ""
        self._cookie, self._login_cookie = f"{prefix}console", f"{prefix}console-login"

    def visit(self, request: Request) -> OpenVisit | None:
        """Return the visitor that the cookie names; None if there is no valid one.

        Before the visitor gets anything, `has_left` must have returned False.
        """
        try:
            session = self.sessions.read(request.cookies.get(self._cookie, ""))
        except NotOurs:
            return None
        visitor = self.sessions.visitor(session.account, self.access.now())
        if visitor is None:
            return None
        return OpenVisit(visitor, session, self.sessions.csrf(session.id))

    def enter(self, account: Account, response: Response, login_id: str) -> None:
        """Begin a session. Of the login its id stays: its form may be open in another tab."""
        self._set(response, self._cookie, self.sessions.write(self.sessions.begin(account)))
        self.begin_login(response, {"id": login_id})

    def renew(self, visit: OpenVisit, response: Response) -> None:
        """Let a session go on from now, if that is due."""
        if self.sessions.is_due(visit.session):
            self._set(response, self._cookie, self.sessions.write(visit.session))

    async def has_left(self, visit: OpenVisit) -> bool:
        """Return True if the session was ended by a logout. Raises one of DATABASE_FAILURES, or TimeoutError."""
        return await self._ended.has(visit.session.id)

    async def leave(self, visit: OpenVisit) -> None:
        """End a session for all consoles. Raises one of DATABASE_FAILURES, or TimeoutError."""
        await self._ended.end(visit.session.id, timedelta(seconds=LASTS_SECONDS))

    def forget(self, response: Response) -> None:
        """Delete the session's cookie in the browser."""
        response.delete_cookie(self._cookie, path="/", secure=self.address.is_secure, httponly=True, samesite="lax")

    def begin_login(self, response: Response, told: dict[str, str]) -> None:
        """Have the browser keep what its login has begun with, for ten minutes."""
        self._set(response, self._login_cookie, self._keys.sign(_LOGIN, told))

    def login(self, request: Request) -> dict[str, Any]:
        """Return what the browser's login has begun with; empty if there is none, or it is too old."""
        try:
            told, _ = self._keys.read(_LOGIN, request.cookies.get(self._login_cookie, ""), LOGIN_SECONDS)
        except NotOurs:
            return {}
        return dict(told)

    def _set(self, response: Response, name: str, value: str) -> None:
        response.set_cookie(name, value, path="/", secure=self.address.is_secure, httponly=True, samesite="lax")
