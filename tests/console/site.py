"""A console at a free port with small test pages, and requests for its pages as a user."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import httpx2
import pytest
from fastapi import APIRouter, Depends, Form, Request
from redis.asyncio import Redis
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.server import serve
from cli.check.findings import Loaded
from cli.diagnose import DirectProbes
from config.tenant_directory import TenantDirectory
from console.access import AccessDirectory
from console.app import create_app
from console.dependencies import ConsoleRoute, CurrentUser, Services, ServicesDep, require_operator, verify_csrf
from console.errors import NotFound, redirect
from console.main import console_port
from console.oidc import Provider
from console.sessions import Account, ConsoleAddress, ConsoleKeys, EndedSessions, Session, Sessions, User
from console.templating import create_templates
from db.session import Database
from jobs.queue import open_redis
from tests.kit.clock import Clock
from tests.kit.postgres import Store
from tests.kit.tenants_toml import given

KEY, OLD_KEY = "k0123456789" * 3, "o0123456789" * 3
ROLES = {"ANNA": "support", "ACME": "support:acme", "OLGA": "operator+texts"}
TOKENS = {name: f"{name.lower()}-0123456789-abcdefghijklmnop" for name in ROLES}
LETTING_IN = {f"CONSOLE_TOKEN_{name}": token for name, token in TOKENS.items()}
LETTING_IN |= {f"CONSOLE_ROLE_{name}": role for name, role in ROLES.items()}
NOWHERE = "postgresql://app:pw@127.0.0.1:1/ai_agents"
TEMPLATES = Path(__file__).parent / "templates"
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')

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
Fields = Mapping[str, str]
Query = Mapping[str, str | list[str]]

small = APIRouter(route_class=ConsoleRoute)
_templates = create_templates([TEMPLATES])


@small.get("/")
@small.get("/tickets/{tenant_id}/{ticket_id}")
@small.get("/failures", dependencies=[Depends(require_operator)])
async def echo(request: Request, user: CurrentUser, said: str = "said") -> Response:
    told = {"name": user.name, "role": user.role, "tenant": user.tenant_id, "texts": user.reads_texts}
    context = {"said": said, "asked": told | {"path": dict(request.path_params)}}
    return _templates.TemplateResponse(request, "echo.html", context)


@small.post("/change", dependencies=[Depends(verify_csrf)])
@small.post("/jobs/{job_id}/retry", dependencies=[Depends(verify_csrf)])
@small.post("/tickets/{tenant_id}/{ticket_id}", dependencies=[Depends(verify_csrf)])
async def change(to: Annotated[str, Form()] = "/") -> Response:
    return redirect(to)


FAILURES: dict[str, Exception] = {
    "not-here": NotFound(),
    "not-understood": HTTPException(400, "No ticket has such a number."),
    "not-allowed": HTTPException(403, "This takes an operator."),
    "mistake": ZeroDivisionError("secret of a ticket"),
    "too-slow": TimeoutError(),
}


@small.get("/raising/{what}")
@small.post("/raising/{what}", dependencies=[Depends(verify_csrf)])
async def raising(what: str, services: ServicesDep) -> Response:
    match what:
        case "database":
            await services.database.ping()
        case "redis":
            await services.redis.ping()
        case "endless":
            await asyncio.Event().wait()
    raise FAILURES[what]


class EndedInMemory(EndedSessions):
    """End sessions in memory, for consoles without a database."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    async def add(self, session_id: str) -> None:
        self._ids.add(session_id)

    async def has(self, session_id: str) -> bool:
        return session_id in self._ids

    async def use(self, link_id: str) -> bool:
        is_first = link_id not in self._ids
        self._ids.add(link_id)
        return is_first


@dataclass
class ConsoleSite:
    url: str
    values: dict[str, str]
    now: Clock
    monotonic: Clock
    services: Services
    sessions: Sessions

    @asynccontextmanager
    async def browser(self, **headers: str) -> AsyncIterator["Browser"]:
        """Return a browser without a session."""
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, timeout=30, headers=headers) as client:
            yield Browser(client)

    @asynccontextmanager
    async def visitor(self, name: str) -> AsyncIterator["Browser"]:
        """Return a browser logged in with one of TOKENS."""
        async with self.browser() as browser:
            assert (await browser.log_in(TOKENS[name])).status_code == 303
            yield browser


class Browser:
    """A client that keeps cookies and sends forms as the previous page has them."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.client.get(path, headers=headers)

    async def log_in(self, token: str, to: str = "/", **headers: str) -> httpx2.Response:
        """Open the login page and send its form."""
        page = await self.client.get("/login", params={"next": to})
        form = {"token": token, "next": to, "csrf": csrf_of(page)}
        return await self.client.post("/login", data=form, headers=headers)

    async def send(self, path: str, form: Mapping[str, str] | None = None, **headers: str) -> httpx2.Response:
        """Send a form with the session's CSRF field."""
        csrf = csrf_of(await self.client.get("/"))
        return await self.client.post(path, data={"csrf": csrf, **(form or {})}, headers=headers)


def csrf_of(page: httpx2.Response) -> str:
    found = _CSRF.search(page.text)
    assert found, page.text
    return found[1]


def services_of(database: Database, redis: Redis, values: Mapping[str, str]) -> Services:
    tenants = TenantDirectory(lambda: values)
    probes = DirectProbes(tenants, Loaded(None, None, None, None), redis)
    return Services(database, redis, tenants, probes, "http://jaeger.example")


@asynccontextmanager
async def console_site(
    *,
    database_url: str = NOWHERE,
    redis_url: str = "redis://127.0.0.1:1/0",
    values: Mapping[str, str] = LETTING_IN,
    url: str | None = None,
    keys: Sequence[str] = (KEY,),
    page_seconds: float = 15.0,
    kernel_keeps: int | None = None,
    head_seconds: float = 10.0,
) -> AsyncIterator[ConsoleSite]:
    """Serve the console; login `values` may change while it runs; `kernel_keeps` bytes of an unread answer."""
    current, now, monotonic = dict(values), Clock(1_800_000_000.0), Clock()
    access = AccessDirectory(lambda: dict(current), monotonic=monotonic)
    database = Database(database_url, application_name="tests console", pool_size=4, pool_seconds=2)
    redis = open_redis(redis_url, seconds=1)
    ended = EndedInMemory() if database_url == NOWHERE else EndedSessions(database)
    sessions = Sessions(ConsoleKeys(keys, now=now), access, ended, ConsoleAddress(url))
    services = services_of(database, redis, given(SETTINGS))
    provider = Provider(monotonic=monotonic)
    console = create_app(services, sessions, provider=provider, pages=(small,), page_seconds=page_seconds)
    listener = socket.create_server(("127.0.0.1", 0))
    if kernel_keeps is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, kernel_keeps)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        async with serve(console, listener, console_port(head_seconds), 5.0):
            yield ConsoleSite(address, current, now, monotonic, services, sessions)
    finally:
        await redis.aclose()
        await database.close()


@pytest.fixture
async def console() -> AsyncIterator[ConsoleSite]:
    async with console_site() as site:
        yield site


@pytest.fixture
async def stranger(console: ConsoleSite) -> AsyncIterator[Browser]:
    async with console.browser() as browser:
        yield browser


@pytest.fixture
async def anna(console: ConsoleSite) -> AsyncIterator[Browser]:
    async with console.visitor("ANNA") as browser:
        yield browser


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
        self.services = services_of(database, redis, given(settings))

    async def page(
        self, path: str, user: User = SUPPORT, *, query: Query | None = None, form: Fields | None = None
    ) -> httpx2.Response:
        """Return the answer to a GET, or with a form to a POST."""
        sessions = SessionOf(user)
        data = None if form is None else {"csrf": sessions.csrf("session"), **form}
        transport = httpx2.ASGITransport(create_app(self.services, sessions))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request("GET" if data is None else "POST", quote(path), params=query, data=data)

    async def leads(self, path: str, user: User = SUPPORT, **sent: Any) -> str:
        return str((await self.page(path, user, **sent)).headers["location"])

    async def status(self, path: str, user: User = SUPPORT, **sent: Any) -> int:
        return (await self.page(path, user, **sent)).status_code

    async def html(self, path: str, user: User = SUPPORT, **sent: Any) -> str:
        page = await self.page(path, user, **sent)
        # Beside other tests, an answer may take longer than a page or its part waits.
        if page.status_code == 503 or "the database did not answer in time" in page.text:
            page = await self.page(path, user, **sent)
        assert page.status_code != 303
        assert '<div class="card narrow" role="alert">' not in page.text, page.text
        # Labels of cells, for narrow screens.
        return re.sub(' data-label="[^"]*"', "", page.text)


@pytest.fixture
def visits(store: Store, redis: Redis) -> Visits:
    return Visits(store.database, redis)


@pytest.fixture
async def away(unused_tcp_port: int) -> AsyncIterator[Database]:
    database = Database(f"postgresql://a:b@127.0.0.1:{unused_tcp_port}/ai_agents", application_name="tests")
    yield database
    await database.close()
