"""Checks of the addresses that receive a tenant's credentials."""

import ipaddress
import re
import ssl
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlencode, urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator

ODD_KEY = "contains a line break or a character that a header cannot carry"
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
    is_local = host == "localhost" or (address is not None and address.is_loopback)
    if secure and not url.lower().startswith("https:") and not is_local:
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
    top_label = host.removesuffix(".").rpartition(".")[2]
    return _NAME.fullmatch(host) is not None and _NUMBER.fullmatch(top_label) is None


def _ip(host: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _reached(address: _Address) -> Iterator[_Address]:
    yield address
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.sixtofour is not None:
        yield address.sixtofour
    if any(address in network for network in _NAT64) or (address in _COMPATIBLE and not address.is_loopback):
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def _with_host(url: str, schemes: tuple[str, ...], *, needs_host: bool = True) -> str:
    """Check the scheme, host and port of `url`. Raises ValueError."""
    if not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and (bool(parts.hostname) or not needs_host)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must name a host, and if a port, a number")
    return url


def _postgres_url(url: str) -> str:
    # The host may be in the query: `postgresql:///ai_agents?host=/run/postgresql`.
    checked = _with_host(url, ("postgresql", "postgres"), needs_host=False)
    try:
        parts = conninfo_to_dict(checked)
    except ProgrammingError:
        raise ValueError("has a part that Postgres's client does not know") from None
    authorities = parts.get("sslrootcert")
    # libpq's keyword for the system's trusted certificates.
    if authorities and authorities != "system":
        _certificates(Path(str(authorities)), setting_prefix="sslrootcert ")
    return "postgresql://" + checked.split("://", 1)[1]


def _redis_url(url: str) -> str:
    checked = _with_host(url, ("redis", "rediss"))
    database = urlsplit(checked).path.strip("/")
    if database and not (database.isascii() and database.isdecimal()):
        raise ValueError("must end with the number of a database, e.g. /0")
    if not checked.startswith("rediss://"):
        return checked
    parts = urlsplit(checked)
    options = parse_qs(parts.query)
    for path in options.get("ssl_ca_certs", []):
        _certificates(Path(path), setting_prefix="ssl_ca_certs ")
    # Celery's client accepts any certificate by default; redis-py's own does not.
    return parts._replace(query=urlencode({"ssl_cert_reqs": ["required"]} | options, doseq=True), fragment="").geturl()


def _http_url(url: str) -> str:
    return _with_host(url, ("http", "https")).rstrip("/")


def _proxy_url(url: str) -> str:
    # The default scheme is http, as in other programs that read this variable.
    checked = _with_host(url if "://" in url else f"http://{url}", ("http", "https"))
    parts = urlsplit(checked)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must end with the proxy's port")
    return checked.rstrip("/")


def _certificates(path: Path, *, setting_prefix: str = "") -> Path:
    try:
        ssl.create_default_context().load_verify_locations(cafile=str(path))
    except (OSError, ssl.SSLError):
        raise ValueError(f"{setting_prefix}must be a readable file of PEM certificates") from None
    return path


PostgresUrl = Annotated[str, AfterValidator(_postgres_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
ProxyUrl = Annotated[str, AfterValidator(_proxy_url)]
Certificates = Annotated[Path, AfterValidator(_certificates)]
