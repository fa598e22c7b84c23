"""Messages of `make compose-smoke` without a note, with the next action."""

import json
import subprocess
import sys

import pytest

from devstack.free_ports import free_port
from simulators.servicedesk import create_desk
from simulators.serving import serve_in_thread
from tests.containers.files import ROOT
from tests.containers.smoke import SmokeFailed, send_ticket

CONFIG = json.loads((ROOT / "simulators" / "servicedesk" / "compose.json").read_text(encoding="utf-8"))


def test_where_nothing_runs_it_says_how_to_start_it() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    done = subprocess.run(
        [sys.executable, "-m", "tests.containers.smoke", "--desk", nowhere, "--seconds", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Nothing answers at {nowhere}. Start the system with `docker compose up`;")
    assert len(done.stderr.splitlines()) == 1


def test_a_desk_that_is_still_starting_is_waited_for() -> None:
    """The desk starts together with the smoke test, without a webhook receiver."""
    port = str(free_port())
    config = ROOT / "simulators" / "servicedesk" / "compose.json"
    command = [sys.executable, "-m", "simulators.servicedesk", "--port", port, "--config", str(config)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as starting:
        try:
            with pytest.raises(SmokeFailed, match=r"^Ticket \d+ has no note after"):
                send_ticket(f"http://127.0.0.1:{port}", 8)
        finally:
            starting.terminate()


def test_where_no_note_comes_it_says_how_far_the_ticket_got() -> None:
    """The desk of the compose file runs alone, so its webhook fails."""
    desk = CONFIG["desks"]["acme"] | {"webhook_url": f"http://127.0.0.1:{free_port()}/webhook"}
    with (
        serve_in_thread(create_desk({"desks": {"acme": desk}})) as url,
        pytest.raises(SmokeFailed, match=r"has no note after 1 s\. Its webhook was not answered: see `docker compose"),
    ):
        send_ticket(url, 1)
