"""Errors of the console and their pages."""

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from urllib.parse import quote
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from config.tenant_settings import is_tenant_id
from dispatch.message import QUEUE
from dispatch.queue import UNACKED
from observability import phrases
from observability.logging import Outage, say
from storage.session import DATABASE_FAILURES, is_away
from support.console.address import local_path, path_of
from support.console.figures.asking import is_silent
from support.console.templating import templates

_REDIS_SECONDS = 1.0
_HALF_DONE = " It is not known whether your change was made: look before you make it again."
_LONGEST_TICKET_ID = 20


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

    def __init__(self, sentence: str, status: int = 400) -> None:
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


class LoginRequired(HTTPException):
    """A request without a session."""

    def __init__(self) -> None:
        super().__init__(401)


class ErrorHandler:
    """Renders exceptions; logs an unavailable store once a minute."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._database_outage = Outage(phrases.DATABASE_UNREACHABLE)
        self._redis_outage = Outage(phrases.REDIS_UNREACHABLE)

    async def __call__(self, request: Request, failure: Exception) -> Response:
        if isinstance(failure, LoginRequired):
            return _to_login(request)
        if isinstance(failure, RequestValidationError):
            failure = BadRequest("It is not written as a browser writes it.")
        error = _of_http(failure) if isinstance(failure, HTTPException) else self._of_failure(request, failure)
        session = request.state.session
        if error.status_code == 403 and session is not None:
            reason = "not allowed" if isinstance(error, Forbidden) else "not from here"
            fields = {"visitor": session.account.id, "place": place_of(request), "reason": reason}
            say(phrases.CONSOLE_REFUSED, fields, also=ids_of(request))
        # The numbers cover all tenants.
        sees_all = session is not None and session.user.tenant_id is None
        context = {
            "status": error.status_code,
            "heading": error.heading,
            "sentence": error.detail,
            "waiting": await self._waiting() if error.status_code == 503 and sees_all else None,
        }
        return templates.TemplateResponse(request, "error.html", context, error.status_code, error.headers)

    def _of_failure(self, request: Request, failure: Exception) -> ErrorPage:
        half_done = _HALF_DONE if request.state.is_change else ""
        leaves = list(_leaves(failure))
        if any(isinstance(leaf, DATABASE_FAILURES) and is_away(leaf) for leaf in leaves):
            self._database_outage.seen("a page of the console could not be made", failure)
            return _unavailable("The database does not answer", f"Try again in a minute.{half_done}")
        if any(isinstance(leaf, TimeoutError) or is_silent(leaf) for leaf in leaves):
            self._database_outage.seen("a page of the console took too long", failure)
            return _unavailable("This took too long", f"Try again in a minute, or ask for less.{half_done}")
        if any(isinstance(leaf, RedisError) for leaf in leaves):
            self._redis_outage.seen("a page of the console could not be made", failure)
            return _unavailable("Redis does not answer", f"Try again in a minute.{half_done}")
        failure_id = secrets.token_hex(4)
        say(phrases.CONSOLE_FAILED, id=failure_id, failure=failure)
        return ErrorPage(500, "A fault of ours", f"The log says more of it, under {failure_id}.{half_done}")

    async def _waiting(self) -> tuple[int, int] | None:
        """Return the messages in Redis and with workers; None if Redis is unavailable."""
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                return int(await self._redis.llen(QUEUE)), int(await self._redis.hlen(UNACKED))
        except (RedisError, OSError, TimeoutError):
            return None


def place_of(request: Request) -> str:
    """Return the route's path, for metrics and log lines."""
    is_static = request.scope["path"].startswith("/static/")
    return "/static" if is_static else getattr(request.scope.get("route"), "path", "other")


def ids_of(request: Request) -> dict[str, str]:
    """Return the well-formed ids of URL and form: only these may be logged."""
    given = request.state.form | request.scope.get("path_params", {})
    return {name: value for name, value in given.items() if _is_id(name, value)}


def _is_id(name: str, value: str) -> bool:
    if name == "job_id":
        try:
            return str(UUID(value)) == value.lower()
        except ValueError:
            return False
    if name == "tenant_id":
        return is_tenant_id(value)
    return name == "ticket_id" and value.isascii() and value.isdecimal() and len(value) <= _LONGEST_TICKET_ID


def _to_login(request: Request) -> Response:
    if is_part(request):
        # A full page load, because the login is not a part.
        back = path_of(request.headers.get("hx-current-url", ""))
        return Response(b"", 401, {"HX-Redirect": f"/login?next={quote(back, safe='')}"})
    query = request.scope["query_string"].decode("latin-1")
    wanted = local_path(quote(request.scope["path"]) + (f"?{query}" if query else ""))
    goes_back = request.method != "POST" and wanted != "/"
    return redirect(f"/login?next={quote(wanted, safe='')}" if goes_back else "/login")


def is_part(request: Request) -> bool:
    """Return True for a request from a page that polls one of its parts."""
    return request.headers.get("hx-request") == "true"


def redirect(path: str) -> Response:
    """Redirect to a local path without changing it."""
    if local_path(path) != path:
        raise ValueError("a route leads out of the console")
    return Response(b"", 303, {"Location": path})


def _of_http(failure: HTTPException) -> ErrorPage:
    """Return the page of an HTTP error, Starlette's and FastAPI's included."""
    if isinstance(failure, ErrorPage):
        return failure
    if failure.status_code == 404:
        return NotFound()
    if failure.status_code == 405:
        return ErrorPage(405, "Not this way", "That can't be done at this address.", failure.headers)
    return BadRequest("It is not written as a browser writes it.", failure.status_code)


def _unavailable(heading: str, sentence: str) -> ErrorPage:
    return ErrorPage(503, heading, sentence, {"Retry-After": "30"})


def _leaves(failure: BaseException) -> Iterator[Exception]:
    """Yield the failures of a task group, else the failure itself."""
    if isinstance(failure, BaseExceptionGroup):
        for one in failure.exceptions:
            yield from _leaves(one)
    elif isinstance(failure, Exception):
        yield failure
