"""Address of the console: its `Host` values and its own origin."""

import re
from urllib.parse import urlsplit

from starlette.requests import Request

_HERE = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?", re.ASCII)


class ConsoleAddress:
    """The console's address: `CONSOLE_URL`, or any local name without it.

    The host check prevents DNS rebinding: a foreign page under a name that resolves to this machine has another host.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._hosts = set()
        if url is not None:
            parts = urlsplit(url)
            port = 443 if parts.scheme == "https" else 80
            # Some proxies include the default port.
            self._hosts = {parts.netloc, parts.netloc if parts.port else f"{parts.netloc}:{port}"}

    @property
    def is_secure(self) -> bool:
        return self._url is not None and self._url.startswith("https:")

    def knows(self, host: str) -> bool:
        return host.lower() in self._hosts if self._url is not None else _HERE.fullmatch(host.lower()) is not None

    def origin(self, request: Request) -> str:
        return self._url or f"http://{request.headers.get('host', '').lower()}"

    def is_own(self, request: Request) -> bool:
        """Return False if the browser reports another origin.

        Other clients report none, and have no cookie of another person.
        """
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        return site in (None, "same-origin") and origin in (None, self.origin(request))


def local_path(text: str | None) -> str:
    """Return a safe local path with query; the first page for anything else."""
    if not text or len(text) > 500 or not re.fullmatch(r"/(?![/\\])[!-\[\]-~]*", text):
        return "/"
    return text


def path_of(url: str) -> str:
    """Return path and query of one of the console's own URLs, else the first page."""
    try:
        return local_path(urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl())
    except ValueError:
        return "/"
