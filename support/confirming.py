"""Confirmation prompt before a bulk change."""

import sys


class NotAsked(Exception):
    """No prompt is possible: standard input is no terminal, and `--yes` is missing."""


def confirmed(question: str, *, yes: bool) -> bool:
    """Return True for the answer y or for `--yes`. Raises NotAsked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise NotAsked
    # Standard output is for the result.
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
