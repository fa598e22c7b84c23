"""Settings of the console process; logins are in `config.console_access`."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from config.addresses import address_problem
from config.console_access import FEWEST_CHARACTERS
from config.diagnose_settings import DiagnoseSettings
from config.feedback_settings import SigningKey
from config.settings import HTTPS_PROXY, METRICS_PORT, NO_PROXY, StoreSettings
from config.urls import Certificates, ProxyUrl


def _origin(url: str) -> str:
    """Normalize the address to a browser's origin. Raises ValueError."""
    if (problem := address_problem(url, secure=True)) is not None:
        raise ValueError(problem)
    if not url.isascii():
        raise ValueError("must have the host as browsers send it: other letters as xn--...")
    parts = urlsplit(url)
    if parts.path.strip("/"):
        raise ValueError("must have no path: the console has a host or a port of its own")
    host, default = (parts.hostname or "").lower(), 443 if parts.scheme == "https" else 80
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}" + (f":{parts.port}" if parts.port not in (None, default) else "")


def _not_guessed(key: str) -> str:
    """Reject a key that could be guessed to forge cookies. Raises ValueError."""
    if len(set(key)) < FEWEST_CHARACTERS:
        raise ValueError(f"could be guessed: it has fewer than {FEWEST_CHARACTERS} different characters")
    return key


Origin = Annotated[str, AfterValidator(_origin)]
CookieKey = Annotated[SigningKey, AfterValidator(_not_guessed)]


class ConsoleSettings(DiagnoseSettings, StoreSettings):
    """Settings of `ai-agents console`."""

    console_key: CookieKey = Field(repr=False)
    """Signs the cookies of those who are logged in; the same for all consoles, 32 characters at least, ten of them
    different."""
    console_previous_key: CookieKey | None = Field(None, repr=False)
    """The key before the last change: who is logged in with it stays so."""
    console_url: Origin | None = None
    """Where people reach the console: `https://console.example.com`, without a path. Another `Host` is refused. Needed
    unless it listens on this machine alone."""
    console_ca_bundle: Certificates | None = None
    """Certificates (PEM) of a private CA that signs the OpenID provider's certificate."""
    https_proxy: ProxyUrl | None = HTTPS_PROXY
    no_proxy: str | None = NO_PROXY
    metrics_port: int | None = METRICS_PORT
