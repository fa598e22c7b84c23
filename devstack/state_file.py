"""State of the system in a folder: `state.json`, `settings.env` and a lock."""

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
    """A system runs in this folder; the text names it and the command to stop it."""


class FolderLock:
    """An exclusive lock on a folder, released when its process ends in any way."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: IO[str] | None = None

    def take(self) -> None:
        """Acquire the lock. Raises AlreadyRunning if it is held or its processes live."""
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
    """Read `state.json`; return None if it is missing or unreadable."""
    try:
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def write_state(folder: Path, state: State, settings: Mapping[str, str] | None = None) -> None:
    """Write `state.json`, after `settings.env` (shell syntax) if there are settings."""
    if settings is not None:
        _write(folder / SETTINGS_FILE, "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()))
    _write(folder / STATE_FILE, json.dumps(state, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    """Write a file atomically, readable by this user only: it contains secrets."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    beside.replace(path)


def _remove(folder: Path) -> None:
    for name in (STATE_FILE, SETTINGS_FILE):
        (folder / name).unlink(missing_ok=True)


def living_pids(folder: Path) -> dict[str, int]:
    """Return the processes of `state.json` that still run, excluding reused ids."""
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
