"""CPU time and memory of a process, from the Linux kernel."""

import os
from pathlib import Path

from devstack.processes import descendants

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process with all threads, to 10 ms."""
    return sum(_times(pid)[:2])


def tree_cpu(pid: int) -> float:
    """Return the CPU time of a process and its descendants, ended ones included."""
    return sum(sum(_times(one)) for one in (pid, *descendants(pid)))


def _times(pid: int) -> list[float]:
    # The name may contain blanks and ends with the last bracket; these are fields 14 to 17.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return [int(ticks) / _TICKS_PER_SECOND for ticks in fields[11:15]]


def memory(pid: int) -> dict[str, float]:
    """Return the memory in MiB: `Rss`, and `Pss`, in which a page of n processes counts 1/n."""
    rows = [row.split() for row in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()[1:]]
    return {row[0].rstrip(":"): int(row[1]) / 1024 for row in rows}
