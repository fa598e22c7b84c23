"""Prometheus's own checks; tests are skipped if it is not installed."""

import shutil
import subprocess

import pytest


def promtool(*arguments: str) -> None:
    """Run promtool; fail unless it accepts everything."""
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
