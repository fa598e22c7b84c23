"""`make image`, with a script in place of the engine."""

import subprocess
from pathlib import Path

import pytest

from dev.image import build

ENGINE = """#!/bin/sh
for folder; do :; done
{ printf '%s\\n' "$@"; ls "$folder"; } >"$0.given"
"""


def git(checkout: Path, *words: str) -> str:
    # Without the settings of the machine, which may sign commits.
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false", *words]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a clone of one commit, with a change that is not committed."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n', encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "One")
    (folder / "secrets.env").write_text("", encoding="utf-8")
    return folder


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "engine"
    path.write_text(ENGINE, encoding="utf-8")
    path.chmod(0o755)
    return path


def test_the_image_is_of_the_commit_and_labelled_with_it(
    tmp_path: Path, checkout: Path, engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(checkout, "tag", "v1.2.3")
    assert build(checkout, str(engine), "host/name", "https://example.com/it", ["--push"]) == "host/name:1.2.3"
    given = (tmp_path / "engine.given").read_text(encoding="utf-8").splitlines()
    assert given[0] == "build"
    revision = git(checkout, "rev-parse", "HEAD")
    assert {"VERSION=1.2.3", f"REVISION={revision}", "SOURCE=https://example.com/it"} < set(given)
    assert given[-5:-2] == ["--tag", "host/name:1.2.3", "--push"]
    assert given[-1] == "pyproject.toml"
    assert "not committed" in capsys.readouterr().err


def test_a_tag_of_another_version_stops_the_build(tmp_path: Path, checkout: Path, engine: Path) -> None:
    git(checkout, "tag", "v1.3.0")
    with pytest.raises(ValueError, match=r"the tag v1\.3\.0, pyproject\.toml the version 1\.2\.3"):
        build(checkout, str(engine), "name", "", [])
    assert not (tmp_path / "engine.given").exists()
