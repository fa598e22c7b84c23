"""A `SECRETS_DIR` for rotations, and the command on it."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.tenant_directory import parse_tenants, read_environment
from config.tenants import Tenant
from storage import known_secrets
from storage.known_secrets import seen
from storage.session import Database
from support.secrets.files import RotationStep, read_places, writes
from tests.kit.postgres import Table
from tests.system.by_hand import Answer, here

OLD, OLDER = "the 0ld secret", "the 0lder secret"
NOWHERE = "postgresql://u:p@127.0.0.1:1/x"


def address(server: socket.socket) -> str:
    return ":".join(map(str, server.getsockname()))


class Shelf:
    def __init__(self, folder: Path, database_url: str) -> None:
        self.path, self.url = folder / "secrets", database_url
        self.out = folder / "new"
        self.path.mkdir()
        self.write(WEBHOOK_SECRET_ACME=f"{OLD}\n")

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.path / name).write_text(text, encoding="utf-8")

    def files(self) -> dict[str, str]:
        return {path.name: path.read_text(encoding="utf-8").strip() for path in self.path.iterdir()}

    def rotate(self, *words: str, **settings: str) -> Answer:
        given = {"SECRETS_DIR": str(self.path), "DATABASE_URL": self.url} | settings
        return here("secrets", "rotate", "--tenant", "acme", *words, **given)

    def begin(self, *words: str, **settings: str) -> Answer:
        """Run a step that makes a new secret; its output is in `out`."""
        self.out.unlink(missing_ok=True)
        return self.rotate(*words, "--yes", "--out", str(self.out), **settings)

    @property
    def new(self) -> str:
        return self.out.read_text(encoding="utf-8").strip()

    def writes(self, step: RotationStep, **more: str) -> list[Callable[[Path], object]]:
        for path in self.path.iterdir():
            path.unlink()
        self.write(WEBHOOK_SECRET_ACME=OLD, **more)
        return writes(step, read_places("acme", self.path), "new")

    def tenant(self) -> Tenant:
        """Return the tenant as a starting process reads it."""
        tenants, problems = parse_tenants(read_environment(self.path)())
        assert problems == []
        return tenants["acme"]


@pytest.fixture
def shelf(tmp_path: Path, untouched_logging: None) -> Shelf:  # noqa: ARG001 -- puts the log back
    return Shelf(tmp_path, NOWHERE)


@pytest.fixture
def told(tmp_path: Path, untouched_logging: None, server: Any, table: Table) -> Shelf:  # noqa: ARG001 -- as above
    return Shelf(tmp_path, server.url)


async def use(database: Database, shelf: Shelf, **uses: int) -> None:
    """Record signed webhooks as the API does."""
    places = read_of(shelf)
    await known_secrets.know(database, [seen("acme", name, places[name], times) for name, times in uses.items()])


def read_of(shelf: Shelf) -> dict[str, str]:
    return {name.removesuffix("_ACME"): text for name, text in shelf.files().items()}
