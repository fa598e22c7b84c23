"""`ai-agents` again and again for the price of loading it once: a process that has all of it forks one for each verb.

Importing does nothing beside defining names (`test_processes.py`): so what is forked begins as a fresh process does.
"""

import ctypes
import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from observability.start import begin_loading, end_loading
from support.cli import main

_ROOT = Path(__file__).resolve().parents[2]
# What the verbs load when they are chosen.
_LOADED = (
    *("api.app", "api.http_protocol", "uvicorn", "housekeeping.app", "signer.app"),
    *("worker.tasks", "worker.process", "worker.resources", "celery.apps.worker", "celery.bin.celery"),
)
_SECONDS = 60


class LoadedCommand:
    """Runs verbs, each in a process of its own that has these settings alone and obeys the modes of files.

    How the interpreter ends a process that nobody foresaw is not shown so: `multiprocessing` ends those.
    """

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=_obey_modes,  # noqa: PLW1509 -- it takes no lock that a thread may hold
        )

    def close(self) -> None:
        """End it."""
        self._server.communicate()

    def run(self, verb: str, settings: Mapping[str, str]) -> tuple[int, str]:
        """Run `ai-agents VERB` to its end; exit status (-14 after a minute) and output."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps([verb.split(), dict(settings)]) + "\n")
        self._server.stdin.flush()
        status, output = json.loads(self._server.stdout.readline())
        return status, output


def _obey_modes() -> None:
    """Have the program that comes next read nothing that files' modes forbid, even as root."""
    # PR_CAPBSET_DROP of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


def _serve() -> None:
    begin_loading()
    for name in _LOADED:
        importlib.import_module(name)
    # Frozen, what is shared with the forked is not walked there, and so not copied.
    end_loading()
    fork = multiprocessing.get_context("fork")
    for line in sys.stdin:
        output, into = os.pipe()
        verb, settings = json.loads(line)
        process = fork.Process(target=_run, args=(verb, settings, into))
        process.start()
        os.close(into)
        with os.fdopen(output, encoding="utf-8") as file:
            told = file.read()
        process.join()
        sys.stdout.write(json.dumps([process.exitcode, told]) + "\n")
        sys.stdout.flush()


def _run(verb: list[str], settings: dict[str, str], into: int) -> None:
    signal.alarm(_SECONDS)
    os.dup2(into, 1)
    os.dup2(into, 2)
    os.close(into)
    os.environ.clear()
    os.environ.update(settings)
    sys.exit(main(verb))


if __name__ == "__main__":
    _serve()
