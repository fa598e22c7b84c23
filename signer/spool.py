"""Webhooks on disk until the API has accepted them: ids only, a file each, written whole or not at all.

| in `SIGNER_SPOOL_DIR` | is                                                                              |
|-----------------------|---------------------------------------------------------------------------------|
| `lock`                | held by the signer that runs                                                    |
| `waiting/*.json`      | webhooks that the API has not accepted yet, named by their delivery id          |
| `aside/*.json`        | those that it will never accept; nobody deletes them but a person               |
"""

import asyncio
import contextlib
import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ENTRY_BYTES = 4096
"""What a file counts: a block, which it takes on most disks however short it is."""
_MEGABYTE = 1_000_000


class SpoolUnfit(Exception):
    """The folder can't be used; the text says what to mend."""


class SpoolFull(Exception):
    """No more is kept, until some of it was accepted."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook that is kept: `id` is the same at each try, and tells its age (UUIDv7); `kept_at` is Unix time."""

    id: str
    tenant_id: str
    ticket_id: str
    event: str | None
    kept_at: float


class Spool:
    """The files of one tenant, and in `waiting` what they say by delivery id; for one event loop."""

    def __init__(self, folder: Path, tenant_id: str, megabytes: int) -> None:
        self.waiting: dict[str, Delivery] = {}
        self._tenant_id = tenant_id
        self._most = megabytes * _MEGABYTE // ENTRY_BYTES
        self._lock = folder / "lock"
        self._folder = folder / "waiting"
        self._aside = folder / "aside"
        self._held: int | None = None
        self._being_written = 0

    def open(self) -> int:
        """Take the folder, and read what waits in it; how many files were unreadable, and are aside now.

        Raises SpoolUnfit if it can't be used, another signer uses it, or webhooks of another tenant are in it.
        """
        try:
            # A folder that is there already may be a volume's, and its mode is not ours.
            self._lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self._folder, self._aside):
                folder.mkdir(mode=0o700, exist_ok=True)
                folder.chmod(0o700)
            self._held = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return self._read()
        except BlockingIOError:
            raise SpoolUnfit("SIGNER_SPOOL_DIR is in use by another signer") from None
        except OSError as failure:
            kind = type(failure).__name__
            raise SpoolUnfit(f"SIGNER_SPOOL_DIR is wrong: nothing can be kept there ({kind})") from None

    def close(self) -> None:
        """Let another signer have the folder."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    async def keep(self, delivery: Delivery) -> None:
        """Write a webhook; once this returns it outlives a crash of the machine. Raises SpoolFull and OSError."""
        if self.is_full():
            raise SpoolFull
        self._being_written += 1
        try:
            await asyncio.to_thread(_write, self._path(delivery), asdict(delivery))
        finally:
            self._being_written -= 1
        self.waiting[delivery.id] = delivery

    def drop(self, delivery: Delivery) -> None:
        """Forget one that was accepted. Raises OSError if its file stays: then the next signer forwards it again."""
        del self.waiting[delivery.id]
        self._path(delivery).unlink(missing_ok=True)

    def set_aside(self, delivery: Delivery) -> None:
        """Forward it no more, and keep its file for people. Raises OSError if the next signer will try again."""
        del self.waiting[delivery.id]
        self._path(delivery).rename(self._aside / self._path(delivery).name)

    def is_full(self) -> bool:
        """Return True if nothing more may be kept."""
        return len(self.waiting) + self._being_written + self.count_aside() >= self._most

    def count_aside(self) -> int:
        """How many will never be accepted; 0 where that can't be seen."""
        with contextlib.suppress(OSError):
            return sum(name.endswith(".json") for name in os.listdir(self._aside))  # noqa: PTH208 -- names are enough
        return 0

    async def can_keep(self) -> bool:
        """Return True if a webhook that came now could be kept."""
        try:
            await asyncio.to_thread(_probe, self._folder)
        except OSError:
            return False
        return not self.is_full()

    def _path(self, delivery: Delivery) -> Path:
        return self._folder / f"{delivery.id}.json"

    def _read(self) -> int:
        for path in self._folder.glob(".*"):
            path.unlink()
        unreadable = 0
        for path in sorted(self._folder.glob("*.json")):
            delivery = _read(path)
            if delivery is None:
                path.rename(self._aside / path.name)
                unreadable += 1
            elif delivery.tenant_id != self._tenant_id:
                raise SpoolUnfit("SIGNER_SPOOL_DIR has webhooks of another tenant: each tenant's signer needs its own")
            else:
                self.waiting[delivery.id] = delivery
        return unreadable


def _write(path: Path, content: dict[str, Any]) -> None:
    unfinished = path.with_name(f".{path.name}")
    try:
        _write_through(unfinished, json.dumps(content).encode())
        unfinished.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write_through(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 -- the mode
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _probe(folder: Path) -> None:
    path = folder / f".probe-{os.urandom(8).hex()}"
    try:
        _write_through(path, bytes(ENTRY_BYTES))
    finally:
        path.unlink(missing_ok=True)


def _read(path: Path) -> Delivery | None:
    """Return what a file says; None if it is none of ours."""
    try:
        told = json.loads(path.read_bytes())
        delivery = Delivery(**told)
    except (ValueError, TypeError):
        return None
    texts = (delivery.id, delivery.tenant_id, delivery.ticket_id, delivery.event or "")
    usable = all(isinstance(text, str) for text in texts) and isinstance(delivery.kept_at, int | float)
    return delivery if usable and path.stem == delivery.id else None
