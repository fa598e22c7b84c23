"""Supervision of a running system until Ctrl-C: restarts, and login links of the console."""

import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from cli.pilot.processes import Process, Supervisor
from cli.pilot.programs import ROOT, machine_environment

_LOOK_SECONDS = 0.5


def login_link(settings: Mapping[str, str], name: str) -> str:
    """Return a login link of the console for the token of `name`, for one use within five minutes."""
    # Not a `Process`: its output would be logged.
    command = [sys.executable, "-m", "cli.main", "console", "--link", name]
    environment = machine_environment() | dict(settings)
    made = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    return made.stdout.strip() or made.stderr.strip()


def supervise(processes: Sequence[Process], link: Callable[[], str], restarted: Callable[[], None]) -> NoReturn:
    """Restart ended processes, and print a login link on Enter.

    `restarted` is called after restarts. Raises ProcessFailedError for a process that ended five times in a minute.
    """
    supervisor = Supervisor(processes)
    reads = sys.stdin.isatty()
    while True:
        if sentences := supervisor.look():
            restarted()
            print(*sentences, sep="\n", flush=True)
        if not reads:
            time.sleep(_LOOK_SECONDS)
        elif select.select([sys.stdin], [], [], _LOOK_SECONDS)[0]:
            # Empty at the end of the input, which `select` would report for ever.
            reads = bool(sys.stdin.readline())
            if reads:
                print(link(), flush=True)
