"""FastAPI application of the console."""

from collections.abc import Sequence

from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from observability import metrics, phrases
from observability.identifiers import bound
from observability.logging import say
from support.console import login
from support.console.dependencies import MOST_FIELDS, Services, check_query
from support.console.errors import ErrorHandler, ErrorPage, LoginRequired, ids_of, is_part, place_of
from support.console.provider import Provider
from support.console.routes import failures, overview, retries, search, tenants, texts, tickets
from support.console.sessions import Session, Sessions
from support.console.templating import STATIC, STATIC_PATH

PAGES = (overview.router, search.router, tickets.router, texts.router, tenants.router, failures.router, retries.router)
_PAGE_SECONDS = 15.0
_METHODS = ("GET", "HEAD", "POST")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Not no-referrer: browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}


class ConsoleMiddleware:
    """Checks host and session, adds headers, counts requests and logs changes."""

    def __init__(self, app: ASGIApp, *, sessions: Sessions, errors: ErrorHandler) -> None:
        self._app = app
        self._sessions = sessions
        self._errors = errors
        secure = {"Strict-Transport-Security": "max-age=31536000"} if sessions.address.is_secure else {}
        self._headers = _HEADERS | secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        request.state.session, request.state.is_change, request.state.form = None, False, {}

        started = False

        async def send_finished(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._finish(request, message["status"], MutableHeaders(scope=message))
            await send(message)

        try:
            await self._admit(request)
            session: Session | None = request.state.session
            with bound(**({"visitor": session.account.id} if session else {})):
                await self._app(scope, receive, send_finished)
        except ClientDisconnect:
            return
        except Exception as failure:  # noqa: BLE001 -- the web server would quote it, and show a page of its own
            response = await self._errors(request, failure)
            if not started:
                await response(scope, receive, send_finished)

    async def _admit(self, request: Request) -> None:
        """Admit a request with a session.

        Raises ErrorPage, LoginRequired, or a database error.
        """
        if not self._sessions.address.knows(request.headers.get("host", "")):
            raise ErrorPage(400, "Another address", "The console is not reached by this name: CONSOLE_URL says which.")
        if request.method not in _METHODS:
            raise ErrorPage(405, "Not this way", "That can't be done at this address.", {"Allow": ", ".join(_METHODS)})
        path = request.scope["path"]
        if path in login.PATHS or path.startswith("/static/"):
            return
        request.state.session = self._sessions.read(request)
        if request.state.session is None or await self._sessions.is_ended(request.state.session):
            request.state.session = None
            raise LoginRequired

    def _finish(self, request: Request, status: int, headers: MutableHeaders) -> None:
        headers.update(self._headers)
        place, session = place_of(request), request.state.session
        if place == "/static" and status < 400:
            headers["Cache-Control"] = "public, max-age=31536000, immutable"
        metrics.CONSOLE_REQUESTS.labels(place, str(status)).inc()
        if session is None:
            return
        # Parts of an open page poll without user activity.
        if status < 400 and not is_part(request):
            renewed = Response()
            self._sessions.renew(session, renewed)
            for cookie in renewed.headers.getlist("set-cookie"):
                headers.append("set-cookie", cookie)
        if request.state.is_change:
            fields = {"visitor": session.account.id, "place": place, "status": status}
            say(phrases.CONSOLE_CHANGED, fields, also=ids_of(request))


def create_app(
    services: Services,
    sessions: Sessions,
    *,
    provider: Provider | None = None,
    pages: Sequence[APIRouter] = PAGES,
    page_seconds: float = _PAGE_SECONDS,
) -> FastAPI:
    errors = ErrorHandler(services.redis)
    app = FastAPI(
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        form_limits={"max_fields": MOST_FIELDS},
        dependencies=[Depends(check_query)],
    )
    app.state.services, app.state.sessions, app.state.page_seconds = services, sessions, page_seconds
    app.state.login = login.Login(provider or Provider())
    for router in (login.router, *pages):
        app.include_router(router)
    app.mount(STATIC_PATH, StaticFiles(directory=STATIC))
    app.add_exception_handler(HTTPException, errors)
    app.add_exception_handler(RequestValidationError, errors)
    app.add_middleware(ConsoleMiddleware, sessions=sessions, errors=errors)
    return app
