"""A console at a free port with small test pages, and a browser."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import httpx2
from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from api.server import serve
from config.console_access import AccessDirectory
from config.tenant_directory import TenantDirectory
from dispatch.queue import open_redis
from storage.ended_sessions import EndedSessions
from storage.session import Database
from support.check.findings import Loaded
from support.console.address import ConsoleAddress
from support.console.app import create_app
from support.console.dependencies import ConsoleRoute, CurrentUser, Services, ServicesDep, require_operator, verify_csrf
from support.console.errors import BadRequest, Forbidden, NotFound, redirect
from support.console.process import console_port
from support.console.provider import Provider
from support.console.sessions import Sessions
from support.console.signing import ConsoleKeys
from support.console.templating import create_templates
from support.diagnose.outside import LooksItself
from tests.kit.clock import Clock

KEY, OLD_KEY = "k0123456789" * 3, "o0123456789" * 3
TOKENS = {
    "ANNA": "anna-0123456789-abcdefghijklmnop",
    "ACME": "acme-0123456789-abcdefghijklmnop",
    "OLGA": "olga-0123456789-abcdefghijklmnop",
}
"""Support of all tenants, of one, and an operator who may read texts."""
LETTING_IN = {
    **{f"CONSOLE_TOKEN_{name}": token for name, token in TOKENS.items()},
    "CONSOLE_ROLE_ANNA": "support",
    "CONSOLE_ROLE_ACME": "support:acme",
    "CONSOLE_ROLE_OLGA": "operator+texts",
}
NOWHERE = "postgresql://app:pw@127.0.0.1:1/ai_agents"
TEMPLATES = Path(__file__).parent / "templates"
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


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
async def change(to: Annotated[str, Form()] = "/") -> Response:
    return redirect(to)


@small.get("/raising/{what}")
@small.post("/raising/{what}", dependencies=[Depends(verify_csrf)])
async def raising(what: str) -> Response:
    failures: dict[str, Exception] = {
        "not-here": NotFound(),
        "not-understood": BadRequest("No ticket has such a number."),
        "not-allowed": Forbidden("This takes an operator."),
        "mistake": ZeroDivisionError("secret of a ticket"),
        "together": ExceptionGroup("tasks", [TimeoutError()]),
    }
    raise failures[what]


@small.get("/database")
async def ask_database(services: ServicesDep) -> Response:
    await services.database.ask()
    return redirect("/")


@small.get("/redis")
async def ask_redis(services: ServicesDep) -> Response:
    await services.redis.ping()
    return redirect("/")


@small.get("/endless")
async def endless() -> Response:
    await asyncio.Event().wait()
    return redirect("/")


class EndedInMemory(EndedSessions):
    """End sessions in memory, for consoles without a database."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    async def end(self, session_id: str, lasts: timedelta) -> None:  # noqa: ARG002 -- it ends with the test
        self._ids.add(session_id)

    async def has(self, session_id: str) -> bool:
        return session_id in self._ids


@dataclass
class ConsoleSite:
    """The console and its parts."""

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


@asynccontextmanager
async def console_site(
    *,
    database_url: str = NOWHERE,
    redis_url: str = "redis://127.0.0.1:1/0",
    pages: Sequence[APIRouter] = (small,),
    values: Mapping[str, str] = LETTING_IN,
    url: str | None = None,
    keys: Sequence[str] = (KEY,),
    provider: Callable[[Clock, Clock], Provider] | None = None,
    page_seconds: float = 15.0,
    kernel_keeps: int | None = None,
    head_seconds: float = 10.0,
) -> AsyncIterator[ConsoleSite]:
    """Serve the console; login settings are `values`, and may change while it runs.

    `kernel_keeps`: bytes of an unread answer that the kernel buffers.
    """
    current, now, monotonic = dict(values), Clock(1_800_000_000.0), Clock()
    access = AccessDirectory(lambda: dict(current), monotonic=monotonic)
    database = Database(database_url, application_name="tests console", pool_size=4, pool_seconds=2)
    redis = open_redis(redis_url, seconds=1)
    ended = EndedInMemory() if database_url == NOWHERE else EndedSessions(database)
    sessions = Sessions(ConsoleKeys(keys, now=now), access, ended, ConsoleAddress(url))
    tenants = TenantDirectory(lambda: {"WEBHOOK_SECRET_ACME": "s", "WEBHOOK_SECRET_GLOBEX": "s"})
    outside = LooksItself(tenants, Loaded(None, None, None, None), redis)
    services = Services(database, redis, tenants, outside)
    asking = provider(now, monotonic) if provider else None
    console = create_app(services, sessions, provider=asking, pages=pages, page_seconds=page_seconds)
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
