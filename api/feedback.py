"""The feedback page behind a note's link: `<path>/f/<token>`.

Everyone with a link may vote on its note; the last vote counts. A GET neither queries nor changes the database, because
scanners of mail and chat open every link. The page has its own public port, with few connections.
"""

import asyncio
import base64
import contextlib
import hashlib
import socket
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from api import health
from api.server import Connections, Port
from api.server import serve as serve_port
from config.settings import ApiSettings
from config.tenant_directory import TenantDirectory
from db.session import DATABASE_FAILURES, Database
from jobs.feedback import PATH, FeedbackLinks, JobLink, Vote, VoteReason, record_vote
from observability import log_events, metrics
from observability.logging import log_event

Message = tuple[str, str]
"""Heading and text."""
_MAX_READ = 200
_LOCAL = {"127.0.0.1", "localhost"}


class PageTexts(BaseModel):
    """Texts of one language."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: str
    question: str
    about: str
    useful: str
    not_useful: str
    why: str
    optional: str
    reasons: dict[VoteReason, str]
    thanks: Message
    answered: str
    change: str
    unknown: Message
    expired: Message
    gone: Message
    later: Message
    unreadable: Message
    method: Message

    def of(self, vote: Vote) -> str:
        return self.useful if vote == Vote.USEFUL else self.not_useful


_FOLDER = Path(__file__).with_name("templates")
_TABLES = tomllib.loads(_FOLDER.joinpath("feedback.toml").read_text(encoding="utf-8"))
TEXTS = {language: PageTexts(language=language, **table) for language, table in _TABLES.items()}


def texts_for(accept_language: str) -> PageTexts:
    """Return the texts of the preferred `Accept-Language`, else English."""
    accepted: list[tuple[float, str]] = []
    for part in accept_language[:_MAX_READ].split(","):
        name, _, weight = part.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight.strip() else 1.0
        except ValueError:
            continue
        language = name.strip().lower().partition("-")[0]
        if quality > 0 and language in TEXTS:
            accepted.append((quality, language))
    return TEXTS[max(accepted, key=lambda each: each[0])[1] if accepted else "en"]


_MAX_FIELDS, _LARGEST_FIELD_BYTES = 4, 256
MAX_AT_ONCE = 8
_REQUEST_SECONDS = 5.0
_RECORD_SECONDS = 4.0
_LINE_SECONDS = 10.0
_METHODS = "GET, HEAD, POST"
_STYLE = (_FOLDER / "feedback.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}
_MESSAGES = {404: "unknown", 405: "method", 500: "later", 503: "later"}
"""Texts by status. An error with 410 names its text; other statuses show `unreadable`."""
_FINAL = (404, 405, 410, 500)
"""Statuses without a form: another vote would not help."""

_templates = Jinja2Templates(
    env=Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    ),
    context_processors=[lambda _: {"style": Markup(_STYLE)}],  # noqa: S704 -- our own file
)


class _UnknownLinks:
    """Counts invalid links and logs at most every ten seconds: anyone can send them."""

    def __init__(self) -> None:
        self._count = 0
        self._logged_at = -_LINE_SECONDS

    def add(self) -> None:
        self._count += 1
        now = time.monotonic()
        if now - self._logged_at >= _LINE_SECONDS:
            log_event(log_events.FEEDBACK_LINKS_UNKNOWN, count=self._count)
            self._count, self._logged_at = 0, now


class _TimedRoute(APIRoute):
    """A route with a time limit."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def timed(request: Request) -> Response:
            try:
                async with asyncio.timeout(_REQUEST_SECONDS):
                    return await handle(request)
            except TimeoutError:
                raise HTTPException(408) from None

        return timed


router = APIRouter(route_class=_TimedRoute)


def read_link(request: Request, token: str) -> JobLink:
    state = request.app.state
    link: JobLink | None = state.links.read(token)
    if link is None:
        state.unknown_links.add()
        raise HTTPException(404)
    if link.expired:
        raise _gone(link, "link expired", "expired")
    if state.tenants.get(link.tenant_id) is None:
        raise _gone(link, "tenant left")
    return link


Link = Annotated[JobLink, Depends(read_link)]


@router.api_route(PATH + "{token}", methods=["GET", "HEAD"])
async def question(request: Request, _link: Link) -> Response:
    return _page(request, 200)


@router.post(PATH + "{token}")
async def vote(
    request: Request,
    link: Link,
    vote: Annotated[list[Vote], Form(min_length=1, max_length=1)],
    reason: Annotated[VoteReason | None, Form()] = None,
) -> Response:
    reason = reason if vote[0] is Vote.NOT_USEFUL else None
    state = request.app.state
    if state.free.locked():
        raise _unavailable(link, "too many at once")
    try:
        async with state.free, asyncio.timeout(_RECORD_SECONDS):
            recorded = await record_vote(state.database, link.tenant_id, link.job_id, vote[0], reason)
    except (*DATABASE_FAILURES, TimeoutError) as failure:
        raise _unavailable(link, "the database does not answer", failure) from failure
    if recorded is None:
        raise _gone(link, "job gone")
    log_event(log_events.FEEDBACK_RECORDED, _ids(link), vote=vote[0].value, reason=reason.value if reason else "none")
    if recorded.changed:
        metrics.voted(link.tenant_id, recorded.version.prompt, recorded.version.model, vote[0].value)
    return _page(request, 200, "thanks", vote=vote[0], reason=reason)


def _ids(link: JobLink) -> dict[str, object]:
    return {"tenant_id": link.tenant_id, "job_id": link.job_id}


def _gone(link: JobLink, reason: str, message: str = "gone") -> HTTPException:
    log_event(log_events.FEEDBACK_REFUSED, _ids(link), reason=reason)
    return HTTPException(410, message)


def _unavailable(link: JobLink, reason: str, failure: BaseException | None = None) -> HTTPException:
    log_event(log_events.FEEDBACK_NOT_RECORDED, _ids(link), reason=reason, failure=failure)
    return HTTPException(503, headers={"Retry-After": "60"})


def _page(request: Request, status: int, message: str = "", **values: object) -> Response:
    texts = texts_for(request.headers.get("accept-language", ""))
    context = {
        "texts": texts,
        "message": getattr(texts, message) if message else None,
        "vote": None,
        "reason": None,
        "again": status not in _FINAL,
        **values,
    }
    headers = {"Content-Language": texts.language}
    return _templates.TemplateResponse(request, "feedback.html", context, status, headers)


async def _show_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, StarletteHTTPException):
        return _page(request, 400, "unreadable")
    status = error.status_code
    response = _page(request, status, error.detail if status == 410 else _MESSAGES.get(status, "unreadable"))
    response.headers.update({**(error.headers or {}), **({"Allow": _METHODS} if status == 405 else {})})
    return response


async def _harden(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    try:
        response = await call_next(request)
    except ClientDisconnect:
        response = Response(status_code=400)
    except Exception as failure:  # noqa: BLE001 -- uvicorn would log the traceback, and answer without these headers
        log_event(log_events.FEEDBACK_FAILED, failure=failure)
        response = _page(request, 500, "later")
    response.headers.update(_HEADERS)
    return response


def create_app(links: FeedbackLinks, tenants: TenantDirectory, database: Database) -> FastAPI:
    """Create the page's application."""
    app = FastAPI(
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        form_limits={"max_fields": _MAX_FIELDS, "max_part_size": _LARGEST_FIELD_BYTES, "max_files": 0},
    )
    app.state.links, app.state.tenants, app.state.database = links, tenants, database
    app.state.free = asyncio.Semaphore(MAX_AT_ONCE)
    app.state.unknown_links = _UnknownLinks()
    # A proxy may strip the address's path or keep it. A request's path is already unescaped.
    for prefix in {"", unquote(urlsplit(links.url).path)}:
        app.include_router(router, prefix=prefix)
    app.add_exception_handler(StarletteHTTPException, _show_error)
    app.add_exception_handler(RequestValidationError, _show_error)
    app.middleware("http")(_harden)
    return app


MAX_CONNECTIONS, _IN_A_RUSH = 64, 96
_DATABASE_CONNECTIONS = 2
_SECONDS = 3.0


def listen(settings: ApiSettings) -> socket.socket | None:
    if FeedbackLinks.of(settings) is None:
        return None
    is_local = urlsplit(settings.feedback_url or "").hostname in _LOCAL
    return health.listen(settings.feedback_port, "127.0.0.1" if is_local else "", "FEEDBACK_PORT")


@contextlib.asynccontextmanager
async def serve(settings: ApiSettings, tenants: TenantDirectory, listener: socket.socket | None) -> AsyncIterator[None]:
    links = FeedbackLinks.of(settings)
    if listener is None or links is None:
        yield
        return
    database = Database(
        settings.database_url,
        application_name="ai-agents feedback",
        pool_size=_DATABASE_CONNECTIONS,
        statement_seconds=_SECONDS,
        lock_seconds=_SECONDS,
        pool_seconds=_SECONDS,
    )
    # Malformed HTTP is not logged here: no webhook is lost.
    port = Port(settings.webhook_timeout_seconds, Connections(MAX_CONNECTIONS, _IN_A_RUSH), log_events.FEEDBACK_CROWDED)
    page = create_app(links, tenants, database)
    try:
        async with serve_port(page, listener, port):
            yield
    finally:
        await database.close()
