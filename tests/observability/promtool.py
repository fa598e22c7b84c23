"""Prometheus's own checks; a test is skipped where they are not installed."""

import shutil
import subprocess

import pytest


def promtool(*arguments: str) -> None:
    """Run it; it has to find everything right."""
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
