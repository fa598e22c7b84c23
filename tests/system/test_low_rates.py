"""Low desk rates: jobs are held back, resume at their step, and complete."""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World
from tests.system.outcomes import assert_one_note

pytestmark = pytest.mark.slow


def rates(**per_minute: int) -> dict[str, int]:
    return {f"{tenant}.servicedesk.rate_per_minute": rate for tenant, rate in per_minute.items()}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    folder: Path = tmp_path_factory.mktemp("rates")
    settings = SHORT | rates(acme=11, globex=10)
    with System(folder, settings=settings, workers=2, openai_seconds=0.5, housekeeping=False, launch=loaded) as running:
        yield running


def test_a_lone_job_of_a_desk_at_eleven_a_minute_completes(world: World) -> None:
    """It is held back before its note, and resumes for that alone."""
    subject = "VPN does not connect, told to a slow desk"
    ticket_id = world.create_ticket(subject)
    assert world.ended(ticket_id, seconds=25)["state"] == "completed"
    assert [request["operation"] for request in world.desk_requests()] == ["read_ticket", "read_ticket", "add_note"]
    assert len(world.gpt4_requests(subject)) == 1


def test_five_jobs_at_once_complete_within_the_rate(world: World, system: System) -> None:
    """Fifteen calls at ten a minute: a minute and a half, and no job restarts."""
    subjects = [f"Paced-{number:02}-x" for number in range(5)]
    started = time.monotonic()
    tickets = {world.create_ticket(subject, "globex"): subject for subject in subjects}
    for ticket_id, subject in tickets.items():
        assert_one_note(world, ticket_id, "globex", seconds=180)
        assert world.job(ticket_id, "globex")["attempt"] == 1
        assert len(world.gpt4_requests(subject)) == 1
    assert time.monotonic() - started < 180
    requests = world.desk_requests("globex")
    assert Counter(request["ticket_id"] for request in requests) == dict.fromkeys(tickets, 3)
    moments = [request["time"] for request in requests]
    assert max(bisect_left(moments, first + 60) - index for index, first in enumerate(moments)) <= 10
    told = "".join(worker.log_path.read_text(encoding="utf-8") for worker in system.workers)
    assert "reason=desk rate limit, held back for" in told
    assert "Task failed" not in told
