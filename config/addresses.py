"""Checks of the addresses that receive a tenant's credentials."""

import ipaddress
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import urlsplit

ODD_KEY = "has a line break or a character that no key has"
"""Problem of a key that a header cannot carry."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Resolvers read `2852039166`, `0xA9FEA9FE` and `169.254.43518` as 169.254.169.254. No name has a numeric last label.
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_NAME = re.compile(r"[\w-]+(\.[\w-]+)*\.?")
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.IPv6Network("::/96")


def address_problem(url: str, *, secure: bool) -> str | None:
    """Return the problem of a desk's address, or None if it is usable.

    The text completes a sentence that starts with the setting's name. With `secure`, only loopback may use http.
    Link-local addresses are refused because cloud metadata services use them to issue credentials.
    """
    host = _host(url)
    address = _ip(host or "")
    if host is None or (address is None and not _is_name(host)):
        return "must be http(s)://HOST[:PORT][/PATH] without credentials or a query"
    if address is not None and any(
        ip.is_link_local or ip.is_multicast or ip.is_unspecified for ip in _reached(address)
    ):
        return "must not be a link-local, multicast or unspecified address"
    here = host == "localhost" or (address is not None and address.is_loopback)
    if secure and not url.lower().startswith("https:") and not here:
        return "must begin with https://"
    return None


def may_be_sent(value: str) -> bool:
    """Return True if a request header can carry the value."""
    return value.isascii() and (not value or value.isprintable())


def _host(url: str) -> str | None:
    """Return the URL's host as a resolver reads it, or None if the URL is unsuitable.

    Unsuitable parts: a scheme other than http(s), credentials, a query, a fragment, blanks.
    """
    # urlsplit drops tabs and line ends silently; the request would still contain them.
    if " " in url or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        return None
    if not plain or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    # Resolvers accept digits and dots of other scripts as ASCII.
    return unicodedata.normalize("NFKC", parts.hostname or "").replace("\u3002", ".").lower()


def _is_name(host: str) -> bool:
    last = host.removesuffix(".").rpartition(".")[2]
    return _NAME.fullmatch(host) is not None and _NUMBER.fullmatch(last) is None


def _ip(host: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _reached(address: _Address) -> Iterator[_Address]:
    """Yield the address, and any embedded IPv4 address that a gateway would route to."""
    yield address
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.sixtofour is not None:
        yield address.sixtofour
    if any(address in network for network in _NAT64) or (address in _COMPATIBLE and not address.is_loopback):
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
