"""Project files for tools: pre-commit hooks, license, changelog."""

import re
import subprocess
import tomllib

import yaml

from tests.documents.documents import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_hooks_before_a_commit_run_what_make_lint_runs() -> None:
    """Each command of the target is a hook, and needs no extra installation."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = config["repos"]
    hooks = repository["hooks"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {(hook["pass_filenames"], hook["always_run"]) for hook in hooks} == {(False, True)}
    told = subprocess.run(["make", "-n", "lint"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    verb = [line for line in told.splitlines() if line.startswith(".venv/bin/python ")]
    assert len(verb) > 1
    assert [hook["entry"] for hook in hooks] == verb


def test_the_license_is_named_and_there() -> None:
    """By SPDX name, with its text in each distribution."""
    assert (PROJECT["license"], PROJECT["license-files"]) == ("Apache-2.0", ["LICENSE"])
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_changelog_begins_with_what_is_not_released() -> None:
    """Releases with dates follow, and the newest is the project's version."""
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert [heading for heading in headings[1:] if not re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", heading)] == []
    released = [heading.split(" ")[0] for heading in headings[1:]]
    assert released[:1] in ([], [PROJECT["version"]])
