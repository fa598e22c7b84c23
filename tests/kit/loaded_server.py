"""The process behind `tests.kit.loaded`: it loads modules, then forks one for each start that it is told of.

    python -m tests.kit.loaded_server MODULE...

Questions come, and answers go, over the socket that is its standard input.
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
    """Serve until the other end closes. In a forked process: be what was asked for, to its end."""
    begin_loading()
    for name in sys.argv[1:]:
        importlib.import_module(name)
    # Frozen, what is shared with the forked is not walked there, and so not copied.
    end_loading()
    if (told := _serve(socket.socket(fileno=os.dup(0)))) is not None:
        _become(told)
        # As `python -m` does, in this very interpreter: so it ends as one does, whatever its end.
        runpy.run_module(told["words"][0], run_name="__main__", alter_sys=True)


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """Answer until there are no more questions, and return None; or what to be, in a process that was forked."""
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
    """Make this process what `devstack.launching` makes of a new one."""
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
    """Let this process read nothing that files' modes forbid, even as root (on Linux)."""
    if sys.platform == "linux":
        libc, header, held = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
        libc.capget(header, held)
        for kind in range(3):  # effective, permitted, inheritable
            held[kind] &= ~_PAST_MODES
        libc.capset(header, held)


if __name__ == "__main__":
    main()
