"""What the system knows of processes by their ids."""

import os
import time
from pathlib import Path

_PROC = Path("/proc")


def descendants(pid: int) -> list[int]:
    """Ids of all processes below `pid`, parents first; empty where the system has no `/proc`."""
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
    """Return True if a process of that id exists and has not ended (one that only waits to be reaped has)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, but alive
    fields = _stat_fields(pid)
    return fields is None or fields[0] != "Z"


def started_at(pid: int) -> float | None:
    """When the process was started, in seconds since the epoch; None where that is unknown."""
    fields = _stat_fields(pid)
    if fields is None:
        return None
    uptime = float((_PROC / "uptime").read_text().split()[0])
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - uptime + since_boot


def _stat_fields(pid: int) -> list[str] | None:
    """Fields of `/proc/PID/stat` from the state on; the name before it may hold any character."""
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
