"""Files of `SECRETS_DIR` that are cut, emptied, unfinished or unreadable."""

import os
from pathlib import Path

import pytest

from config.settings import ApiSettings, SettingsRefused
from config.tenant_directory import TenantDirectory, TenantProblem, load_with_tenants
from config.tenant_settings import SECRETS
from tests.config.folder import ACME, Folder


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RETIRED_WEBHOOK_SECRET_ACME", "30"),
        ("SERVICEDESK_URL_ACME", "https://desk.acme"),
        ("SERVICEDESK_EDITION_ACME", "onprem"),
    ],
)
def test_a_setting_that_is_no_secret_may_become_shorter(folder: Folder, name: str, text: str) -> None:
    folder.write(name, text)
    assert folder.after(1) == ACME
    assert folder.after(5) == ACME | {name: text}
    folder.write("WEBHOOK_SECRET_ACME", "a n3w one")
    assert folder.after(6)["WEBHOOK_SECRET_ACME"] == "a n3w one"
    assert folder.told == []


def test_a_setting_that_is_no_secret_may_be_emptied(folder: Folder) -> None:
    folder.write("RETIRED_WEBHOOK_SECRET_ACME", "")
    assert "RETIRED_WEBHOOK_SECRET_ACME" not in folder.after(6)
    assert folder.told == []


def test_an_emptied_secret_stays_and_holds_back_no_rotation(folder: Folder) -> None:
    """A rotation ends so, and the next one follows."""
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


def test_a_text_that_is_written_again_and_again_counts_after_a_minute(folder: Folder) -> None:
    """For example a copier that touches its files all the time."""
    for second in range(0, 65, 5):
        folder.now += 5
        folder.write("WEBHOOK_SECRET_ACME", "a n3w one")
        assert (folder.after(0) == ACME) == (second < 60)


def test_a_file_out_of_reach_stays_as_it_was(folder: Folder) -> None:
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


def test_files_of_no_tenant_are_none_of_its_business(folder: Folder) -> None:
    """`DATABASE_URL` is read at the start only."""
    folder.write("DATABASE_URL", "postgresql://", age=10)
    folder.after(6)
    folder.write("DATABASE_URL", "", age=10)
    assert "DATABASE_URL" not in folder.read()
    folder.after(6)
    assert folder.told == []


def test_the_process_keys_for_the_model_are_read_again_like_a_tenants(folder: Folder) -> None:
    """Partial keys are not used, and an emptied file withdraws nothing."""
    told: list[TenantProblem] = []
    tenants = TenantDirectory(folder.read, on_problem=told.append, monotonic=lambda: folder.now)
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
    sentences = ("wrong: has a line break or a character that no key has", "gone: what is asked with it waits for")
    assert [any(sentence in problem.sentence for problem in told) for sentence in sentences] == [True, True]


def test_a_process_hears_of_files_that_are_not_used(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the log callback of unusable settings."""
    monkeypatch.setenv("SECRETS_DIR", str(folder.path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:pw@db:5432/ai_agents")
    monkeypatch.setenv("REDIS_URL", "redis://redis:6379/0")
    monkeypatch.setattr("config.tenant_directory._REREAD_SECONDS", 0.0)
    told: list[TenantProblem] = []
    _, tenants = load_with_tenants(ApiSettings, needs="secret", on_problem=told.append)
    folder.write("WEBHOOK_SECRET_ACME", "")
    assert tenants.get("acme") is not None
    assert told == [TenantProblem("", "WEBHOOK_SECRET_ACME: its file is empty; delete it to withdraw the secret")]


def test_a_file_that_can_not_be_read_at_the_start_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a reason to refuse, not as a missing secret."""
    (tmp_path / "WEBHOOK_SECRET_ACME").write_bytes(b"\xff")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://a:b@127.0.0.1:1/x")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    told: list[TenantProblem] = []
    with pytest.raises(SettingsRefused) as refused:
        load_with_tenants(ApiSettings, needs="secret", on_problem=told.append)
    assert refused.value.problems == ["WEBHOOK_SECRET_ACME: its file can't be read as text"]
    assert told == []
