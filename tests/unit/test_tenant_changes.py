"""Tenants while a process runs: changes appear, and an unusable one closes no door that was open."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config.secret_files import SecretFiles
from config.tenants import TenantDirectory, read_environment
from tests.unit.test_tenants import ACME, CLOUD


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def directory(
    values: Callable[[], dict[str, str]], on_problem: Callable[[str], None] = lambda _: None
) -> tuple[TenantDirectory, Clock]:
    clock = Clock()
    return TenantDirectory(values, on_problem=on_problem, monotonic=clock), clock


def test_a_new_tenant_and_a_rotated_secret_appear_within_some_seconds() -> None:
    values = dict(ACME)
    tenants, clock = directory(lambda: values)
    assert tenants.get("globex") is None
    values |= {"WEBHOOK_SECRET_GLOBEX": "new", "WEBHOOK_SECRET_ACME": "n3w", "PREVIOUS_WEBHOOK_SECRET_ACME": "s3cret"}
    clock.now += 6
    globex, acme = tenants.get("globex"), tenants.get("acme")
    assert globex is not None
    assert acme is not None
    assert acme.webhook_secrets == ("n3w", "s3cret")
    assert tenants.all() == [acme, globex]


def test_a_tenant_that_is_taken_away_is_gone() -> None:
    values = ACME | CLOUD
    tenants, clock = directory(lambda: values)
    for name in CLOUD:
        del values[name]
    clock.now += 6
    assert [known.id for known in tenants.all()] == ["acme"]


def test_an_unusable_change_keeps_the_tenant_as_it_was_and_says_why() -> None:
    values = dict(ACME)
    tenants, clock = directory(lambda: values)
    before = tenants.get("acme")
    values["SERVICEDESK_URL_ACME"] = "not an address"
    values["WEBHOOK_SECRET_GLOBEX"] = "new"
    clock.now += 6
    assert tenants.get("acme") == before
    assert [problem.tenant_id for problem in tenants.problems] == ["acme"]
    assert tenants.get("globex") is not None
    values |= ACME
    clock.now += 6
    assert tenants.get("acme") == before
    assert tenants.problems == []


def test_settings_that_became_unusable_are_told_once() -> None:
    values, told = dict(ACME), list[str]()
    tenants, clock = directory(lambda: values, told.append)
    values["SERVICEDESK_EDITION_ACME"] = "other"
    for _ in range(3):
        clock.now += 6
        tenants.all()
    assert told == ["SERVICEDESK_EDITION_ACME must be onpremises or cloud"]
    del values["SERVICEDESK_EDITION_ACME"]
    clock.now += 6
    tenants.all()
    values["SERVICEDESK_EDITION_ACME"] = "other"
    clock.now += 6
    tenants.all()
    assert len(told) == 2


def test_the_environment_is_not_read_for_each_webhook() -> None:
    readings: list[int] = []

    def read() -> dict[str, str]:
        readings.append(1)
        return ACME

    tenants, clock = directory(read)
    for _ in range(100):
        tenants.get("acme")
    assert len(readings) == 1
    clock.now += 6
    tenants.get("acme")
    assert len(readings) == 2


def test_files_win_over_the_environment_and_empty_ones_count_as_unset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET_ACME", "from the environment")
    monkeypatch.setenv("WEBHOOK_SECRET_GLOBEX", "from the environment")
    monkeypatch.setenv("WEBHOOK_SECRET_EMPTY", " ")
    (tmp_path / "WEBHOOK_SECRET_ACME").write_text("from a file\n")
    (tmp_path / "WEBHOOK_SECRET_GLOBEX").write_text("\n")
    (tmp_path / ".hidden").write_text("no setting")
    (tmp_path / "..data").mkdir()
    read = read_environment(tmp_path)()
    assert read["WEBHOOK_SECRET_ACME"] == "from a file"
    assert read["WEBHOOK_SECRET_GLOBEX"] == "from the environment"
    assert not {"WEBHOOK_SECRET_EMPTY", ".hidden", "..data"} & set(read)
    assert read_environment(None)()["WEBHOOK_SECRET_ACME"] == "from the environment"
    assert read_environment(tmp_path / "gone")()["WEBHOOK_SECRET_ACME"] == "from the environment"


def test_a_file_that_is_being_replaced_closes_no_door(tmp_path: Path) -> None:
    secret = tmp_path / "WEBHOOK_SECRET_ACME"
    secret.write_text("s3cret")
    clock = Clock()
    tenants = TenantDirectory(read_environment(tmp_path), monotonic=clock)
    secret.write_bytes(b"half of it: \xc3")
    clock.now += 6
    acme = tenants.get("acme")
    assert acme is not None
    assert acme.webhook_secrets == ("s3cret",)


def test_a_text_counts_once_its_file_was_left_alone_and_a_beginning_after_a_minute(tmp_path: Path) -> None:
    """The file's own time decides, so that one reading is enough for a change of some seconds ago."""
    secret, clock = tmp_path / "WEBHOOK_SECRET_ACME", Clock()
    secret.write_text("s3cret, whole")
    files = SecretFiles(tmp_path, now=clock)

    def read(text: str, age: float) -> str:
        secret.write_text(text)
        os.utime(secret, (clock.now - age, clock.now - age))
        return files.read()["WEBHOOK_SECRET_ACME"]

    assert read("s3cret, whole", 0) == "s3cret, whole"  # the first reading takes what is there
    assert read("an0ther", 1) == "s3cret, whole"
    assert read("an0ther", 2) == "an0ther"
    assert read("an0", 59) == "an0ther"
    assert read("", 3600) == "an0ther"
    assert read("an0", 60) == "an0"
    assert read("from a clock ahead", -60) == "an0"
    clock.now += 5
    assert read("from a clock ahead", -60) == "from a clock ahead"
    secret.unlink()
    assert files.read() == {}


def test_a_tenants_files_change_together(tmp_path: Path) -> None:
    """Else a rotation that is half read would refuse the secret that is still in use."""
    current, previous = tmp_path / "WEBHOOK_SECRET_ACME", tmp_path / "PREVIOUS_WEBHOOK_SECRET_ACME"
    current.write_text("0ld")
    read = read_environment(tmp_path)
    read()
    for path, text in ((current, "n3w"), (previous, "0ld")):
        path.write_text(text)
    settled = time.time() - 10
    os.utime(current, (settled, settled))
    assert (read()["WEBHOOK_SECRET_ACME"], "PREVIOUS_WEBHOOK_SECRET_ACME" in read()) == ("0ld", False)
    os.utime(previous, (settled, settled))
    assert (read()["WEBHOOK_SECRET_ACME"], read()["PREVIOUS_WEBHOOK_SECRET_ACME"]) == ("n3w", "0ld")
