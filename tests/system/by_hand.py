"""Operator commands, and the jobs and stored data that they act on."""

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import pytest

from cli.main import main
from config.tenants import TENANTS_TOML
from dev.stack.environment import parted
from dev.stack.system import System
from tests.kit.tenants_toml import filed
from tests.kit.world import World, wait_for

Answer = subprocess.CompletedProcess[str]


def with_file(folder: Path, settings: Mapping[str, object]) -> dict[str, str]:
    """Write the keys of `tenants.toml` on top of the named file; return the environment variables."""
    variables, keys = parted(settings)
    if not keys:
        return variables
    before = Path(variables["TENANTS_FILE"]).read_text(encoding="utf-8") if "TENANTS_FILE" in variables else ""
    text = keys.pop(TENANTS_TOML, before)
    (folder / TENANTS_TOML).write_text(
        f"# Of a test.\n{filed({TENANTS_TOML: str(text)}, keys)[TENANTS_TOML]}", encoding="utf-8"
    )
    return variables | {"TENANTS_FILE": str(folder / TENANTS_TOML)}


def here(*words: str, **settings: object) -> Answer:
    """Run `ai-agents` in this process, for tests with the fixture `untouched_logging`.

    A setting named by a path is a key of `tenants.toml`; TENANTS_TOML is its text.
    """
    printed, complained = io.StringIO(), io.StringIO()
    status: Any
    with (
        pytest.MonkeyPatch.context() as patched,
        TemporaryDirectory() as patched_folder,
        redirect_stdout(printed),
        redirect_stderr(complained),
    ):
        for name in [*os.environ]:
            patched.delenv(name)
        for name, value in with_file(Path(patched_folder), settings).items():
            patched.setenv(name, value)
        patched.setattr(sys, "stdin", io.StringIO())
        try:
            status = main(words)
        except SystemExit as ended:
            status = ended.code
    return Answer(words, status, printed.getvalue(), complained.getvalue())


def on(system: System, *words: str) -> Answer:
    """Run `ai-agents` as a process with the application's role and no other setting."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": system.state["database_url"]},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def typed(command: str, folder: Path, **settings: str) -> Answer:
    """Return the output of shell commands in a folder; each must succeed, including those of a pipe."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", command],
        env={"PATH": path, **settings},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def failed_job(world: World, subject: str, tenant: str = "acme", code: int = 400, **more: Any) -> dict[str, Any]:
    """Return the row of a job whose note the desk refused; 400 is not retried and holds no other job."""
    ticket_id = world.create_ticket(subject, tenant, send_webhook=False, **more)
    world.desk_fault(ticket_id=ticket_id, tenant=tenant, operation="add_note", kind="status", code=code)
    world.send_webhook(ticket_id, tenant)
    row = world.ended(ticket_id, tenant)
    assert row["state"] == "failed"
    return row


def forget(system: System, *words: str, **settings: str) -> Answer:
    stores = {"DATABASE_URL": system.state["database_url"], "REDIS_URL": system.state["redis_url"]}
    return here("forget", *words, **stores | settings)


def copied(world: World, tenant: str = "acme") -> set[str]:
    with world.admin() as connection:
        rows = connection.execute("SELECT ticket_id FROM tickets WHERE tenant_id = %s", (tenant,)).fetchall()
    return {str(ticket_id) for (ticket_id,) in rows}


def sync_twice(system: System) -> None:
    assert system.housekeeping is not None
    log = system.housekeeping.log_path
    done = "Sync completed: tenant_id=acme"
    so_far = log.read_text(encoding="utf-8").count(done)
    wait_for(lambda: log.read_text(encoding="utf-8").count(done) >= so_far + 2)


def job_to_come(world: World, tenant: str, ticket_id: str) -> UUID:
    job_id = uuid4()
    with world.admin() as connection:
        connection.execute(
            "INSERT INTO jobs (id, tenant_id, ticket_id, due_at, deadline_at)"
            " VALUES (%s, %s, %s, now() + interval '1 hour', now() + interval '1 hour')",
            (job_id, tenant, ticket_id),
        )
    return job_id
