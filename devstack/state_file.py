"""What runs in a folder: `state.json` for tools and tests, `settings.env` for a shell; and that only one does."""

import fcntl
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from devstack.descendants import is_alive, started_at

STATE_FILE = "state.json"
SETTINGS_FILE = "settings.env"
State = dict[str, Any]
_CLOCK_SLACK_SECONDS = 5.0


class AlreadyRunning(Exception):
    """A system runs in this folder; the text says which one and how to end it."""


class FolderLock:
    """The right to run in a folder. It ends with the process that holds it, however that dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: IO[str] | None = None

    def take(self) -> None:
        """Take it. Raises AlreadyRunning if another process has it, or what it started is alive."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self._folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except BlockingIOError:
            free = False
        living = living_pids(self._folder)
        if living or not free:
            lock.close()
            raise AlreadyRunning(self._sentence(living))
        _remove(self._folder)
        self._lock = lock

    def release(self) -> None:
        """Remove what `write_state` wrote and let another one run here."""
        if self._lock is not None:
            _remove(self._folder)
            self._lock.close()
            self._lock = None

    def _sentence(self, living: Mapping[str, int]) -> str:
        if not living:
            return f"a system is starting in {self._folder}: wait for it, or end it with Ctrl-C"
        named = ", ".join(f"{name} {pid}" for name, pid in living.items())
        return (
            f"a system runs in {self._folder} already ({named}): end it with Ctrl-C or "
            f"`kill {next(iter(living.values()))}` first, or choose another folder with --folder"
        )


def read_state(folder: Path) -> State | None:
    """Read `state.json`; None if there is none, or it is unreadable."""
    try:
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def write_state(folder: Path, state: State, settings: Mapping[str, str] | None = None) -> None:
    """Write `state.json`, and before it `settings.env` if there are settings, in the shell's syntax."""
    if settings is not None:
        _write(folder / SETTINGS_FILE, "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()))
    _write(folder / STATE_FILE, json.dumps(state, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    """Write a file in one step, readable by this user only, since it has secrets in it."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    beside.replace(path)


def _remove(folder: Path) -> None:
    for name in (STATE_FILE, SETTINGS_FILE):
        (folder / name).unlink(missing_ok=True)


def living_pids(folder: Path) -> dict[str, int]:
    """Find which processes of `state.json` are still alive (an id may have been given to another since)."""
    state = read_state(folder) or {}
    pids = state.get("pids")
    if not isinstance(pids, dict):
        return {}
    written_at = (folder / STATE_FILE).stat().st_mtime
    return {
        str(name): pid
        for name, pid in pids.items()
        if isinstance(pid, int) and is_alive(pid) and (started_at(pid) or 0.0) <= written_at + _CLOCK_SLACK_SECONDS
    }
