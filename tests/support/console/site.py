"""A console at a free port, over small pages of the tests' own, and somebody with a browser."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx

from api.server import serve
from config.console_access import AccessDirectory
from config.tenant_directory import TenantDirectory
from dispatch.queue import open_redis
from storage.ended_sessions import EndedSessions
from storage.session import Database
from support.check.settings import Loaded
from support.console.access.address import ConsoleAddress
from support.console.access.gate import Gate
from support.console.access.keys import ConsoleKeys
from support.console.access.provider import Provider
from support.console.answers import Asked, GoTo, NotAllowed, NotHere, NotUnderstood, Page, Place, Sources
from support.console.app import Console
from support.console.process import console_port
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


async def echo(asked: Asked) -> Page:
    """Show who asked what."""
    visitor = asked.visitor
    told = {"name": visitor.name, "role": visitor.role, "tenant": visitor.tenant_id, "texts": visitor.reads_texts}
    return Page("echo.html", {"said": asked.query.get("said", "said"), "asked": told | {"path": dict(asked.path)}})


async def change(asked: Asked) -> GoTo:
    """Go where the form says."""
    return GoTo(asked.form.get("to", "/"))


async def raising(asked: Asked) -> Page:
    """Raise what the address names."""
    failures: dict[str, Exception] = {
        "not-here": NotHere(),
        "not-understood": NotUnderstood("No ticket has such a number."),
        "not-allowed": NotAllowed("This takes an operator."),
        "mistake": ZeroDivisionError("secret of a ticket"),
        "together": ExceptionGroup("tasks", [TimeoutError()]),
    }
    raise failures[asked.path["what"]]


async def ask_database(asked: Asked) -> Page:
    """Ask it."""
    await asked.sources.database.ask()
    return await echo(asked)


async def ask_redis(asked: Asked) -> Page:
    """Ask it."""
    await asked.sources.redis.ping()
    return await echo(asked)


async def endless(asked: Asked) -> Page:
    """Wait for what does not come."""
    await asyncio.Event().wait()
    return await echo(asked)


SMALL_PLACES = (
    Place("GET", "/", echo),
    Place("POST", "/change", change),
    Place("POST", "/jobs/{job_id}/retry", change),
    Place("GET", "/raising/{what}", raising),
    Place("POST", "/raising/{what}", raising),
    Place("GET", "/tickets/{tenant_id}/{ticket_id}", echo),
    Place("GET", "/failures", echo, "operator"),
    Place("GET", "/database", ask_database),
    Place("GET", "/redis", ask_redis),
    Place("GET", "/endless", endless),
)


class EndedInMemory(EndedSessions):
    """For consoles without a database."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    async def end(self, session_id: str, lasts: timedelta) -> None:  # noqa: ARG002 -- it ends with the test
        self._ids.add(session_id)

    async def has(self, session_id: str) -> bool:
        return session_id in self._ids


@dataclass
class ConsoleSite:
    """The console, and what it is made of."""

    url: str
    values: dict[str, str]
    now: Clock
    monotonic: Clock
    console: Console
    gate: Gate

    @asynccontextmanager
    async def browser(self, **headers: str) -> AsyncIterator["Browser"]:
        """Somebody who has not logged in."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=30, headers=headers) as client:
            yield Browser(client)

    @asynccontextmanager
    async def visitor(self, name: str) -> AsyncIterator["Browser"]:
        """Somebody who has logged in with one of TOKENS."""
        async with self.browser() as browser:
            assert (await browser.log_in(TOKENS[name])).status_code == 303
            yield browser


class Browser:
    """A client that keeps cookies, and sends forms as they are in the page before."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)

    async def log_in(self, token: str, to: str = "/", **headers: str) -> httpx.Response:
        """Open the login, and send its form."""
        page = await self.client.get("/login", params={"next": to})
        form = {"token": token, "next": to, "csrf": csrf_of(page)}
        return await self.client.post("/login", data=form, headers=headers)

    async def send(self, path: str, form: Mapping[str, str] | None = None, **headers: str) -> httpx.Response:
        """Send a form as a page of the session has it."""
        csrf = csrf_of(await self.client.get("/"))
        return await self.client.post(path, data={"csrf": csrf, **(form or {})}, headers=headers)


def csrf_of(page: httpx.Response) -> str:
    """The field of the page's forms."""
    found = _CSRF.search(page.text)
    assert found, page.text
    return found[1]


@asynccontextmanager
async def console_site(
    *,
    database_url: str = NOWHERE,
    redis_url: str = "redis://127.0.0.1:1/0",
    places: Sequence[Place] = SMALL_PLACES,
    values: Mapping[str, str] = LETTING_IN,
    url: str | None = None,
    keys: Sequence[str] = (KEY,),
    provider: Callable[[Clock, Clock], Provider] | None = None,
    page_seconds: float = 15.0,
    kernel_keeps: int | None = None,
    head_seconds: float = 10.0,
) -> AsyncIterator[ConsoleSite]:
    """Serve it. Settings of logging in are `values`, and may be changed while it runs.

    `kernel_keeps`: so many bytes of an answer that nobody reads.
    """
    current, now, monotonic = dict(values), Clock(1_800_000_000.0), Clock()
    access = AccessDirectory(lambda: dict(current), monotonic=monotonic)
    database = Database(database_url, application_name="tests console", pool_size=4, pool_seconds=2)
    redis = open_redis(redis_url, seconds=1)
    ended = EndedInMemory() if database_url == NOWHERE else EndedSessions(database)
    gate = Gate(ConsoleKeys(keys, now=now), access, ended, ConsoleAddress(url))
    tenants = TenantDirectory(lambda: {"WEBHOOK_SECRET_ACME": "s", "WEBHOOK_SECRET_GLOBEX": "s"})
    outside = LooksItself(tenants, Loaded(None, None, None, None), redis)
    sources = Sources(database, redis, tenants, outside)
    asking = provider(now, monotonic) if provider else None
    console = Console(places, sources, gate, provider=asking, templates=[TEMPLATES], page_seconds=page_seconds)
    listener = socket.create_server(("127.0.0.1", 0))
    if kernel_keeps is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, kernel_keeps)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        async with serve(console, listener, console_port(head_seconds), 5.0):
            yield ConsoleSite(address, current, now, monotonic, console, gate)
    finally:
        await redis.aclose()
        await database.close()
