"""An operator at a shell, and a job that failed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from devstack.system import System
from tests.kit.world import World


def run(*words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run `ai-agents` with these settings alone."""
    return subprocess.run(
        [sys.executable, "-m", "support.cli", *words],
        env={"PATH": os.environ["PATH"], **settings},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def on(system: System, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run `ai-agents` as the application's role, with no other setting."""
    return run(*words, DATABASE_URL=system.state["database_url"])


def failed_job(world: World, subject: str, tenant: str = "acme", **more: Any) -> dict[str, Any]:
    """The row of a job whose note the desk refused (with 401, which is not tried again)."""
    ticket_id = world.create_ticket(subject, tenant, send_webhook=False, **more)
    world.desk_fault(ticket_id=ticket_id, tenant=tenant, operation="add_note", kind="status", code=401)
    world.send_webhook(ticket_id, tenant)
    row = world.ended(ticket_id, tenant)
    assert row["state"] == "failed"
    return row
