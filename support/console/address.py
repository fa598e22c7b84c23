"""Where the console is: which `Host` is its own, and which requests come from its own pages."""

import re
from urllib.parse import urlsplit

from starlette.requests import Request

_HERE = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?", re.ASCII)


class ConsoleAddress:
    """The address that people use: `url` (`CONSOLE_URL`), or without one whatever this machine calls itself.

    A page of somebody else's whose name was made to lead here (DNS rebinding) asks for another host.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._hosts = set()
        if url is not None:
            parts = urlsplit(url)
            port = 443 if parts.scheme == "https" else 80
            # Some proxies name the usual port as well.
            self._hosts = {parts.netloc, parts.netloc if parts.port else f"{parts.netloc}:{port}"}

    @property
    def is_secure(self) -> bool:
        """True if browsers reach it over TLS."""
        return self._url is not None and self._url.startswith("https:")

    def knows(self, host: str) -> bool:
        """Return True if a request for this host is for the console."""
        return host.lower() in self._hosts if self._url is not None else _HERE.fullmatch(host.lower()) is not None

    def origin(self, request: Request) -> str:
        """Return what its pages' origin is, of a request whose host is known."""
        return self._url or f"http://{request.headers.get('host', '').lower()}"

    def is_own(self, request: Request) -> bool:
        """Return True unless the browser says that a page of somebody else's sends this.

        What is no browser says nothing, and has no cookie of somebody else's either.
        """
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        return site in (None, "same-origin") and origin in (None, self.origin(request))


def local_path(text: str | None) -> str:
    """Return a path of the console to go to, with its query; the first page where it is anything else."""
    if not text or len(text) > 500 or not re.fullmatch(r"/(?![/\\])[!-\[\]-~]*", text):
        return "/"
    return text


def path_of(url: str) -> str:
    """Return the path and query of one of the console's own addresses; likewise."""
    try:
        return local_path(urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl())
    except ValueError:
        return "/"
