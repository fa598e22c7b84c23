"""The README's first command in a clean clone, twice, as a newcomer runs it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.kit.world import wait_for

ROOT = Path(__file__).resolve().parents[2]
BOTH: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
NOBODY = 65534
PYTHONS = ("python3", "python3.13", "python3.12", "python3.11", "/usr/bin/python3.13", "/usr/bin/python3")
CAN_INSTALL = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"


def usable_python(user: int) -> str | None:
    """Return a Python that this user can run and that can create environments."""
    for python in PYTHONS:
        with suppress(OSError, subprocess.SubprocessError):
            command = [python, "-c", CAN_INSTALL]
            subprocess.run(command, user=user, group=user, capture_output=True, cwd="/", check=True)
            return python
    return None


@pytest.mark.slow
def test_make_demo_works_from_a_clean_clone_twice_in_a_row() -> None:
    user = NOBODY if os.getuid() == 0 else os.getuid()
    python = usable_python(user)
    if python is None:
        pytest.skip("no Python that this user can run")
    # Not below pytest's own folder, which other users can't enter.
    home = Path(f"/tmp/ai-agents-clean-clone-{os.getpid()}-{user}")  # noqa: S108 -- made for this test, gone after it
    home.mkdir(mode=0o755)
    try:
        clone = home / "a folder with spaces"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True, cwd=home)
        for path in [home, *home.rglob("*")]:
            os.chown(path, user, user, follow_symlinks=False)
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
        for _ in range(2):
            own: dict[str, Any] = {"user": user, "group": user, "extra_groups": [], "timeout": 400}
            command = ["make", "demo", f"PYTHON={python}"]
            done = subprocess.run(command, check=False, cwd=clone, env=kept | environment, **BOTH, **own)
            assert done.returncode == 0, done.stdout[-4000:]
            assert "Every ticket has its note" in done.stdout
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.slow
def test_the_demo_ends_non_zero_and_says_why_when_a_ticket_gets_no_note() -> None:
    state = ROOT / ".devstack" / "demo" / "state.json"
    state.unlink(missing_ok=True)
    demo = subprocess.Popen([sys.executable, "-m", "devstack", "demo"], cwd=ROOT, **BOTH)
    wait_for(state.exists, 60)
    os.kill(json.loads(state.read_text(encoding="utf-8"))["pids"]["worker"], signal.SIGKILL)
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "has no note. It came as far as 'queued'" in output
    assert "The process 'worker' ended by itself, with status -9" in output
    assert "Every ticket has its note" not in output
