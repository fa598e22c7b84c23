"""Calls through a proxy, and the proxy's failures.

Desks, accounts hosts and models have no address here: a request that reached its server went through the proxy.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import trustme
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis

from config.settings import HousekeepingSettings
from config.tenants import DeskSettings, Tenant
from devstack.free_ports import free_port
from integrations.errors import HeldBack, OutsideFailure
from integrations.http import Outward, open_client
from integrations.rate_limit import DeskRate
from integrations.resilience import Breaker
from integrations.servicedesk.auth import DeskTokens
from integrations.servicedesk.calls import Limits
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.desks import Desks
from tests.integrations.behind_a_proxy import SERVERS, TENANTS, TOKEN, OutsideServers
from tests.integrations.canned import CannedServer, serving, with_certificate
from tests.integrations.endpoints import whole
from tests.kit.desk import line_of
from tests.kit.logs import StartLog
from tests.kit.proxy import ConnectProxy, serving_proxy

PASSWORD = "p%40ss-word"


@pytest.fixture(scope="module")
def _outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutsideServers]:
    authority, bundle = trustme.CA(), tmp_path_factory.mktemp("outside") / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    desk, accounts, model = CannedServer(), CannedServer(body=TOKEN), CannedServer(body=whole())
    with ExitStack() as stack:
        proxy = ConnectProxy()
        for name, server in (("desk.test", desk), ("accounts.test", accounts), ("model.test", model)):
            stack.enter_context(serving(server, with_certificate(authority, name)))
            proxy.outside[f"{name}:443"] = urlsplit(server.url).port or 0
        stack.enter_context(serving_proxy(proxy))
        yield OutsideServers(proxy, desk, accounts, model, authority, bundle)


@pytest.fixture
def outside(_outside: OutsideServers) -> OutsideServers:
    """Start the servers, without calls, and a proxy without authentication."""
    _outside.proxy.credentials = ""
    _outside.proxy.asked.clear()
    for server in (_outside.desk, _outside.accounts, _outside.model):
        server.authorities.clear()
    return _outside


async def test_desk_accounts_host_and_model_are_called_through_it_and_nothing_else_is(
    outside: OutsideServers, spans: InMemorySpanExporter
) -> None:
    """With credentials, which no span contains; span addresses are the server's."""
    outside.proxy.credentials = "acme:p@ss-word"
    way = outside.way(f"http://acme:{PASSWORD}@127.0.0.1:{outside.proxy.port}")
    cloud = {"client_id": "i", "client_secret": "s", "refresh_token": "r", "accounts_url": "https://accounts.test"}
    assert await outside.read_ticket(way, edition="cloud", **cloud) == "S"
    assert await outside.ask(way) == "S"
    assert outside.proxy.asked == ["accounts.test:443", "desk.test:443", "model.test:443"]
    assert outside.desk.authorities == ["Zoho-oauthtoken token-1"]
    assert outside.model.authorities == ["Bearer sk-test"]
    told = [dict(span.attributes or {}) for span in spans.get_finished_spans()]
    assert [span["server.address"] for span in told if "server.address" in span] == ["accounts.test", "desk.test"]
    assert "ss-word" not in str(told) + repr(way)


async def test_the_desks_of_a_process_are_called_as_its_settings_say(outside: OutsideServers) -> None:
    proxy = f"http://127.0.0.1:{outside.proxy.port}"
    settings = HousekeepingSettings(
        **SERVERS, https_proxy=proxy, no_proxy="desk.other", servicedesk_ca_bundle=outside.bundle
    )
    redis = Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=0.1)
    desks = Desks(TENANTS, settings, redis, connections=2)
    try:
        assert (await desks.of("acme").read_ticket("1")).subject == "S"
    finally:
        await desks.close()
        await redis.aclose()
    assert outside.proxy.asked == ["desk.test:443"]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_what_is_named_and_this_host_and_http_go_past_it(scheme: str, outside: OutsideServers) -> None:
    tls = with_certificate(outside.authority) if scheme == "https" else None
    with serving(CannedServer(), tls) as here, serving(CannedServer(body=whole()), tls) as model:
        assert await outside.read_ticket(outside.way(), here.url) == "S"
        assert await outside.ask(outside.way(), model.url) == "S"
    assert outside.proxy.asked == []
    assert here.authorities == ["key-of-acme"]


@pytest.mark.parametrize(
    ("no_proxy", "url", "past"),
    [
        ("", "https://desk.test", False),
        ("desk.test", "https://desk.test", True),
        ("other.test, .TEST", "https://desk.test:8443", True),
        ("test", "https://desk.test", True),
        ("esk.test", "https://desk.test", False),
        ("desk.test:8443", "https://desk.test:8443", True),
        ("desk.test:8443", "https://desk.test", False),
        ("10.1.2.3,fd00::7", "https://10.1.2.3", True),
        ("10.1.2.3,fd00::7", "https://[fd00::7]:8443", True),
        ("10.1.2.0/24", "https://10.1.2.3", False),
        ("*", "https://desk.test", True),
        ("", "http://desk.test", True),
        ("", "https://localhost:8080", True),
        ("", "https://127.8.8.8", True),
        ("", "https://[::1]", True),
    ],
)
def test_no_proxy_names_domains_with_what_is_below_and_addresses(no_proxy: str, url: str, past: bool) -> None:
    assert Outward("http://proxy.test:3128", no_proxy).by_proxy(url) is not past
    assert not Outward(None, no_proxy).by_proxy(url)


@pytest.mark.parametrize("environment", ["HTTP_PROXY", "ALL_PROXY", "all_proxy"])
async def test_another_proxy_of_the_environment_is_not_used(
    environment: str, outside: OutsideServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting counts, since it may be in a file of secrets."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(environment, f"http://127.0.0.1:{outside.proxy.port}")
    way = outside.way(proxy=None)
    for call in (outside.read_ticket, outside.ask):
        with pytest.raises(OutsideFailure):
            await call(way)
    assert outside.proxy.asked == []


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("asks for credentials", "connection: proxy answered 407 Proxy Authentication Required"),
        ("does not reach it", "connection: proxy answered 502 Bad Gateway"),
        ("is away", "connection: proxy unreachable"),
        ("shows another certificate", "connection: certificate not trusted"),
        ("has a certificate of its own", "connection: certificate not trusted"),
    ],
)
async def test_its_trouble_is_said_without_its_address_and_is_temporary(
    trouble: str, words: str, outside: OutsideServers, start_log: StartLog
) -> None:
    """The breaker opens if it is away: jobs wait instead of failing one by one."""
    stream = start_log()
    secret, url, way = "hunter2-secret", "", outside.way()
    with ExitStack() as stack:
        match trouble:
            case "asks for credentials":
                outside.proxy.credentials = "acme:other"
                url = f"http://acme:{secret}@127.0.0.1:{outside.proxy.port}"
            case "is away":
                url = f"http://acme:{secret}@127.0.0.1:{free_port()}"
            case "shows another certificate":
                way = replace(way, ca_bundle=None)
            case "has a certificate of its own":
                other = trustme.CA()
                tls = stack.enter_context(serving_proxy(ConnectProxy(outside.proxy.outside), with_certificate(other)))
                url = f"https://acme:{secret}@localhost:{tls.port}"
        way = replace(way, proxy=url or way.proxy)
        port = ":8443" if "reach" in trouble else ""
        for call, name, api in ((outside.read_ticket, "desk", "ServiceDesk Plus"), (outside.ask, "model", "OpenAI")):
            with pytest.raises(OutsideFailure) as failed:
                await call(way, f"https://{name}.test{port}")
            assert line_of(failed.value) == f"{api} API error: {words}"
            assert (failed.value.outcome_unknown, failed.value.down) == (False, "proxy" in words)  # type: ignore[attr-defined]
            assert secret not in repr(failed.value)
    assert outside.desk.authorities == outside.model.authorities == []
    assert secret not in stream.getvalue()


async def test_a_proxy_that_speaks_tls_is_verified_by_the_same_authorities(outside: OutsideServers) -> None:
    proxy = ConnectProxy(outside.proxy.outside)
    with serving_proxy(proxy, with_certificate(outside.authority)):
        way = outside.way(f"https://localhost:{proxy.port}")
        assert await outside.read_ticket(way) == await outside.ask(way) == "S"
    assert proxy.asked == ["desk.test:443", "model.test:443"]


async def test_a_note_that_the_proxy_lets_not_out_was_surely_not_posted(outside: OutsideServers) -> None:
    outside.proxy.credentials = "acme:other"
    desk = DeskSettings(url="https://desk.test", edition="onpremises", api_key="key-of-acme")
    limits = Limits(Breaker("desk", "desk unavailable", most_failures=1), DeskRate("a", 9999, None), 8)
    async with open_client(connections=2, outward=outside.way()) as http:
        client = ServiceDeskPlus(Tenant("acme", desk=desk), http, DeskTokens(http, None, 5), 5, limits)
        with pytest.raises(OutsideFailure) as failed:
            await client.add_note("1", "<p>note</p>")
        assert not failed.value.outcome_unknown  # type: ignore[attr-defined]
        # The next jobs wait.
        with pytest.raises(HeldBack, match="desk unavailable"):
            await client.add_note("1", "<p>note</p>")
