"""Settings from files that may change: `SECRETS_DIR`, `TENANTS_FILE`.

A read during a write may return a partial value, so a new text is applied only after its file was unchanged for 2
seconds. The earlier value stays in force until then, as it does while a file is unreadable.

A secret that became a prefix of the earlier one may be an interrupted write: it is applied after 60 seconds, and never
if it is empty. Deleting its file revokes a secret at once, even during other writes.
"""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

SETTLED_SECONDS = 2.0
LONG_SECONDS = 60.0
"""Longest time that a write in progress delays the other files of its group."""
UNREADABLE = "\0"
"""Value of a file that was never readable. Unset could be a less strict value."""
DIRECTORY = "SECRETS_DIR"
NOT_LISTED = "SECRETS_DIR can't be listed: this process must be able to read it"


def secrets_dir() -> Path | None:
    """Return `SECRETS_DIR` unchecked, for callers that load no other settings."""
    folder = os.environ.get("SECRETS_DIR")
    return Path(folder) if folder else None


class _File(NamedTuple):
    text: str
    changed: float


class _Change(NamedTuple):
    """A text that differs from the value in force.

    `since`: time of this text. `began`: time of the first change. Both are by this process's clock, because a file's
    time may be ahead, or set repeatedly by a copy program.
    """

    text: str
    since: float
    began: float


class SecretFiles:
    """Files of a folder as settings, name -> text; none if the folder is None.

    `setting` names the folder. Files of one `group` change together, e.g. an address and its key; files with an empty
    group are ignored. `secret` selects files that are revoked only by deleting them. `on_problem` is called once for
    each problem of a file that is not applied.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        setting: str = DIRECTORY,
        group: Callable[[str], str] = lambda name: name,
        secret: Callable[[str], bool] = lambda _: True,
        on_problem: Callable[[str], None] = lambda _: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._setting = setting
        self._group = group
        self._secret = secret
        self._on_problem = on_problem
        self._now = now
        self._started = False
        self._listed = self._list_failed = False
        self._values: dict[str, str] = {}
        self._changes: dict[str, _Change] = {}
        self._reported: dict[str, str] = {}

    @property
    def never_listed(self) -> bool:
        """True if the folder exists but could not be listed so far."""
        return self._list_failed and not self._listed

    def over_environment(self) -> dict[str, str]:
        """Return the environment variables that have a group, overridden by the files.

        Empty variables count as unset. `SECRETS_DIR` is UNREADABLE until its files can be listed.
        """
        values = {name: value.strip() for name, value in os.environ.items() if value.strip() and self._group(name)}
        return values | self.read() | ({DIRECTORY: UNREADABLE} if self.never_listed else {})

    def read(self) -> dict[str, str]:
        """Return the settings in force; the first successful read applies all files."""
        try:
            found = self._read_files()
        except OSError as failure:
            # A network share that is briefly unavailable must not close tenants.
            self._list_failed = not isinstance(failure, FileNotFoundError | NotADirectoryError)
            if self._listed:
                self._report(self._setting, f"{self._setting} can't be read ({type(failure).__name__})")
        else:
            self._listed = True
            self._reported.pop(self._setting, None)
            values = self._settled_values(found) if self._started else {name: file.text for name, file in found.items()}
            self._values = {name: text for name, text in values.items() if text}
        self._started = not self.never_listed
        return dict(self._values)

    def _read_files(self) -> dict[str, _File]:
        if self._folder is None:
            return {}
        names = sorted(path.name for path in self._folder.iterdir() if not path.name.startswith("."))
        files = {name: read_file(self._folder / name) for name in names if self._group(name)}
        return {name: file for name, file in files.items() if file is not None}

    def _settled_values(self, found: dict[str, _File]) -> dict[str, str]:
        # Taken after the texts, so that a write in between is recognised as new.
        now = self._now()
        values = {name: self._values.get(name, "") for name in found}
        changed = {name: file for name, file in found.items() if file.text != values[name]}
        self._changes = {name: self._change(name, file.text, now) for name, file in changed.items()}
        being_written = {name for name, file in changed.items() if self._is_being_written(name, file, now)}
        held_groups = {self._group(name) for name in being_written}
        for name, file in changed.items():
            problem = None if name in being_written else self._problem(name, file, now)
            is_first = file.text == UNREADABLE and not values[name]
            if self._group(name) not in held_groups and (is_first or problem is None):
                values[name] = file.text
                del self._changes[name]
            elif problem is not None:
                self._report(name, problem)
        self._reported = {name: sentence for name, sentence in self._reported.items() if name in self._changes}
        return values

    def _change(self, name: str, text: str, now: float) -> _Change:
        known = self._changes.get(name, _Change(text, now, now))
        return _Change(text, known.since if known.text == text else now, known.began)

    def _is_being_written(self, name: str, file: _File, now: float) -> bool:
        return not self._is_settled(name, file, now) and now - self._changes[name].began < LONG_SECONDS

    def _is_settled(self, name: str, file: _File, now: float) -> bool:
        # If the file's clock is ahead, two reads of the same text are enough.
        again = file.changed > now and self._changes[name].since < now
        return again or now - file.changed >= SETTLED_SECONDS or self._is_old(name, file, now)

    def _is_old(self, name: str, file: _File, now: float) -> bool:
        """Return True if the text is 60 seconds old, even if it is written repeatedly."""
        return max(now - file.changed, now - self._changes[name].since) >= LONG_SECONDS

    def _problem(self, name: str, file: _File, now: float) -> str | None:
        if file.text == UNREADABLE:
            return unreadable(name)
        if not self._is_settled(name, file, now):
            return f"{name}: its file does not stop changing"
        before = self._values.get(name, "")
        if not self._secret(name) or before == UNREADABLE or not before.startswith(file.text):
            return None
        if not file.text:
            return f"{name}: its file is empty; delete it to withdraw the secret"
        if not self._is_old(name, file, now):
            return f"{name}: its file has only the beginning of the secret; that counts after a minute"
        return None

    def _report(self, name: str, sentence: str) -> None:
        if self._reported.get(name) != sentence:
            self._reported[name] = sentence
            self._on_problem(sentence)


def unreadable(name: str) -> str:
    """Return the problem text for a setting with an unreadable file."""
    return f"{name}: its file can't be read as text"


def read_file(path: Path) -> _File | None:
    """Return a file's text, UNREADABLE if it can't be read; None for no regular file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        content = path.read_bytes()
        # Taken after the content, so that a write in between is recognised as new.
        changed = path.stat().st_mtime
    except FileNotFoundError:
        return None
    except OSError:
        return _File(UNREADABLE, 0.0)
    try:
        return _File(content.decode("utf-8").strip(), changed)
    except UnicodeDecodeError:
        return _File(UNREADABLE, changed)
