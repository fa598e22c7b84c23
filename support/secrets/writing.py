"""Files of `SECRETS_DIR`, replaced so that no reader sees half of one, and no crash leaves one.

Whoever reads them takes changed files of one tenant together, once all were left alone for a moment
(`config.secret_files`).
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


class NotWritable(Exception):
    """Nothing may be written here; the text says why. Nothing was."""


class HeldBySomebody(Exception):
    """Somebody else rotates a secret in this directory just now."""


def insist_on_writable(folder: Path | None, *names: str) -> Path:
    """Return the directory if these files may be made and replaced in it. Raises NotWritable."""
    if folder is None:
        raise NotWritable("SECRETS_DIR is not set")
    if (folder / "..data").exists() or any((folder / name).is_symlink() for name in names):
        raise NotWritable("the files of SECRETS_DIR are links, as Kubernetes mounts a secret")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise NotWritable("SECRETS_DIR can't be written by this process")
    for name in names:
        owner = _model(folder, name).st_uid
        # A file of our own might be closed to whoever reads that one.
        if os.geteuid() not in (0, owner):
            whose = f"the file {name}" if (folder / name).exists() else "SECRETS_DIR"
            raise NotWritable(f"{whose} belongs to another user, the one with the number {owner}")
    return folder


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Have the directory to oneself, among rotations. Raises HeldBySomebody."""
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
    """Put a finished file in its place, with the owner of the file `like` and no more rights than that one has.

    Raises OSError.
    """
    beside = folder / f".{name}.new"
    # Of one that was killed: its owner and rights may be others.
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
    """Give a file another name, in one step. Raises OSError."""
    (folder / name).replace(folder / to)
    _settle(folder)


def withdraw(folder: Path, name: str) -> None:
    """Delete a file, if it is there. Raises OSError."""
    (folder / name).unlink(missing_ok=True)
    _settle(folder)


def is_open_to_all(folder: Path, name: str) -> bool:
    """Return True if there is such a file, and whoever is on this machine may read it."""
    is_open = (folder / name).is_file() and (folder / name).stat().st_mode & stat.S_IROTH
    return bool(is_open and folder.stat().st_mode & stat.S_IXOTH)


def write_out(path: Path, secret: str) -> None:
    """Make a file that its owner alone may read. Raises OSError, also where there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{secret}\n")
        file.flush()
        os.fsync(file.fileno())


def _model(folder: Path, name: str) -> os.stat_result:
    """Return whose a file is to be: as the one of this name, or as the directory."""
    path = folder / name
    return path.stat() if path.exists() else folder.stat()


def _take_after(descriptor: int, model: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.fchown(descriptor, model.st_uid, model.st_gid)
    # Where the processes read it by their group, or as anybody may, they go on doing so.
    readable = stat.S_IMODE(model.st_mode) & (stat.S_IRGRP | stat.S_IROTH) if stat.S_ISREG(model.st_mode) else 0
    os.fchmod(descriptor, 0o600 | readable)


def _settle(folder: Path) -> None:
    """Have the names outlive a crash of the machine."""
    descriptor = os.open(folder, _DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
