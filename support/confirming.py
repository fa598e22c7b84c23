"""Asking a person before many things are changed at once."""

import sys


class NotAsked(Exception):
    """There is nobody to ask: standard input is no terminal, and `--yes` was not given."""


def confirmed(question: str, *, yes: bool) -> bool:
    """Return True if the person answers the question with y, or gave `--yes`. Raises NotAsked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise NotAsked
    # Not on standard output, which has what was asked for.
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
