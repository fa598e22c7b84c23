"""Which addresses a tenant's credentials may be sent to."""

import ipaddress
from urllib.parse import urlsplit


def address_problem(url: str, *, secure: bool) -> str | None:
    """What is wrong with the address of a desk, in words that follow its setting's name; None for a usable one.

    `secure`: nothing but https, except to this machine. Link-local addresses are refused: no desk has one, and the
    services that give a cloud machine its credentials do.
    """
    malformed = "must be http(s)://HOST[:PORT][/PATH] without credentials or a query"
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return malformed
    if not plain or parts.query or parts.fragment or "@" in parts.netloc:
        return malformed
    host = str(parts.hostname)
    address = _ip(host)
    if address is not None and (address.is_link_local or address.is_multicast or address.is_unspecified):
        return "must not be a link-local, multicast or unspecified address"
    here = host == "localhost" or (address is not None and address.is_loopback)
    if secure and parts.scheme != "https" and not here:
        return "must begin with https://"
    return None


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
