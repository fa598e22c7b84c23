"""The pages of logging in and out."""

import hmac
import secrets

from starlette.requests import Request
from starlette.responses import Response

from config.console_access import OidcSettings
from config.console_roles import ConsoleRole
from observability import metrics, phrases
from observability.logging import say
from observability.outage import Outage
from storage.session import DATABASE_FAILURES
from support.console.access.address import local_path
from support.console.access.gate import Gate, OpenVisit
from support.console.access.issuer import ProviderAway
from support.console.access.provider import Begun, NotVouchedFor, Provider, VouchedFor
from support.console.access.sessions import Account
from support.console.access.tokens import WINDOW_SECONDS, Failures, holder_of
from support.console.forms import form_of, query_of
from support.console.frame import Around, Frame, csrf_field
from support.console.turned_away import TurnedAway

LOGIN, LOGOUT, PROVIDER, BACK = "/login", "/logout", "/login/provider", "/login/provider/back"
PATHS = {LOGIN: ("GET", "POST"), LOGOUT: ("POST",), PROVIDER: ("GET",), BACK: ("GET",)}
_BEGIN_AGAIN = "It was begun in another browser, or too long ago. Log in once more; cookies have to be allowed."
_NOT_RECORDED = "The logout did not count yet"
_COPY_IS_VALID = (
    "This browser is logged out. But the database does not answer, so the session itself is not ended: a copy of its "
    "cookie in another place works again with the database, for eight hours at most. If there may be a copy, have your "
    "token or CONSOLE_KEY changed."
)
_NEXT = "next"


class Logins:
    """Answers PATHS. Somebody who fails to log in is told so in the page, and in a line and a number."""

    def __init__(self, gate: Gate, frame: Frame, provider: Provider, failures: Failures) -> None:
        self._gate = gate
        self._frame = frame
        self._provider = provider
        self._failures = failures
        self._away = Outage(phrases.CONSOLE_PROVIDER_FAILED)

    async def answer(self, request: Request, path: str) -> Response:
        """Answer one of PATHS, whose method it has. Raises TurnedAway, and what reading a form raises."""
        if path == LOGOUT:
            return await self._log_out(request)
        if path == PROVIDER:
            return await self._to_provider(request)
        if path == BACK:
            return await self._back(request)
        return await (self._by_token(request) if request.method == "POST" else self._ask(request))

    # -- By a token ---------------------------------------------------------------------------------------------------
    async def _ask(self, request: Request) -> Response:
        to = local_path(query_of(request).get(_NEXT))
        visit = self._gate.visit(request)
        if visit is not None and not await self._gate.has_left(visit):
            return self._frame.redirect(to)
        return self._login_page(request, to)

    def _login_page(self, request: Request, to: str, problem: str = "", status: int = 200) -> Response:
        # A page that is open in another tab stays good.
        login_id = self._login_id(request)
        field = csrf_field(self._gate.sessions.csrf(_login(login_id)))
        access = self._gate.access.now()
        values = {
            "login_field": field,
            "next": to,
            "problem": problem,
            "by_token": bool(access.tokens),
            "by_provider": access.oidc is not None,
        }
        response = self._frame.page(Around(LOGIN), "login.html", values, status)
        # Nor is a login by the provider over that was begun in one.
        self._gate.begin_login(response, {**self._gate.login(request), "id": login_id})
        return response

    def _login_id(self, request: Request) -> str:
        return str(self._gate.login(request).get("id") or secrets.token_urlsafe(18))

    async def _by_token(self, request: Request) -> Response:
        if not self._gate.address.is_own(request):
            raise TurnedAway(403, "Not from here", "This form was sent by another site.")
        form = await form_of(request)
        to = local_path(form.get(_NEXT))
        login_id = self._gate.login(request).get("id")
        if not login_id or not self._gate.sessions.is_csrf(form.get("csrf", ""), _login(login_id)):
            return self._login_page(request, to, _BEGIN_AGAIN, 403)
        holder = holder_of(form.get("token", "").strip(), self._gate.access.now().tokens)
        if holder is None:
            return self._wrong_token(request, to)
        return await self._enter(request, self._gate.sessions.by_token(holder.name, holder.token), holder.role, to)

    def _wrong_token(self, request: Request, to: str) -> Response:
        if not self._refuse("wrong token"):
            told = "Nobody's token. There were many of these just now: look at yours, and try again in a minute."
            response = self._login_page(request, to, told, 429)
            response.headers["Retry-After"] = str(round(WINDOW_SECONDS))
            return response
        return self._login_page(request, to, "This is nobody's token, or it was withdrawn.", 403)

    # -- By a provider ------------------------------------------------------------------------------------------------
    async def _to_provider(self, request: Request) -> Response:
        oidc = self._oidc()
        begun = Begun.new()
        try:
            url = await self._provider.login_url(oidc, self._redirect_uri(request), begun)
        except ProviderAway as away:
            raise self._provider_away(away) from away
        self._away.over()
        response = self._frame.redirect(url)
        told = {"state": begun.state, "nonce": begun.nonce, "verifier": begun.verifier}
        to = local_path(query_of(request).get(_NEXT))
        self._gate.begin_login(response, {"id": self._login_id(request), "next": to, **told})
        return response

    async def _back(self, request: Request) -> Response:
        oidc, query, told = self._oidc(), query_of(request), self._gate.login(request)
        state = str(told.get("state", ""))
        if not state or not hmac.compare_digest(query.get("state", "").encode(), state.encode()):
            raise TurnedAway(400, "Log in once more", _BEGIN_AGAIN)
        if "error" in query or not query.get("code"):
            raise self._not_vouched_for("login not given")
        begun = Begun(state, str(told["nonce"]), str(told["verifier"]))
        try:
            person = await self._provider.person(oidc, self._redirect_uri(request), query["code"], begun)
        except ProviderAway as away:
            raise self._provider_away(away) from away
        except NotVouchedFor as failure:
            raise self._not_vouched_for(str(failure)) from failure
        value = self._first(oidc, person)
        account = self._gate.sessions.by_provider(oidc, person.subject, person.name, value)
        return await self._enter(request, account, oidc.roles[value], local_path(told.get("next")))

    def _first(self, oidc: OidcSettings, person: VouchedFor) -> str:
        """Return the value of the person's that counts. Raises TurnedAway."""
        value = next((value for value in oidc.roles if value in person.values), None)
        if value is None:
            self._refuse("no role")
            raise TurnedAway(
                403,
                "No role here",
                f"You are logged in there as {person.name}, but none of your groups has a role in this console. "
                "Ask those who run it.",
            )
        return value

    def _provider_away(self, away: ProviderAway) -> TurnedAway:
        metrics.CONSOLE_LOGINS.labels("provider away").inc()
        self._away.seen(str(away))
        told = "The login server does not answer as it should. Try again in a minute, or log in with a token."
        return TurnedAway(503, "The login server is away", told, headers={"Retry-After": "60"})

    def _not_vouched_for(self, reason: str) -> TurnedAway:
        self._refuse(reason, "not vouched for")
        return TurnedAway(403, "Not logged in", "The login server did not say who you are. Log in once more.")

    def _oidc(self) -> OidcSettings:
        oidc = self._gate.access.now().oidc
        if oidc is None:
            raise TurnedAway(404, "Not here", "Nobody logs in by a provider here.")
        return oidc

    def _redirect_uri(self, request: Request) -> str:
        return self._gate.address.origin(request) + BACK

    # -- Both ---------------------------------------------------------------------------------------------------------
    async def _enter(self, request: Request, account: Account, role: ConsoleRole, to: str) -> Response:
        if (before := self._gate.visit(request)) is not None:
            await self._gate.leave(before)
        response = self._frame.redirect(to)
        self._gate.enter(account, response, self._login_id(request))
        metrics.CONSOLE_LOGINS.labels("ok").inc()
        say(phrases.CONSOLE_LOGIN, visitor=account.id, role=_words(role), by=account.kind)
        return response

    def _refuse(self, reason: str, result: str = "") -> bool:
        """Count a failure and say so; False if there were too many to say so of each."""
        if self._failures.one_more():
            metrics.CONSOLE_LOGINS.labels("too many failures").inc()
            return False
        metrics.CONSOLE_LOGINS.labels(result or reason).inc()
        say(phrases.CONSOLE_LOGIN_REFUSED, reason=reason)
        return True

    async def _log_out(self, request: Request) -> Response:
        visit = self._gate.visit(request)
        if visit is None:
            return self._frame.redirect(LOGIN)
        if not self._gate.address.is_own(request):
            raise TurnedAway(403, "Not from here", "This form was sent by another site.")
        form = await form_of(request)
        if not self._gate.sessions.is_csrf(form.get("csrf", ""), visit.session.id):
            raise TurnedAway(403, "Not from here", "The form is of another session. Load the page again.")
        try:
            await self._gate.leave(visit)
        except (*DATABASE_FAILURES, TimeoutError) as failure:
            return self._logout_not_recorded(visit, failure)
        response = self._frame.redirect(LOGIN)
        self._gate.forget(response)
        metrics.CONSOLE_LOGINS.labels("logout").inc()
        say(phrases.CONSOLE_LOGOUT, visitor=visit.account)
        return response

    def _logout_not_recorded(self, visit: OpenVisit, failure: Exception) -> Response:
        """Return a page that says what the logout did not do; the browser has no cookie after it."""
        values = {"status": 503, "heading": _NOT_RECORDED, "sentence": _COPY_IS_VALID, "waiting": None}
        response = self._frame.page(Around(LOGOUT), "error.html", values, 503)
        self._gate.forget(response)
        metrics.CONSOLE_LOGINS.labels("logout not recorded").inc()
        say(phrases.CONSOLE_LOGOUT_LOST, visitor=visit.account, failure=failure)
        return response


def _login(login_id: str) -> str:
    """Return what the form of a login is bound to; no session has such an id."""
    return f"login {login_id}"


def _words(role: ConsoleRole) -> str:
    of = f"{role.kind}:{role.tenant_id}" if role.tenant_id else role.kind
    return of + ("+texts" if role.reads_texts else "")
