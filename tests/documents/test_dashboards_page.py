"""docs/dashboards.md: its commands run, its links lead somewhere, its panels and alerts are there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents.readme import ROOT
from tests.observability.pages import FOLDER, PAGES, panels

PAGE = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```sh\n\.venv/bin/python (.+)\n```$", PAGE, re.MULTILINE)
PICTURES = re.findall(r"!\[.*\]\((.+)\)", PAGE)


def test_each_command_is_one_of_those_that_run_here() -> None:
    assert COMMANDS == ["-m tests.observability.record", "-m observability.grafana"]
    assert PAGE.count("```sh") == len(COMMANDS)


def test_the_command_that_writes_the_files_writes_what_is_there(tmp_path: Path) -> None:
    subprocess.run([sys.executable, *COMMANDS[1].split(), str(tmp_path)], cwd=ROOT, check=True)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in (FOLDER / "dashboards").iterdir()}


def test_the_command_that_makes_the_pictures_starts() -> None:
    done = subprocess.run([sys.executable, *COMMANDS[0].split(), "--help"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("picture", PICTURES)
def test_each_picture_is_there_and_small(picture: str) -> None:
    data = (ROOT / "docs" / picture).read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) < 200_000
    assert f"{Path(picture).stem}.json" in PAGES


def test_each_link_leads_to_a_file() -> None:
    """The runbooks' are looked after by the alerts' tests."""
    links = [link for link in re.findall(r"\]\((.+?)\)", PAGE) if not link.startswith("runbooks/")]
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).is_file()] == []


def test_each_row_of_the_story_and_of_the_alerts_names_a_panel() -> None:
    titles = [panel["title"] for page in PAGES for panel in panels(page)]
    tables = [PAGE[PAGE.index(head) :].split("\n\n")[0].splitlines()[2:] for head in ("| at |", "| alert |")]
    for row in (row for table in tables for row in table):
        cells = row.split(" | ")[2]
        assert any(title in cells for title in titles) or "Postgres" in cells, row
