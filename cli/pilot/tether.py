"""Replacement of this process by a command that ends with its parent.

    python -I -S tether.py PARENT SIGNAL USER COMMAND...

PARENT: pid that the command must not outlive. SIGNAL: number of the signal that ends it then (on Linux only).

USER: id of the user and group to change to, or -1. Exits with 126 and a message if that fails.

A separate program instead of a `preexec_fn`, because code between fork and exec is unsafe in a process with threads.
Standard library only, since it runs without site-packages.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, death_signal, user = (int(text) for text in sys.argv[1:4])
    command = sys.argv[4:]
    try:
        if user >= 0:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        # After the change of user, which would clear it.
        tie_to(parent, death_signal)
        # Python ignores these, and the command would inherit that.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execv(command[0], command)  # noqa: S606 -- without a shell on purpose
    except OSError as problem:
        sys.stderr.write(f"cannot run {command[0]} as user {user}: {problem.strerror}\n")
        sys.exit(126)


def tie_to(parent: int, death_signal: int) -> None:
    """Request the signal at the parent's end (Linux); exit if it has already ended."""
    # If the kernel refuses, the process runs without the tie.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)  # the parent ended before the request


if __name__ == "__main__":
    main()
