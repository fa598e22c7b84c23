"""Pre-commit hooks."""

import subprocess

import yaml

from tests.documents.documents import ROOT


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
