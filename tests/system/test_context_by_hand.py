"""Context added or copied by an operator, without housekeeping."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World
from tests.system.by_hand import Answer, here, on
from tests.system.outcomes import assert_one_note

HANDBOOK = "# Scanner sends empty files\n\nClean the rollers of the scanner on floor two, then restart it.\n"
SUBJECT = "Scanner on floor two sends empty files"
pytestmark = pytest.mark.usefixtures("untouched_logging")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("by-hand")
    with System(folder, settings=SHORT, openai_seconds=0.3, housekeeping=False, launch=loaded) as running:
        yield running


def documents(system: System, *words: str) -> Answer:
    return here("documents", words[0], "--tenant", "acme", *words[1:], DATABASE_URL=system.state["database_url"])


def context_of(system: System, ticket_id: str, tenant: str) -> str:
    about = f"ticket_id: {ticket_id}, tenant_id: {tenant},"
    lines = system.workers[0].output().splitlines()
    return next(line for line in lines if "Context gathered" in line and about in line)


def test_a_folder_is_added_found_listed_and_removed(system: System, world: World, tmp_path: Path) -> None:
    handbook = tmp_path / "handbook.md"
    handbook.write_text(HANDBOOK)
    (tmp_path / "broken.pdf").write_text("%PDF-1.7")
    added = on(system, "documents", "add", str(tmp_path), "--tenant", "acme")
    assert added.returncode == 1
    assert added.stdout.splitlines()[1].split() == ["added", "1", str(handbook)]
    assert f"Not read: {tmp_path / 'broken.pdf'}: it is broken" in added.stderr
    assert "updated" in documents(system, "add", str(handbook)).stdout

    ticket_id = world.create_ticket(SUBJECT)
    assert_one_note(world, ticket_id)
    assert "docs=Yes" in context_of(system, ticket_id, "acme")
    assert "handbook: Scanner sends empty files" in str(world.notes(ticket_id))
    assert_one_note(world, elsewhere := world.create_ticket(SUBJECT, "globex"), "globex")
    assert "docs=No" in context_of(system, elsewhere, "globex")

    (told,) = json.loads(documents(system, "list", "--json").stdout)
    assert (told["path"], told["parts"]) == (str(handbook), 1)
    assert documents(system, "remove", str(handbook)).stdout == f"Removed: {handbook}\n"
    gone = documents(system, "remove", str(handbook))
    assert (gone.returncode, gone.stderr) == (1, f"Not there: {handbook}\n")
    assert "No document was added." in documents(system, "list").stderr
    nothing = documents(system, "add", str(tmp_path / "empty"))
    assert nothing.returncode == 1


def test_what_is_gone_from_a_folder_is_told_and_a_folder_is_removed(system: System, tmp_path: Path) -> None:
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text(HANDBOOK)
    assert documents(system, "add", f"{tmp_path}/.").returncode == 0
    (tmp_path / "b.md").unlink()
    again = documents(system, "add", str(tmp_path))
    assert (again.returncode, again.stderr) == (0, f"Not in its folder any more, and still used: {tmp_path / 'b.md'}\n")
    gone = json.loads(documents(system, "remove", "--json", f"{tmp_path}//").stdout)
    assert [one["path"] for one in gone] == [str(tmp_path / "a.md"), str(tmp_path / "b.md")]


def test_an_empty_path_and_a_name_that_is_no_text_are_refused(system: System, tmp_path: Path) -> None:
    assert documents(system, "add", "").returncode == 2
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/n\xff.md"))
    odd.write_text("x")
    answer = documents(system, "add", str(tmp_path))
    assert (answer.returncode, "its name is not UTF-8" in answer.stderr) == (1, True)


def sync(system: System, *words: str, **settings: str) -> Answer:
    environment = system.housekeeping.environment
    names = ("DATABASE_URL", "REDIS_URL")
    own = {name: value for name, value in environment.items() if name in names or name.startswith("SERVICEDESK_")}
    return here("sync", *words, **own | settings)


def rows(answer: Answer) -> dict[str, list[str]]:
    return {row.split()[0]: row.split() for row in answer.stdout.splitlines()[1:]}


def test_a_desk_is_copied_to_its_end_and_is_context_from_then_on(system: System, world: World) -> None:
    before = sync(system)
    assert before.returncode == 0
    assert before.stdout.splitlines()[0].split()[:2] == ["TENANT", "TICKETS"]
    assert {tenant: row[1:3] for tenant, row in rows(before).items()} == {"acme": ["0", "0"], "globex": ["0", "0"]}
    # The desk's list was never read to its end.
    assert rows(before)["acme"][3] == "0+"

    done = sync(system, "--tenant", "acme")
    assert done.returncode == 0, done.stderr
    (row,) = rows(done).values()
    assert int(row[1]) > 5
    assert int(row[2]) > 3
    assert row[3] == "0"
    ticket_id = world.create_ticket("VPN disconnects every few minutes")
    assert_one_note(world, ticket_id)
    lines = system.workers[0].output().splitlines()
    (context,) = [line for line in lines if "Context gathered" in line and f"ticket_id: {ticket_id}," in line]
    assert "ticket_history=Yes" in context


def test_for_machines_it_is_json(system: System) -> None:
    told = {each["tenant_id"]: each for each in json.loads(sync(system, "--json").stdout)}
    assert told.keys() == {"acme", "globex"}
    assert told["globex"].keys() >= {"tickets", "solutions", "to_read", "listed", "reaches_back_to", "seconds_left"}


def test_a_desk_that_does_not_answer_is_told_and_what_is_no_desk_too(system: System, world: World) -> None:
    world.desk_fault(kind="status", code=503, tenant="globex", times=99)
    failed = sync(system, "--tenant", "globex")
    assert failed.returncode == 1
    assert "Not all is copied: ServiceDesk Plus API: 503. Run it again" in failed.stderr
    unknown = sync(system, "--tenant", "initech")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "No desk is set for initech" in unknown.stderr
