"""Process information by process id."""

import os
import time
from pathlib import Path

_PROC = Path("/proc")


def descendants(pid: int) -> list[int]:
    """Return the ids of all descendants, parents first; empty without `/proc`."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*"):
        fields = _stat_fields(int(entry.name))
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def is_alive(pid: int) -> bool:
    """Return True if the process exists and is not a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's process, but alive
    fields = _stat_fields(pid)
    return fields is None or fields[0] != "Z"


def started_at(pid: int) -> float | None:
    """Return the process's start time in seconds since the epoch, or None."""
    fields = _stat_fields(pid)
    if fields is None:
        return None
    uptime = float((_PROC / "uptime").read_text().split()[0])
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - uptime + since_boot


def _stat_fields(pid: int) -> list[str] | None:
    """Return the fields of `/proc/PID/stat` from the state on.

    The name before the state may contain any character.
    """
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
