"""A user who logs in to the console through a provider."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlsplit

import httpx2

from support.console.provider import Provider
from tests.kit.clock import Clock
from tests.support.console.fake_issuer import CLIENT_ID, CLIENT_SECRET, FakeIssuer, issuing
from tests.support.console.site import LETTING_IN, Browser, ConsoleSite, console_site


@asynccontextmanager
async def with_provider(**settings: str) -> AsyncIterator[tuple[ConsoleSite, FakeIssuer, Browser]]:
    """Serve a console that accepts logins of an issuer."""
    now = Clock(1_800_000_000.0)
    async with issuing(now) as issuer:
        values = {
            "CONSOLE_OIDC_ISSUER": issuer.url,
            "CONSOLE_OIDC_CLIENT_ID": CLIENT_ID,
            "CONSOLE_OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "CONSOLE_OIDC_ROLES": "desk-ops=operator+texts, acme=support:acme, staff=support",
            **settings,
        }
        given = LETTING_IN | {name: value for name, value in values.items() if value}
        made: Callable[[Clock, Clock], Provider] = lambda clock, monotonic: Provider(now=clock, monotonic=monotonic)  # noqa: E731
        async with console_site(values=given, provider=made) as site, site.browser() as browser:
            yield site, issuer, browser


async def begun(browser: Browser, to: str = "/") -> dict[str, str]:
    """Follow the login page's link; return the query for the provider."""
    answer = await browser.client.get("/login/provider", params={"next": to})
    assert answer.status_code == 303, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


async def came_back(issuer: FakeIssuer, browser: Browser, to: str = "/", **changed: str) -> httpx2.Response:
    query = await begun(browser, to)
    back = {"code": issuer.grant(query), "state": query["state"]} | changed
    return await browser.client.get("/login/provider/back", params={name: one for name, one in back.items() if one})
