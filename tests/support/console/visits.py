"""Requests for console pages as a user."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx2
import pytest
from fastapi.routing import APIRoute
from redis.asyncio import Redis
from starlette.requests import Request

from config.console_access import AccessDirectory
from config.tenant_directory import TenantDirectory
from storage.session import Database
from support.check.settings import Loaded
from support.console.app import PAGES, create_app
from support.console.dependencies import Services
from support.console.errors import BadRequest, Forbidden, NotFound
from support.console.sessions import Account, ConsoleAddress, ConsoleKeys, Session, Sessions, User
from support.diagnose.outside import LooksItself
from tests.kit.postgres import Store
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


class Page(NamedTuple):
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

        Raises one of ERRORS for an error page.
        """
        (route,) = [route for route in routes() if route.endpoint is handler]
        sessions = SessionOf(user)
        path = quote(address(route, parts.get("path", {})))
        form = {"csrf": sessions.csrf("session"), **parts.get("form", {})} if "POST" in (route.methods or ()) else None
        transport = httpx2.ASGITransport(create_app(self.services, sessions))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            method = "GET" if form is None else "POST"
            answer = await client.request(method, path, params=parts.get("query", {}), data=form)
        if answer.status_code == 303:
            return GoTo(answer.headers["location"])
        if '<div class="card narrow" role="alert">' in answer.text:
            assert answer.status_code in ERRORS, answer.text
            raise ERRORS[answer.status_code]()
        return Page(answer.status_code, answer.text)

    async def page(self, handler: Handler, user: User = SUPPORT, **parts: Mapping[str, str]) -> Page:
        answer = await self.ask(handler, user, **parts)
        assert isinstance(answer, Page)
        return answer

    async def html(self, handler: Handler, user: User = SUPPORT, **parts: Mapping[str, str]) -> str:
        return (await self.page(handler, user, **parts)).html


@pytest.fixture
def visits(store: Store, redis: Redis) -> Visits:
    return Visits(store.database, redis)


def routes() -> list[APIRoute]:
    return [route for router in PAGES for route in router.routes if isinstance(route, APIRoute)]


def address(route: APIRoute, named: Mapping[str, str]) -> str:
    """Return the path of a route, unescaped."""
    return re.sub(r"\{(\w+)\}", lambda found: named[found[1]], route.path)
