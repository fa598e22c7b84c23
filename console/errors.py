"""Errors of the console, their pages, and redirects that stay here."""

import re
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi.exceptions import RequestValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from config.tenants import is_tenant_id
from console.panels import is_silent
from console.templating import templates
from db.session import DATABASE_FAILURES, is_away
from jobs.statistics import QueueActivity, queue_activity
from observability import log_events
from observability.logging import Outage, log_event

TICKET_ID = re.compile(r"[0-9]{1,20}")
JOB_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HALF_DONE = " It is not known whether your change was made: look before you make it again."
_UNREADABLE = "It is not written as a browser writes it."
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]{0,499}")


class ErrorPage(HTTPException):
    """A response with a status, a heading and a sentence."""

    def __init__(self, status: int, heading: str, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, sentence, headers)
        self.heading = heading


class NotFound(ErrorPage):
    """Missing, or not visible to the user: both look alike."""

    def __init__(self) -> None:
        super().__init__(404, "Not here", "There is no such thing, or it is not yours to see.")


class BadRequest(ErrorPage):
    """An invalid request; the sentence has the reason."""

    def __init__(self, sentence: str = _UNREADABLE, status: int = 400) -> None:
        super().__init__(status, "Not understood", sentence)


class Forbidden(ErrorPage):
    """The user's role is not sufficient; the sentence names the required one."""

    def __init__(self, sentence: str) -> None:
        super().__init__(403, "Not allowed", sentence)


class CsrfFailed(ErrorPage):
    """A form without a valid CSRF token of this session."""

    def __init__(self) -> None:
        told = "This form was not sent by a page of this console, or by one of another session. Load the page again."
        super().__init__(403, "Not from here", told)


def unavailable(heading: str, sentence: str, seconds: int = 30) -> ErrorPage:
    return ErrorPage(503, heading, sentence, {"Retry-After": str(seconds)})


class ErrorHandler:
    """Renders exceptions; logs an unavailable store once a minute. A 401 leads to the login."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._database_outage = Outage(log_events.DATABASE_UNREACHABLE)
        self._redis_outage = Outage(log_events.REDIS_UNREACHABLE)

    async def __call__(self, request: Request, failure: Exception) -> Response:
        if isinstance(failure, HTTPException) and failure.status_code == 401:
            return _to_login(request)
        error = self._page_of(request, failure)
        session = request.state.session
        if error.status_code == 403 and session is not None:
            reason = "not allowed" if isinstance(error, Forbidden) else "not from here"
            fields = {"visitor": session.account.id, "place": place_of(request), "reason": reason}
            log_event(log_events.CONSOLE_REFUSED, fields, also=ids_of(request))
        # The numbers cover all tenants.
        sees_all = session is not None and session.user.tenant_id is None
        asks = error.status_code == 503 and sees_all
        return error_page(request, error, (await queue_activity(self._redis, seconds=1.0))[0] if asks else None)

    def _page_of(self, request: Request, failure: Exception) -> ErrorPage:
        match failure:
            case ErrorPage():
                return failure
            case RequestValidationError():
                return BadRequest()
            case HTTPException(status_code=404):
                return NotFound()
            case HTTPException(status_code=405):
                return ErrorPage(405, "Not this way", "That can't be done at this address.", failure.headers)
            case HTTPException():
                return BadRequest(status=failure.status_code)
        half_done = _HALF_DONE if request.state.is_change else ""
        if isinstance(failure, DATABASE_FAILURES) and is_away(failure):
            self._database_outage.seen("a page of the console could not be made", failure)
            return unavailable("The database does not answer", f"Try again in a minute.{half_done}")
        if isinstance(failure, TimeoutError) or is_silent(failure):
            self._database_outage.seen("a page of the console took too long", failure)
            return unavailable("This took too long", f"Try again in a minute, or ask for less.{half_done}")
        if isinstance(failure, RedisError):
            self._redis_outage.seen("a page of the console could not be made", failure)
            return unavailable("Redis does not answer", f"Try again in a minute.{half_done}")
        failure_id = secrets.token_hex(4)
        log_event(log_events.CONSOLE_FAILED, id=failure_id, failure=failure)
        return ErrorPage(500, "A fault of ours", f"The log says more of it, under {failure_id}.{half_done}")


def error_page(request: Request, error: ErrorPage, queue: QueueActivity | None = None) -> Response:
    context = {"status": error.status_code, "heading": error.heading, "sentence": error.detail, "queue": queue}
    return templates.TemplateResponse(request, "error.html", context, error.status_code, error.headers)


def place_of(request: Request) -> str:
    """Return the route's path, for metrics and log lines."""
    is_static = request.scope["path"].startswith("/static/")
    return "/static" if is_static else getattr(request.scope.get("route"), "path", "other")


def ids_of(request: Request) -> dict[str, str]:
    """Return the well-formed ids of the URL: only these may be logged."""
    forms: Mapping[str, Any] = {"job_id": JOB_ID.fullmatch, "tenant_id": is_tenant_id, "ticket_id": TICKET_ID.fullmatch}
    return {name: value for name, value in request.path_params.items() if name in forms and forms[name](value)}


def is_part(request: Request) -> bool:
    """Return True for a request from a page that polls one of its parts."""
    return request.headers.get("hx-request") == "true"


def _to_login(request: Request) -> Response:
    if is_part(request):
        # A full page load, because the login is not a part.
        back = _path_of(request.headers.get("hx-current-url", ""))
        return Response(b"", 401, {"HX-Redirect": f"/login?next={quote(back, safe='')}"})
    query = request.scope["query_string"].decode("latin-1")
    wanted = local_path(quote(request.scope["path"]) + (f"?{query}" if query else ""))
    goes_back = request.method != "POST" and wanted != "/"
    return redirect(f"/login?next={quote(wanted, safe='')}" if goes_back else "/login")


def redirect(path: str) -> Response:
    if local_path(path) != path:
        raise ValueError("a route leads out of the console")
    return Response(b"", 303, {"Location": path})


def local_path(text: str) -> str:
    """Return a safe local path with query; the first page for anything else."""
    return text if _LOCAL.fullmatch(text) else "/"


def _path_of(url: str) -> str:
    try:
        return local_path(urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl())
    except ValueError:
        return "/"
