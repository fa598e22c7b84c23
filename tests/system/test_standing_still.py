"""A hung worker ends itself; a process with a silent database waits.

The end of a hung housekeeping is in `test_readiness`.
"""

import time
from pathlib import Path

import pytest

from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.world import World, wait_for
from tests.system.unreadable import IMPATIENT, not_opened_by_others, only_linux, with_secret_files

pytestmark = pytest.mark.slow


@only_linux
def test_a_worker_whose_event_loop_stands_still_ends_too_and_loses_no_job(
    tmp_path: Path, loaded: LoadedPrograms
) -> None:
    """It cannot give the job back: the job is found by its lease."""
    settings = IMPATIENT | {"LEASE_SECONDS": "3"}
    with System(
        tmp_path / "system", settings=settings, openai_seconds=0.5, housekeeping=False, launch=loaded
    ) as system:
        world = World(system)
        worker = system.workers[0]
        key = with_secret_files(system, worker, tmp_path / "secrets")
        assert world.ended(world.create_ticket())["state"] == "completed"
        # The next job is the first to read it again.
        time.sleep(5)
        with not_opened_by_others(key):
            ticket_id = world.create_ticket()
            assert worker.wait(40) == 75
        assert "Worker error: its event loop stands still; it ends, to be started anew" in worker.output()
        system.restart(worker)
        assert world.ended(ticket_id)["state"] == "completed"
        assert len(world.notes(ticket_id)) == 1
        world.close()


def test_a_database_that_is_silent_is_an_outage_and_no_reason_to_end(tmp_path: Path, loaded: LoadedPrograms) -> None:
    """For ten watchdog limits: it logs the outage and resumes with the database."""
    with System(tmp_path / "system", workers=0, settings=IMPATIENT, launch=loaded) as system:
        process = system.housekeeping
        wait_for(lambda: "Sync completed: tenant_id=acme" in process.output())
        system.postgres.pause()
        try:
            wait_for(lambda: "Database error: housekeeping waits" in process.output(), 40)
        finally:
            system.postgres.resume()
        copied = process.output().count("Sync completed")
        wait_for(lambda: process.output().count("Sync completed") > copied)
        assert process.running
        assert "Housekeeping error" not in process.output()
