"""Environments of their own, made when a benchmark needs them: `.venv-bench/<name>`, of the peers' packages or ours."""

import hashlib
import subprocess
import sys
from pathlib import Path

from devstack.programs import PROJECT

_ROOT = PROJECT / ".venv-bench"


def python_of(name: str) -> Path:
    """Return the Python that has what `requirements/<name>.txt` pins; installed only if that has changed."""
    pins = PROJECT / "requirements" / f"{name}.txt"
    place, wanted = _ROOT / name, hashlib.sha256(pins.read_bytes()).hexdigest()
    python, stamp = place / "bin" / "python", place / ".installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        sys.stderr.write(f"Installing {pins.relative_to(PROJECT)} into {place.relative_to(PROJECT)} ...\n")
        _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(place))
        given = ("--python", str(python), "--require-hashes", "--compile-bytecode", str(pins))
        _uv("pip", "sync", "--quiet", *given)
        stamp.write_text(wanted)
    return python


def _uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", *arguments], cwd=PROJECT, check=True)
