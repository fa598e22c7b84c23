"""Free TCP ports on loopback, reserved for this process."""

import fcntl
import os
import secrets
import socket
import tempfile
from contextlib import suppress
from functools import cache

# Below the ephemeral ranges of Linux (from 32768) and macOS (from 49152): while a server of ours is down for a test, a
# client must not take its port (it can even connect to itself there).
_FIRST, _LAST = 15_000, 29_999
_TRIES = 200
_returned: set[int] = set()


def free_port() -> int:
    """Return an unused port that was not returned before. Raises RuntimeError."""
    for _ in range(_TRIES):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST + 1)
        if port not in _returned and _reserve(port) and is_free(port):
            _returned.add(port)
            return port
    raise RuntimeError(f"no free port between {_FIRST} and {_LAST}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """Reserve the port until this process ends, also against other users' test runs."""
    try:
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):
        return False
    return True


@cache
def _reservations() -> int:
    """Open the lock file of all users, a byte per port; closing it would unlock all."""
    path = f"{tempfile.gettempdir()}/ai-agents-ports"
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        os.fchmod(descriptor, 0o666)  # tests of other users lock it too; a umask would forbid that
        return descriptor
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
