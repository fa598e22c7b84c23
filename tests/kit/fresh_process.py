"""A program in a process of its own, for what an import or a setting does."""

import json
import os
import subprocess
import sys
from typing import Any


def in_a_fresh_process(program: str, **environment: str) -> Any:
    """Run it; return the JSON of its last line."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])  # the lines before are log lines
