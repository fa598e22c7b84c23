"""Secrets in `SECRETS_DIR` and environment: places, and the writes of each step.

Files are replaced atomically and durably. Readers load a tenant's changed files together, after a moment without
changes (`config.secret_files`).
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

from config.secret_files import NOT_LISTED, UNREADABLE, unreadable
from config.tenant_directory import names_tenant, read_environment
from config.tenants import setting_suffix
from privacy.secret_fingerprints import CURRENT, PREVIOUS, RETIRED, TOKEN

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


class RotationStep(StrEnum):
    """Step of a rotation."""

    BEGIN = "begin"
    FINISH = "finish"
    LEAKED = "leaked"
    TOKEN = "token"  # noqa: S105 -- a word


class PlacesUnusableError(Exception):
    """A present secret can't be read and may not be replaced; the text has the fix."""


class NotWritableError(Exception):
    """The files may not be written; the text has the reason. Nothing was written."""


@dataclass(frozen=True, slots=True)
class SecretLocation:
    """One setting by its full name; `secret` is empty if there is none.

    `in_environment`: this process's environment has a value, which is valid without a file.
    """

    name: str
    secret: str = field(repr=False)
    in_environment: bool


@dataclass(frozen=True, slots=True)
class SecretLocations:
    """Places of one tenant's secrets; `tenant_known` if it has any setting here."""

    current: SecretLocation
    previous: SecretLocation
    retired: SecretLocation
    token: SecretLocation
    tenant_known: bool

    @property
    def is_open(self) -> bool:
        """True while two secrets are valid.

        The same secret in both places is a rotation that was interrupted at its start.
        """
        return bool(self.previous.secret) and self.previous.secret != self.current.secret

    @property
    def secrets(self) -> dict[str, str]:
        places = {CURRENT: self.current, PREVIOUS: self.previous, RETIRED: self.retired, TOKEN: self.token}
        return {setting: place.secret for setting, place in places.items() if place.secret}


def read_places(tenant_id: str, folder: Path | None) -> SecretLocations:
    """Read the places; `folder` is `SECRETS_DIR`. Raises PlacesUnusableError."""
    values, environment = read_environment(folder)(), read_environment(None)()
    if values.get("SECRETS_DIR") == UNREADABLE:
        raise PlacesUnusableError(NOT_LISTED)

    def place(setting: str) -> SecretLocation:
        name = f"{setting}_{setting_suffix(tenant_id)}"
        secret = values.get(name, "")
        if secret == UNREADABLE:
            raise PlacesUnusableError(unreadable(name))
        if folder is not None and (folder / name).is_file() and not (folder / name).read_bytes().strip():
            raise PlacesUnusableError(f"{name}: its file is empty. Wait if it is being written, else delete it")
        return SecretLocation(name, secret, bool(environment.get(name)))

    current, previous, retired, token = map(place, (CURRENT, PREVIOUS, RETIRED, TOKEN))
    return SecretLocations(current, previous, retired, token, names_tenant(values, tenant_id))


def writes(step: RotationStep, places: SecretLocations, new: str) -> list[Callable[[Path], object]]:
    """Return the writes of a step in the directory, in order. Each raises OSError.

    Call `sync_directory` after each. Every intermediate state is valid. A rotation interrupted at its start has the
    same secret in both places. No secret is current and retired at once: that would close the tenant at the next start.
    """
    current, previous, retired = places.current, places.previous, places.retired
    put_new = partial(put, name=current.name, secret=new, like=current.name)
    match step:
        case RotationStep.BEGIN:
            return [partial(put, name=previous.name, secret=current.secret, like=current.name), put_new]
        case RotationStep.FINISH:
            return [lambda folder: (folder / previous.name).replace(folder / retired.name)]
        case RotationStep.LEAKED:
            old = current.secret or previous.secret
            keep = partial(put, name=retired.name, secret=old, like=current.name)
            # A value in the environment stays valid: it may not be retired as well.
            stays_valid = previous.in_environment and old == previous.secret
            return [
                lambda folder: (folder / previous.name).unlink(missing_ok=True),
                put_new,
                *([] if stays_valid else [keep]),
            ]
        case RotationStep.TOKEN:
            return [partial(put, name=places.token.name, secret=new, like=places.token.name)]


def require_writable(folder: Path | None, names: list[str]) -> Path:
    """Return the directory if its files are writable. Raises NotWritableError."""
    if folder is None:
        raise NotWritableError("SECRETS_DIR is not set")
    if (folder / "..data").exists() or any((folder / name).is_symlink() for name in names):
        raise NotWritableError("the files of SECRETS_DIR are links, as Kubernetes mounts a secret")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise NotWritableError("SECRETS_DIR can't be written by this process")
    for name in names:
        owner = _model(folder, name).st_uid
        # A file of our own might be closed to its readers.
        if os.geteuid() not in (0, owner):
            subject = f"the file {name}" if (folder / name).exists() else "SECRETS_DIR"
            raise NotWritableError(f"{subject} belongs to another user (uid {owner})")
    return folder


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock the directory against other rotations. Raises BlockingIOError."""
    descriptor = os.open(folder, _DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def put(folder: Path, name: str, secret: str, *, like: str) -> None:
    """Write a file atomically, with the owner and at most the rights of `like`."""
    beside = folder / f".{name}.new"
    # Left by a killed process: its owner and rights may differ.
    beside.unlink(missing_ok=True)
    try:
        write_new(beside, secret, _model(folder, like))
        beside.replace(folder / name)
    finally:
        beside.unlink(missing_ok=True)


def write_new(path: Path, text: str, model: os.stat_result | None = None) -> None:
    """Create an owner-only file, or like `model`. Raises OSError, also if it exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if model is not None:
            if os.geteuid() == 0:
                os.fchown(descriptor, model.st_uid, model.st_gid)
            # Processes that read it by group or as others keep that access.
            readable = stat.S_IMODE(model.st_mode) & (stat.S_IRGRP | stat.S_IROTH) if stat.S_ISREG(model.st_mode) else 0
            os.fchmod(descriptor, 0o600 | readable)
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _model(folder: Path, name: str) -> os.stat_result:
    path = folder / name
    return path.stat() if path.exists() else folder.stat()


def sync_directory(folder: Path) -> None:
    """Sync the directory, so that the names survive a crash."""
    descriptor = os.open(folder, _DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
