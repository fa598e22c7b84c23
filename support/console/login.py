"""Login by token or OpenID provider, and logout."""

import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from config.console_access import ConsoleRole, ConsoleToken, OidcSettings
from observability import metrics, phrases
from observability.logging import Outage, say
from storage.session import DATABASE_FAILURES
from support.console.address import local_path
from support.console.dependencies import ConsoleRoute, SessionsDep, read_form
from support.console.errors import CsrfFailed, ErrorPage, redirect
from support.console.provider import LoginNotBegun, LoginRefused, Person, Provider, ProviderUnavailable
from support.console.sessions import Account, Sessions
from support.console.templating import csrf_field, templates

MOST_FAILURES = 10
WINDOW_SECONDS = 60.0
PATHS = ("/login", "/logout", "/login/provider", "/login/provider/back")
"""Those that need no session."""
_BACK = "/login/provider/back"
_BEGIN_AGAIN = "It was begun in another browser, or too long ago. Log in once more; cookies have to be allowed."
_COPY_IS_VALID = (
    "This browser is logged out. But the database does not answer, so the session itself is not ended: a copy of its "
    "cookie in another place works again with the database, for eight hours at most. If there may be a copy, have your "
    "token or CONSOLE_KEY changed."
)


class Login:
    """The provider, and the failed logins of the last minute.

    A token has at least 32 characters, 10 of them different: guessing finds none at any speed. Excess failures
    therefore limit log lines and answers, but never reject a valid token, which others' failures could otherwise block.
    """

    def __init__(self, provider: Provider, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.provider = provider
        self.outage = Outage(phrases.CONSOLE_PROVIDER_FAILED)
        self._monotonic = monotonic
        self._times: deque[float] = deque(maxlen=MOST_FAILURES)
        self._unlogged = 0
        self._logged_at = float("-inf")

    def refuse(self, reason: str, result: str = "") -> bool:
        """Count a failure and log it; return False if there were too many to log each."""
        now = self._monotonic()
        too_many = len(self._times) == MOST_FAILURES and now - self._times[0] < WINDOW_SECONDS
        self._times.append(now)
        if not too_many:
            metrics.CONSOLE_LOGINS.labels(result or reason).inc()
            say(phrases.CONSOLE_LOGIN_REFUSED, reason=reason)
            return True
        metrics.CONSOLE_LOGINS.labels("too many failures").inc()
        self._unlogged += 1
        if now - self._logged_at >= WINDOW_SECONDS:
            say(phrases.CONSOLE_LOGINS_FAILING, count=MOST_FAILURES + self._unlogged)
            self._unlogged, self._logged_at = 0, now
        return False

    def unavailable(self, failure: ProviderUnavailable) -> ErrorPage:
        metrics.CONSOLE_LOGINS.labels("provider away").inc()
        self.outage.seen(str(failure))
        sentence = "The login server does not answer as it should. Try again in a minute, or log in with a token."
        return ErrorPage(503, "The login server is away", sentence, {"Retry-After": "60"})


def get_login(request: Request) -> Login:
    login: Login = request.app.state.login
    return login


def get_oidc(sessions: SessionsDep) -> OidcSettings:
    oidc = sessions.access.now().oidc
    if oidc is None:
        raise ErrorPage(404, "Not here", "Nobody logs in by a provider here.")
    return oidc


LoginDep = Annotated[Login, Depends(get_login)]
OidcDep = Annotated[OidcSettings, Depends(get_oidc)]
NextPath = Annotated[str, Form(alias="next")]
router = APIRouter(route_class=ConsoleRoute)


@router.get("/login")
async def login_page(request: Request, sessions: SessionsDep, next: str = "") -> Response:  # noqa: A002 -- its name
    """Show the form; lead on who is logged in."""
    session = sessions.read(request)
    if session is not None and not await sessions.is_ended(session):
        return redirect(local_path(next))
    return _login_page(request, sessions, next)


@router.post("/login", dependencies=[Depends(read_form)])
async def log_in(
    request: Request,
    sessions: SessionsDep,
    login: LoginDep,
    token: Annotated[str, Form()] = "",
    csrf: Annotated[str, Form()] = "",
    to: NextPath = "",
) -> Response:
    """Log in by a token."""
    login_id = sessions.read_login(request).get("id")
    if not login_id or not sessions.is_csrf(csrf, _csrf_id(login_id)):
        return _login_page(request, sessions, to, _BEGIN_AGAIN, 403)
    holder = _holder(token.strip(), sessions.access.now().tokens)
    if holder is not None:
        return await _enter(request, sessions, sessions.account_of_token(holder), holder.role, to)
    if login.refuse("wrong token"):
        return _login_page(request, sessions, to, "This is nobody's token, or it was withdrawn.", 403)
    problem = "Nobody's token. There were many of these just now: look at yours, and try again in a minute."
    response = _login_page(request, sessions, to, problem, 429)
    response.headers["Retry-After"] = str(round(WINDOW_SECONDS))
    return response


@router.get("/login/provider")
async def to_provider(
    request: Request,
    sessions: SessionsDep,
    login: LoginDep,
    oidc: OidcDep,
    next: str = "",  # noqa: A002
) -> Response:
    """Lead to the provider."""
    # Authlib keeps state, nonce and verifier in the request's session.
    begun = request.scope["session"] = {"id": _login_id(request, sessions), "next": local_path(next)}
    try:
        response = await login.provider.authorize(request, oidc, sessions.address.origin(request) + _BACK)
    except ProviderUnavailable as failure:
        raise login.unavailable(failure) from failure
    login.outage.over()
    sessions.write_login(response, begun)
    return response


@router.get(_BACK)
async def from_provider(request: Request, sessions: SessionsDep, login: LoginDep, oidc: OidcDep) -> Response:
    """Log in who comes back from the provider."""
    begun = request.scope["session"] = sessions.read_login(request)
    to = begun.get("next", "")
    try:
        person = await login.provider.person(request, oidc)
    except LoginNotBegun:
        raise ErrorPage(400, "Log in once more", _BEGIN_AGAIN) from None
    except ProviderUnavailable as failure:
        raise login.unavailable(failure) from failure
    except LoginRefused as failure:
        login.refuse(str(failure), "not vouched for")
        sentence = "The login server did not say who you are. Log in once more."
        raise ErrorPage(403, "Not logged in", sentence) from failure
    # The first value in the settings' order counts.
    value = next((value for value in oidc.roles if value in person.values), None)
    if value is None:
        raise _without_role(login, person)
    account = sessions.account_of_person(oidc, person.subject, person.name, value)
    return await _enter(request, sessions, account, oidc.roles[value], to)


@router.post("/logout")
async def log_out(
    request: Request,
    sessions: SessionsDep,
    csrf: Annotated[str, Form()] = "",
) -> Response:
    """End the session."""
    session = sessions.read(request)
    if session is None:
        return redirect("/login")
    await read_form(request, sessions)
    if not sessions.is_csrf(csrf, session.id):
        raise CsrfFailed
    try:
        await sessions.end(session)
    except (*DATABASE_FAILURES, TimeoutError) as failure:
        # The browser loses its cookie in any case.
        context = {
            "status": 503,
            "heading": "The logout did not count yet",
            "sentence": _COPY_IS_VALID,
            "waiting": None,
        }
        response: Response = templates.TemplateResponse(request, "error.html", context, 503)
        metrics.CONSOLE_LOGINS.labels("logout not recorded").inc()
        say(phrases.CONSOLE_LOGOUT_LOST, visitor=session.account.id, failure=failure)
    else:
        response = redirect("/login")
        metrics.CONSOLE_LOGINS.labels("logout").inc()
        say(phrases.CONSOLE_LOGOUT, visitor=session.account.id)
    sessions.forget(response)
    return response


def _login_page(request: Request, sessions: Sessions, to: str, problem: str = "", status: int = 200) -> Response:
    # Keeps the id, so that a login page in another tab stays valid.
    login_id = _login_id(request, sessions)
    access = sessions.access.now()
    context = {
        "login_field": csrf_field(sessions.csrf(_csrf_id(login_id))),
        "next": local_path(to),
        "problem": problem,
        "by_token": bool(access.tokens),
        "by_provider": access.oidc is not None,
    }
    response = templates.TemplateResponse(request, "login.html", context, status)
    # Keeps a provider login that was started in another tab.
    sessions.write_login(response, sessions.read_login(request) | {"id": login_id})
    return response


def _login_id(request: Request, sessions: Sessions) -> str:
    return str(sessions.read_login(request).get("id") or secrets.token_urlsafe(18))


def _csrf_id(login_id: str) -> str:
    """Return the CSRF binding of a login form; no session has such an id."""
    return f"login {login_id}"


def _holder(given: str, tokens: Sequence[ConsoleToken]) -> ConsoleToken | None:
    """Return the matching token, comparing in constant time."""
    sent = given.encode("utf-8", "replace")
    found = [token for token in tokens if hmac.compare_digest(sent, token.token.encode())]
    return found[0] if found else None


async def _enter(request: Request, sessions: Sessions, account: Account, role: ConsoleRole, to: str) -> Response:
    if (before := sessions.read(request)) is not None:
        await sessions.end(before)
    response = redirect(local_path(to))
    sessions.begin(account, response)
    # Keeps the id of a login form that is open in another tab.
    sessions.write_login(response, {"id": _login_id(request, sessions)})
    metrics.CONSOLE_LOGINS.labels("ok").inc()
    of = f"{role.kind}:{role.tenant_id}" if role.tenant_id else role.kind
    say(
        phrases.CONSOLE_LOGIN,
        visitor=account.id,
        role=of + ("+texts" if role.reads_texts else ""),
        by=account.kind,
    )
    return response


def _without_role(login: Login, person: Person) -> ErrorPage:
    login.refuse("no role")
    sentence = (
        f"You are logged in there as {person.name}, but none of your groups has a role in this console. "
        "Ask those who run it."
    )
    return ErrorPage(403, "No role here", sentence)
