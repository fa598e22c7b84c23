"""Importing any module of the product defines names and does nothing else: a process begins in its composition root."""

import json
import os
import subprocess
import sys

from tests.system.import_watch import ROOMS, ROOT, product_modules


def test_importing_reads_no_environment_and_starts_and_ends_nothing() -> None:
    """In a fresh process without any setting: nothing is read, opened, begun, set up or kept in a module."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.import_watch"],
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_every_room_is_imported() -> None:
    assert {name.partition(".")[0] for name in product_modules()} == set(ROOMS)
    assert {"worker.app", "api.app", "housekeeping.app", "support.cli"} <= set(product_modules())
