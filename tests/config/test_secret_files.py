"""Files of `SECRETS_DIR`: written, cut, emptied, unreadable; and the directory away or not listed."""

import importlib
import os
import pkgutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import config
from config.secrets import own_secrets
from config.settings import ApiSettings, LogSettings, SettingsError, WorkerSettings
from config.tenant_directory import TenantDirectory, read_environment
from config.tenant_validation import TenantProblem
from config.tenants import PROCESS_KEYS, SECRETS, Tenant
from observability.startup import load_with_tenants
from tests.config.given import asked
from tests.kit.clock import Clock
from tests.kit.shield import settings_below

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
    return Folder(tmp_path / "secrets")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RETIRED_WEBHOOK_SECRET_ACME", "30"),
        ("RETIRED_WEBHOOK_SECRET_ACME", ""),
        ("SERVICEDESK_URL_ACME", "https://desk.acme"),
        ("SERVICEDESK_EDITION_ACME", "onprem"),
    ],
)
def test_a_setting_that_is_no_secret_may_become_shorter_or_empty(folder: Folder, name: str, text: str) -> None:
    folder.write(name, text)
    assert folder.after(1) == ACME
    assert folder.after(5) == {name: text for name, text in (ACME | {name: text}).items() if text}
    folder.write("WEBHOOK_SECRET_ACME", "a n3w one")
    assert folder.after(6)["WEBHOOK_SECRET_ACME"] == "a n3w one"
    assert folder.told == []


def test_an_emptied_secret_stays_and_holds_back_no_rotation(folder: Folder) -> None:
    folder.write("PREVIOUS_WEBHOOK_SECRET_ACME", "")
    for seconds in (6, 6, 3600):
        assert folder.after(seconds) == ACME
    assert folder.told == ["PREVIOUS_WEBHOOK_SECRET_ACME: its file is empty; delete it to withdraw the secret"]
    folder.write("WEBHOOK_SECRET_ACME", "a n3w one")
    assert folder.after(3)["WEBHOOK_SECRET_ACME"] == "a n3w one"
    folder.write("PREVIOUS_WEBHOOK_SECRET_ACME", "an 0ld secret")
    assert folder.after(6)["PREVIOUS_WEBHOOK_SECRET_ACME"] == "an 0ld secret"
    folder.write("PREVIOUS_WEBHOOK_SECRET_ACME", "")
    folder.after(6)
    assert len(folder.told) == 2
    (folder.path / "PREVIOUS_WEBHOOK_SECRET_ACME").unlink()
    assert "PREVIOUS_WEBHOOK_SECRET_ACME" not in folder.after(6)


@pytest.mark.parametrize("name", [name for name in ACME if name.removesuffix("_ACME") in SECRETS])
def test_a_secret_that_was_cut_short_counts_after_a_minute_and_holds_back_nothing(folder: Folder, name: str) -> None:
    text = ACME[name][:4]
    folder.write(name, text)
    folder.write("RETIRED_WEBHOOK_SECRET_ACME", "200")
    assert folder.after(1) == ACME
    changed = ACME | {"RETIRED_WEBHOOK_SECRET_ACME": "200"}
    assert [folder.after(seconds) == changed for seconds in (5, 53)] == [True, True]
    assert folder.after(1) == changed | {name: text}
    assert folder.told == [f"{name}: its file has only the beginning of the secret; that counts after a minute"]


def test_a_file_that_never_rests_holds_back_its_tenant_for_a_minute_and_is_told_of(folder: Folder) -> None:
    folder.write("WEBHOOK_SECRET_ACME", "a n3w one")
    for second in range(0, 65, 5):
        folder.write("SERVICEDESK_API_KEY_ACME", f"growing {second}")
        assert folder.after(1)["WEBHOOK_SECRET_ACME"] == (ACME["WEBHOOK_SECRET_ACME"] if second < 60 else "a n3w one")
        folder.now += 4
    assert folder.told == ["SERVICEDESK_API_KEY_ACME: its file does not stop changing"]
    assert folder.after(0)["SERVICEDESK_API_KEY_ACME"] == "growing 60"


def test_an_unreadable_file_keeps_its_last_value(folder: Folder) -> None:
    """A link to itself: unreadable for root too."""
    for name in ("WEBHOOK_SECRET_ACME", "SERVICEDESK_API_KEY_ACME"):
        (folder.path / name).unlink()
    (folder.path / "WEBHOOK_SECRET_ACME").symlink_to("WEBHOOK_SECRET_ACME")
    (folder.path / "SERVICEDESK_API_KEY_ACME").write_bytes(b"\xc3")
    os.utime(folder.path / "SERVICEDESK_API_KEY_ACME", (0, 0))
    folder.write("RETIRED_WEBHOOK_SECRET_ACME", "30")
    for _ in range(2):
        assert folder.after(6) == ACME | {"RETIRED_WEBHOOK_SECRET_ACME": "30"}
    names = ("SERVICEDESK_API_KEY_ACME", "WEBHOOK_SECRET_ACME")
    assert folder.told == [f"{name}: its file can't be read as text" for name in names]
    (folder.path / "WEBHOOK_SECRET_ACME").unlink()
    folder.write("WEBHOOK_SECRET_ACME", "a n3w one")
    assert folder.after(6)["WEBHOOK_SECRET_ACME"] == "a n3w one"


def test_the_process_keys_for_the_model_are_read_again_like_a_tenants(folder: Folder) -> None:
    reported: list[TenantProblem] = []
    tenants = TenantDirectory(folder.read, on_problem=reported.append, monotonic=lambda: folder.now)
    assert tenants.process_key("OPENAI_API_KEY") is None
    for text, wait, key in (("sk", 1, None), ("sk-old", 6, "sk-old"), ("", 6, "sk-old"), ("sk-n\u00e9w", 6, "")):
        folder.write("OPENAI_API_KEY", text)
        folder.now += wait
        tenants.all()
        folder.now += 6 if wait > 1 else 0
        assert tenants.process_key("OPENAI_API_KEY") == key
    (folder.path / "OPENAI_API_KEY").unlink()
    folder.now += 6
    assert tenants.process_key("OPENAI_API_KEY") == ""
    assert tenants.unusable() == {"acme": False, "": True}
    sentences = ("wrong: contains a line break or a character", "removed: its jobs wait until")
    assert [any(sentence in problem.sentence for problem in reported) for sentence in sentences] == [True, True]


def test_unused_files_are_reported(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(folder.path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://a:b@127.0.0.1:1/x")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr("config.tenant_directory._REREAD_SECONDS", 0.0)
    reported: list[TenantProblem] = []
    _, tenants = load_with_tenants(ApiSettings, needs="secret", on_problem=reported.append)
    folder.write("WEBHOOK_SECRET_ACME", "")
    assert tenants.get("acme") is not None
    assert reported == [TenantProblem("", "WEBHOOK_SECRET_ACME: its file is empty; delete it to withdraw the secret")]
    (folder.path / "WEBHOOK_SECRET_ACME").write_bytes(b"\xff")
    with pytest.raises(SettingsError) as refused:
        load_with_tenants(ApiSettings, needs="secret", on_problem=reported.append)
    assert refused.value.problems == ["WEBHOOK_SECRET_ACME: its file can't be read as text"]
    assert len(reported) == 1


def test_files_that_are_not_empty_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACME", "GLOBEX"):
        monkeypatch.setenv(f"WEBHOOK_SECRET_{name}", "from the environment")
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


def test_a_text_counts_once_its_file_has_rested(folder: Folder) -> None:
    for text, age, counts in (("an0ther", 1.0, False), ("an0ther", 2.0, True), ("ahead of our clock", -60.0, False)):
        folder.write("WEBHOOK_SECRET_ACME", text, age)
        assert (folder.after(0)["WEBHOOK_SECRET_ACME"] == text) == counts
    folder.now += 5
    folder.write("WEBHOOK_SECRET_ACME", "ahead of our clock", -60.0)
    assert folder.after(0)["WEBHOOK_SECRET_ACME"] == "ahead of our clock"


def test_a_tenants_files_change_together(folder: Folder) -> None:
    """Half a rotation would refuse the secret that is still in use."""
    folder.write("WEBHOOK_SECRET_ACME", "n3w", age=10)
    folder.write("PREVIOUS_WEBHOOK_SECRET_ACME", "an 0ld secret")
    assert folder.after(1) == ACME
    rotated = {"WEBHOOK_SECRET_ACME": "n3w", "PREVIOUS_WEBHOOK_SECRET_ACME": "an 0ld secret"}
    assert folder.after(5) == ACME | rotated


def test_a_deleted_secret_is_gone_at_once_despite_held_files(folder: Folder) -> None:
    (folder.path / "SERVICEDESK_API_KEY_ACME").unlink()
    (folder.path / "SERVICEDESK_API_KEY_ACME").symlink_to("SERVICEDESK_API_KEY_ACME")
    folder.write("SERVICEDESK_URL_ACME", "https://des")
    (folder.path / "WEBHOOK_SECRET_ACME").unlink()
    assert folder.after(0) == {name: text for name, text in ACME.items() if name != "WEBHOOK_SECRET_ACME"}


def test_an_unreadable_file_closes_a_new_tenant_and_is_no_laxer_value(tmp_path: Path) -> None:
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


def failing(failure: type[OSError]) -> Callable[[Path], Iterator[Path]]:
    def fail(path: Path) -> Iterator[Path]:
        raise failure(str(path))

    return fail


@pytest.mark.parametrize("failure", [PermissionError, TimeoutError, OSError])
def test_an_unreadable_directory_changes_nothing(
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


def test_a_directory_never_listed_is_a_problem(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may contain rules or a model of a tenant that the environment has."""
    monkeypatch.setenv("WEBHOOK_SECRET_GLOBEX", "of the environment")
    (folder.path / "WEBHOOK_SECRET_ACME").unlink()
    clock = Clock(0)
    reported: list[TenantProblem] = []
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", failing(PermissionError))
        read = read_environment(folder.path, now=lambda: folder.now + clock.now)
        tenants = TenantDirectory(read, on_problem=reported.append, monotonic=clock)
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
    assert (tenants.problems, reported) == ([], [])


# The owner's, for migrations only.
UNTOLD = {"DATABASE_ADMIN_URL"}
MAY_HAVE_A_PASSWORD = {"DATABASE_URL", "REDIS_URL", "HTTPS_PROXY"}


def kinds() -> list[type[LogSettings]]:
    for module in pkgutil.iter_modules(config.__path__):
        importlib.import_module(f"config.{module.name}")
    return [kind for kind in settings_below(LogSettings) if kind.__module__.startswith("config.")]


def told(kind: type[LogSettings], **values: Any) -> dict[str, str]:
    """Return the secrets of a process whose tenants have one of their own."""
    given = {"OPENAI_API_KEY": "the model's", "WEBHOOK_SECRET_ACME": "a tenant's"}
    found = own_secrets(kind.model_construct(None, **values), TenantDirectory(lambda: given))
    assert all(tenant_id == "" for tenant_id, _ in found)
    return {setting: secret for (_, setting), secret in found.items()}


def test_each_setting_that_is_a_key_is_told() -> None:
    keys = {
        (kind, name.upper())
        for kind in kinds()
        for name in kind.model_fields
        if name.endswith(("_key", "_token", "_secret", "_password"))
    }
    assert len(keys) > len(PROCESS_KEYS)
    for kind, setting in keys:
        if setting not in UNTOLD | set(PROCESS_KEYS):
            assert told(kind, **{setting.lower(): "the key"})[setting] == "the key", kind


def test_each_address_that_may_have_a_password_is_known() -> None:
    addresses = {
        name.upper()
        for kind in kinds()
        for name in kind.model_fields
        if name in {"database_url", "database_admin_url", "redis_url"} or name.endswith("_proxy")
    }
    assert addresses - {"NO_PROXY"} == MAY_HAVE_A_PASSWORD | UNTOLD


@pytest.mark.parametrize(
    ("setting", "url", "password"),
    [
        ("database_url", "postgresql://ai_agents:p%40ss@db:5432/ai_agents", "p@ss"),
        ("database_url", "postgresql:///ai_agents?host=/run/postgresql&user=u&password=quiet", "quiet"),
        ("database_url", "postgresql://ai_agents@db/ai_agents", None),
        ("redis_url", "rediss://:p%40ss@redis:6379/0", "p@ss"),
        ("redis_url", "redis://redis:6379/0", None),
        ("https_proxy", "http://us:er@proxy:3128", "er"),
    ],
)
def test_of_an_address_it_is_the_password(setting: str, url: str, password: str | None) -> None:
    assert told(WorkerSettings, **{setting: url}).get(setting.upper()) == password


def test_the_models_key_is_the_one_of_now_and_a_tenants_is_its_own() -> None:
    assert told(WorkerSettings, openai_api_key="the one of the start") == {"OPENAI_API_KEY": "the model's"}
