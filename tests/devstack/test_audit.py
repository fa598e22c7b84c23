"""`make audit` lists the image's packages, and reports a failed lookup."""

import json
import subprocess

import pytest

from tests.documents.readme import ROOT


@pytest.mark.slow
def test_without_advisories_the_packages_are_listed_and_the_skip_is_visible() -> None:
    command = ["make", "audit", "ADVISORIES=http://127.0.0.1:9/"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    assert "SKIPPED: the advisory database does not answer from here" in run.stdout
    names = {one["name"] for one in json.loads((ROOT / "dist" / "sbom.json").read_text())["components"]}
    assert {"fastapi", "celery", "langgraph"} <= names
