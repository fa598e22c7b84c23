"""Outbound HTTP: TLS, proxy, bounded answers, credentials for one host only, and spans."""

import asyncio
import io
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlsplit

import httpx2
import pytest
import trustme
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from redis.asyncio import Redis

from cli.pilot.free_ports import free_port
from config.settings import HousekeepingSettings, WorkerSettings
from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings
from integrations.desks import Desks
from integrations.errors import DeferredError, DeskUnavailableError, ExternalError
from integrations.http import LARGEST_ANSWER_BYTES, EgressConfig, TracedTransport, open_client
from integrations.llm.clients import Models
from integrations.ports import DeskLimits
from integrations.rate_limit import DeskRate
from integrations.resilience import Breaker
from integrations.servicedesk.client import SERVICEDESK
from observability import tracing
from tests.integrations.canned import CannedServer, serving, whole, with_certificate
from tests.integrations.street import BookInMemory, asked
from tests.kit.desk import line_of
from tests.kit.proxy import ConnectProxy, serving_proxy

SERVERS: dict[str, Any] = {"database_url": "postgresql://a:b@db/x", "redis_url": "redis://redis:6379/0"}
TENANTS = TenantDirectory(
    lambda: {
        "WEBHOOK_SECRET_ACME": "long-enough-to-be-a-secret-of-acme",
        "SERVICEDESK_URL_ACME": "https://desk.test",
        "SERVICEDESK_API_KEY_ACME": "key-of-acme",
    }
)
CLOUD_KEYS: dict[str, Any] = {"client_id": "i", "client_secret": "s", "refresh_token": "r"}
TOKEN = b'{"access_token": "token-1", "expires_in": 3600}'


@dataclass
class OutsideServers:
    """Three servers behind the proxy, with certificates of a private authority."""

    proxy: ConnectProxy
    desk: CannedServer
    accounts: CannedServer
    model: CannedServer
    authority: trustme.CA
    bundle: Path

    def way(self, url: str = "", **changed: Any) -> EgressConfig:
        """Return the outbound settings for the proxy."""
        return replace(EgressConfig(url or f"http://127.0.0.1:{self.proxy.port}", "", self.bundle), **changed)

    async def ask(self, egress: EgressConfig, url: str = "https://model.test") -> str:
        settings = WorkerSettings(
            **SERVERS,
            openai_api_key="sk-test",
            openai_base_url=f"{url}/v1",
            https_proxy=egress.proxy,
            no_proxy=egress.no_proxy,
            openai_ca_bundle=egress.ca_bundle,
        )
        models = Models(TENANTS, settings, BookInMemory(), connections=2)
        try:
            return (await asked(models.of("acme"))).content.summary
        finally:
            await models.close()


def limits(most_failures: int = 5) -> DeskLimits:
    breaker = Breaker("desk", "desk unavailable", most_failures=most_failures)
    return DeskLimits(breaker, DeskRate("acme", 100_000, None), 8)


async def read_ticket(egress: EgressConfig, url: str = "https://desk.test", **changed: Any) -> str:
    desk = DeskSettings(**{"url": url, "edition": "onpremises", "api_key": "key-of-acme", **changed})
    async with open_client(connections=2, egress=egress) as http:
        client = SERVICEDESK.open("acme", desk, http, None, 5, limits())
        return (await client.read_ticket("1")).subject


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("outside") / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.mark.parametrize(("name", "trusted"), [("localhost", True), ("localhost", False), ("desk.example", True)])
async def test_a_certificate_is_verified(name: str, trusted: bool, authority: trustme.CA, bundle: Path) -> None:
    with serving(CannedServer(), with_certificate(authority, name)) as server:
        if name == "localhost" and trusted:
            assert await read_ticket(EgressConfig(ca_bundle=bundle), server.url) == "S"
        else:
            with pytest.raises(DeskUnavailableError) as refused:
                await read_ticket(EgressConfig(ca_bundle=bundle if trusted else None), server.url)
            assert line_of(refused.value) == "ServiceDesk Plus API error: connection: certificate not trusted"
    assert server.authorities == (["key-of-acme"] if name == "localhost" and trusted else [])


@pytest.mark.parametrize(
    ("body", "encoding"), [(b" " * (LARGEST_ANSWER_BYTES + 1), ""), (b"\x1f\x8b", "gzip"), (b"?", "br")]
)
async def test_an_answer_that_is_too_large_or_compressed_is_not_read(body: bytes, encoding: str) -> None:
    canned = CannedServer(body=body, encoding=encoding)
    with serving(canned) as server, pytest.raises(DeskUnavailableError, match="invalid answer"):
        await read_ticket(EgressConfig(), server.url)


async def test_a_token_of_one_desk_is_not_sent_to_the_one_that_took_its_place() -> None:
    with serving(CannedServer()) as accounts, serving(CannedServer()) as first, serving(CannedServer()) as second:
        async with open_client(connections=2) as http:
            for desk_server, token in ((first, b"token-1"), (second, b"token-2")):
                accounts.body = TOKEN.replace(b"token-1", token)
                cloud = CLOUD_KEYS | {"accounts_url": accounts.url}
                desk = DeskSettings(url=desk_server.url, edition="cloud", **cloud)
                await SERVICEDESK.open("acme", desk, http, None, 5, limits()).read_ticket("1")
    assert first.authorities == ["Zoho-oauthtoken token-1"]
    assert second.authorities == ["Zoho-oauthtoken token-2"]


async def test_a_session_of_one_tenants_desk_is_not_anothers_on_the_same_host() -> None:
    with serving(CannedServer()) as server:
        async with open_client(connections=2) as http:
            for tenant_id in ("acme", "globex"):
                desk = DeskSettings(url=f"{server.url}/{tenant_id}", edition="onpremises", api_key="key")
                client = SERVICEDESK.open(tenant_id, desk, http, None, 5, limits())
                for _ in range(2):
                    await client.read_ticket("1")
    assert server.cookies == [""] * 4


PASSWORD = "p%40ss-word"


@pytest.fixture(scope="module")
def _outside(authority: trustme.CA, bundle: Path) -> Iterator[OutsideServers]:
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
    _outside.proxy.requested.clear()
    for server in (_outside.desk, _outside.accounts, _outside.model):
        server.authorities.clear()
    return _outside


async def test_all_servers_are_called_through_the_proxy(outside: OutsideServers, spans: InMemorySpanExporter) -> None:
    outside.proxy.credentials = "acme:p@ss-word"
    way = outside.way(f"http://acme:{PASSWORD}@127.0.0.1:{outside.proxy.port}")
    cloud = CLOUD_KEYS | {"accounts_url": "https://accounts.test"}
    assert await read_ticket(way, edition="cloud", **cloud) == "S"
    assert await outside.ask(way) == "S"
    assert outside.proxy.requested == ["accounts.test:443", "desk.test:443", "model.test:443"]
    assert outside.desk.authorities == ["Zoho-oauthtoken token-1"]
    assert outside.model.authorities == ["Bearer sk-test"]
    told = [dict(span.attributes or {}) for span in spans.get_finished_spans()]
    assert [span["server.address"] for span in told if "server.address" in span] == ["accounts.test", "desk.test"]
    assert "ss-word" not in str(told) + repr(way)


async def test_the_desks_of_a_process_are_called_as_its_settings_say(outside: OutsideServers) -> None:
    proxy = f"http://127.0.0.1:{outside.proxy.port}"
    ways: dict[str, Any] = {"https_proxy": proxy, "no_proxy": "desk.other", "servicedesk_ca_bundle": outside.bundle}
    settings = HousekeepingSettings(**SERVERS, **ways)
    redis = Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=0.1)
    desks = Desks(TENANTS, settings, redis, connections=2)
    try:
        assert (await desks.of("acme").read_ticket("1")).subject == "S"
    finally:
        await desks.close()
        await redis.aclose()
    assert outside.proxy.requested == ["desk.test:443"]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_what_is_named_and_this_host_and_http_go_past_it(scheme: str, outside: OutsideServers) -> None:
    tls = with_certificate(outside.authority) if scheme == "https" else None
    with serving(CannedServer(), tls) as here, serving(CannedServer(body=whole()), tls) as model:
        assert await read_ticket(outside.way(), here.url) == "S"
        assert await outside.ask(outside.way(), model.url) == "S"
    assert outside.proxy.requested == []
    assert here.authorities == ["key-of-acme"]


@pytest.mark.parametrize(
    ("no_proxy", "url", "past"),
    [
        ("", "https://desk.test", False),
        *(
            ("desk.test", "https://desk.test", True),
            ("test", "https://desk.test", True),
            ("*", "https://desk.test", True),
        ),
        *(("other.test, .TEST", "https://desk.test:8443", True), ("esk.test", "https://desk.test", False)),
        *(("desk.test:8443", "https://desk.test:8443", True), ("desk.test:8443", "https://desk.test", False)),
        *(("10.1.2.3,fd00::7", url, True) for url in ("https://10.1.2.3", "https://[fd00::7]:8443")),
        ("10.1.2.0/24", "https://10.1.2.3", False),
        *(
            ("", url, True)
            for url in ("http://desk.test", "https://localhost:8080", "https://127.8.8.8", "https://[::1]")
        ),
    ],
)
def test_no_proxy_names_domains_with_what_is_below_and_addresses(no_proxy: str, url: str, past: bool) -> None:
    assert EgressConfig("http://proxy.test:3128", no_proxy).by_proxy(url) is not past
    assert not EgressConfig(None, no_proxy).by_proxy(url)


@pytest.mark.parametrize("environment", ["HTTP_PROXY", "ALL_PROXY", "all_proxy"])
async def test_proxies_of_the_environment_are_not_used(
    environment: str, outside: OutsideServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting counts, since it may be in a file of secrets."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(environment, f"http://127.0.0.1:{outside.proxy.port}")
    way = outside.way(proxy=None)
    for call in (read_ticket, outside.ask):
        with pytest.raises(ExternalError):
            await call(way)
    assert outside.proxy.requested == []


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
async def test_a_failing_proxy_is_temporary_and_leaks_nothing(
    trouble: str, words: str, outside: OutsideServers, log: io.StringIO
) -> None:
    """The breaker opens if it is away: jobs wait instead of failing one by one."""
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
        for call, name, api in ((read_ticket, "desk", "ServiceDesk Plus"), (outside.ask, "model", "OpenAI")):
            with pytest.raises(ExternalError) as failed:
                await call(way, f"https://{name}.test{port}")
            assert line_of(failed.value) == f"{api} API error: {words}"
            assert (failed.value.outcome_unknown, failed.value.down) == (False, "proxy" in words)  # type: ignore[attr-defined]
            assert secret not in repr(failed.value)
    assert outside.desk.authorities == outside.model.authorities == []
    assert secret not in log.getvalue()


async def test_a_proxy_that_speaks_tls_is_verified_by_the_same_authorities(outside: OutsideServers) -> None:
    proxy = ConnectProxy(outside.proxy.outside)
    with serving_proxy(proxy, with_certificate(outside.authority)):
        way = outside.way(f"https://localhost:{proxy.port}")
        assert await read_ticket(way) == await outside.ask(way) == "S"
    assert proxy.requested == ["desk.test:443", "model.test:443"]


async def test_a_note_that_the_proxy_lets_not_out_was_surely_not_posted(outside: OutsideServers) -> None:
    outside.proxy.credentials = "acme:other"
    desk = DeskSettings(url="https://desk.test", edition="onpremises", api_key="key-of-acme")
    async with open_client(connections=2, egress=outside.way()) as http:
        client = SERVICEDESK.open("acme", desk, http, None, 5, limits(1))
        with pytest.raises(ExternalError) as failed:
            await client.add_note("1", "<p>note</p>")
        assert not failed.value.outcome_unknown  # type: ignore[attr-defined]
        # The next jobs wait.
        with pytest.raises(DeferredError, match="desk unavailable"):
            await client.add_note("1", "<p>note</p>")


def client(answer: httpx2.MockTransport) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=TracedTransport(answer))


@pytest.mark.parametrize(
    ("asked", "told", "port"),
    [
        ("https://desk.example/app/it%20desk/api?input_data=text", "https://desk.example/app/it%20desk/api", 443),
        ("http://user:password@desk.example:8080/api#part", "http://desk.example:8080/api", 8080),
    ],
)
async def test_a_request_has_a_span_without_its_query(
    asked: str, told: str, port: int, spans: InMemorySpanExporter
) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(201)

    async with client(httpx2.MockTransport(answer)) as http:
        await http.post(asked, content=b"text of a ticket")
        with tracing.untraced():
            await http.get("http://desk.example/")
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind, span.status.status_code) == ("POST", SpanKind.CLIENT, StatusCode.UNSET)
    assert span.attributes == {
        "openinference.span.kind": "TOOL",
        "http.request.method": "POST",
        "http.response.status_code": 201,
        "server.address": "desk.example",
        "server.port": port,
        "url.full": told,
    }
    assert "traceparent" not in seen[0].headers


async def silent(_: httpx2.Request) -> httpx2.Response:
    await asyncio.sleep(60)
    return httpx2.Response(200)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Mock(return_value=httpx2.Response(429)), "429"),
        (Mock(side_effect=httpx2.ConnectError("text of a stranger")), "httpx2.ConnectError"),
        (silent, "asyncio.exceptions.CancelledError"),
    ],
    ids=["refused", "unreachable", "silent"],
)
async def test_a_failed_request_is_red_and_quotes_nobody(answer: Any, told: str, spans: InMemorySpanExporter) -> None:
    async with client(httpx2.MockTransport(answer)) as http:
        with suppress(httpx2.ConnectError, TimeoutError):
            async with asyncio.timeout(0.2):
                await http.get("http://desk.example/")
    (span,) = spans.get_finished_spans()
    assert span.attributes is not None
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, told)
    assert "text of a stranger" not in span.to_json()
