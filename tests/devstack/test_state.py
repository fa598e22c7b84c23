"""One system in one folder, its recorded state, and the environment of its processes."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.state_file import AlreadyRunning, FolderLock, read_state, write_state
from devstack.surroundings import (
    ExternalServers,
    SettingsUnusable,
    SimulatedTenant,
    external_servers,
    machine_environment,
    product_environment,
)


def test_state_and_settings_are_readable_by_their_user_only_until_the_end(tmp_path: Path) -> None:
    """A shell reads the settings as they are."""
    odd = 'it\'s $HOME; `id`\n"x"'
    lock = FolderLock(tmp_path)
    lock.take()
    for url in ("http://127.0.0.1:1", "http://127.0.0.1:2"):
        write_state(tmp_path, {"api_url": url}, {"FEEDBACK_KEY": odd, "REDIS_URL": "redis://x"})
    assert read_state(tmp_path) == {"api_url": "http://127.0.0.1:2"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("s*")} == {0o600}
    shown = "import os; print(os.environ['FEEDBACK_KEY'])"
    read = f'set -a; . {tmp_path}/settings.env; set +a; exec {sys.executable} -c "{shown}"'
    assert subprocess.check_output(["sh", "-c", read], text=True) == f"{odd}\n"
    lock.release()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_second_system_is_refused_while_the_first_starts_and_while_it_runs(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.take()
    with pytest.raises(AlreadyRunning, match="is starting in"):
        second.take()
    write_state(tmp_path, {"pids": {"devstack": os.getpid()}}, {})
    with pytest.raises(AlreadyRunning, match=f"runs in .* already .devstack {os.getpid()}"):
        second.take()
    first.release()
    assert read_state(tmp_path) is None
    second.take()
    second.release()


def test_a_state_that_a_killed_system_left_does_not_hinder(tmp_path: Path) -> None:
    write_state(tmp_path, {"pids": {"devstack": os.getpid()}}, {})
    lock = FolderLock(tmp_path)
    lock.take()
    assert read_state(tmp_path) is None
    lock.release()


def test_of_the_callers_settings_only_logging_and_tracing_are_passed_on() -> None:
    kept = {"LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    caller = {"PATH": "/bin", "OPENAI_API_KEY": "real", "HTTP_PROXY": "http://proxy", "WEBHOOK_SECRET_X": "s"}
    assert machine_environment(caller | kept) == {"PATH": "/bin", "PYTHONUNBUFFERED": "1"} | kept


def test_external_servers_come_as_a_pair_or_not_at_all() -> None:
    assert external_servers({"DATABASE_URL": ""}) == ExternalServers()
    both = {"DATABASE_URL": "postgresql://a", "DATABASE_ADMIN_URL": "postgresql://b", "REDIS_URL": "redis://c"}
    assert external_servers(both) == ExternalServers("postgresql://a", "postgresql://b", "redis://c")
    with pytest.raises(SettingsUnusable, match="DATABASE_ADMIN_URL is not"):
        external_servers({"DATABASE_URL": "postgresql://a"})


def test_each_tenant_has_its_own_settings_and_secrets() -> None:
    tenants = [SimulatedTenant("acme-eu"), SimulatedTenant("globex")]
    settings = product_environment("http://d", tenants, 1)
    assert settings["SERVICEDESK_URL_ACME_EU"] == "http://d/acme-eu"
    assert settings["WEBHOOK_SECRET_ACME_EU"] == tenants[0].webhook_secret
    assert settings["WEBHOOK_SECRET_GLOBEX"] != tenants[0].webhook_secret
    assert tenants[0].webhook_secret not in repr(tenants[0])
    assert settings["FEEDBACK_URL"].endswith(f":{settings['FEEDBACK_PORT']}")
