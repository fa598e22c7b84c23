"""Virtual environments of benchmarks, made on demand.

`requirements/<name>.txt` becomes `.venv-bench/<name>`.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

from devstack.programs import PROJECT


def python_of(name: str) -> Path:
    pins = PROJECT / "requirements" / f"{name}.txt"
    folder, wanted = PROJECT / ".venv-bench" / name, hashlib.sha256(pins.read_bytes()).hexdigest()
    python, stamp = folder / "bin" / "python", folder / ".installed"
    folder.parent.mkdir(exist_ok=True)
    # Two benchmarks that start at once would delete each other's environment.
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            sys.stderr.write(f"Installing {pins.relative_to(PROJECT)} into {folder.relative_to(PROJECT)} ...\n")
            _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
            _uv("pip", "sync", "--quiet", "--python", str(python), "--require-hashes", "--compile-bytecode", str(pins))
            stamp.write_text(wanted)
    return python


def _uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", *arguments], cwd=PROJECT, check=True)
