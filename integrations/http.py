"""HTTP to external services: proxy, certificates, spans, bounds, statuses.

`HTTP_PROXY` and `ALL_PROXY` are ignored: a key for an `http://` address in the own network must not reach a proxy.
"""

import asyncio
import ipaddress
import math
import re
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined] # typeshed does not have it

import httpx2
from opentelemetry.trace import SpanKind, Status, StatusCode

from config.settings import ConsoleSettings, DeskClientSettings, EmbeddingSettings
from integrations.errors import DeskTimeoutError, DeskUnavailableError
from observability import tracing

LARGEST_ANSWER_BYTES = 5_000_000
# Less than servers keep an idle connection (5 s and more), which would be closed under a request.
_KEEPALIVE_SECONDS = 3.0
PLAIN = {"Accept-Encoding": "identity"}
"""A few compressed bytes may become gigabytes."""
_BEFORE_SENDING = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_OPENAI_WORDS = {400: "Bad Request", 429: "Rate Limit", 529: "Overloaded"}
_MAX_WAIT_SECONDS = 999_999_999.0
_IN_RATE_LIMIT = re.compile(r"retry[_-]after\W{1,9}([0-9]{1,9})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EgressConfig:
    """The network settings of one kind of calls.

    `no_proxy`: hosts that are called directly. `ca_bundle` (PEM) is trusted in addition to the usual authorities, also
    for the proxy.
    """

    proxy: str | None = field(default=None, repr=False)
    no_proxy: str = ""
    ca_bundle: Path | None = None

    @classmethod
    def of(cls, settings: DeskClientSettings | EmbeddingSettings | ConsoleSettings, ca_bundle: Path | None) -> Self:
        """Return the network settings of a process, with `ca_bundle` for these calls."""
        return cls(settings.https_proxy, settings.no_proxy or "", ca_bundle)

    def by_proxy(self, url: str) -> bool:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if self.proxy is None or parts.scheme != "https" or _is_this_host(host):
            return False
        # An IPv6 address with a port would be parsed as another address.
        authority = host if ":" in host else f"{host}:{parts.port or 443}"
        return not proxy_bypass_environment(authority, {"no": self.no_proxy})


STRAIGHT = EgressConfig()


def _is_this_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class TracedTransport(httpx2.AsyncBaseTransport):
    """Transport with an OpenTelemetry span per request, until the response's head.

    The span's URL has no query, which contains ticket text for ServiceDesk Plus. No trace header is sent.
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if tracing.is_untraced():
            return await self._transport.handle_async_request(request)
        url = request.url
        attributes: dict[str, str | int] = {
            "http.request.method": request.method,
            "server.address": url.host,
            "server.port": url.port or (443 if url.scheme == "https" else 80),
            "url.full": f"{url.scheme}://{url.netloc.decode()}{url.raw_path.partition(b'?')[0].decode()}",
        }
        with tracing.span(request.method, kind=SpanKind.CLIENT, attributes=attributes) as span:
            try:
                response = await self._transport.handle_async_request(request)
            except asyncio.CancelledError as cancelled:
                tracing.record_failure(span, cancelled, "cancelled")  # usually the caller's timeout
                raise
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 400:
                span.set_attribute("error.type", str(response.status_code))
                span.set_status(Status(StatusCode.ERROR))
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class ProxiedTransport(httpx2.AsyncBaseTransport):
    """Send each request through the proxy or directly."""

    def __init__(
        self, egress: EgressConfig, proxied: httpx2.AsyncBaseTransport, direct: httpx2.AsyncBaseTransport
    ) -> None:
        self._egress = egress
        self._proxied = proxied
        self._direct = direct

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if not self._egress.by_proxy(str(request.url)):
            return await self._direct.handle_async_request(request)
        try:
            return await self._proxied.handle_async_request(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as failure:
            # The proxy was reached, or its certificate is wrong.
            if any(isinstance(cause, ssl.SSLError) for cause in _causes(failure)):
                raise
            raise httpx2.ProxyError("unreachable") from failure

    async def aclose(self) -> None:
        await self._proxied.aclose()
        await self._direct.aclose()


@lru_cache(maxsize=8)
def trust(ca_bundle: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_bundle is not None:
        context.load_verify_locations(cafile=str(ca_bundle))
    return context


def open_transport(*, connections: int, egress: EgressConfig = STRAIGHT) -> httpx2.AsyncBaseTransport:
    """Return a transport through the proxy or direct, without spans."""
    limits = httpx2.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=_KEEPALIVE_SECONDS
    )
    options: dict[str, Any] = {"verify": trust(egress.ca_bundle), "trust_env": False, "limits": limits}
    transport: httpx2.AsyncBaseTransport = httpx2.AsyncHTTPTransport(**options)
    if egress.proxy is not None:
        tls = options["verify"] if egress.proxy.startswith("https:") else None
        proxied = httpx2.AsyncHTTPTransport(**options, proxy=httpx2.Proxy(egress.proxy, ssl_context=tls))
        transport = ProxiedTransport(egress, proxied, transport)
    return transport


def open_client(*, connections: int, egress: EgressConfig = STRAIGHT, traced: bool = True) -> httpx2.AsyncClient:
    """Return a client that bounds answers and the time to connect.

    It follows no redirect, which would forward the credentials. Each caller limits the whole call.
    """
    transport = open_transport(connections=connections, egress=egress)
    return httpx2.AsyncClient(
        transport=TracedTransport(transport) if traced else transport,
        follow_redirects=False,
        trust_env=False,
        timeout=httpx2.Timeout(None, connect=10),
        headers=PLAIN,
        event_hooks={"response": [bound]},
        # Tenants share this client, and some share a host: sessions must not mix.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


class AnswerTooLargeError(Exception):
    """Answer over `LARGEST_ANSWER_BYTES` or compressed; `response` has its head."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__("answer too large")
        self.response = response


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, response: httpx2.Response) -> None:
        self._stream = stream
        self._response = response
        self._size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise AnswerTooLargeError(self._response)
        async for part in self._stream:
            self._size += len(part)
            if self._size > LARGEST_ANSWER_BYTES:
                raise AnswerTooLargeError(self._response)
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


async def bound(response: httpx2.Response) -> None:
    """Response hook: reading a too large body raises AnswerTooLargeError."""
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream, response)


async def send_to_desk(
    http: httpx2.AsyncClient, timeout_seconds: float, method: str, url: str, *, changes: bool = False, **request: Any
) -> tuple[int, httpx2.Headers, bytes]:
    """Return status, headers and body of an answer that came within the time.

    Raises DeskTimeoutError or DeskUnavailableError, with `outcome_unknown` for a call that `changes` something.
    """
    try:
        async with asyncio.timeout(timeout_seconds), http.stream(method, url, **request) as response:
            return response.status_code, response.headers, await response.aread()
    except (httpx2.ConnectTimeout, httpx2.PoolTimeout):
        raise DeskTimeoutError from None
    except (TimeoutError, httpx2.TimeoutException):
        raise DeskTimeoutError(outcome_unknown=changes) from None
    except httpx2.HTTPError as failure:
        sent = not isinstance(failure, (httpx2.ConnectError, httpx2.ProxyError))
        raise DeskUnavailableError(connection_words(failure), outcome_unknown=changes and sent) from None
    except AnswerTooLargeError:
        raise DeskUnavailableError("invalid answer", outcome_unknown=changes) from None


def connection_words(failure: Exception) -> str:
    """Return `connection` and the cause, if known."""
    causes = list(_causes(failure))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return "connection: certificate not trusted"
    if not any(isinstance(cause, httpx2.ProxyError) for cause in causes):
        return "connection"
    status = next((text[:3] for text in map(str, causes) if text[:3].isdecimal()), None)
    state = "unreachable" if status is None else f"answered {status_words(int(status))}"
    return f"connection: proxy {state}"


def proxy_remedy(host: str) -> str:
    """Return the action for an `HTTPS_PROXY` that is down or refuses a host."""
    return (
        f"check that the proxy of HTTPS_PROXY runs, accepts its credentials and allows calls to {host}, or add the "
        "host to NO_PROXY"
    )


def never_connected(failure: Exception) -> bool:
    """Return True if an httpx2 call failed before anything was sent."""
    return any(isinstance(cause, _BEFORE_SENDING) for cause in _causes(failure))


def _causes(failure: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = failure
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def known_status(status: int) -> int:
    """Return the status, or its class if nonstandard: metric labels are bounded."""
    if status in _OPENAI_WORDS or status in set(HTTPStatus):
        return status
    return status // 100 * 100 if 100 <= status < 600 else 500


def status_words(status: int) -> str:
    known = known_status(status)
    return f"{known} {_OPENAI_WORDS.get(known) or HTTPStatus(known).phrase}"


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Return seconds from `retry-after-ms`, `Retry-After` or Zoho's `X-Rate-Limit`."""
    with suppress(ValueError):
        seconds = float(headers.get("retry-after-ms", "")[:20]) / 1000
        if 0 <= seconds < math.inf:
            return seconds
    delay = _seconds_of(headers.get("retry-after", "").strip())
    match = _IN_RATE_LIMIT.search(headers.get("x-rate-limit", "")[:1000])
    return float(match[1]) if match and not delay else delay


def _seconds_of(value: str) -> float | None:
    if value.isdecimal():
        return float(value[:9])
    try:
        moment = datetime.strptime(value, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), _MAX_WAIT_SECONDS)
