"""A `SECRETS_DIR` that is missing or cannot be listed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.secret_files import SecretFiles
from config.tenant_directory import TenantDirectory, TenantProblem, read_environment
from config.tenants import Tenant
from tests.config.folder import ACME, Folder
from tests.config.given import asked
from tests.kit.clock import Clock


def failing(failure: type[OSError]) -> Callable[[Path], Iterator[Path]]:
    def fail(path: Path) -> Iterator[Path]:
        raise failure(str(path))

    return fail


@pytest.mark.parametrize("failure", [PermissionError, TimeoutError, OSError])
def test_a_directory_that_can_not_be_read_leaves_all_as_it_was(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, failure: type[OSError]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", failing(failure))
        assert [folder.after(6) == ACME for _ in range(2)] == [True, True]
    assert folder.told == [f"SECRETS_DIR can't be read ({failure.__name__})"]
    folder.write("RETIRED_WEBHOOK_SECRET_ACME", "30")
    assert folder.after(6)["RETIRED_WEBHOOK_SECRET_ACME"] == "30"


def test_a_directory_that_is_away_takes_no_tenant_with_it(folder: Folder) -> None:
    away = folder.path.rename(folder.path.with_name("away"))
    assert folder.after(6) == ACME
    folder.path.write_text("no directory")
    assert folder.after(6) == ACME
    folder.path.unlink()
    away.rename(folder.path)
    assert folder.after(6) == ACME
    reasons = ("FileNotFoundError", "NotADirectoryError")
    assert folder.told == [f"SECRETS_DIR can't be read ({reason})" for reason in reasons]


def test_a_directory_that_was_never_there_is_nothing_to_tell_of(tmp_path: Path) -> None:
    """The start refuses it; files that appear later are used after the usual wait."""
    told: list[str] = []
    files = SecretFiles(tmp_path / "later", on_problem=told.append)
    assert files.read() == files.read() == {}
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "WEBHOOK_SECRET_ACME").write_text("half")
    assert files.read() == {}
    assert told == []


def test_a_directory_that_could_never_be_listed_is_a_problem_until_it_can(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may contain rules or a model of a tenant that the environment has."""
    monkeypatch.setenv("WEBHOOK_SECRET_GLOBEX", "of the environment")
    (folder.path / "WEBHOOK_SECRET_ACME").unlink()
    clock = Clock(0)
    told: list[TenantProblem] = []
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", failing(PermissionError))
        read = read_environment(folder.path, now=lambda: folder.now + clock.now)
        tenants = TenantDirectory(read, on_problem=told.append, monotonic=clock)
        sentence = "SECRETS_DIR can't be listed: this process must be able to read it"
        assert tenants.problems == [TenantProblem("", sentence, closed=True)]
        clock.now += 6
        assert tenants.unusable() == {"globex": True, "": True}
        assert asked(tenants, "globex") == Tenant("globex", usable=False)
    (folder.path / "PREVIOUS_WEBHOOK_SECRET_ACME").unlink()
    clock.now += 6
    # A new file counts at once: otherwise the tenant's tickets would go to the process's model.
    folder.write("OPENAI_API_KEY_GLOBEX", "its own", age=-clock.now)
    assert tenants.unusable() == {"acme": False, "globex": False}
    assert asked(tenants, "globex").model.api_key == "its own"
    assert (tenants.problems, told) == ([], [])
