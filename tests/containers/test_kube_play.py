"""The local overlay's deployments in Podman: a ticket passes, nothing is lost."""

import re
import shutil
from collections.abc import Iterator

import pytest

from devstack.desk_client import DeskClient
from tests.containers.engine import Engine
from tests.containers.files import ROOT
from tests.containers.kube import SERVERS, Kube
from tests.containers.stack import SIMULATORS, eventually

pytestmark = pytest.mark.containers
OURS = ("ai-agents-api", "ai-agents-worker", "ai-agents-housekeeping")
TICKET = {"tenant": "acme", "subject": "VPN does not connect", "description": "The gateway can't be reached."}


@pytest.fixture(scope="module")
def kube(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:  # noqa: ARG001
    """Start everything of the local overlay, the API before the migration."""
    if engine.program != "podman" or shutil.which("catatonit") is None:
        pytest.skip("`podman kube play` needs Podman and catatonit")
    running = Kube(engine, tmp_path_factory.mktemp("kube"))
    missing = [name for name in SERVERS if not engine.can_get(running.rendered.container(name)["image"])]
    if missing:
        pytest.skip(f"the images of {' and '.join(missing)} can't be pulled")
    engine.build(ROOT, "simulators", SIMULATORS)
    try:
        running.open()
        eventually(lambda: _has_roles(running), 60)
        for name in ("desk", "openai", "ai-agents-api"):
            running.play(name)
        eventually(lambda: "the database is not migrated" in running.logs("ai-agents-api"), 60)
        running.play("ai-agents-migrate")
        eventually(lambda: "Database migrated" in running.logs("ai-agents-migrate"), 60)
        # In sequence: each start writes the mounted secret again.
        for name in OURS[1:]:
            running.play(name)
            eventually(lambda name=name: " ready." in running.logs(name), 60)  # type: ignore[misc]
        yield running
    finally:
        running.close()


def _has_roles(kube: Kube) -> bool:
    """Return True if Postgres accepts the application's role over TCP."""
    question = ("psql", "-h", "127.0.0.1", "-U", "ai_agents", "-d", "ai_agents", "-c", "SELECT 1")
    where = ("--env", "PGPASSWORD=local-application", kube.name("postgres"))
    return kube.engine.run("exec", *where, *question, check=False).returncode == 0


def test_a_pod_that_came_before_the_migration_refused_and_is_ready_by_now(kube: Kube) -> None:
    """It logged the remedy, and was restarted until the migration was done."""
    assert "run `ai-agents migrate` with DATABASE_ADMIN_URL" in kube.logs("ai-agents-api")
    eventually(lambda: "API ready." in kube.logs("ai-agents-api"), 60)


def test_a_ticket_gets_its_note(kube: Kube) -> None:
    with DeskClient(kube.desk, {"acme": "local-desk"}) as desk:
        ticket = desk.create_ticket(TICKET)
        eventually(lambda: bool(desk.notes("acme", ticket)), 60)
    assert "Task completed: job_id=" in kube.logs("ai-agents-worker")


@pytest.mark.parametrize("name", OURS)
def test_what_the_probes_ask_is_answered(name: str, kube: Kube) -> None:
    for port, path in kube.paths(name):
        script = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}{path}', timeout=5).status)"
        assert kube.exec(name, "python", "-c", script) == "200"


@pytest.mark.parametrize("name", SERVERS)
def test_what_makes_a_server_ready_holds(name: str, kube: Kube) -> None:
    asked = kube.rendered.container(name)["readinessProbe"]["exec"]["command"]
    assert kube.engine.run("exec", kube.name(name), *asked, check=False).returncode == 0


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_runs_as_the_images_own_user(name: str, kube: Kube) -> None:
    if name in kube.as_root:
        pytest.skip(f"the image of {name} here has to begin as root, unlike the published one")
    _is_confined(kube, name, "999")


@pytest.mark.parametrize("name", OURS)
def test_each_pod_of_ours_is_unprivileged_and_read_only(name: str, kube: Kube) -> None:
    _is_confined(kube, name, "10001")


def _is_confined(kube: Kube, name: str, user: str) -> None:
    assert kube.exec(name, "id", "-u") == user
    assert "Read-only file system" in kube.exec(name, "touch", "/x", check=False)
    status = kube.exec(name, "cat", "/proc/self/status")
    assert re.search(r"CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"NoNewPrivs:\s+1$", status, re.MULTILINE)


def test_supports_command_needs_no_flag(kube: Kube) -> None:
    assert kube.exec("ai-agents-api", "redis-cli", "-h", "redis", "LLEN", "celery") == "0"
    assert "NOAUTH" in kube.exec("ai-agents-api", "env", "-u", "REDISCLI_AUTH", "redis-cli", "-h", "redis", "PING")


def test_a_worker_that_is_told_to_end_ends_its_job_first(kube: Kube) -> None:
    """Within the pod's grace period. The last test: the worker stays down."""
    with DeskClient(kube.desk, {"acme": "local-desk"}) as desk:
        ticket = desk.create_ticket(TICKET)
        eventually(lambda: "Task started: job_id=" in _lines(kube, ticket))
        kube.engine.run("stop", kube.name("ai-agents-worker"))
        assert len(desk.notes("acme", ticket)) == 1
    assert "Task completed" in _lines(kube, ticket)
    assert kube.logs("ai-agents-worker").rstrip().endswith('"event": "Worker stopped"}')


def _lines(kube: Kube, ticket: str) -> str:
    return "\n".join(line for line in kube.logs("ai-agents-worker").splitlines() if f"ticket_id: {ticket}," in line)
