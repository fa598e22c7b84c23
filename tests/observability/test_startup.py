"""Start requirements that depend on the tenants."""

from pathlib import Path

import pytest

from cli.check.findings import State, load_parts
from config.settings import ApiSettings, ProcessSettings, SettingsError, WorkerSettings
from config.tenant_directory import TenantDirectory
from observability.startup import Needs, load_with_tenants
from tests.config.given import ACME

COMPLETE = {"DATABASE_URL": "postgresql://app:pw@db:5432/ai_agents", "REDIS_URL": "redis://redis:6379/0"}

DESK_OF_GLOBEX = {"SERVICEDESK_URL_GLOBEX": "https://desk.globex.example", "SERVICEDESK_API_KEY_GLOBEX": "k"}


def configure(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in (COMPLETE | values).items():
        monkeypatch.setenv(name, value)


def started(kind: type[ProcessSettings], needs: Needs = "desk") -> tuple[ProcessSettings, TenantDirectory]:
    return load_with_tenants(kind, needs=needs, on_problem=lambda _: None)


@pytest.mark.parametrize(
    ("tenants", "needed"),
    [({}, True), ({"OPENAI_API_KEY_ACME": "k"}, False), ({**DESK_OF_GLOBEX, "OPENAI_API_KEY_ACME": "k"}, True)],
    ids=["no own key", "each its own", "one without"],
)
def test_the_models_key_may_be_each_tenants(
    tenants: dict[str, str], needed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dummy key would send a later tenant's tickets with it.

    `ai-agents check` reports the same as the start of a worker.
    """
    without_desk = {"WEBHOOK_SECRET_INITECH": "s"}
    configure(monkeypatch, **ACME, **without_desk, **tenants, OPENAI_API_KEY="")
    assert (load_parts()[0].worker is None) is needed
    if needed:
        with pytest.raises(SettingsError, match=r"^OPENAI_API_KEY is missing$"):
            started(WorkerSettings)
    else:
        assert started(WorkerSettings)[0].openai_api_key == ""
        monkeypatch.setenv("OPENAI_API_KEY", "sk")
        assert started(WorkerSettings)[0].openai_api_key == "sk"


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "OPENAI_FALLBACK_API_KEY"])
@pytest.mark.parametrize("key", ["sk-\u2013of a document", "sk-two\nlines"], ids=["a dash", "two lines"])
@pytest.mark.parametrize("is_file", [False, True], ids=["environment", "file"])
def test_an_invalid_model_key_is_named(
    name: str, key: str, is_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each job, and the model's check, would fail with `invalid answer`."""
    first = {"OPENAI_API_KEY": "sk", "OPENAI_FALLBACK_MODEL": "spare"}
    configure(monkeypatch, **ACME, **first, SECRETS_DIR=str(tmp_path))
    if is_file:
        (tmp_path / name).write_text(key, encoding="utf-8")
    else:
        monkeypatch.setenv(name, key)
    sentence = f"{name} is wrong: contains a line break or a character that a header cannot carry"
    with pytest.raises(SettingsError) as refused:
        started(WorkerSettings)
    assert refused.value.problems == [sentence]
    (row,) = load_parts()[1]
    assert (row.state, row.seen, row.remedy) == (State.FAILED, sentence, "fix these settings where a worker runs")


def test_the_api_runs_for_a_polled_desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    desk = {name: value for name, value in ACME.items() if name.startswith("SERVICEDESK_")}
    configure(monkeypatch, **desk)
    with pytest.raises(SettingsError, match="no tenant may post"):
        started(ApiSettings, "secret")
    (tmp_path / "file.toml").write_text("acme.webhook.mode = 'poll'")
    monkeypatch.setenv("TENANTS_FILE", str(tmp_path / "file.toml"))
    _, tenants = started(ApiSettings, "secret")
    assert [(one.id, one.polled) for one in tenants.all()] == [("acme", True)]
