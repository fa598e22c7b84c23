"""Workflows, forms and Renovate's settings: their schemas, and known mistakes of workflows."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
FORMS = sorted(path.name for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
FILES = {
    "github-workflows": sorted(f".github/workflows/{path.name}" for path in (ROOT / ".github/workflows").iterdir()),
    "github-issue-forms": [f".github/ISSUE_TEMPLATE/{name}" for name in FORMS],
    "github-issue-config": [".github/ISSUE_TEMPLATE/config.yml"],
    "renovate": ["renovate.json"],
}


def run(program: str, *words: str) -> str:
    """Return the output of a failed check, else nothing."""
    done = subprocess.run([PROGRAMS / program, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def test_workflows_are_pinned_and_have_least_permissions() -> None:
    """Without the online audits, which compare a digest with its version."""
    assert run("zizmor", "--offline", "--no-progress", ".github") == ""


@pytest.mark.parametrize("schema", FILES)
def test_each_file_has_the_form_that_its_reader_expects(schema: str) -> None:
    assert run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *FILES[schema]) == ""
