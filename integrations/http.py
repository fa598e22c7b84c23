"""One HTTP client for each process, and answers that can't flood it."""

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.trace import Span

LARGEST_ANSWER_BYTES = 5_000_000
KEPT_SECONDS = 3.0
"""How long an idle connection is used again: less than servers keep theirs (5 s and more), or a request would now and
then meet a connection that is just being closed."""


class AnswerTooLarge(Exception):
    """A server sent more than `LARGEST_ANSWER_BYTES`, or what may become more: compressed, though we ask for plain."""


def trust(ca_bundle: Path | None) -> ssl.SSLContext:
    """The usual authorities, and those of `ca_bundle` (PEM; `config.settings` has seen that it is usable)."""
    context = ssl.create_default_context()
    if ca_bundle is not None:
        context.load_verify_locations(cafile=str(ca_bundle))
    return context


def open_client(*, connections: int, ca_bundle: Path | None = None) -> httpx.AsyncClient:
    """A client that verifies certificates and follows no redirect, which would take the credentials along.

    It limits only the time for connecting: each call has a limit for the whole of it.
    """
    return httpx.AsyncClient(
        verify=trust(ca_bundle),
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(None, connect=10),
        headers={"Accept-Encoding": "identity"},
        # All tenants share this client, and some of them a host: a session of one must not be another's.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEPT_SECONDS
        ),
    )


async def read_bounded(response: httpx.Response) -> bytes:
    """The whole body. Raises AnswerTooLarge before more than the limit is in memory."""
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
    """`connection`, and what to mend where that is known."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "connection: certificate not trusted"
        cause = cause.__cause__ or cause.__context__
    return "connection"


async def _strip_query(span: Span, request: Any) -> None:
    """ServiceDesk Plus takes ticket text in the query: spans keep the address without it."""
    url: httpx.URL = request.url
    if url.query or url.userinfo or url.fragment:
        span.set_attribute("url.full", str(url.copy_with(query=None, userinfo=b"", fragment=None)))


def trace_clients() -> None:
    """Spans for each request of httpx (ServiceDesk Plus). Once for each process.

    Not of httpx2 (the openai package): the span `GPT-4` is that request, with its address and status.
    """
    HTTPXClientInstrumentor().instrument(async_request_hook=_strip_query)
