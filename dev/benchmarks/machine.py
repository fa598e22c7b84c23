"""CPU time and memory of a process (Linux), and the peers' environments."""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from cli.pilot.processes import descendants
from cli.pilot.programs import ROOT

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process with all threads, to 10 ms."""
    return sum(_times(pid)[:2])


def tree_cpu(pid: int) -> float:
    """Return the CPU time of a process and its descendants, ended ones included."""
    return sum(sum(_times(member)) for member in (pid, *descendants(pid)))


def _times(pid: int) -> list[float]:
    # The name may contain blanks and ends with the last bracket; these are fields 14 to 17.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return [int(ticks) / _TICKS_PER_SECOND for ticks in fields[11:15]]


def memory(pid: int) -> dict[str, float]:
    """Return MiB by name: `Rss`, and `Pss`, which divides shared pages by their users."""
    rows = [row.split() for row in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()[1:]]
    return {row[0].rstrip(":"): int(row[1]) / 1024 for row in rows}


def python_of(name: str) -> Path:
    """Install `requirements/<name>.txt` if needed; return its environment's Python."""
    pins = ROOT / "requirements" / f"{name}.txt"
    folder, digest = ROOT / ".venv-bench" / name, hashlib.sha256(pins.read_bytes()).hexdigest()
    python, stamp = folder / "bin" / "python", folder / ".installed"
    folder.parent.mkdir(exist_ok=True)
    # Two benchmarks that start at once would delete each other's environment.
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != digest:
            sys.stderr.write(f"Installing {pins.relative_to(ROOT)} into {folder.relative_to(ROOT)} ...\n")
            _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
            _uv("pip", "sync", "--quiet", "--python", str(python), "--require-hashes", "--compile-bytecode", str(pins))
            stamp.write_text(digest)
    return python


def _uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", *arguments], cwd=ROOT, check=True)
