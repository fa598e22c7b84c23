"""The console as an ASGI application: its places behind a login, and a page for whatever goes wrong.

In this order: the host, files, logging in, who it is, the place, and for a change that it comes from a form of ours.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

from redis.exceptions import RedisError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from config.tenant_names import is_tenant_id
from dispatch.message import QUEUE
from dispatch.queue import UNACKED
from observability import metrics, phrases
from observability.identifiers import bound
from observability.logging import say
from support.console.access.address import local_path, path_of
from support.console.access.gate import Gate, OpenVisit
from support.console.access.provider import Provider
from support.console.access.tokens import Failures
from support.console.answers import Asked, GoTo, NotAllowed, NotHere, NotUnderstood, Page, Place, Sources
from support.console.forms import form_of, query_of
from support.console.frame import Around, Frame
from support.console.logins import LOGIN, PATHS, Logins
from support.console.troubles import Troubles
from support.console.turned_away import TurnedAway

_READ, _CHANGE = ("GET", "HEAD"), ("POST",)
_PAGE_SECONDS = 15.0
_REDIS_SECONDS = 1.0
_LONGEST_TICKET_ID = 20
_NOT_OURS = "This form was not sent by a page of this console, or by one of another session. Load the page again."


@dataclass(slots=True)
class _Turn:
    """One request on its way. `place` is what numbers and lines call its address."""

    request: Request
    place: str = "other"
    visit: OpenVisit | None = None
    named: dict[str, str] = field(default_factory=dict)
    changing: bool = False

    @property
    def path(self) -> str:
        return str(self.request.scope["path"])

    @property
    def is_part(self) -> bool:
        """True if a page that is open asks for a part of it."""
        return self.request.headers.get("hx-request") == "true"


class Console:
    """The application. `templates` are folders that are looked into first; `provider` asks an OpenID provider."""

    def __init__(
        self,
        places: Sequence[Place],
        sources: Sources,
        gate: Gate,
        *,
        provider: Provider | None = None,
        templates: Sequence[Path] = (),
        page_seconds: float = _PAGE_SECONDS,
    ) -> None:
        self._routes = [(Route(place.path, _nowhere, methods=[place.method]), place) for place in places]
        self._sources = sources
        self._gate = gate
        self._frame = Frame(places, secure=gate.address.is_secure, templates=templates)
        self._logins = Logins(gate, self._frame, provider or Provider(), Failures())
        self._troubles = Troubles()
        self._page_seconds = page_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        turn = _Turn(Request(scope, receive))
        try:
            response = await self._answer(turn)
        except ClientDisconnect:
            return
        except Exception as failure:  # noqa: BLE001 -- the web server would quote it, and show a page of its own
            response = await self._trouble(failure, turn)
        metrics.CONSOLE_REQUESTS.labels(turn.place, str(response.status_code)).inc()
        if turn.changing and turn.visit is not None:
            given = {"visitor": turn.visit.account, "place": turn.place, "status": response.status_code}
            say(phrases.CONSOLE_CHANGED, given, also=_ids(turn.named))
        await response(scope, receive, send)

    async def _answer(self, turn: _Turn) -> Response:
        request = turn.request
        if not self._gate.address.knows(request.headers.get("host", "")):
            raise TurnedAway(400, "Another address", "The console is not reached by this name: CONSOLE_URL says which.")
        if request.method not in _READ + _CHANGE:
            raise _other_method(*_READ, *_CHANGE)
        if self._frame.files.is_one(turn.path):
            turn.place = "/static"
            if (file := self._frame.files.response(turn.path, self._frame.headers)) is None:
                raise NotHere
            return file
        if turn.path in PATHS:
            turn.place = turn.path
            if _plain(request.method) not in PATHS[turn.path]:
                raise _other_method(*PATHS[turn.path])
            return await self._logins.answer(request, turn.path)
        turn.visit = self._gate.visit(request)
        if turn.visit is None or await self._gate.has_left(turn.visit):
            turn.visit = None
            return self._to_login(turn)
        return await self._at_place(turn, turn.visit, self._find(turn))

    def _find(self, turn: _Turn) -> Place:
        """Return the place of the request. Raises NotHere, TurnedAway and NotUnderstood."""
        allowed: list[str] = []
        for route, place in self._routes:
            match, given = route.matches(turn.request.scope)
            if match is Match.NONE:
                continue
            turn.place = place.path
            if match is Match.FULL:
                turn.named = {name: str(value) for name, value in given["path_params"].items()}
                if not all(value.isprintable() for value in turn.named.values()):
                    raise NotUnderstood("The address has a character that there is not.")
                return place
            allowed.append(place.method)
        if allowed:
            raise _other_method(*allowed)
        raise NotHere

    async def _at_place(self, turn: _Turn, visit: OpenVisit, place: Place) -> Response:
        request = turn.request
        if place.least == "operator" and visit.visitor.role != "operator":
            raise NotAllowed("This takes the role of an operator.")
        query, form = query_of(request), {}
        if place.method == "POST":
            if not self._gate.address.is_own(request):
                raise TurnedAway(403, "Not from here", _NOT_OURS)
            form = await form_of(request)
            if not self._gate.sessions.is_csrf(form.pop("csrf", ""), visit.session.id):
                raise TurnedAway(403, "Not from here", _NOT_OURS)
            turn.changing = True
            turn.named = form | turn.named
        path = {name: turn.named[name] for name in place_names(place)}
        with bound(visitor=visit.account):
            async with asyncio.timeout(self._page_seconds):
                answer = await place.handler(Asked(visit.visitor, self._sources, path, query, form))
        response = self._response(answer, turn)
        # A page that is only left open asks again and again: that is nobody at work.
        if not turn.is_part:
            self._gate.renew(visit, response)
        return response

    def _response(self, answer: Page | GoTo, turn: _Turn) -> Response:
        if isinstance(answer, Page):
            return self._frame.page(Around(turn.path, turn.visit), answer.template, answer.values, answer.status)
        if local_path(answer.path) != answer.path:
            raise ValueError("a handler leads out of the console")
        return self._frame.redirect(answer.path)

    def _to_login(self, turn: _Turn) -> Response:
        if turn.is_part:
            # As a whole: the login is no part of a page.
            back = path_of(turn.request.headers.get("hx-current-url", ""))
            headers = {**self._frame.headers, "HX-Redirect": f"{LOGIN}?next={quote(back, safe='')}"}
            return Response(b"", 401, headers)
        query = turn.request.scope["query_string"].decode("latin-1")
        asked = local_path(quote(turn.path) + (f"?{query}" if query else ""))
        wants = turn.request.method in _READ and asked != "/"
        return self._frame.redirect(f"{LOGIN}?next={quote(asked, safe='')}" if wants else LOGIN)

    async def _trouble(self, failure: Exception, turn: _Turn) -> Response:
        told = self._troubles.of(failure, changing=turn.changing)
        if told.status == 403 and turn.visit is not None:
            reason = "not allowed" if isinstance(failure, NotAllowed) else "not from here"
            given = {"visitor": turn.visit.account, "place": turn.place, "reason": reason}
            say(phrases.CONSOLE_REFUSED, given, also=_ids(turn.named))
        # Of all tenants together: nothing for one tenant's people.
        sees_all = turn.visit is not None and turn.visit.visitor.tenant_id is None
        waiting = await self._waiting() if told.status == 503 and sees_all else None
        values = {"status": told.status, "heading": told.heading, "sentence": told.sentence, "waiting": waiting}
        return self._frame.page(Around(turn.path, turn.visit), "error.html", values, told.status, told.headers)

    async def _waiting(self) -> tuple[int, int] | None:
        """Return how many messages wait in Redis and how many workers hold; None if it does not tell."""
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                redis = self._sources.redis
                return int(await redis.llen(QUEUE)), int(await redis.hlen(UNACKED))
        except (RedisError, OSError, TimeoutError):
            return None


def place_names(place: Place) -> list[str]:
    """Return the named parts of a place's address."""
    return list(Route(place.path, _nowhere).param_convertors)


def _nowhere(_request: Request) -> Response:
    raise NotHere


def _plain(method: str) -> str:
    return "GET" if method == "HEAD" else method


def _other_method(*allowed: str) -> TurnedAway:
    return TurnedAway(405, "Not this way", "That can't be done at this address.", headers={"Allow": ", ".join(allowed)})


def _ids(named: Mapping[str, str]) -> dict[str, str]:
    """Return what of an address or a form may stand in a line: ids that are well-formed."""
    return {name: value for name, value in named.items() if _is_id(name, value)}


def _is_id(name: str, value: str) -> bool:
    if name == "job_id":
        try:
            return str(UUID(value)) == value.lower()
        except ValueError:
            return False
    if name == "tenant_id":
        return is_tenant_id(value)
    return name == "ticket_id" and value.isascii() and value.isdecimal() and len(value) <= _LONGEST_TICKET_ID
