"""A program that prints its environment and ends as ordered.

`python -m tests.kit.finder WORDS`.
"""

import ctypes
import gc
import json
import os
import random
import signal
import sys
import threading
import time
from typing import Any

import uuid_utils

_GET_DEATH_SIGNAL = 2


def main(words: list[str]) -> None:
    print(json.dumps({"found": _found(), "own": _own()}), flush=True)  # noqa: T201 -- it is a program
    match words:
        case ["exits", status]:
            sys.exit(int(status))
        case ["raises"]:
            raise LookupError("as it was told to")
        case ["stays"]:
            threading.Event().wait()


def _found() -> dict[str, Any]:
    """Return the findings that equal starts share."""
    death_signal = ctypes.c_int()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_GET_DEATH_SIGNAL, ctypes.byref(death_signal))
    return {
        "arguments": sys.argv,
        "path": sys.path,
        "main": sys.modules["__main__"].__dict__["main"] is main,
        "environment": dict(os.environ),
        "time zone": time.tzname,
        "folder": os.getcwd(),  # noqa: PTH109 -- as text
        "leads its session": os.getsid(0) == os.getpgid(0) == os.getpid(),
        "signals": {number: str(signal.getsignal(number)).partition(" at ")[0] for number in signal.valid_signals()},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "death signal": death_signal.value,
        "input": sys.stdin.read(),
        "encoding": [sys.stdout.encoding, sys.stdout.errors, sys.stderr.encoding, sys.getfilesystemencoding()],
        "written at once": [sys.stdout.write_through, sys.stderr.write_through],  # type: ignore[union-attr]  # text
        "threads": threading.active_count(),
        "open files": len(os.listdir("/dev/fd")),  # noqa: PTH208 -- as a count
        "collector": [gc.isenabled(), gc.get_threshold()],
        "warnings": sys.warnoptions,
        "mode": oct(os.umask(0o022)),
    }


def _own() -> list[str]:
    """Return the findings that differ between any two processes."""
    return [str(os.getpid()), str(random.random()), str(uuid_utils.uuid4()), str(uuid_utils.uuid7())]  # noqa: S311


if __name__ == "__main__":
    main(sys.argv[1:])
