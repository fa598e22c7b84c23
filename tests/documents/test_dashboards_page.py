"""docs/dashboards.md: its commands run, and its pictures match the dashboards."""

import re
import subprocess
import sys
from pathlib import Path

from devstack.document_tables import DASHBOARDS, ROOT

PAGE = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
(RECORD,) = re.findall(r"^```sh\n\.venv/bin/python (.+)\n```$", PAGE, re.MULTILINE)


def test_the_command_that_makes_the_pictures_starts() -> None:
    done = subprocess.run([sys.executable, *RECORD.split(), "--help"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_picture_is_there_and_small() -> None:
    pictures = [Path(picture) for picture in re.findall(r"!\[.*\]\((.+)\)", PAGE)]
    assert {f"{picture.stem}.json" for picture in pictures} == {path.name for path in DASHBOARDS.glob("*.json")}
    for picture in pictures:
        data = (ROOT / "docs" / picture).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) < 200_000
