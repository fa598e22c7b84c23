"""Rules of the compose files, checked without starting them."""

import json
import re
from urllib.parse import urlsplit

import pytest

from cli.pilot.free_ports import free_port
from config.secrets import not_for_the_api
from config.settings import WorkerSettings
from config.tenant_validation import parse_tenants
from config.tenants import TENANTS_TOML
from dev.simulators.servicedesk import create_desk
from dev.simulators.serving import serve_in_thread
from tests.containers.files import (
    COMPOSE,
    COMPOSE_TEXT,
    OURS,
    PILOT,
    ROOT,
    SERVICES,
    THEIRS,
    environment,
    example,
    example_files,
    filled,
    settings,
)
from tests.containers.smoke import send_ticket

TENANTS = "${TENANTS_DIR:-./compose}:/etc/ai-agents:ro"
DESKS = json.loads((ROOT / "dev" / "simulators" / "servicedesk" / "compose.json").read_text())
PRODUCT = ["api", "worker", "housekeeping", "console", "migrate"]
VERSION = re.compile(r"docker\.io/[a-z]+/[a-z]+:v?\d+\.\d+[\d.]*")


def test_everything_is_there_and_what_is_ours_is_one_image() -> None:
    assert sorted(OURS) == sorted([*PRODUCT, "desk", "openai"])
    assert sorted(THEIRS) == ["grafana", "jaeger", "postgres", "prometheus", "redis"]
    assert {SERVICES[name]["image"] for name in PRODUCT} == {"ai-agents:local"}
    built = {name: service["build"]["target"] for name, service in SERVICES.items() if "build" in service}
    assert built == {"migrate": "product", "desk": "simulators"}
    assert {SERVICES[name]["pull_policy"] for name in OURS if name not in built} == {"never"}
    assert {SERVICES[name]["pull_policy"] for name in built} == {"build"}


@pytest.mark.parametrize("name", THEIRS)
def test_each_foreign_image_is_pinned_to_a_version(name: str) -> None:
    """By its full name, so that every engine uses the same registry."""
    assert VERSION.fullmatch(SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_has_least_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    own = ["/run/postgresql:mode=1777"] if name == "postgres" else []
    assert service["tmpfs"] == ["/tmp", *own]  # noqa: S108 -- the usual path
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "userns_mode"} & set(service)
    if name in OURS:
        # tests/containers/test_dockerfile.py checks the image's.
        assert "user" not in service
        assert service.get("volumes", [TENANTS]) == [TENANTS]
    else:
        assert service["user"].partition(":")[0] not in {"", "root", "0"}


def test_ports_are_open_on_loopback_only_and_can_be_moved() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 8
    assert [port for port in ports if not re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+", port)] == []
    assert "127.0.0.1:${JAEGER_PORT:-16686}:16686" in ports


@pytest.mark.parametrize("name", ["api", "worker", "housekeeping", "console", "desk", "openai", "redis", "postgres"])
def test_each_server_has_a_health_check_and_is_started_again(name: str) -> None:
    """Through a shell: Podman's Docker interface splits the words of a `CMD`."""
    kind, *words = SERVICES[name]["healthcheck"]["test"]
    assert kind == "CMD-SHELL" or not any(" " in word for word in words)
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_services_start_in_the_order_of_their_health() -> None:
    for name in PRODUCT[:4]:
        waits = {other: condition["condition"] for other, condition in SERVICES[name]["depends_on"].items()}
        assert waits == {"migrate": "service_completed_successfully", "redis": "service_healthy"}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["desk"]["depends_on"] == {"api": {"condition": "service_healthy"}}
    assert SERVICES["migrate"]["restart"] == "no"


def test_every_mounted_file_exists_and_is_read_only_and_every_volume_is_declared() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    mounts = [filled(mount, {}) for mount in mounts]
    own = [mount for mount in mounts if mount.startswith("./")]
    assert [mount for mount in own if not mount.endswith(":ro") or not (ROOT / mount.split(":")[0]).exists()] == []
    assert {mount.split(":")[0] for mount in mounts if mount not in own} == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", PRODUCT)
def test_each_process_has_only_the_secrets_that_it_uses(name: str) -> None:
    """Even if .env and the files beside it contain all of them."""
    url = urlsplit(settings(name)["DATABASE_URL"])
    assert (url.scheme, url.username, url.hostname, url.path) == ("postgresql", "ai_agents", "postgres", "/ai_agents")
    given = environment(name, dict.fromkeys(example(commented_too=True), "given"))
    assert not {"OWNER_PASSWORD", "POSTGRES_PASSWORD", "GRAFANA_PASSWORD"} & set(given)
    users = {
        "DATABASE_ADMIN_URL": {"migrate"},
        "WEBHOOK_SECRET_ACME": {"api"},
        "WEBHOOK_SECRET_CONTOSO": {"api"},
        "FEEDBACK_KEY": {"api", "worker"},
        "SERVICEDESK_API_KEY_ACME": {"worker", "housekeeping"},
        "SERVICEDESK_API_KEY_CONTOSO": {"worker", "housekeeping"},
        "OPENAI_API_KEY": {"worker"},
        "OPENAI_API_KEY_CONTOSO": {"worker"},
        "EMBEDDINGS_API_KEY": {"worker", "housekeeping"},
        "CONSOLE_KEY": {"console"},
        "CONSOLE_TOKEN_DEVELOPER": {"console"},
    }
    assert {secret: secret in given for secret in users} == {secret: name in of for secret, of in users.items()}
    if name == "api":
        assert not_for_the_api(given) == []


@pytest.mark.parametrize("given", [{}, {"REDIS_PASSWORD": "another"}])
def test_redis_keeps_everything_and_its_password_is_the_same_everywhere(given: dict[str, str]) -> None:
    lines = SERVICES["redis"]["command"][-1].splitlines()
    assert lines[0] == "exec redis-server - <<END"
    assert {"appendonly yes", "maxmemory-policy noeviction", "requirepass $$REDISCLI_AUTH"} <= set(lines)
    password = settings("redis", given)["REDISCLI_AUTH"]
    for name in PRODUCT[:3]:
        values = settings(name, given)
        assert values["REDIS_URL"] == f"redis://:{password}@redis:6379/0"
        assert values["REDISCLI_AUTH"] == password


def test_running_jobs_have_their_grace() -> None:
    grace = SERVICES["worker"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= WorkerSettings.model_fields["worker_grace_seconds"].default + 10


def test_the_simulators_know_the_same_secrets() -> None:
    config = DESKS["desks"]["acme"]
    values = settings("worker")
    assert config["webhook_secret"] == settings("api")["WEBHOOK_SECRET_ACME"]
    assert config["api_key"] == values["SERVICEDESK_API_KEY_ACME"]
    assert values["OPENAI_API_KEY"] in SERVICES["openai"]["command"]


def test_as_it_stands_it_has_one_simulated_tenant() -> None:
    for name in ("api", "console"):
        tenants, problems = parse_tenants(settings(name), keys=())
        assert (list(tenants), problems) == (["acme"], [])


def test_the_example_switches_to_a_real_desk_and_model() -> None:
    given = example()
    webhooks, problems = parse_tenants(environment("api", given), keys=())
    assert problems == []
    assert webhooks["contoso"].webhook_secrets
    assert not webhooks["acme"].webhook_secrets
    values = environment("worker", given)
    desks, problems = parse_tenants(values)
    assert problems == []
    real = desks["contoso"].desk
    assert real is not None
    assert real.has_keys
    assert "openai:8080" not in values["OPENAI_BASE_URL"]
    assert values["OPENAI_API_KEY"] == given["OPENAI_API_KEY"]


def test_the_example_names_every_variable_of_the_compose_file_with_its_default() -> None:
    """Files beside .env have the others; each of these is an `env_file` of a service."""
    used = dict(re.findall(r"\$\{([A-Z0-9_]+):?-([^}]*)\}", COMPOSE_TEXT))
    named = example(commented_too=True)
    assert set(used) <= set(named)
    assert set(named) - set(used) == {name for file in example_files().values() for name in file}
    files = {file["path"] for service in SERVICES.values() for file in service.get("env_file", [])}
    assert files == set(example_files())
    assert ".env" not in files
    active = set(example())
    assert {name: named[name] for name in used if name not in active} == {
        name: default for name, default in used.items() if name not in active
    }


def pilot_settings(name: str) -> dict[str, str]:
    """Return a service's variables in the pilot; required ones of .env are `${NAME...}`."""
    values = {**SERVICES[name]["environment"], **PILOT[name]["environment"]}
    return {setting: value for setting, value in values.items() if value is not None}


def test_the_pilot_changes_settings_and_ports_of_the_same_services_alone() -> None:
    assert set(PILOT) == {*PRODUCT, "postgres", "redis"}
    for name, service in PILOT.items():
        assert service.pop("extends") == {"file": "docker-compose.yml", "service": name}
        assert set(service) <= {"environment", "volumes"} | ({"ports"} if name == "api" else set())
        assert service.get("volumes", ["./compose/pilot:/etc/ai-agents:ro"]) == ["./compose/pilot:/etc/ai-agents:ro"]
        # No public secret is left, and a missing one stops Compose.
        values = pilot_settings(name)
        assert [value for value in values.values() if "development-only" in value or "-@" in value] == []


def test_the_pilot_polls_its_desk_and_writes_no_note() -> None:
    toml = (ROOT / "compose" / "pilot" / "tenants.toml").read_text(encoding="utf-8")
    for name in ("api", "worker", "housekeeping", "console"):
        given = {name: filled(value, {}) for name, value in pilot_settings(name).items()} | {TENANTS_TOML: toml}
        given["SERVICEDESK_URL_DESK"] = "https://servicedesk.contoso.example:8080"
        tenants, problems = parse_tenants(given, keys=["desk"] if name in ("worker", "housekeeping") else ())
        assert (list(tenants), problems) == (["desk"], [])
        assert (tenants["desk"].polled, tenants["desk"].dry_run) == (True, True)
    assert not_for_the_api({name: value for name, value in pilot_settings("api").items() if value}) == []
    keys = {name for name in PILOT if "SERVICEDESK_API_KEY_DESK" in pilot_settings(name)}
    assert keys == {"worker", "housekeeping"}
    assert {name for name in PILOT if "OPENAI_API_KEY" in pilot_settings(name)} == {"worker"}


def test_the_smoke_test_names_the_ticket_that_gets_no_note() -> None:
    """The desk of the compose file runs alone, so its webhook fails."""
    desk = DESKS["desks"]["acme"] | {"webhook_url": f"http://127.0.0.1:{free_port()}/webhook"}
    with (
        serve_in_thread(create_desk({"desks": {"acme": desk}})) as url,
        pytest.raises(TimeoutError, match=r"^Ticket \d+ has no note after 1 s"),
    ):
        send_ticket(url, 1)
