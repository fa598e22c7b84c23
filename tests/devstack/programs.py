"""Small programs for tests of supervision."""

import os
import sys
from pathlib import Path

from devstack.processes import Process
from devstack.programs import says


def python(folder: Path, program: str, name: str = "program") -> Process:
    """Return a process that runs a piece of Python and is ready once it has printed "ready"."""
    return Process(
        name,
        [sys.executable, "-c", program],
        log_path=folder / f"{name}.log",
        environment={"PATH": os.defpath, "PYTHONUNBUFFERED": "1"},
        ready=says("ready"),
    )
