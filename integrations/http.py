"""The HTTP client of each process, with a span per request and bounded answers."""

import asyncio
import ssl
from collections.abc import Iterator
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx2
from opentelemetry.trace import SpanKind, Status, StatusCode

from integrations.outward import STRAIGHT, Outward
from integrations.statuses import status_words
from observability import tracing

LARGEST_ANSWER_BYTES = 5_000_000
KEPT_SECONDS = 3.0
"""How long an idle connection is used again: less than servers keep theirs (5 s and more), or a request would now and
then meet a connection that is just being closed."""

_BEFORE_SENDING = {"ConnectError", "ConnectTimeout", "PoolTimeout"}


class AnswerTooLarge(Exception):
    """An answer over `LARGEST_ANSWER_BYTES`, or compressed against the request."""


class TracedTransport(httpx2.AsyncBaseTransport):
    """Send each request in a span that ends with the head of the response.

    Names and attributes follow OpenTelemetry's conventions for HTTP clients; status 400 and above is an error. The URL
    has no query, in which ServiceDesk Plus takes ticket text. No trace header is sent to other services.
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
                # Usually the caller's timeout.
                tracing.record_failure(span, cancelled, "cancelled")
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

    def __init__(self, outward: Outward, through: httpx2.AsyncBaseTransport, past: httpx2.AsyncBaseTransport) -> None:
        self._outward = outward
        self._through = through
        self._past = past

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request. Raises httpx2.ProxyError, or a transport error."""
        if not self._outward.by_proxy(str(request.url)):
            return await self._past.handle_async_request(request)
        try:
            return await self._through.handle_async_request(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as failure:
            if connection_words(failure, by_proxy=True) != PROXY_UNREACHABLE:
                raise
            raise httpx2.ProxyError("unreachable") from failure

    async def aclose(self) -> None:
        await self._through.aclose()
        await self._past.aclose()


@lru_cache(maxsize=8)
def trust(ca_bundle: Path | None) -> ssl.SSLContext:
    """Trust the usual authorities and those of `ca_bundle`, a PEM file.

    `config.settings` has checked the file.
    """
    context = ssl.create_default_context()
    if ca_bundle is not None:
        context.load_verify_locations(cafile=str(ca_bundle))
    return context


def trust_of_proxy(outward: Outward) -> ssl.SSLContext | None:
    """Return the TLS context for the proxy itself; None for a proxy without TLS."""
    return trust(outward.ca_bundle) if (outward.proxy or "").startswith("https:") else None


def open_transport(*, connections: int, outward: Outward = STRAIGHT) -> TracedTransport:
    limits = httpx2.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEPT_SECONDS
    )
    options: dict[str, Any] = {"verify": trust(outward.ca_bundle), "trust_env": False, "limits": limits}
    transport: httpx2.AsyncBaseTransport = httpx2.AsyncHTTPTransport(**options)
    if outward.proxy is not None:
        to_proxy = httpx2.Proxy(outward.proxy, ssl_context=trust_of_proxy(outward))
        transport = ProxiedTransport(outward, httpx2.AsyncHTTPTransport(**options, proxy=to_proxy), transport)
    return TracedTransport(transport)


def open_client(*, connections: int, outward: Outward = STRAIGHT) -> httpx2.AsyncClient:
    """Return a client that verifies certificates and limits only the time to connect.

    It follows no redirect, which would forward the credentials. Each caller limits the whole call.
    """
    return httpx2.AsyncClient(
        transport=open_transport(connections=connections, outward=outward),
        follow_redirects=False,
        trust_env=False,
        timeout=httpx2.Timeout(None, connect=10),
        headers={"Accept-Encoding": "identity"},
        # All tenants share this client, and some share a host: sessions must not mix.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


async def read_bounded(response: httpx2.Response) -> bytes:
    """Return the body. Raises AnswerTooLarge before more is in memory."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise AnswerTooLarge
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > LARGEST_ANSWER_BYTES:
            raise AnswerTooLarge
        parts.append(part)
    return b"".join(parts)


PROXY_UNREACHABLE = "connection: proxy unreachable"


def connection_words(failure: Exception, *, by_proxy: bool = False) -> str:
    """Return `connection` and the cause, if known, of an httpx2 failure.

    `by_proxy`: the call went through a proxy.
    """
    causes = list(_causes(failure))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return "connection: certificate not trusted"
    names = {type(cause).__name__ for cause in causes}
    if "ProxyError" in names:
        status = next((text[:3] for text in map(str, causes) if text[:3].isdecimal()), None)
        return PROXY_UNREACHABLE if status is None else f"connection: proxy answered {status_words(int(status))}"
    # A TLS error comes from behind the proxy.
    of_tls = any(isinstance(cause, ssl.SSLError) for cause in causes)
    if by_proxy and names & {"ConnectError", "ConnectTimeout"} and not of_tls:
        return PROXY_UNREACHABLE
    return "connection"


def never_connected(failure: Exception) -> bool:
    """Return True if an httpx2 call failed before anything was sent."""
    return any(type(cause).__name__ in _BEFORE_SENDING for cause in _causes(failure))


def _causes(failure: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = failure
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
