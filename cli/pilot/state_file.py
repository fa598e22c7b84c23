"""State of the system in a folder: `state.json`, `settings.env` and a lock."""

import fcntl
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

STATE_FILE = "state.json"
SETTINGS_FILE = "settings.env"
SECRETS_FILE, TENANTS_FILE = "secrets.env", "tenants.toml"
"""Settings that `ai-agents init` writes."""
State = dict[str, Any]


class AlreadyRunningError(Exception):
    """A system runs in this folder; the text names it and the command to stop it."""


class FolderLock:
    """An exclusive lock on a folder, released when its process ends in any way."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: IO[str] | None = None

    def take(self) -> None:
        """Acquire the lock. Raises AlreadyRunningError if it is held."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self._folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise AlreadyRunningError(self._sentence()) from None
        self._remove()
        self._lock = lock

    def release(self) -> None:
        if self._lock is not None:
            self._remove()
            self._lock.close()
            self._lock = None

    def _remove(self) -> None:
        for name in (STATE_FILE, SETTINGS_FILE):
            (self._folder / name).unlink(missing_ok=True)

    def _sentence(self) -> str:
        state = read_state(self._folder)
        if state is None:
            return f"A system is starting in {self._folder}. Wait for it, or stop it with Ctrl-C."
        pid = next(iter(state["pids"].values()))
        return (
            f"A system is already running in {self._folder} (process {pid}). Stop it with Ctrl-C or "
            f"`kill {pid}`, or choose another folder with --folder."
        )


def read_state(folder: Path) -> State | None:
    try:
        state: State = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return state


def write_state(folder: Path, state: State, settings: Mapping[str, str]) -> None:
    write_variables(folder / SETTINGS_FILE, settings)
    write_private(folder / STATE_FILE, json.dumps(state, indent=2) + "\n")


def write_variables(path: Path, variables: Mapping[str, str]) -> None:
    """Write NAME=VALUE lines that a shell can read."""
    write_private(path, "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()))


def read_variables(path: Path) -> dict[str, str]:
    """Read NAME=VALUE lines, quoted as in a shell. Raises OSError, or ValueError for another line."""
    variables = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            words = ["a quote that is not closed"]
        if len(words) > 1 or (words and "=" not in words[0]):
            raise ValueError(f"line {number} of {path} is not NAME=VALUE; quote values with blanks")
        if words:
            name, _, value = words[0].partition("=")
            variables[name] = value
    return variables


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, readable by this user only: it contains secrets."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    beside.replace(path)
