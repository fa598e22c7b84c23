"""Outbound network settings: proxy and trusted authorities.

`HTTP_PROXY` and `ALL_PROXY` are ignored: a key for an `http://` address in the own network must not reach a proxy.
"""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined] # typeshed does not have it

from config.settings import ConsoleSettings, DeskClientSettings, EmbeddingSettings, ModelAddressSettings


@dataclass(frozen=True, slots=True)
class Outward:
    """The network settings of one kind of calls.

    `proxy` may contain credentials and is not in the repr; `no_proxy` are names that are called directly. `ca_bundle`
    (PEM) is trusted in addition to the usual authorities, also for the proxy.
    """

    proxy: str | None = field(default=None, repr=False)
    no_proxy: str = ""
    ca_bundle: Path | None = None

    @classmethod
    def to_desks(cls, settings: DeskClientSettings) -> Self:
        return cls(settings.https_proxy, settings.no_proxy or "", settings.servicedesk_ca_bundle)

    @classmethod
    def to_models(cls, settings: ModelAddressSettings) -> Self:
        return cls(settings.https_proxy, settings.no_proxy or "", settings.openai_ca_bundle)

    @classmethod
    def to_embeddings(cls, settings: EmbeddingSettings) -> Self:
        return cls(settings.https_proxy, settings.no_proxy or "", settings.embeddings_ca_bundle)

    @classmethod
    def to_provider(cls, settings: ConsoleSettings) -> Self:
        return cls(settings.https_proxy, settings.no_proxy or "", settings.console_ca_bundle)

    def by_proxy(self, url: str) -> bool:
        """Return True if the proxy is used; `no_proxy` has the rules of Python's urllib."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if self.proxy is None or parts.scheme != "https" or _is_this_host(host):
            return False
        # An IPv6 address with a port would be parsed as another address.
        named = host if ":" in host else f"{host}:{parts.port or 443}"
        return not proxy_bypass_environment(named, {"no": self.no_proxy})


STRAIGHT = Outward()
"""No proxy, and the usual authorities."""


def _is_this_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
