"""Error pages, redirects within the console, and names of requests for log lines."""

import re
import secrets
from collections.abc import Callable
from http import HTTPStatus
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

_IDS: dict[str, Callable[[str], object]] = {
    "job_id": re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch,
    "tenant_id": is_tenant_id,
    "ticket_id": re.compile(r"[0-9]{1,20}").fullmatch,
}
_UNKNOWN_CHANGE = " Your change may have been made: check before you repeat it."
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]{0,499}")


class NotFound(HTTPException):
    """A missing page, or one that the user may not see: both look alike."""

    def __init__(self) -> None:
        super().__init__(404, "This page does not exist, or you do not have access to it.")


class CsrfFailed(HTTPException):
    """A form without a valid CSRF token of this session."""

    def __init__(self) -> None:
        super().__init__(403, "This form does not belong to your session. Reload the page and try again.")


def unavailable(problem: str, seconds: int = 30) -> HTTPException:
    return HTTPException(503, problem, {"Retry-After": str(seconds)})


class ErrorHandler:
    """Renderer of exceptions; logs store outages once a minute. 401 leads to login."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._database_outage = Outage(log_events.DATABASE_UNREACHABLE)
        self._redis_outage = Outage(log_events.REDIS_UNREACHABLE)

    async def __call__(self, request: Request, failure: Exception) -> Response:
        if isinstance(failure, HTTPException) and failure.status_code == 401:
            return _to_login(request)
        error = self._http_error(request, failure)
        session = request.state.session
        if error.status_code == 403 and session is not None:
            reason = "not from here" if isinstance(error, CsrfFailed) else "not allowed"
            fields = {"visitor": session.account.id, "place": route_path(request), "reason": reason}
            log_event(log_events.CONSOLE_REFUSED, fields, also=loggable_ids(request))
        # The numbers cover all tenants.
        sees_all = session is not None and session.user.tenant_id is None
        shows_queue = error.status_code == 503 and sees_all
        return error_page(request, error, (await queue_activity(self._redis, seconds=1.0))[0] if shows_queue else None)

    def _http_error(self, request: Request, failure: Exception) -> HTTPException:
        match failure:
            case HTTPException(status_code=404):
                return NotFound()
            case HTTPException(status_code=405):
                return HTTPException(405, "This address does not accept this kind of request.", failure.headers)
            case HTTPException():
                return failure
            case RequestValidationError():
                is_path = any(problem["loc"][0] == "path" for problem in failure.errors())
                return NotFound() if is_path else HTTPException(400, "The request is incomplete or not valid.")
        hint = _UNKNOWN_CHANGE if request.state.is_change else ""
        if isinstance(failure, DATABASE_FAILURES) and is_away(failure):
            self._database_outage.seen("a page of the console could not be made", failure)
            return unavailable(f"The database does not answer. Try again in a minute.{hint}")
        if isinstance(failure, TimeoutError) or is_silent(failure):
            self._database_outage.seen("a page of the console took too long", failure)
            return unavailable(f"This took too long. Try again in a minute, or choose a shorter time.{hint}")
        if isinstance(failure, RedisError):
            self._redis_outage.seen("a page of the console could not be made", failure)
            return unavailable(f"Redis does not answer. Try again in a minute.{hint}")
        failure_id = secrets.token_hex(4)
        log_event(log_events.CONSOLE_FAILED, id=failure_id, failure=failure)
        return HTTPException(500, f"This is a bug. The console's log has the details under the id {failure_id}.{hint}")


def error_page(request: Request, error: HTTPException, queue: QueueActivity | None = None) -> Response:
    heading = HTTPStatus(error.status_code).phrase.capitalize()
    context = {"status": error.status_code, "heading": heading, "sentence": error.detail, "queue": queue}
    return templates.TemplateResponse(request, "error.html", context, error.status_code, error.headers)


def route_path(request: Request) -> str:
    """Return the route's path, for metrics and log lines."""
    is_static = request.scope["path"].startswith("/static/")
    return "/static" if is_static else getattr(request.scope.get("route"), "path", "other")


def loggable_ids(request: Request) -> dict[str, str]:
    """Return the well-formed ids of the URL: only these may be logged."""
    return {name: value for name, value in request.path_params.items() if name in _IDS and _IDS[name](value)}


def is_part(request: Request) -> bool:
    """Return True for a request from a page that polls one of its parts."""
    return request.headers.get("hx-request") == "true"


def _to_login(request: Request) -> Response:
    if is_part(request):
        # A full page load, because the login is not a part.
        back = _local_path_of_url(request.headers.get("hx-current-url", ""))
        return Response(b"", 401, {"HX-Redirect": f"/login?next={quote(back, safe='')}"})
    query = request.scope["query_string"].decode("latin-1")
    target = local_path(quote(request.scope["path"]) + (f"?{query}" if query else ""))
    has_target = request.method != "POST" and target != "/"
    return redirect(f"/login?next={quote(target, safe='')}" if has_target else "/login")


def redirect(path: str) -> Response:
    if local_path(path) != path:
        raise ValueError("a route leads out of the console")
    return Response(b"", 303, {"Location": path})


def local_path(text: str) -> str:
    """Return a safe local path with query; the first page for anything else."""
    return text if _LOCAL.fullmatch(text) else "/"


def _local_path_of_url(url: str) -> str:
    try:
        return local_path(urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl())
    except ValueError:
        return "/"
