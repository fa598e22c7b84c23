"""Login by token or OpenID provider, and logout."""

import asyncio
import contextlib
import hmac
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Annotated

from authlib.integrations.base_client import MismatchingStateError
from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from console.access import ConsoleRole, OidcSettings
from console.dependencies import ConsoleRoute, SessionsDep, app_part, check_origin
from console.errors import CsrfFailed, NotFound, error_page, local_path, redirect, unavailable
from console.oidc import LoginError, Provider, ProviderError
from console.sessions import Account, Sessions
from console.templating import csrf_field, templates
from db.session import DATABASE_FAILURES
from observability import log_events, metrics
from observability.logging import Outage, log_event

MAX_FAILURES = 10
_MAX_AT_ONCE = 8
WINDOW_SECONDS = 60.0
_BACK = "/login/provider/back"
_LINK = "/login/link"
PATHS = ("/login", "/logout", "/login/provider", _BACK, _LINK)
"""Paths that need no session."""
_LOG_IN_AGAIN = "The login was started in another browser or expired. Log in again with cookies allowed."
_COPY_IS_VALID = (
    "This browser is logged out, but the database does not answer, so the session itself is still valid for up to "
    "eight hours. If someone may have a copy of its cookie, ask an operator to change your token or CONSOLE_KEY."
)


class Login:
    """The provider, and the failed logins of the last minute.

    A token has at least 32 characters, 10 of them different, so it can't be guessed at any rate. Excess failures
    therefore limit log lines and answers, but never reject a valid token, which failures of others could block.
    """

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.outage = Outage(log_events.CONSOLE_PROVIDER_FAILED)
        self._times: deque[float] = deque(maxlen=MAX_FAILURES)
        self._logged_at = float("-inf")
        self._slots = asyncio.Semaphore(_MAX_AT_ONCE)

    def refuse(self, reason: str, result: str = "") -> bool:
        """Count and log a failure; return False if there were too many to log each."""
        now = time.monotonic()
        too_many = len(self._times) == MAX_FAILURES and now - self._times[0] < WINDOW_SECONDS
        self._times.append(now)
        if not too_many:
            metrics.CONSOLE_LOGINS.labels(result or reason).inc()
            log_event(log_events.CONSOLE_LOGIN_REFUSED, reason=reason)
            return True
        metrics.CONSOLE_LOGINS.labels("too many failures").inc()
        if now - self._logged_at >= WINDOW_SECONDS:
            log_event(log_events.CONSOLE_LOGINS_FAILING, count=MAX_FAILURES)
            self._logged_at = now
        return False

    @contextlib.asynccontextmanager
    async def provider_call(self) -> AsyncIterator[None]:
        """Limit concurrent provider calls of logins. Raises HTTPException if unavailable."""
        try:
            if self._slots.locked():
                raise ProviderError("too many logins at once")  # noqa: TRY301 -- handled like the others
            async with self._slots:
                yield
        except ProviderError as failure:
            metrics.CONSOLE_LOGINS.labels("provider away").inc()
            self.outage.seen(str(failure))
            sentence = "The login server is unavailable. Try again in a minute, or log in with a token."
            raise unavailable(sentence, 60) from failure


def get_oidc(sessions: SessionsDep) -> OidcSettings:
    if (oidc := sessions.access.now().oidc) is None:
        raise NotFound
    return oidc


LoginDep = Annotated[Login, app_part("login")]
OidcDep = Annotated[OidcSettings, Depends(get_oidc)]
NextQuery = Annotated[str, Query(alias="next")]
router = APIRouter(route_class=ConsoleRoute)


@router.get("/login")
async def login_page(request: Request, sessions: SessionsDep, to: NextQuery = "") -> Response:
    session = sessions.read(request)
    if session is not None and not await sessions.ended.has(session.id):
        return redirect(local_path(to))
    return _login_page(request, sessions, to)


@router.post("/login", dependencies=[Depends(check_origin)])
async def log_in(
    request: Request,
    sessions: SessionsDep,
    login: LoginDep,
    token: Annotated[str, Form()] = "",
    csrf: Annotated[str, Form()] = "",
    to: Annotated[str, Form(alias="next")] = "",
) -> Response:
    if not sessions.is_csrf(csrf, sessions.read_login(request)["id"]):
        return _login_page(request, sessions, to, _LOG_IN_AGAIN, 403)
    sent = token.strip().encode("utf-8", "replace")
    # All tokens are compared, so that the time reveals nothing.
    holders = [known for known in sessions.access.now().tokens if hmac.compare_digest(sent, known.token.encode())]
    if holders:
        return await _enter(request, sessions, sessions.account_of_token(holders[0]), holders[0].role, to)
    if login.refuse("wrong token"):
        return _login_page(request, sessions, to, "This token is not valid. It may have been revoked.", 403)
    problem = "This token is not valid. There were many failed logins: check the token, and try again in a minute."
    response = _login_page(request, sessions, to, problem, 429)
    response.headers["Retry-After"] = str(round(WINDOW_SECONDS))
    return response


@router.get(_LINK)
async def log_in_by_link(request: Request, sessions: SessionsDep, login: LoginDep, link: str = "") -> Response:
    holder = await sessions.use_link(link)
    if holder is not None:
        return await _enter(request, sessions, sessions.account_of_token(holder), holder.role, "")
    login.refuse("link not valid")
    return _login_page(request, sessions, "", "This link was used already, or is older than five minutes.", 403)


@router.get("/login/provider")
async def to_provider(
    request: Request, sessions: SessionsDep, login: LoginDep, oidc: OidcDep, to: NextQuery = ""
) -> Response:
    # Authlib keeps state, nonce and verifier in the request's session.
    login_state = request.scope["session"] = {"id": sessions.read_login(request)["id"], "next": local_path(to)}
    async with login.provider_call():
        response = await login.provider.authorize(request, oidc, sessions.address.origin(request) + _BACK)
    login.outage.over()
    sessions.write_login(response, login_state)
    return response


@router.get(_BACK)
async def from_provider(request: Request, sessions: SessionsDep, login: LoginDep, oidc: OidcDep) -> Response:
    login_state = request.scope["session"] = sessions.read_login(request)
    try:
        async with login.provider_call():
            person = await login.provider.person(request, oidc)
    except MismatchingStateError:
        raise HTTPException(400, _LOG_IN_AGAIN) from None
    except LoginError as failure:
        login.refuse(str(failure), "not vouched for")
        raise HTTPException(403, "The login server did not confirm who you are. Log in again.") from failure
    # The first value in the settings' order counts.
    value = next((value for value in oidc.roles if value in person.values), None)
    if value is None:
        login.refuse("no role")
        sentence = f"You are logged in as {person.name}, but none of your groups has a role here. Ask an operator."
        raise HTTPException(403, sentence)
    account = sessions.account_of_person(oidc, person.subject, person.name, value)
    return await _enter(request, sessions, account, oidc.roles[value], login_state.get("next", ""))


@router.post("/logout")
async def log_out(request: Request, sessions: SessionsDep, csrf: Annotated[str, Form()] = "") -> Response:
    session = sessions.read(request)
    if session is None:
        return redirect("/login")
    check_origin(request, sessions)
    if not sessions.is_csrf(csrf, session.id):
        raise CsrfFailed
    try:
        await sessions.ended.add(session.id)
    except (*DATABASE_FAILURES, TimeoutError) as failure:
        # The browser loses its cookie in any case.
        response = error_page(request, HTTPException(503, _COPY_IS_VALID))
        metrics.CONSOLE_LOGINS.labels("logout not recorded").inc()
        log_event(log_events.CONSOLE_LOGOUT_LOST, visitor=session.account.id, failure=failure)
    else:
        response = redirect("/login")
        metrics.CONSOLE_LOGINS.labels("logout").inc()
        log_event(log_events.CONSOLE_LOGOUT, visitor=session.account.id)
    sessions.delete_cookie(response)
    return response


def _login_page(request: Request, sessions: Sessions, to: str, problem: str = "", status: int = 200) -> Response:
    login, access = sessions.read_login(request), sessions.access.now()
    context = {
        "login_field": csrf_field(sessions.csrf(login["id"])),
        "next": local_path(to),
        "problem": problem,
        "by_token": bool(access.tokens),
        "by_provider": access.oidc is not None,
    }
    response = templates.TemplateResponse(request, "login.html", context, status)
    # With the same id, and the same login at the provider, logins in other tabs stay valid.
    sessions.write_login(response, login)
    return response


async def _enter(request: Request, sessions: Sessions, account: Account, role: ConsoleRole, to: str) -> Response:
    if (before := sessions.read(request)) is not None:
        await sessions.ended.add(before.id)
    response = redirect(local_path(to))
    sessions.begin(account, response)
    # A login form that is open in another tab stays valid.
    sessions.write_login(response, {"id": sessions.read_login(request)["id"]})
    metrics.CONSOLE_LOGINS.labels("ok").inc()
    role_text = role.kind + (f":{role.tenant_id}" if role.tenant_id else "") + ("+texts" if role.reads_texts else "")
    log_event(log_events.CONSOLE_LOGIN, visitor=account.id, role=role_text, by=account.kind)
    return response
