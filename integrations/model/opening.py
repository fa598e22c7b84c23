"""The openai package's client, without retries and redirects, within our limits."""

import httpx2
from openai import AsyncOpenAI, DefaultAsyncHttpx2Client

from integrations.http import KEPT_SECONDS, trust, trust_of_proxy
from integrations.model.bounds import PLAIN, bound
from integrations.outward import Outward


def open_openai(
    base_url: str, api_key: str, outward: Outward, *, connections: int, timeout: httpx2.Timeout
) -> AsyncOpenAI:
    """Return a client; `close()` it. The caller retries and limits the whole call."""
    limits = httpx2.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEPT_SECONDS
    )
    to_proxy = httpx2.Proxy(outward.proxy, ssl_context=trust_of_proxy(outward)) if outward.proxy else None
    return AsyncOpenAI(
        api_key=api_key or "none",  # required by the package
        base_url=base_url,
        max_retries=0,
        timeout=timeout,
        http_client=DefaultAsyncHttpx2Client(
            verify=trust(outward.ca_bundle),
            trust_env=False,
            proxy=to_proxy if outward.by_proxy(base_url) else None,
            timeout=timeout,
            limits=limits,
            follow_redirects=False,
            headers=PLAIN,
            event_hooks={"response": [bound]},
        ),
    )
