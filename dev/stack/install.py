"""Environment installer: `python3 -I dev/stack/install.py` after changed pins.

It runs before any package is installed: standard library only, Python 3.11 or later. Exits with a message and a
non-zero status if a requirement is missing.
"""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ENVIRONMENT = PROJECT / ".venv"
PINS = PROJECT / "requirements" / "dev.txt"
PYTHON = ENVIRONMENT / "bin" / "python"
_STAMP = ENVIRONMENT / ".installed"
_UV_PIN = ENVIRONMENT / "uv.txt"
# Large, and not imported: 5 s of compilation.
_NOT_COMPILED = "site-packages/(pip|setuptools|phonenumbers/geodata)/"


def fingerprint() -> str:
    """Return a hash of the environment's inputs and path, which its programs contain."""
    parts = [PINS.read_bytes(), (PROJECT / "pyproject.toml").read_bytes(), str(ENVIRONMENT).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def main() -> int:
    current = fingerprint()
    # Without the stamp an installation was interrupted.
    installed = _STAMP.exists() and PYTHON.exists()
    if installed and _STAMP.read_text() == current:
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
        sys.stderr.write(f"The installation failed (status {failure.returncode}); the reason is above.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInstallation interrupted; the next one starts again.\n")
        return 130
    _STAMP.write_text(current)
    print(f"Installed in {time.monotonic() - began:.0f} s.", flush=True)
    return 0


def _install(*, fresh: bool) -> None:
    if fresh:
        _announce(".venv")
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
    _STAMP.unlink(missing_ok=True)
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    if not _install_with_uv(pip):
        _announce("the packages again, with pip instead of uv")
        # pip compiles with one core; all cores compile below.
        subprocess.run([*pip, "--no-compile", "--require-hashes", "--requirement", str(PINS)], cwd=PROJECT, check=True)
    _announce("compiled files")
    # Some packages contain files of a later Python, which are never imported.
    compiling = [str(PYTHON), "-m", "compileall", "-qq", "-j", "0", "-x", _NOT_COMPILED, str(ENVIRONMENT / "lib")]
    subprocess.run(compiling, check=False)
    _announce("this project")
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", "."], cwd=PROJECT, check=True)


def _install_with_uv(pip: list[str]) -> bool:
    """Install with uv (a sixth of pip's CPU, pip's index only); False if it fails."""
    _announce("uv")
    _UV_PIN.write_text("".join(re.findall(r"(?m)^uv==(?:.*\\\n)*.*\n", PINS.read_text())))
    subprocess.run([*pip, "--require-hashes", "--requirement", str(_UV_PIN)], cwd=PROJECT, check=True)
    listed = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    index = os.environ.get("PIP_INDEX_URL") or "".join(re.findall(r"(?m)^global\.index-url='(.*)'", listed))
    environment = ({"UV_DEFAULT_INDEX": index} if index else {}) | os.environ
    uv = [str(PYTHON), "-m", "uv", "pip", "install", "--python", str(PYTHON), "--require-hashes"]
    _announce("the packages")
    command = [*uv, "--requirement", str(PINS)]
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stderr or ():
            # A line for each download that ends and each sum, but none for each of 160 packages.
            if not line.startswith((" + ", "Downloading ")):
                sys.stderr.write(f"    {line.strip()}\n")
    return running.returncode == 0


def _announce(part: str) -> None:
    print(f"  {part} ...", flush=True)


if __name__ == "__main__":
    sys.exit(main())
