"""What the kernel says of a process: its CPU time and its memory (Linux)."""

import os
from dataclasses import dataclass
from pathlib import Path

from devstack.descendants import descendants

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its threads so far, to 10 ms."""
    return sum(_times(pid)[:2])


def thread_cpu_seconds(pid: int) -> float:
    """Return the same of a process that has one thread, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()[0]) / 1e9


def tree_cpu(pid: int) -> float:
    """Return the CPU time of a process and of those below it, also of those that have ended."""
    return sum(sum(_times(one)) for one in (pid, *descendants(pid)))


def _times(pid: int) -> list[float]:
    """Return user and system time, and those of the children that ended."""
    # The name, which may have blanks in it, ends with the last bracket; these are fields 14 to 17.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return [int(ticks) / _TICKS_PER_SECOND for ticks in fields[11:15]]


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB of a process: resident, its proportional share (a page of n processes counts 1/n), and the most resident."""

    rss: float
    pss: float
    peak_rss: float


def memory(pid: int) -> Memory:
    """Return the memory of a process now, and at its peak so far."""
    share = _sizes(pid, "smaps_rollup")
    peak = _sizes(pid, "status")["VmHWM"]
    return Memory(share["Rss"], share["Pss"], peak)


def tree_memory(pid: int) -> float:
    """MiB of a process and of those below it now; what they share counts once."""
    return sum(memory(one).pss for one in (pid, *descendants(pid)))


def _sizes(pid: int, file: str) -> dict[str, float]:
    sizes = {}
    for line in Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8").splitlines():
        name, *values = line.split()
        if values[1:] == ["kB"]:
            sizes[name.rstrip(":")] = int(values[0]) / 1024
    return sizes
