"""The README's commands that need a running system, run as they stand."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from devstack.system import System
from tests.documents.readme import blocks
from tests.kit.world import World


@pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("curl")), reason="needs openssl and curl")
def test_a_webhook_by_hand_and_the_grep_for_a_ticket_do_what_the_readme_says(tmp_path: Path) -> None:
    """The signature made with openssl is accepted; the grep finds the story of the README's ticket."""
    by_hand = next(block for block in blocks("sh") if block.startswith("body="))
    grep = next(block for block in blocks("sh") if block.startswith("grep "))
    with System(tmp_path / ".devstack", openai_seconds=0.5, housekeeping=False) as system:
        world = World(system)
        ticket_id = grep.split("ticket_id: ")[1].split(",")[0]
        assert world.create_ticket(id=ticket_id) == ticket_id
        world.ended(ticket_id)
        environment = {
            "PATH": os.environ["PATH"],
            "API_URL": system.state["api_url"],
            "WEBHOOK_SECRET_ACME": system.state["tenants"]["acme"],
        }
        sent = subprocess.run(["bash", "-c", by_hand], env=environment, capture_output=True, text=True, check=True)
        found = subprocess.run(["bash", "-c", grep], cwd=tmp_path, capture_output=True, text=True, check=True)
        world.close()
    assert "202" in sent.stdout.splitlines()[0]
    assert '"job_id"' in sent.stdout
    for phrase in ("Webhook received", "Job queued", "Task started", "Task completed"):
        assert phrase in found.stdout
