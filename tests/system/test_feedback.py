"""Feedback on a running system: the note's link, its page, and the metrics."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.by_hand import here
from tests.system.outcomes import figures

pytestmark = pytest.mark.usefixtures("untouched_logging")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    folder: Path = tmp_path_factory.mktemp("feedback")
    settings = SHORT | {"SYNC_INTERVAL_SECONDS": "1"}
    with System(folder, settings=settings, openai_seconds=0.2, launch=loaded) as running:
        yield running


def test_a_note_is_voted_on_measured_when_its_ticket_is_closed_and_told_of(system: System, world: World) -> None:
    ticket_id = world.create_ticket("VPN drops, with feedback")
    job = world.ended(ticket_id)
    link = world.feedback_link(ticket_id)
    assert link.startswith(system.state["feedback_url"] + "/f/")
    assert httpx2.get(link).status_code == 200
    world.vote(ticket_id, "not useful", reason="nothing new")
    steps = " ".join(world.steps(ticket_id))
    world.solve(ticket_id, f"{steps} Replaced cable, port, switch and router.")
    measured = "ai_agents_note_taken_up_ratio_count"
    wait_for(lambda: any(name.startswith(measured) for name in figures(system, "housekeeping")))
    done = here("feedback", "--tenant", "acme", "--json", DATABASE_URL=system.state["database_url"])
    (row,) = json.loads(done.stdout)
    assert (row["tenant_id"], row["model"], row["notes"], row["votes"]) == ("acme", job["model"], 1, 1)
    assert (row["useful_share"], row["reasons"], row["taken_up_of"]) == (0, {"nothing new": 1}, 1)
    assert 0 < row["taken_up"] < 1
    (counted,) = [name for name in figures(system) if name.startswith("ai_agents_feedback_total")]
    assert 'tenant_id="acme"' in counted
    assert 'vote="not useful"' in counted
    lines = system.api.output()
    assert f"Feedback recorded: job_id={job['id']}, vote=not useful, reason=nothing new" in lines
    assert link.rpartition("/")[2] not in lines


def test_the_figures_are_of_all_tenants_in_the_settings(system: System, world: World) -> None:
    world.ended(world.create_ticket("VPN drops, at another's", "globex"), "globex")
    known = {name: value for name, value in system.api.environment.items() if name.startswith("WEBHOOK_SECRET_")}
    done = here("feedback", "--days", "7", DATABASE_URL=system.state["database_url"], **known)
    head, *rows = done.stdout.splitlines()
    assert head.split()[:4] == ["TENANT", "PROMPT", "MODEL", "NOTES"]
    assert {row.split()[0] for row in rows} >= {"globex"}
    nobody = here("feedback", DATABASE_URL=system.state["database_url"])
    assert (nobody.returncode, nobody.stdout) == (0, "")
    assert "name one with --tenant" in nobody.stderr
    unused = here("feedback", "--tenant", "initech", DATABASE_URL=system.state["database_url"])
    assert "No note was written in 30 days." in unused.stderr
    assert here("feedback", "--days", "100000").returncode == 2


def test_without_a_key_there_is_neither_a_page_nor_a_link(system: System, world: World) -> None:
    off = {"FEEDBACK_URL": "", "FEEDBACK_KEY": ""}
    own = {name: system.api.environment[name] for name in off}
    for process in (system.api, *system.workers):
        system.restart(process, off)
    try:
        ticket_id = world.create_ticket("VPN drops, without feedback")
        world.ended(ticket_id)
        (note,) = world.notes(ticket_id)
        assert "useful" not in note
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(own["FEEDBACK_URL"])
    finally:
        for process in (system.api, *system.workers):
            system.restart(process, own)
