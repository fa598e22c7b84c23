"""How calls leave this system's network: through which proxy, and which authorities are trusted on the way.

`HTTP_PROXY` and `ALL_PROXY` are not honoured: a key that is sent to an `http://` address, which is one of the own
network, would be told to a proxy that nobody meant for it.
"""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined] # typeshed does not have it

from config.console_settings import ConsoleSettings
from config.settings import DeskClientSettings, EmbeddingSettings, ModelAddressSettings


@dataclass(frozen=True, slots=True)
class Outward:
    """The way of one kind of calls.

    `proxy` is an address that may have credentials, and stays out of this one's text; `no_proxy` are names that are
    called past it. `ca_bundle` (PEM) is trusted beside the usual authorities, by the proxy as well.
    """

    proxy: str | None = field(default=None, repr=False)
    no_proxy: str = ""
    ca_bundle: Path | None = None

    @classmethod
    def to_desks(cls, settings: DeskClientSettings) -> Self:
        """Return how desks and accounts hosts are called."""
        return cls(settings.https_proxy, settings.no_proxy or "", settings.servicedesk_ca_bundle)

    @classmethod
    def to_models(cls, settings: ModelAddressSettings) -> Self:
        """Return how models are called."""
        return cls(settings.https_proxy, settings.no_proxy or "", settings.openai_ca_bundle)

    @classmethod
    def to_embeddings(cls, settings: EmbeddingSettings) -> Self:
        """Return how the endpoint of embeddings is called."""
        return cls(settings.https_proxy, settings.no_proxy or "", settings.embeddings_ca_bundle)

    @classmethod
    def to_provider(cls, settings: ConsoleSettings) -> Self:
        """Return how the console calls an OpenID provider."""
        return cls(settings.https_proxy, settings.no_proxy or "", settings.console_ca_bundle)

    def by_proxy(self, url: str) -> bool:
        """Return True if a call of this address goes through the proxy. `no_proxy` is read as by Python's urllib."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if self.proxy is None or parts.scheme != "https" or _is_this_host(host):
            return False
        # An IPv6 address with a port would be read as another address.
        named = host if ":" in host else f"{host}:{parts.port or 443}"
        return not proxy_bypass_environment(named, {"no": self.no_proxy})


STRAIGHT = Outward()
"""No proxy, and the usual authorities."""


def _is_this_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
