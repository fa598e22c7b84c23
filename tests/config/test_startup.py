"""What a process asks for at its start depends on its tenants."""

import pytest

from config.loading import SettingsRefused
from config.settings import WorkerSettings
from config.startup import load_with_tenants
from support.check.settings import load_parts
from tests.config.given import ACME, CLOUD

COMPLETE = {"DATABASE_URL": "postgresql://app:pw@db:5432/ai_agents", "REDIS_URL": "redis://redis:6379/0"}


@pytest.mark.parametrize(
    ("tenants", "needed"),
    [({}, True), ({"OPENAI_API_KEY_ACME": "k"}, False), (CLOUD | {"OPENAI_API_KEY_ACME": "k"}, True)],
    ids=["no own key", "each its own", "one without"],
)
def test_the_models_key_is_needed_unless_each_tenant_with_a_desk_has_its_own(
    tenants: dict[str, str], needed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a dummy would be set, and the tickets of a tenant that comes later would be sent with it.

    `ai-agents check` says the same as the start of a worker.
    """
    without_desk = {"WEBHOOK_SECRET_INITECH": "s"}
    for name, value in {**COMPLETE, **ACME, **without_desk, **tenants, "OPENAI_API_KEY": ""}.items():
        monkeypatch.setenv(name, value)
    assert (load_parts()[0].worker is None) is needed
    if needed:
        with pytest.raises(SettingsRefused, match=r"^OPENAI_API_KEY is missing$"):
            load_with_tenants(WorkerSettings, needs="desk", on_problem=lambda _: None)
    else:
        settings, _ = load_with_tenants(WorkerSettings, needs="desk", on_problem=lambda _: None)
        assert settings.openai_api_key == ""
        monkeypatch.setenv("OPENAI_API_KEY", "sk")
        settings, _ = load_with_tenants(WorkerSettings, needs="desk", on_problem=lambda _: None)
        assert settings.openai_api_key == "sk"
