"""Tenants from the files of `SECRETS_DIR` while they are written."""

import os
import time
from pathlib import Path

import pytest

from config.secret_files import SecretFiles
from config.tenant_directory import TenantDirectory, read_environment
from config.tenants import Tenant
from tests.config.given import ACME
from tests.kit.clock import Clock

ROTATED = ACME | {"WEBHOOK_SECRET_ACME": "leaked", "PREVIOUS_WEBHOOK_SECRET_ACME": "s3cret"}


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
    (acme,) = tenants.all()
    assert acme.webhook_secrets == ("s3cret",)


def test_a_text_counts_once_its_file_was_left_alone_and_a_beginning_after_a_minute(tmp_path: Path) -> None:
    """By the file's own time: one reading is enough for a change of some seconds ago."""
    secret, clock = tmp_path / "WEBHOOK_SECRET_ACME", Clock()
    secret.write_text("s3cret, whole")
    files = SecretFiles(tmp_path, now=clock)

    def read(text: str, age: float) -> str:
        secret.write_text(text)
        os.utime(secret, (clock.now - age, clock.now - age))
        return files.read()["WEBHOOK_SECRET_ACME"]

    assert read("s3cret, whole", 0) == "s3cret, whole"  # the first reading takes the present text
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
    """Half a rotation would refuse the secret that is still in use."""
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


def test_a_deleted_secret_is_gone_at_once_though_its_tenants_other_files_are_held(tmp_path: Path) -> None:
    """One file is being written, another is unreadable (a link to itself)."""
    for name, text in ROTATED.items():
        (tmp_path / name).write_text(text)
    files = read_environment(tmp_path)
    files()
    (tmp_path / "SERVICEDESK_API_KEY_ACME").unlink()
    (tmp_path / "SERVICEDESK_API_KEY_ACME").symlink_to("SERVICEDESK_API_KEY_ACME")
    (tmp_path / "SERVICEDESK_URL_ACME").write_text("https://des")
    (tmp_path / "WEBHOOK_SECRET_ACME").unlink()
    read = files()
    assert "WEBHOOK_SECRET_ACME" not in read
    assert {name: read[name] for name in ROTATED if name in read} == {
        name: text for name, text in ROTATED.items() if name != "WEBHOOK_SECRET_ACME"
    }


def test_an_unreadable_file_closes_a_new_tenant_and_is_no_laxer_value(tmp_path: Path) -> None:
    """At the start and later, until it is readable."""
    clock = Clock()

    def write(tenant: str) -> Path:
        strict = tmp_path / f"RETIRED_WEBHOOK_SECRET_{tenant}"
        (tmp_path / f"WEBHOOK_SECRET_{tenant}").write_text("s3cret")
        strict.symlink_to(strict.name)
        return strict

    loops = [write("ACME")]
    tenants = TenantDirectory(read_environment(tmp_path, now=lambda: time.time() + 10), monotonic=clock)
    loops.append(write("GLOBEX"))
    for _ in range(2):
        clock.now += 6
        assert tenants.all() == [Tenant("acme", usable=False), Tenant("globex", usable=False)]
    assert [problem.sentence for problem in tenants.problems] == [
        f"{path.name}: its file can't be read as text" for path in loops
    ]
    for path in loops:
        path.unlink()
        path.write_text("older")
    clock.now += 6
    assert tenants.all() == [Tenant(one, ("s3cret",), retired_secret="older") for one in ("acme", "globex")]
