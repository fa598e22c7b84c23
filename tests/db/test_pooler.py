"""A real PgBouncer: refused in transaction mode, accepted in session mode."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from cli.pilot.free_ports import free_port
from cli.pilot.postgres import Postgres
from cli.pilot.postgres_binaries import reachable_folder, remove_reachable, server_user
from cli.pilot.processes import Process
from db.migrate import migrate
from db.schema import DatabaseUnfitError, check_now
from db.session import Database, lead
from tests.kit.postgres import Table, refusal

_PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_KEPT = "idle_in_transaction_session_timeout = '10s'", "lock_timeout = '5s'"

pytestmark = pytest.mark.skipif(_PROGRAM is None, reason="pgbouncer is not installed")

Pooled = Callable[..., str]


@pytest.fixture
def pooled(server: Postgres, tmp_path: Path) -> Iterator[Pooled]:
    """Return a starter of PgBouncer, which returns its URL."""
    started: list[tuple[Process, Path]] = []

    def start(direct: str = server.url, **settings: str) -> str:
        parts, port = urlsplit(direct), free_port()
        folder = reachable_folder(tmp_path / f"pooler-{len(started)}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "users.txt").write_text(f'"{parts.username}" "{parts.password}"\n')
        chosen = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(folder / "users.txt"),
            **settings,
        }
        lines = [f"{name} = {value}" for name, value in chosen.items()]
        target = f"{parts.path[1:]} = host={parts.hostname} port={parts.port}"
        (folder / "pgbouncer.ini").write_text("\n".join(["[databases]", target, "[pgbouncer]", *lines, ""]))
        user = server_user()
        if user is not None:
            for path in (folder, *folder.iterdir()):
                os.chown(path, user, user)
        process = Process(
            "pgbouncer",
            [str(_PROGRAM), str(folder / "pgbouncer.ini")],
            log_path=tmp_path / f"pgbouncer-{len(started)}.log",
            environment={"LC_ALL": "C"},
            ready=lambda process: "process up" in process.output(),
            folder=folder,
            # SIGTERM waits for clients to leave.
            stop_signal=signal.SIGINT,
            user=user,
        )
        started.append((process, folder))
        process.start()
        process.wait_ready(10)
        return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()

    yield start
    for process, folder in started:
        process.stop(5)
        remove_reachable(folder)


@pytest.fixture
def kept(table: Table) -> Iterator[None]:
    """Give the role the settings that a pooler does not pass on."""
    for setting in _KEPT:
        table.run(f"ALTER ROLE ai_agents SET {setting}")
    yield
    table.run("ALTER ROLE ai_agents RESET ALL")


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_pooler_without_our_session_settings_is_refused(mode: str, server: Postgres, pooled: Pooled) -> None:
    reason = refusal(pooled(pool_mode=mode))
    assert reason.startswith("DATABASE_URL leads to a pooler that refuses the settings of our sessions: connect to")
    reason = refusal(pooled(pool_mode=mode, ignore_startup_parameters="options"))
    assert reason.startswith(
        "DATABASE_URL leads to a pooler that drops idle_in_transaction_session_timeout: connect to"
    )
    with pytest.raises(DatabaseUnfitError, match="DATABASE_ADMIN_URL leads to a pooler that refuses"):
        migrate(pooled(server.admin_url, pool_mode=mode), server.url)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("round_robin", ["0", "1"])
@pytest.mark.parametrize("others", [0, 3])
def test_transaction_mode_is_refused_even_with_the_settings(others: int, round_robin: str, pooled: Pooled) -> None:
    url = pooled(pool_mode="transaction", ignore_startup_parameters="options", server_round_robin=round_robin)
    idle = [psycopg.connect(url) for _ in range(others)]
    for connection in idle:
        connection.execute("SELECT 1")
    for connection in idle:
        connection.rollback()
    assert refusal(url).startswith("DATABASE_URL leads to a pooler in transaction mode: connect to")
    for connection in idle:
        connection.close()


@pytest.mark.usefixtures("kept")
async def test_session_mode_with_the_settings_in_the_role_is_fit_and_has_one_leader(pooled: Pooled) -> None:
    """See docs/failover.md."""
    url = pooled(pool_mode="session", ignore_startup_parameters="options")
    check_now(url)
    command = [sys.executable, "-m", "cli.main", "jobs", "--json"]
    by_hand = await asyncio.to_thread(
        subprocess.run, command, env={"DATABASE_URL": url}, capture_output=True, text=True, timeout=30, check=False
    )
    assert (by_hand.returncode, by_hand.stdout.strip()) == (0, "[]"), by_hand.stderr
    one, other = (Database(url, application_name=name, pool_size=2) for name in ("one", "other"))
    async with lead(one, "an office") as still_leads:
        with pytest.raises(TimeoutError):
            await _leads_within(other, 0.5)
        await still_leads()
    await _leads_within(other, 5)
    for database in (one, other):
        await database.close()


async def _leads_within(database: Database, seconds: float) -> None:
    async with asyncio.timeout(seconds), lead(database, "an office"):
        pass
