"""When a process is ready, seen from outside."""

import http.client
from collections.abc import Callable

from devstack.processes import Process

_PROBE_SECONDS = 2.0


def answers(port: int, path: str) -> Callable[[Process], bool]:
    """Ready when `GET path` on 127.0.0.1 answers 200."""

    def ready(_process: Process) -> bool:
        # http.client, since it knows no proxies: a proxy of the caller's is not for loopback.
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PROBE_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ready


def says(text: str) -> Callable[[Process], bool]:
    """Ready when the process has written `text` since its start."""
    return lambda process: text in process.output()
