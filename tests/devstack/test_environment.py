"""Inherited and removed environment variables of each process."""

import pytest

from devstack.surroundings import (
    ExternalServers,
    SettingsUnusable,
    SimulatedTenant,
    external_servers,
    machine_environment,
    product_environment,
)


def test_the_callers_settings_do_not_leak() -> None:
    caller = {"PATH": "/bin", "OPENAI_API_KEY": "real", "HTTP_PROXY": "http://proxy", "WEBHOOK_SECRET_X": "s"}
    assert machine_environment(caller) == {"PATH": "/bin", "PYTHONUNBUFFERED": "1"}


def test_logging_and_tracing_are_passed_on() -> None:
    caller = {"LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert caller.items() <= machine_environment(caller).items()


def test_external_servers_come_as_a_pair_or_not_at_all() -> None:
    assert external_servers({"DATABASE_URL": ""}) == ExternalServers(None, None, None)
    both = {"DATABASE_URL": "postgresql://a", "DATABASE_ADMIN_URL": "postgresql://b", "REDIS_URL": "redis://c"}
    assert external_servers(both) == ExternalServers("postgresql://a", "postgresql://b", "redis://c")
    with pytest.raises(SettingsUnusable, match="DATABASE_ADMIN_URL is not"):
        external_servers({"DATABASE_URL": "postgresql://a"})


def test_each_tenant_has_its_own_settings_and_secrets() -> None:
    tenants = [SimulatedTenant("acme-eu"), SimulatedTenant("globex")]
    settings = product_environment(
        database_url="d",
        redis_url="r",
        openai_url="o",
        openai_key="k",
        desk_url="http://d",
        tenants=tenants,
        feedback_port=1,
    )
    assert settings["SERVICEDESK_URL_ACME_EU"] == "http://d/acme-eu"
    assert settings["WEBHOOK_SECRET_ACME_EU"] == tenants[0].webhook_secret
    assert settings["WEBHOOK_SECRET_GLOBEX"] != tenants[0].webhook_secret
    assert tenants[0].webhook_secret not in repr(tenants[0])
    assert settings["FEEDBACK_URL"].endswith(f":{settings['FEEDBACK_PORT']}")
