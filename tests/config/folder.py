"""A `SECRETS_DIR` with the files of one tenant."""

import os
from pathlib import Path

import pytest

from config.tenant_directory import read_environment

ACME = {
    "WEBHOOK_SECRET_ACME": "an 0ld secret",
    "PREVIOUS_WEBHOOK_SECRET_ACME": "an 0lder secret",
    "SERVICEDESK_URL_ACME": "https://desk.acme.example",
    "SERVICEDESK_API_KEY_ACME": "a k3y",
    "RETIRED_WEBHOOK_SECRET_ACME": "300",
    "SERVICEDESK_EDITION_ACME": "onpremises",
}


class Folder:
    """A `SECRETS_DIR` with acme's files, read at times that the test sets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 1_000_000.0
        self.told: list[str] = []
        path.mkdir()
        for name, text in ACME.items():
            self.write(name, text)
        self.read = read_environment(path, on_problem=self.told.append, now=lambda: self.now)
        self.read()

    def write(self, name: str, text: str, age: float = 0.0) -> None:
        (self.path / name).write_text(text, encoding="utf-8")
        os.utime(self.path / name, (self.now - age, self.now - age))

    def after(self, seconds: float) -> dict[str, str]:
        """Return acme's settings that count this many seconds later."""
        self.now += seconds
        return {name: text for name, text in self.read().items() if name in ACME}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return the directory with all of acme's files, read once."""
    return Folder(tmp_path / "secrets")
