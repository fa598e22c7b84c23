"""A system without a collector: spans in files, and housekeeping's remote checks."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from devstack.state_file import read_state
from devstack.summary import summarise
from devstack.system import System
from dispatch.asking import LookAsker
from support.diagnose.outside import HasHousekeepingLook
from support.trace import FROM_EVENTS
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.by_hand import here, typed
from tests.system.collector import STEPS

pytestmark = pytest.mark.usefixtures("untouched_logging")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    """Start it as `make dev ARGS="--traces"` does."""
    folder = tmp_path_factory.mktemp("traces")
    with System(folder, settings=SHORT, openai_seconds=0.5, traces=True, launch=loaded) as running:
        yield running


def drawn(*words: str, **settings: str) -> dict[str, Any]:
    told = here("trace", *words, "--json", **settings)
    assert (told.returncode, told.stderr) == (0, "")
    said: dict[str, Any] = json.loads(told.stdout)
    return said


def complete(system: System, ticket_id: str, count: int = 1) -> dict[str, Any]:
    """Return the spans of a ticket once it has this many attempts."""

    def found() -> dict[str, Any]:
        told = here("trace", "--ticket", ticket_id, "--traces", system.state["traces"], "--json")
        said: dict[str, Any] = json.loads(told.stdout) if told.returncode == 0 else {"spans": []}
        names = [span["name"] for span in said["spans"]]
        return said if "Webhook" in names and sum(name.startswith("Worker") for name in names) == count else {}

    return wait_for(found)


def began(span: dict[str, Any]) -> float:
    return datetime.fromisoformat(span["start"]).timestamp()


def test_the_trace_of_a_ticket_is_drawn_from_the_files_of_all_processes(system: System, world: World) -> None:
    ticket_id = world.create_ticket("VPN drops, in files")
    job = world.ended(ticket_id)
    said = complete(system, ticket_id)
    assert (said["job_id"], said["tenant_id"], said["trace_id"]) == (
        str(job["id"]),
        "acme",
        job["traceparent"].split("-")[1],
    )
    spans = {span["name"].partition(" (")[0]: span for span in said["spans"]}
    assert spans.keys() >= set(STEPS)
    assert (spans["Webhook"]["process"], spans["Webhook"]["depth"]) == ("ai-agents-api", 0)
    assert {spans[name]["process"] for name in STEPS[1:]} == {"ai-agents-worker"}
    assert [spans[name]["depth"] for name in STEPS[1:]] == [1, 1, 2, 2, 2]
    assert spans["Worker"]["notes"] == ["outcome=completed"]
    shown = here("trace", "--job", str(job["id"]), TRACES_DIR=system.state["traces"])
    assert (shown.returncode, "VPN" in shown.stdout) == (0, False)
    assert [line for line in shown.stdout.splitlines() if line.strip("│ ") == "outcome=completed"]


def test_a_failed_attempt_and_the_next_are_branches_of_one_tree(system: System, world: World) -> None:
    """Without spans, the job's events have the same attempts at the same times."""
    subject = "VPN drops, and GPT-4 is throttled"
    world.openai_fault(kind="status", code=429, match=subject, times=1)
    ticket_id = world.create_ticket(subject)
    job = world.ended(ticket_id)
    said = complete(system, ticket_id, 2)
    told = drawn("--ticket", ticket_id, DATABASE_URL=system.state["database_url"])
    assert (told["source"], told["job_id"], told["trace_id"]) == (FROM_EVENTS, said["job_id"], said["trace_id"])
    names = [span["name"] for span in told["spans"]]
    assert names == [
        *("Webhook", "Queue", "Worker (attempt 1)", "Context and GPT-4"),
        *("Pause", "Queue", "Worker (attempt 2)", "Context", "GPT-4", "ServiceDesk Update"),
    ]
    assert job["attempt"] == 2
    for one in ("Worker (attempt 1)", "Worker (attempt 2)"):
        of_span, of_event = (next(span for span in by["spans"] if span["name"] == one) for by in (said, told))
        assert of_span["state"] == of_event["state"]
        assert of_span["notes"][0].startswith(of_event["notes"][0])
    kept, known = ([began(span) for span in by["spans"] if span["name"] == "Queue"] for by in (said, told))
    assert kept == [pytest.approx(moment, abs=0.01) for moment in known]


def test_where_the_spans_are_is_told_at_the_start(system: System) -> None:
    folder = str(system.folder / "traces")
    state = read_state(system.folder)
    assert state is not None
    assert state["traces"] == folder
    (typed,) = re.findall(rf"(\S+) trace --ticket <ID> --traces {folder}\n", summarise(system, 1.0))
    assert Path(typed).is_file()
    assert {path.suffixes[-2:][0] for path in Path(folder).iterdir()} == {".traces"}


def test_with_the_settings_that_the_start_names_a_command_can_ask_all(system: System, world: World) -> None:
    ticket_id = world.create_ticket("VPN drops, asked by hand")
    world.ended(ticket_id)
    ((line, command),) = re.findall(r"  Settings +(.+)  \(.*`(\S+) \.\.\.`\)\n", summarise(system, 1.0))
    asked = typed(f"{line}; {command} diagnose --tenant acme --ticket {ticket_id}", Path.cwd())
    assert "desk: it answers, our note is in the ticket" in asked.stdout
    assert "unchecked" not in asked.stdout


async def test_housekeeping_looks_at_desk_and_model_for_who_has_no_way_there(system: System, world: World) -> None:
    ticket_id = world.create_ticket("VPN drops, somebody looks")
    world.ended(ticket_id)
    asking = LookAsker(system.state["redis_url"])
    outside = HasHousekeepingLook(asking)
    desk, model = await outside.desk("acme", ticket_id, None), await outside.model("acme")
    await asking.close()
    assert (desk.asked, desk.ticket, desk.failure) == (True, "open", "")
    assert (model.asked, model.failure) == (True, "")
