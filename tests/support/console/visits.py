"""Requests for console pages as a user, with the template and its values."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi.routing import APIRoute
from redis.asyncio import Redis
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message, Scope

from config.console_access import AccessDirectory
from config.tenant_directory import TenantDirectory
from storage.session import Database
from support.check.findings import Loaded
from support.console.address import ConsoleAddress
from support.console.app import PAGES, create_app
from support.console.dependencies import Services
from support.console.errors import BadRequest, Forbidden, NotFound
from support.console.sessions import Account, Session, Sessions, User
from support.console.signing import ConsoleKeys
from support.diagnose.outside import LooksItself
from tests.kit.tenants_toml import given
from tests.support.console.site import KEY, EndedInMemory

SUPPORT = User("ann", "support")
OPERATOR = User("olga", "operator")
READER = User("Rita Reader", "support", reads_texts=True, account="rita")
OF_ACME = User("adam", "support", tenant_id="acme")
OF_GLOBEX = User("gwen", "support", tenant_id="globex", reads_texts=True)
SETTINGS = {"WEBHOOK_SECRET_ACME": "a" * 32, "WEBHOOK_SECRET_GLOBEX": "g" * 32, "acme.audit_days": 30}
MISSED = (
    "INSERT INTO missing_webhooks (tenant_id, ticket_id, created_at, seen_at, tells_all, missed_at)"
    " SELECT 'acme', %s, m, m - interval '5 minutes', true, m FROM (SELECT now() - CAST(%s AS interval) AS m) t"
)
"""A ticket of acme whose webhook was missed so long ago."""
Handler = Callable[..., Any]
ERRORS: dict[int, Callable[[], Exception]] = {
    400: lambda: BadRequest("refused"),
    403: lambda: Forbidden("refused"),
    404: NotFound,
}


@dataclass(frozen=True)
class Page:
    """A page with its template, values and HTML."""

    template: str
    values: Mapping[str, Any]
    status: int
    html: str


@dataclass(frozen=True)
class GoTo:
    path: str


class SessionOf(Sessions):
    def __init__(self, user: User) -> None:
        access = AccessDirectory(dict)
        super().__init__(ConsoleKeys([KEY]), access, EndedInMemory(), ConsoleAddress(None))
        self._user = user

    def read(self, request: Request) -> Session:  # noqa: ARG002 -- always the same user
        now = int(self._keys.now())
        account = Account("token", self._user.account, "mark", self._user.name)
        return Session("session", account, now, now, self._user, self.csrf("session"))


class Visits:
    """Requests pages of the whole console on a test's stores."""

    def __init__(self, database: Database, redis: Redis, settings: Mapping[str, object] = SETTINGS) -> None:
        values = given(settings)
        directory = TenantDirectory(lambda: values)
        outside = LooksItself(directory, Loaded(None, None, None, None), redis)
        self.services = Services(database, redis, directory, outside, "http://jaeger.example")

    async def ask(self, handler: Handler, user: User = SUPPORT, **parts: Mapping[str, str]) -> Page | GoTo:
        """Return the answer of the route's handler; `parts` are path, query and form.

        Raises one of ERRORS.
        """
        (route,) = [route for route in routes() if route.endpoint is handler]
        method = "POST" if "POST" in (route.methods or ()) else "GET"
        sessions = SessionOf(user)
        body = b""
        if method == "POST":
            body = urlencode({"csrf": sessions.csrf("session"), **parts.get("form", {})}).encode()
        path = address(route, parts.get("path", {}))
        messages: list[Message] = []
        scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": urlencode(parts.get("query", {})).encode(),
            "headers": [
                (b"host", b"localhost"),
                (b"content-type", b"application/x-www-form-urlencoded"),
                (b"content-length", str(len(body)).encode()),
            ],
            "extensions": {"http.response.debug": {}},
        }

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        async def send(message: Message) -> None:
            messages.append(message)

        await create_app(self.services, sessions)(scope, receive, send)
        return _answer({message["type"]: message for message in messages})

    async def page(self, handler: Handler, user: User = SUPPORT, **parts: Mapping[str, str]) -> Page:
        answer = await self.ask(handler, user, **parts)
        assert isinstance(answer, Page)
        return answer

    async def html(self, handler: Handler, user: User = SUPPORT, **parts: Mapping[str, str]) -> str:
        return (await self.page(handler, user, **parts)).html


def routes() -> list[APIRoute]:
    return [route for router in PAGES for route in router.routes if isinstance(route, APIRoute)]


def address(route: APIRoute, named: Mapping[str, str]) -> str:
    """Return the path of a route, unescaped as servers pass it."""
    return re.sub(r"\{(\w+)\}", lambda found: named[found[1]], route.path)


def _answer(sent: Mapping[str, Message]) -> Page | GoTo:
    start = sent["http.response.start"]
    if start["status"] == 303:
        return GoTo(Headers(raw=start["headers"])["location"])
    told = sent["http.response.debug"]["info"]
    page = Page(told["template"].name, told["context"], start["status"], sent["http.response.body"]["body"].decode())
    if page.template != "error.html":
        return page
    assert page.status in ERRORS, page.html
    raise ERRORS[page.status]()
