"""Settings from files that change while a process runs: `SECRETS_DIR`.

A file is read while somebody writes it. What it has then is the beginning of a secret: it must not be a secret of its
own, and what the file had before must go on. So a new text counts once nobody has touched its file for two seconds.
A file that is replaced in one step (renamed, or Kubernetes' `..data`) only waits those two seconds.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

SETTLED_SECONDS = 2.0


class SecretFiles:
    """The files of a folder as settings, name -> text; None has none. `read()` it again and again.

    Files of one `group` (by default each is its own) change together: a secret and the one before it, an address and
    its key.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        group: Callable[[str], str] = lambda name: name,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._group = group
        self._now = now
        self._values: dict[str, str] = {}
        self._seen: dict[str, str] | None = None

    def read(self) -> dict[str, str]:
        """What counts now. The first reading takes the files as they are: a process starts with what it was given."""
        # The time comes after the text: what was written in between is seen to be new.
        found = {path.name: (_text(path), _changed(path)) for path in _files(self._folder)}
        waiting: set[str] = set()
        if self._seen is not None:
            waiting = {self._group(name) for name, (text, at) in found.items() if not self._counts(name, text, at)}
        now = {
            name: self._values.get(name, "") if self._group(name) in waiting else text
            for name, (text, _) in found.items()
        }
        self._values = {name: text for name, text in now.items() if text}
        self._seen = {name: text for name, (text, _) in found.items()}
        return dict(self._values)

    def _counts(self, name: str, text: str, changed: float) -> bool:
        before = self._values.get(name, "")
        if text == before:
            return True
        if before.startswith(text):
            return False  # emptied or cut short, however long ago: no new secret is the beginning of the one before
        age = self._now() - changed
        # A clock that is behind the file's: then the same text twice has to do.
        return age >= SETTLED_SECONDS or (age < 0 and self._seen is not None and self._seen.get(name) == text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return float("inf")


def _files(folder: Path | None) -> Iterable[Path]:
    if folder is None or not folder.is_dir():
        return ()
    return (path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and path.is_file())
