"""`make demo` where a ticket gets no note; `.ci/run` runs it from a clean clone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.world import wait_for

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_demo_fails_with_a_reason_when_a_ticket_gets_no_note() -> None:
    state = ROOT / ".devstack" / "demo" / "state.json"
    state.unlink(missing_ok=True)
    demo = subprocess.Popen(
        [sys.executable, "-m", "dev.stack", "demo"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(state.exists, 60)
    os.kill(json.loads(state.read_text(encoding="utf-8"))["pids"]["worker"], signal.SIGKILL)
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "has no note. Its last stage is 'queued'" in output
    assert "Process 'worker' exited with status -9" in output
    assert "All tickets have their notes" not in output
