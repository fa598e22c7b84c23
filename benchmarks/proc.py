"""What the kernel says of a process: its CPU time and its memory (Linux)."""

import os
from dataclasses import dataclass
from pathlib import Path

from devstack.descendants import descendants

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its threads so far, to 10 ms."""
    # The name, which may have blanks in it, ends with the last bracket; utime and stime are fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def tree_cpu(pid: int) -> float:
    """User and system time of a process and of those below it that run, to 10 ms each."""
    return sum(map(cpu_seconds, (pid, *descendants(pid))))


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB of a process: resident, its proportional share (a page of n processes counts 1/n), and the most resident."""

    rss: float
    pss: float
    peak_rss: float


def memory(pid: int) -> Memory:
    """The memory of a process now, and at its peak so far."""
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
