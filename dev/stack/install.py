"""Environment installer: `python3 -I dev/stack/install.py` after changed pins.

It runs before any package is installed: standard library only, Python 3.11 or later. Exits with a message and a
non-zero status if a requirement is missing.
"""

import hashlib
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ENVIRONMENT = PROJECT / ".venv"
PINS = PROJECT / "requirements" / "dev.txt"
PYTHON = ENVIRONMENT / "bin" / "python"
_STAMP = ENVIRONMENT / ".installed"


def fingerprint() -> str:
    """Return a hash of the environment's inputs and path, which its programs contain."""
    parts = [PINS.read_bytes(), (PROJECT / "pyproject.toml").read_bytes(), str(ENVIRONMENT).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def main() -> int:
    wanted = fingerprint()
    # Without the stamp an installation was interrupted.
    installed = _STAMP.exists() and PYTHON.exists()
    if installed and _STAMP.read_text() == wanted:
        return 0
    missing = [module for module in ("venv", "ensurepip") if importlib.util.find_spec(module) is None]
    if not installed and missing:
        sys.stderr.write(
            f"{sys.executable} has no module {missing[0]}. Install it (Debian and Ubuntu: package "
            "python3-venv), or use another Python 3.11 or later: make PYTHON=/path/to/python3\n"
        )
        return 1
    print("Installing the pinned packages into .venv; this takes about a minute ...", flush=True)
    began = time.monotonic()
    try:
        _install(fresh=not installed)
    except subprocess.CalledProcessError as failure:
        sys.stderr.write(f"Installation failed (status {failure.returncode}); see pip's output above.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInstallation interrupted; the next one starts again.\n")
        return 130
    _STAMP.write_text(wanted)
    print(f"Installed in {time.monotonic() - began:.0f} s.", flush=True)
    return 0


def _install(*, fresh: bool) -> None:
    if fresh:
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
    _STAMP.unlink(missing_ok=True)
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    # pip compiles with one core; all cores compile below.
    subprocess.run([*pip, "--no-compile", "--require-hashes", "--requirement", str(PINS)], cwd=PROJECT, check=True)
    # Some packages contain files of a later Python, which are never imported.
    subprocess.run([PYTHON, "-m", "compileall", "-qq", "-j", "0", ENVIRONMENT / "lib"], check=False)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", "."], cwd=PROJECT, check=True)


if __name__ == "__main__":
    sys.exit(main())
