"""Commands of documents for developers and operators that need a running system, run as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.system import System
from tests.documents.documents import ROOT, Document
from tests.documents.readme import blocks
from tests.kit.world import World

HAS_PSQL = shutil.which("psql") is not None
DEBUGGING = Document(ROOT / "docs" / "dev" / "debugging.md").blocks("sh")


def typed(command: str, folder: Path, **settings: str) -> str:
    """What commands print that are typed in a system's folder; each must succeed, those of a pipe too."""
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
    return done.stdout


@pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("curl")), reason="needs openssl and curl")
def test_commands_of_documents_do_what_these_say(tmp_path: Path) -> None:
    """A webhook signed with openssl is accepted, a grep finds a ticket's story, and a job is debugged step by step."""
    by_hand = next(block for block in blocks("sh") if block.startswith("body="))
    grep = next(block for block in blocks("sh") if block.startswith("grep "))
    with System(tmp_path / ".devstack", openai_seconds=0.5, housekeeping=False) as system:
        world = World(system)
        ticket_id = grep.split("ticket_id: ")[1].split(",")[0]
        assert world.create_ticket(id=ticket_id) == ticket_id
        world.ended(ticket_id)
        key = system.state["tenants"]["acme"]
        sent = typed(by_hand, tmp_path, API_URL=system.state["api_url"], WEBHOOK_SECRET_ACME=key)
        found = typed(grep, tmp_path)
        job_id = str(world.job(ticket_id)["id"])
        steps = "\n".join(block.text for block in DEBUGGING if HAS_PSQL or "psql" not in block.text)
        debugged = typed(steps.replace("01936b2e-7c1a-7000-8000-0123456789ab", job_id), tmp_path)
        world.close()
    assert "202" in sent.splitlines()[0]
    assert '"job_id"' in sent
    for phrase in ("Webhook received", "Job queued", "Task started", "Task completed"):
        assert phrase in found
    for told in (f"{job_id}: completed", "Task completed", "chat/completions", f"requests/{ticket_id}/notes"):
        assert told in debugged
    for seen in (r"^state +\| completed$", r"\| +1 \| claimed +\|"):
        assert not HAS_PSQL or re.search(seen, debugged, re.MULTILINE)
