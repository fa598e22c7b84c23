"""How processes start: with what is missing named, with servers waited for or refused, and under other commands."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from devstack.postgres import Postgres
from devstack.system import System
from tests.kit.world import World, wait_for

ROOT = Path(__file__).resolve().parents[2]
REFUSED = 78
ENOUGH = {
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "OPENAI_API_KEY": "sk-test",
    "WEBHOOK_SECRET_ACME": "s3cret-of-acme",
    "SERVICEDESK_URL_ACME": "http://127.0.0.1:1",
    "SERVICEDESK_API_KEY_ACME": "key-of-acme",
}


_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_PR_CAPBSET_DROP = 24


def obey_modes() -> None:
    """Have the program that comes next read nothing that files' modes forbid, even as root."""
    system = ctypes.CDLL(None)
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        system.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def run(verb: str, settings: Mapping[str, str]) -> tuple[int, str]:
    """Run `ai-agents VERB` with these settings alone, to its end; exit status and output."""
    done = subprocess.run(
        [sys.executable, "-m", "support.cli", *verb.split()],
        env={"PATH": os.environ["PATH"], **settings},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=obey_modes,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("verb", "missing"),
    [
        ("api", ["DATABASE_URL", "REDIS_URL", "WEBHOOK_SECRET_<TENANT>"]),
        ("worker", ["DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY", "SERVICEDESK_URL_<TENANT>"]),
        ("housekeeping", ["DATABASE_URL", "REDIS_URL", "SERVICEDESK_URL_<TENANT>"]),
        ("migrate", ["DATABASE_URL", "DATABASE_ADMIN_URL"]),
    ],
)
def test_a_process_names_each_setting_that_is_missing(verb: str, missing: list[str]) -> None:
    """One line for each, status 78, and nothing else in the output."""
    status, output = run(verb, {})
    assert status == REFUSED
    told = [line.split("Start refused: ")[1].split(":")[0] for line in output.splitlines()]
    assert sorted(told) == sorted(f"{name} is missing" for name in missing)


@pytest.mark.parametrize("verb", ["api", "worker", "housekeeping"])
def test_one_start_names_what_is_wrong_with_the_process_and_with_each_tenant(verb: str) -> None:
    """Whoever mends all that one start told need not find more at the next."""
    wrong = {
        "REDIS_URL": "redis://127.0.0.1:1/Hunter2",
        "OPENAI_API_KEY": "sk-test",
        "SERVICEDESK_URL_ACME": "ftp://desk",
        "SERVICEDESK_RATE_PER_MINUTE_ACME": "fast",
        "SERVICEDESK_EDITION_GLOBEX": "cloud",
        "SERVICEDESK_URL_GLOBEX": "http://127.0.0.1:1",
        "PREVIOUS_WEBHOOK_SECRET_INITECH": "s3cret",
    }
    status, output = run(verb, wrong)
    assert status == REFUSED
    told = {line.split("Start refused: ")[1].split(" ")[0] for line in output.splitlines()}
    cloud = ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN", "ACCOUNTS_URL")
    assert told == {
        "DATABASE_URL",
        "REDIS_URL",
        "SERVICEDESK_URL_ACME",
        "SERVICEDESK_API_KEY_ACME",
        "SERVICEDESK_RATE_PER_MINUTE_ACME",
        *(f"SERVICEDESK_{name}_GLOBEX" for name in cloud),
        "WEBHOOK_SECRET_INITECH",
    }
    assert "Hunter2" not in output
    assert "s3cret" not in output


def test_a_process_names_each_setting_that_is_wrong_and_shows_no_value() -> None:
    """Also in JSON; a secret in the wrong place does not end up in the log."""
    wrong = {"DATABASE_URL": "mysql://root:pa55word@db/x", "WORKER_CONCURRENCY": "many", "LOG_FORMAT": "json"}
    status, output = run("worker", ENOUGH | wrong)
    assert status == REFUSED
    lines = output.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("{") for line in lines)
    assert "DATABASE_URL is wrong: must begin with postgresql://" in output
    assert "WORKER_CONCURRENCY is wrong" in output
    assert "pa55word" not in output
    assert "many" not in output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"SERVICEDESK_API_KEY_ACME": ""}, "SERVICEDESK_API_KEY_ACME is missing"),
        (
            {"SERVICEDESK_URL_ACME": "", "SERVICEDESK_API_KEY_ACME": "", "WEBHOOK_SECRET_MY_ERRORS": "x"},
            "must not contain 'error'",
        ),
    ],
)
def test_a_worker_whose_every_tenant_is_half_configured_refuses_to_start(change: dict[str, str], said: str) -> None:
    """The setting to mend is named."""
    status, output = run("worker", ENOUGH | {"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x"} | change)
    assert status == REFUSED
    assert said in output


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A Postgres that is not migrated."""
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server
        server.discard()


@pytest.mark.parametrize("verb", ["api --port 0", "worker", "housekeeping"])
def test_a_database_that_waiting_does_not_mend_is_refused_with_the_remedy(verb: str, postgres: Postgres) -> None:
    """It is not migrated; tests/api/test_refusals.py has whatever else may be wrong with one."""
    status, output = run(verb, ENOUGH | {"DATABASE_URL": postgres.url})
    assert (status, "run `ai-agents migrate`" in output) == (REFUSED, True), output


def test_a_wrong_password_is_refused_and_not_shown(postgres: Postgres) -> None:
    user, _, place = postgres.url.rpartition("@")
    wrong = f"{user.rpartition(':')[0]}:not-the-password@{place}"
    status, output = run("worker", ENOUGH | {"DATABASE_URL": wrong})
    assert (status, "wrong password" in output) == (REFUSED, True), output
    assert "not-the-password" not in output


@pytest.mark.parametrize("verb", ["api --port 0", "worker", "housekeeping"])
def test_a_start_that_fails_unforeseen_ends_the_process_and_quotes_nothing(verb: str) -> None:
    """An option that the client of Redis can't read: no process may call itself ready, and its value is not shown."""
    unforeseen = {"REDIS_URL": "redis://127.0.0.1:1/0?socket_timeout=Hunter2"}
    status, output = run(verb, ENOUGH | {"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x"} | unforeseen)
    assert status != 0
    assert "ready." not in output
    assert "Hunter2" not in output
    assert "error" in output


@pytest.mark.parametrize(
    ("verb", "setting"), [("worker", "METRICS_PORT"), ("housekeeping", "METRICS_PORT"), ("api", "API_PROBE_PORT")]
)
def test_a_metrics_port_that_is_taken_is_refused(verb: str, setting: str) -> None:
    settings = ENOUGH | {"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x"}
    with socket.create_server(("", 0)) as other:
        status, output = run(verb, settings | {setting: str(other.getsockname()[1])})
    assert (status, f"{setting} is wrong: the port is in use already" in output) == (REFUSED, True), output
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize(
    ("verb", "mode"), [("api --port 0", 0o311), ("worker", 0o311), ("housekeeping", 0o311), ("housekeeping", 0)]
)
def test_a_secrets_directory_that_can_not_be_listed_is_told(verb: str, mode: int, tmp_path: Path) -> None:
    """Whose tenants it has, nobody knows: without others the start is refused, and nothing is called missing."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode)
    settings = ENOUGH | {"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x", "SECRETS_DIR": str(folder)}
    alone = {name: value for name, value in settings.items() if not name.endswith("_ACME")}
    status, output = run(verb, alone)
    assert status == REFUSED
    assert output.count("Start refused: SECRETS_DIR can't be listed: this process must be able to read it") == 1
    assert "is missing" not in output
    if mode:
        # With a tenant of the environment it is no reason to refuse: this process ends for another one.
        _, output = run(verb, settings | {"REDIS_URL": "redis://127.0.0.1:1/0?socket_timeout=Hunter2"})
        assert output.count("the tenant is closed: SECRETS_DIR can't be listed") == 1, output
        assert "Start refused" not in output


def test_migrate_says_when_the_database_is_away_and_can_be_tried_again() -> None:
    """Status 75, for whoever calls it in a loop."""
    url = "postgresql://a:b@127.0.0.1:1/x"
    status, output = run("migrate", {"DATABASE_URL": url, "DATABASE_ADMIN_URL": url})
    assert status == 75
    assert "does not answer" in output


def test_one_tenant_with_unusable_settings_is_closed_and_the_other_one_is_served(tmp_path: Path) -> None:
    """In each process a line for each thing to mend and a figure; its webhook is refused for a reason of its own."""
    broken = {"SERVICEDESK_URL_GLOBEX": "nowhere", "WEBHOOK_SECRET_MY_ERRORS": "x"}
    with System(tmp_path / "system", settings=broken, openai_seconds=0.3) as system:
        world = World(system)
        ticket_id = world.create_ticket()
        assert world.post_webhook("900001", "globex").status_code == 403
        assert world.ended(ticket_id)["state"] == "completed"
        world.close()
        for process in (system.api, system.workers[0], system.housekeeping):
            told = process.log_path.read_text(encoding="utf-8")
            for setting in ("SERVICEDESK_URL_GLOBEX must be", "WEBHOOK_SECRET_MY_ERRORS: a tenant id must not"):
                assert told.count(f"Tenant settings unusable, the tenant is closed: {setting}") == 1, process.name
            figures = httpx.get(system.state["metrics"][process.name]).text
            for tenant_id, unusable in (("acme", 0), ("globex", 1), ("unknown", 1)):
                series = f'ai_agents_tenant_settings_unusable{{tenant_id="{tenant_id}"}} {unusable}.0'
                assert series in figures, process.name
        told = system.api.log_path.read_text(encoding="utf-8")
        (line,) = [line for line in told.splitlines() if "reason=tenant closed" in line]
        assert "Webhook rejected: status=403" in line
        assert "tenant_id: globex" in line
        with world.admin() as connection:
            rows = connection.execute("SELECT tenant_id, reason FROM rejections").fetchall()
        assert rows == [("globex", "tenant closed")]


@pytest.mark.slow  # A job of a closed tenant is tried again after half a minute.
def test_a_job_of_a_tenant_that_is_closed_in_the_worker_waits_until_it_is_mended(tmp_path: Path) -> None:
    """Nothing is lost that another process accepted, and no attempt is used up."""
    with System(tmp_path / "system", openai_seconds=0.3, housekeeping=False) as system:
        world = World(system)
        (worker,) = system.workers
        url = worker.environment["SERVICEDESK_URL_GLOBEX"]
        system.restart(worker, {"SERVICEDESK_URL_GLOBEX": "nowhere"})
        ticket_id = world.create_ticket(tenant="globex")
        job_id = wait_for(lambda: world.job(ticket_id, "globex").get("id"))
        said = f"Job requeued: job_id={job_id}, ticket_id={ticket_id}, reason=tenant closed, held back for 30s"
        wait_for(lambda: said in worker.log_path.read_text(encoding="utf-8"))
        system.restart(worker, {"SERVICEDESK_URL_GLOBEX": url})
        job = world.ended(ticket_id, "globex")
        assert (job["state"], job["attempt"]) == ("completed", 1)
        world.close()


def test_plain_celery_and_plain_uvicorn_do_the_same_job(around: World, quick: System, tmp_path: Path) -> None:
    """`celery -A worker.app worker` and `uvicorn --factory api.app:create_app`, as they stand, in the same format."""
    port = quick.state["api_url"].rpartition(":")[2]
    commands = [
        ["-m", "celery", "-A", "worker.app", "worker"],
        ["-m", "uvicorn", "--factory", "api.app:create_app", "--port", port],
    ]
    for process, command in zip((quick.workers[0], quick.api), commands, strict=True):
        process.stop(8)
        log = tmp_path / f"{command[1]}.log"
        with log.open("w", encoding="utf-8") as output:
            plain = subprocess.Popen(
                [sys.executable, *command], env=process.environment, cwd=ROOT, stdout=output, stderr=output
            )
        try:
            wait_for(lambda log=log: "ready." in log.read_text(encoding="utf-8"))  # type: ignore[misc]
            time.sleep(0.2)
            if command[1] == "uvicorn":
                health = f"{quick.state['api_probe_url']}/health"
                assert [httpx.get(f"{health}/{asked}").status_code for asked in ("live", "ready")] == [200, 200]
                quick.restart(quick.workers[0])
            assert around.ended(around.create_ticket())["state"] == "completed"
        finally:
            plain.send_signal(signal.SIGTERM)
            # uvicorn stops gracefully, and then ends by the signal that it got.
            assert plain.wait(20) in (0, -signal.SIGTERM)
        text = log.read_text(encoding="utf-8")
        assert "error" not in text.lower()
        assert [line for line in text.splitlines() if not line[:20].startswith("20")] == []
    quick.restart(quick.api)


def test_a_worker_that_takes_no_job_though_jobs_wait_ends_itself_with_a_line(
    around: World, quick: System, tmp_path: Path
) -> None:
    """It listens to another queue, which stands for a deaf one: alive, connected, with room, and no progress."""
    quick.workers[0].stop(8)
    log = tmp_path / "deaf.log"
    with log.open("w", encoding="utf-8") as output:
        deaf = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-Q", "another"],
            env=quick.workers[0].environment | {"WORKER_STUCK_SECONDS": "2"},
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    try:
        ticket_id = around.create_ticket()
        assert deaf.wait(30) == 75
    finally:
        deaf.kill()
    text = log.read_text(encoding="utf-8")
    assert "Worker error: jobs wait and none is taken" in text
    assert "Worker stopped" in text
    quick.restart(quick.workers[0])
    assert around.ended(ticket_id)["state"] == "completed"
