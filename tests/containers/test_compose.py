"""docker-compose.yml, running: a ticket's note, and support's commands inside."""

import re
import shlex
import time

import httpx2
import pytest

from dev.stack.desk_client import DeskClient
from dev.stack.environment import SimulatedTenant
from tests.containers.files import COMMANDS, OURS, SERVICES, THEIRS
from tests.containers.smoke import KEY, TENANT, TICKET, send_ticket
from tests.containers.stack import Stack, eventually

pytestmark = pytest.mark.containers
RUNNING = [name for name in OURS if name != "migrate"]
PROGRAM = "docker compose exec "
REDIS_CLI = ("redis-cli", "-h", "redis")


def test_a_ticket_gets_its_note(stack: Stack) -> None:
    note, _ = send_ticket(stack.url("desk"), 60)
    assert "Ref " in note


@pytest.mark.parametrize("service", RUNNING)
def test_each_container_of_ours_is_unprivileged_and_read_only(service: str, stack: Stack) -> None:
    assert stack.exec(service, "id", "-u") == "10001"
    for place in ("/x", "/app/x", "/opt/venv/x"):
        assert "Read-only file system" in stack.exec(service, "touch", place, check=False)
    stack.exec(service, "touch", "/tmp/x")  # noqa: S108 -- the one place
    status = stack.exec(service, "cat", "/proc/1/status")
    assert re.search(r"CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"NoNewPrivs:\s+1$", status, re.MULTILINE)


@pytest.mark.parametrize("service", THEIRS)
def test_each_foreign_server_is_unprivileged_and_read_only(service: str, stack: Stack) -> None:
    if service not in stack.services:
        pytest.skip(f"{SERVICES[service]['image']} can't be pulled")
    processes = stack.processes(service)
    if {one["Name"] for one in processes} == {"sleep"}:
        pytest.skip(f"{SERVICES[service]['image']} is a stand-in here that only sleeps")
    # An entry point before its server, and health checks, run as the container's user.
    servers = [one for one in processes if service not in stack.as_root or one["Name"] == service]
    assert servers
    for one in servers:
        assert "0" not in one["Uid"].split(), one["Name"]
        assert int(one["CapEff"], 16) == int(one["CapPrm"], 16) == 0
        assert one["NoNewPrivs"] == "1"
    for place in ("/x", "/etc/x", "/usr/x"):
        assert "Read-only file system" in stack.exec(service, "touch", place, check=False)


def test_no_foreign_container_begins_as_root(stack: Stack) -> None:
    """A container entered later has no capability either."""
    if stack.as_root:
        pytest.skip(f"the image of {' and '.join(stack.as_root)} here has to begin as root, unlike the published one")
    for service in set(THEIRS) & set(stack.services):
        assert {int(one["CapBnd"], 16) for one in stack.processes(service)} == {0}


def test_the_faqs_commands_work_inside_the_containers(stack: Stack) -> None:
    """Literally behind `exec`; Redis needs no password flag."""
    assert re.fullmatch(r"(\(integer\) )?\d+", stack.exec("api", *REDIS_CLI, "LLEN", "celery"))
    for service in ("api", "worker"):
        answer = stack.exec(service, "ai-agents", "psql", "-c", "SELECT 1;")
        assert "(1 row)" in answer
    slow = ("ai-agents", "psql", "-c", "SELECT count(*) FROM pg_stat_statements;")
    assert "(1 row)" in stack.exec("api", *slow)
    assert "completed" in stack.exec("api", "ai-agents", "jobs", "--tenant", TENANT)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith(PROGRAM)])
def test_the_documents_commands_work(line: str, stack: Stack) -> None:
    service, *words = shlex.split(line.removeprefix(PROGRAM))
    printed = stack.exec(service, *words, check=words[-1] != "check")
    assert printed
    # Its address is the machine's, which no container reaches.
    assert [row for row in printed.splitlines() if " failed " in row and "feedback page" not in row] == []


def test_every_line_of_ours_is_json(stack: Stack) -> None:
    for service in ("api", "worker", "housekeeping", "console", "migrate"):
        lines = stack.logs(service).splitlines()
        assert lines
        assert [line for line in lines if not line.startswith("{")] == []


def test_the_roles_are_what_the_system_asks_for(stack: Stack) -> None:
    question = (
        "SELECT rolname, rolsuper, rolbypassrls, rolcreatedb FROM pg_roles WHERE rolname LIKE 'ai_agents%' ORDER BY 1"
    )
    answer = stack.exec("postgres", "psql", "-U", "postgres", "-d", "ai_agents", "-Atc", question)
    assert answer.splitlines() == ["ai_agents|f|f|f", "ai_agents_owner|f|f|f"]


def test_a_stopped_worker_finishes_its_jobs_first(stack: Stack) -> None:
    with DeskClient(stack.url("desk"), [SimulatedTenant(TENANT, desk_key=KEY)]) as desk:
        ticket_id = desk.create_ticket(TICKET)
        eventually(lambda: "Task started: job_id=" in stack.logs("worker") and ticket_id in stack.logs("worker"))
        began = time.monotonic()
        stack.compose("stop", "worker")
        assert time.monotonic() - began < 30
        state = stack.engine.state(stack.container("worker"))
        assert state["ExitCode"] == 0
        assert "Worker stopped" in stack.logs("worker")
        assert len(desk.notes(TENANT, ticket_id)) == 1
    stack.compose("start", "worker")
    stack.await_health("worker")


def test_prometheus_sees_every_process_and_loads_the_alerts(stack: Stack) -> None:
    if not stack.engine.has(SERVICES["prometheus"]["image"]):
        pytest.skip(f"{SERVICES['prometheus']['image']} can't be pulled")

    def up() -> set[str]:
        found = httpx2.get(f"{stack.url('prometheus')}/api/v1/targets", timeout=5).json()["data"]["activeTargets"]
        return {target["labels"]["job"] for target in found if target["health"] == "up"}

    eventually(lambda: up() == {"api", "worker", "housekeeping", "console"}, 45)
    rules = httpx2.get(f"{stack.url('prometheus')}/api/v1/rules", timeout=5).json()["data"]["groups"]
    assert sum(len(group["rules"]) for group in rules) > 2


def test_data_outlives_its_containers(stack: Stack) -> None:
    stack.exec("redis", "redis-cli", "SET", "kept", "yes")
    before = stack.exec("api", "ai-agents", "jobs", "--json")
    stack.compose("rm", "--stop", "--force", "redis", "postgres")
    stack.compose("up", "--detach", "--no-build", "--no-deps", "redis", "postgres")
    stack.await_health("redis", "postgres")
    assert stack.exec("redis", "redis-cli", "GET", "kept") == "yes"
    assert len(before) > 100
    assert stack.exec("api", "ai-agents", "jobs", "--json", "--limit", "1") != "[]"
    note, _ = send_ticket(stack.url("desk"), 60)
    assert "Ref " in note
