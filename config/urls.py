"""Field types for server addresses and CA certificates.

An error message completes a sentence that starts with the setting's name. It does not quote the address, which may
contain a password.
"""

import ssl
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlencode, urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator


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
        _certificates(Path(str(authorities)), what="sslrootcert ")
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
        _certificates(Path(path), what="ssl_ca_certs ")
    # Celery's client accepts any certificate by default; redis-py's own does not.
    return parts._replace(query=urlencode({"ssl_cert_reqs": ["required"]} | options, doseq=True), fragment="").geturl()


def _http_url(url: str) -> str:
    return _with_host(url, ("http", "https")).rstrip("/")


def _proxy_url(url: str) -> str:
    # Without a scheme it is http, as in other programs that read this variable.
    checked = _with_host(url if "://" in url else f"http://{url}", ("http", "https"))
    parts = urlsplit(checked)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must end with the proxy's port")
    return checked.rstrip("/")


def _certificates(path: Path, *, what: str = "") -> Path:
    try:
        ssl.create_default_context().load_verify_locations(cafile=str(path))
    except (OSError, ssl.SSLError):
        raise ValueError(f"{what}must be a readable file of PEM certificates") from None
    return path


PostgresUrl = Annotated[str, AfterValidator(_postgres_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
ProxyUrl = Annotated[str, AfterValidator(_proxy_url)]
Certificates = Annotated[Path, AfterValidator(_certificates)]
