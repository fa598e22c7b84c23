"""The process's own secrets, whose age is reported."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import config
from config.secrets import own_secrets
from config.settings import LogSettings, WorkerSettings
from config.tenant_directory import TenantDirectory
from config.tenants import PROCESS_KEYS

# The owner's, for migrations only.
UNTOLD = {"DATABASE_ADMIN_URL"}
MAY_HAVE_A_PASSWORD = {"DATABASE_URL", "REDIS_URL", "HTTPS_PROXY"}


def kinds(kind: type[LogSettings] = LogSettings) -> Iterator[type[LogSettings]]:
    for module in pkgutil.iter_modules(config.__path__):
        importlib.import_module(f"config.{module.name}")
    for below in kind.__subclasses__():
        if below.__module__.startswith("config."):
            yield below
            yield from kinds(below)


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
