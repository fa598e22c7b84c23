"""The process behind `tests.kit.loaded`: it loads modules and forks one for each start.

`python -m tests.kit.loaded_server MODULE...`: requests and answers use the socket that is its standard input.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import socket
import sys
import time
from typing import Any

from devstack.tether import tie_to
from observability.start import begin_loading, end_loading

# CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
_PAST_MODES = 0b110
_CAPABILITY_VERSION = 0x20080522


def main() -> None:
    """Serve until the other end closes; in a forked process run the module to its end."""
    begin_loading()
    for name in sys.argv[1:]:
        importlib.import_module(name)
    # Freezing keeps the collector from touching, and so copying, the shared pages.
    end_loading()
    if (told := _serve(socket.socket(fileno=os.dup(0)))) is not None:
        _become(told)
        # As in `python -m`, in this interpreter, so that every kind of end is the same.
        runpy.run_module(told["words"][0], run_name="__main__", alter_sys=True)


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """Serve requests; return None at the end, or the start to run in a forked process."""
    here = os.getpid()
    with connection, connection.makefile("rwb") as messages:
        for line in messages:
            question = json.loads(line)
            if "start" in question:
                answer: int | None = os.fork()
                if answer == 0:
                    tie_to(here, question["start"]["death_signal"])
                    return dict(question["start"])
            else:
                ended, status = os.waitpid(question["status_of"], os.WNOHANG)
                answer = os.waitstatus_to_exitcode(status) if ended else None
            messages.write(json.dumps(answer).encode() + b"\n")
            messages.flush()
    return None


def _become(told: dict[str, Any]) -> None:
    """Make this process like a newly started one."""
    os.setsid()
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, told["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)):
        opened = os.open(path, flags, 0o666)
        os.dup2(opened, number)
        os.close(opened)
    os.dup2(1, 2)
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environment"])
    time.tzset()
    sys.argv[1:] = told["words"][1:]
    if told["obeys_modes"]:
        _obey_modes()
    gc.enable()


def _obey_modes() -> None:
    """Enforce file modes for this process even as root (on Linux)."""
    if sys.platform == "linux":
        libc, header, held = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
        libc.capget(header, held)
        for kind in range(3):  # effective, permitted, inheritable
            held[kind] &= ~_PAST_MODES
        libc.capset(header, held)


if __name__ == "__main__":
    main()
