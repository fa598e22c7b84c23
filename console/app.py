"""FastAPI application of the console."""

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from console import login
from console.dependencies import Services
from console.errors import ErrorHandler, is_part, loggable_ids, route_path
from console.oidc import Provider
from console.routes import activity, failures, report, tenants, tickets
from console.sessions import Sessions
from console.templating import STATIC, STATIC_PATH
from observability import log_events, metrics
from observability.identifiers import bound
from observability.logging import log_event

PAGES = (activity.router, tenants.router, tickets.router, failures.router, report.router)
MAX_FIELDS, LARGEST_FIELD_BYTES = 32, 8 * 1024
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


class ConsoleMiddleware(BaseHTTPMiddleware):
    """Checks host and session, adds headers, counts requests and logs changes."""

    def __init__(self, app: ASGIApp, *, sessions: Sessions, errors: ErrorHandler) -> None:
        super().__init__(app)
        self._sessions = sessions
        self._errors = errors
        secure = {"Strict-Transport-Security": "max-age=31536000"} if sessions.address.is_secure else {}
        self._headers = _HEADERS | secure

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        request.state.session, request.state.is_change = None, False
        try:
            await self._authenticate(request)
            session = request.state.session
            with bound(**({"visitor": session.account.id} if session else {})):
                response = await call_next(request)
        except ClientDisconnect:
            response = Response(status_code=400)
        except Exception as failure:  # noqa: BLE001 -- the web server would log its text, and send its own page
            response = await self._errors(request, failure)
        self._finish(request, response)
        return response

    async def _authenticate(self, request: Request) -> None:
        if not self._sessions.address.accepts(request.headers.get("host", "")):
            raise HTTPException(400, "The console has another address. CONSOLE_URL sets it.")
        if request.method not in _METHODS:
            raise HTTPException(405, headers={"Allow": ", ".join(_METHODS)})
        path = request.scope["path"]
        if path in login.PATHS or path.startswith("/static/"):
            return
        # Set before the database is read, so that an error page has the layout of a signed-in user.
        session = request.state.session = self._sessions.read(request)
        if session is None or await self._sessions.ended.has(session.id):
            request.state.session = None
            raise HTTPException(401)

    def _finish(self, request: Request, response: Response) -> None:
        response.headers.update(self._headers)
        place, session, status = route_path(request), request.state.session, response.status_code
        if place == "/static" and status < 400:
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        metrics.CONSOLE_REQUESTS.labels(place, str(status)).inc()
        if session is None:
            return
        # Polling by parts of an open page is no user activity, and must not extend the session.
        if status < 400 and not is_part(request):
            self._sessions.renew(session, response)
        if request.state.is_change:
            fields = {"visitor": session.account.id, "place": place, "status": status}
            log_event(log_events.CONSOLE_CHANGED, fields, also=loggable_ids(request))


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
        form_limits={"max_fields": MAX_FIELDS, "max_part_size": LARGEST_FIELD_BYTES, "max_files": 0},
        exception_handlers={HTTPException: errors, RequestValidationError: errors},
    )
    app.state.services, app.state.sessions, app.state.page_seconds = services, sessions, page_seconds
    app.state.login = login.Login(provider or Provider())
    for router in (login.router, *pages):
        app.include_router(router)
    app.mount(STATIC_PATH, StaticFiles(directory=STATIC))
    app.add_middleware(ConsoleMiddleware, sessions=sessions, errors=errors)
    return app
