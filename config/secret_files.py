"""Settings from files that change while a process runs: `SECRETS_DIR`, `TENANTS_FILE`.

A file is read while somebody writes it. What it has then is the beginning of a value: it must not be a value of its
own, and what the file had before must go on. So a new text counts once nobody has touched its file for two seconds.
A file that is replaced in one step (renamed, or Kubernetes' `..data`) only waits those two seconds.

A secret that was cut short looks like one whose writer has stopped half-way, so it waits for a minute, and an empty
one for ever: a secret is withdrawn by deleting its file, and that counts at once, whatever else is being written. What
can't be read stays as it was.
"""

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SETTLED_SECONDS = 2.0
LONG_SECONDS = 60.0
"""After so long nobody is in the middle of writing any more: no file holds others back for longer."""
UNREADABLE = "\0"
"""Stands for a file that can't be read, where nothing was read before: unset might be a laxer value."""
DIRECTORY = "SECRETS_DIR"
NOT_LISTED = "SECRETS_DIR can't be listed: this process must be able to read it"
"""What is wrong while its files could never be listed."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it was found. `text` is None where it can't be read as text."""

    text: str | None
    changed: float


@dataclass(frozen=True, slots=True)
class _Change:
    """A file that has something else than what counts: this `text` since then, and something since it `began`.

    Both by our own clock, and not by the file's: that one may be ahead, or be set again and again by a copier.
    """

    text: str | None
    since: float
    began: float


class SecretFiles:
    """The files of a folder as settings, name -> text; a folder of None has none. `read()` it again and again.

    `setting` names the folder. Files of one `group` (by default each is its own) change together: a secret and the one
    before it, an address and its key. Those whose group is empty are left out. `secret` says which may be withdrawn by
    nothing but deletion; `on_problem` hears once of each file that is not used as it is.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        setting: str = "SECRETS_DIR",
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
        self._there = self._unlisted = False
        self._values: dict[str, str] = {}
        self._changes: dict[str, _Change] = {}
        self._told: dict[str, str] = {}

    @property
    def never_listed(self) -> bool:
        """True if the folder is there, and nobody knows yet which files it has: each reading has failed."""
        return self._unlisted and not self._there

    def over_environment(self) -> dict[str, str]:
        """Return variables of the environment with the files laid over them; those whose group is empty are left out.

        An empty one counts as unset. `SECRETS_DIR` itself is UNREADABLE while its files could never be listed.
        """
        values = {name: value.strip() for name, value in os.environ.items() if value.strip() and self._group(name)}
        return values | self.read() | ({DIRECTORY: UNREADABLE} if self.never_listed else {})

    def read(self) -> dict[str, str]:
        """Return the settings in force. The first reading takes the files as they are.

        One that finds the folder and can't list it is none.
        """
        try:
            found = self._found()
        except OSError as failure:
            # A share that is away for a moment takes no tenant with it.
            self._unlisted = not isinstance(failure, FileNotFoundError | NotADirectoryError)
            if self._there:
                self._tell(self._setting, f"{self._setting} can't be read ({type(failure).__name__})")
        else:
            self._there = True
            self._told.pop(self._setting, None)
            if self._started:
                self._take(found)
            else:
                self._start(found)
        self._started = not self.never_listed
        return dict(self._values)

    def _start(self, found: dict[str, _File]) -> None:
        texts = {name: UNREADABLE if file.text is None else file.text for name, file in found.items()}
        self._values = {name: text for name, text in texts.items() if text}

    def _found(self) -> dict[str, _File]:
        """Return the files of the folder. Raises OSError where there is none, or it can't be read."""
        if self._folder is None:
            return {}
        names = sorted(path.name for path in self._folder.iterdir() if not path.name.startswith("."))
        files = {name: _file(self._folder / name) for name in names if self._group(name)}
        return {name: file for name, file in files.items() if file is not None}

    def _take(self, found: dict[str, _File]) -> None:
        """Let count what may, and tell of what may not."""
        # The time comes after the texts: what was written in between is seen to be new.
        now = self._now()
        self._changes = {
            name: self._change(name, file.text, now)
            for name, file in found.items()
            if (UNREADABLE if file.text is None else file.text) != self._values.get(name, "")
        }
        held = {self._group(name) for name in self._changes if self._holds(name, found[name], now)}
        values = {name: self._values.get(name, "") for name in found}
        waiting = set()
        for name in self._changes:
            text = found[name].text
            problem = self._problem(name, found[name], now)
            if self._group(name) not in held and text is None and not values[name]:
                values[name] = UNREADABLE
            elif self._group(name) not in held and text is not None and problem is None:
                values[name] = text
            else:
                waiting.add(name)
                if problem:
                    self._tell(name, problem)
        self._values = {name: text for name, text in values.items() if text}
        self._changes = {name: change for name, change in self._changes.items() if name in waiting}
        self._told = {name: sentence for name, sentence in self._told.items() if name in waiting}

    def _change(self, name: str, text: str | None, now: float) -> _Change:
        known = self._changes.get(name)
        if known is None:
            return _Change(text, now, now)
        return _Change(text, known.since if known.text == text else now, known.began)

    def _holds(self, name: str, file: _File, now: float) -> bool:
        """Return True if somebody may be writing the file just now, so that its group has to wait for it."""
        return not self._settled(name, file, now) and now - self._changes[name].began < LONG_SECONDS

    def _settled(self, name: str, file: _File, now: float) -> bool:
        # A file's clock that is ahead of ours: then the same text twice has to do.
        again = file.changed > now and self._changes[name].since < now
        return again or now - file.changed >= SETTLED_SECONDS or self._is_old(name, file, now)

    def _is_old(self, name: str, file: _File, now: float) -> bool:
        """Return True if the text has been there for a minute, left alone or written again and again."""
        return max(now - file.changed, now - self._changes[name].since) >= LONG_SECONDS

    def _problem(self, name: str, file: _File, now: float) -> str | None:
        """Why a changed file does not count; empty for one that is only being written, None for one that does."""
        if self._holds(name, file, now):
            return ""
        if file.text is None:
            return unreadable(name)
        if not self._settled(name, file, now):
            return f"{name}: its file does not stop changing"
        if self._secret(name) and self._values.get(name) != UNREADABLE and self._begins(name, file.text):
            return self._cut_problem(name, file, now)
        return None

    def _begins(self, name: str, text: str) -> bool:
        return self._values.get(name, "").startswith(text)

    def _cut_problem(self, name: str, file: _File, now: float) -> str | None:
        """Return the problem of a secret of which only the beginning is left."""
        if not file.text:
            return f"{name}: its file is empty; delete it to withdraw the secret"
        if not self._is_old(name, file, now):
            return f"{name}: its file has only the beginning of the secret; that counts after a minute"
        return None

    def _tell(self, name: str, sentence: str) -> None:
        if self._told.get(name) != sentence:
            self._told[name] = sentence
            self._on_problem(sentence)


def unreadable(name: str) -> str:
    """Say that a setting's file can't be read."""
    return f"{name}: its file can't be read as text"


def _file(path: Path) -> _File | None:
    """Return the content; None where there is no file (any more)."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        content = path.read_bytes()
        # After the content, for the same reason.
        changed = path.stat().st_mtime
    except FileNotFoundError:
        return None
    except OSError:
        return _File(None, 0.0)
    try:
        return _File(content.decode("utf-8").strip(), changed)
    except UnicodeDecodeError:
        return _File(None, changed)
