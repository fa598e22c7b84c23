"""Files that an operator adds are context for the next ticket, and are gone when he removes them."""

import json
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
    folder = tmp_path_factory.mktemp("documents")
    with System(folder, settings=SHORT, openai_seconds=0.3, housekeeping=False, launch=loaded) as running:
        yield running


def documents(system: System, *words: str) -> Answer:
    return here("documents", *words, "--tenant", "acme", DATABASE_URL=system.state["database_url"])


def context_of(system: System, ticket_id: str, tenant: str) -> str:
    """The worker's line about the context of a ticket."""
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
