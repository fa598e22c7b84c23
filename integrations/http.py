"""One HTTP client for each process, a span for each of its requests, and answers that can't flood it."""

import asyncio
import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import httpx
from opentelemetry.trace import SpanKind, Status, StatusCode

from observability import tracing

LARGEST_ANSWER_BYTES = 5_000_000
KEPT_SECONDS = 3.0
"""How long an idle connection is used again: less than servers keep theirs (5 s and more), or a request would now and
then meet a connection that is just being closed."""


class AnswerTooLarge(Exception):
    """A server sent more than `LARGEST_ANSWER_BYTES`, or what may become more: compressed, though we ask for plain."""


class TracedTransport(httpx.AsyncBaseTransport):
    """Sends by another transport, each request in a span, until the head of its answer is there.

    Named and tagged as OpenTelemetry's conventions for HTTP clients say; failed from status 400 on. The address is told
    without its query, in which ServiceDesk Plus takes ticket text, and no header is added: what our trace is called is
    nobody else's business.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it. Raises what the other transport raises."""
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
                # Mostly a server that was waited for long enough.
                tracing.record_failure(span, cancelled, "cancelled")
                raise
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 400:
                span.set_attribute("error.type", str(response.status_code))
                span.set_status(Status(StatusCode.ERROR))
        return response

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._transport.aclose()


def trust(ca_bundle: Path | None) -> ssl.SSLContext:
    """Trust the usual authorities, and those of `ca_bundle` (PEM, seen to be usable by `config.settings`)."""
    context = ssl.create_default_context()
    if ca_bundle is not None:
        context.load_verify_locations(cafile=str(ca_bundle))
    return context


def open_client(*, connections: int, ca_bundle: Path | None = None) -> httpx.AsyncClient:
    """Return a client that verifies certificates and follows no redirect, which would take the credentials along.

    It limits only the time for connecting: each call has a limit for the whole of it.
    """
    limits = httpx.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEPT_SECONDS
    )
    return httpx.AsyncClient(
        transport=TracedTransport(httpx.AsyncHTTPTransport(verify=trust(ca_bundle), trust_env=False, limits=limits)),
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(None, connect=10),
        headers={"Accept-Encoding": "identity"},
        # All tenants share this client, and some of them a host: a session of one must not be another's.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


async def read_bounded(response: httpx.Response) -> bytes:
    """Return the whole body. Raises AnswerTooLarge before more than the limit is in memory."""
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


def connection_words(failure: httpx.HTTPError) -> str:
    """Return `connection`, and what to mend where that is known."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "connection: certificate not trusted"
        cause = cause.__cause__ or cause.__context__
    return "connection"
