"""Files of `SECRETS_DIR`, replaced atomically and durably.

Readers load a tenant's changed files together, after a moment without changes (`config.secret_files`).
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


class NotWritable(Exception):
    """The files may not be written; the text has the reason. Nothing was written."""


class HeldBySomebody(Exception):
    """Another process rotates a secret in this directory."""


def insist_on_writable(folder: Path | None, *names: str) -> Path:
    """Return the directory if the files may be written there. Raises NotWritable."""
    if folder is None:
        raise NotWritable("SECRETS_DIR is not set")
    if (folder / "..data").exists() or any((folder / name).is_symlink() for name in names):
        raise NotWritable("the files of SECRETS_DIR are links, as Kubernetes mounts a secret")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise NotWritable("SECRETS_DIR can't be written by this process")
    for name in names:
        owner = _model(folder, name).st_uid
        # A file of our own might be closed to its readers.
        if os.geteuid() not in (0, owner):
            whose = f"the file {name}" if (folder / name).exists() else "SECRETS_DIR"
            raise NotWritable(f"{whose} belongs to another user, the one with the number {owner}")
    return folder


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock the directory against other rotations. Raises HeldBySomebody."""
    descriptor = os.open(folder, _DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldBySomebody from None
        yield
    finally:
        os.close(descriptor)


def put(folder: Path, name: str, secret: str, *, like: str) -> None:
    """Write a file atomically, with the owner and at most the rights of `like`.

    Raises OSError.
    """
    beside = folder / f".{name}.new"
    # Left by a killed process: its owner and rights may differ.
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            _take_after(file.fileno(), _model(folder, like))
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(folder / name)
    finally:
        beside.unlink(missing_ok=True)
    _settle(folder)


def move(folder: Path, name: str, to: str) -> None:
    """Rename a file atomically. Raises OSError."""
    (folder / name).replace(folder / to)
    _settle(folder)


def withdraw(folder: Path, name: str) -> None:
    """Delete a file if it exists. Raises OSError."""
    (folder / name).unlink(missing_ok=True)
    _settle(folder)


def is_open_to_all(folder: Path, name: str) -> bool:
    """Return True if the file exists and every user of this machine may read it."""
    is_open = (folder / name).is_file() and (folder / name).stat().st_mode & stat.S_IROTH
    return bool(is_open and folder.stat().st_mode & stat.S_IXOTH)


def write_out(path: Path, secret: str) -> None:
    """Create a file for its owner alone. Raises OSError, also if it exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{secret}\n")
        file.flush()
        os.fsync(file.fileno())


def _model(folder: Path, name: str) -> os.stat_result:
    """Return the model for a file's owner and rights: itself, or the directory."""
    path = folder / name
    return path.stat() if path.exists() else folder.stat()


def _take_after(descriptor: int, model: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.fchown(descriptor, model.st_uid, model.st_gid)
    # Processes that read it by group or as others keep that access.
    readable = stat.S_IMODE(model.st_mode) & (stat.S_IRGRP | stat.S_IROTH) if stat.S_ISREG(model.st_mode) else 0
    os.fchmod(descriptor, 0o600 | readable)


def _settle(folder: Path) -> None:
    """Sync the directory, so that the names survive a crash."""
    descriptor = os.open(folder, _DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
