"""Free TCP ports on loopback that stay free."""

import fcntl
import os
import secrets
import socket
import tempfile
from functools import cache

# Below the ranges from which Linux (32768) and macOS (49152) give ports to outgoing connections: while a
# server of ours is down for a test, a client must not take its port (it can even connect to itself there).
_FIRST, _LAST = 15_000, 29_999
_TRIES = 200
_given: set[int] = set()


def free_port() -> int:
    """Find a port that nobody listens on or was given. Raises RuntimeError if there is none."""
    for _ in range(_TRIES):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST + 1)
        if port not in _given and _reserve(port) and is_free(port):
            _given.add(port)
            return port
    raise RuntimeError(f"no free port between {_FIRST} and {_LAST}")


def is_free(port: int) -> bool:
    """Return True if a server could listen on 127.0.0.1 at this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """Return True if no other process has the port until it ends: two test runs must not draw the same one."""
    try:
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):
        return False
    return True


@cache
def _reservations() -> int:
    """Open the file of which each reserved port locks one byte; it is never closed, since that would unlock all."""
    return os.open(f"{tempfile.gettempdir()}/ai-agents-ports-{os.getuid()}", os.O_RDWR | os.O_CREAT, 0o600)
