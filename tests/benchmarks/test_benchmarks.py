"""`make bench` runs end to end, its baseline is without observability, and its page shows its tables."""

import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from benchmarks.__main__ import COST_HEAD, OTHERS_HEAD, SIZES_HEAD
from benchmarks.cost import STEPS
from benchmarks.side import Side
from tests.documents.readme import ROOT

TINY = "--rounds 1 --pairs 1 --jobs 4 --held 2 --openai-seconds 3 --most-ratio 99"


@pytest.mark.slow
def test_the_command_measures_both_and_prints_its_tables() -> None:
    """With a handful of jobs: every number is there, and the spans of every step reached the collector."""
    run = subprocess.run(
        ["make", "bench", f"ARGS={TINY}"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    for head in (COST_HEAD, SIZES_HEAD, OTHERS_HEAD):
        assert "\n".join(head) in run.stdout
    number = r"\d+(?:\.\d+)?"
    spread = rf"{number} \({number} to {number}\)"
    for process in ("API", "worker", "both"):
        assert re.search(rf"^\| {process} \| {spread} \| {spread} \| {spread} \|$", run.stdout, re.MULTILINE)
    for name in STEPS:
        assert re.search(rf"\b1\.0 {name}\b", run.stdout), name
    assert re.search(rf"^\| 2 (\| {number} ){{6}}\|$", run.stdout, re.MULTILINE)
    for process in ("api", "housekeeping"):
        assert re.search(rf"^\| {process} (\| {number} ){{3}}\|$", run.stdout, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("changes", r"[\d.]+ ms by a function, [\d.]+ ms by the ORM: 0\.\d\d\n"),
        ("answers", r"[\d.]+ ms by us, [\d.]+ ms by the package: 0\.\d\d\n"),
    ],
)
def test_a_part_of_a_job_is_measured_beside_its_plain_form(module: str, told: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{module}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert re.fullmatch(told, run.stdout), run.stderr


@pytest.mark.slow
def test_the_baseline_is_without_observability(tmp_path: Path) -> None:
    """Jobs are done and notes are posted, but there is no line of a job, no trace and no metric."""
    with Side(tmp_path, dark=True, openai_seconds=0.2) as side:
        side.send(3)
        side.await_ends()
        system = side.system
        with psycopg.connect(system.state["database_admin_url"]) as rows:
            done = rows.execute("SELECT state::text, traceparent, note_id IS NOT NULL FROM jobs").fetchall()
        assert done == [("completed", None, True)] * 3
        assert [line.split()[2] for line in system.workers[0].output().splitlines()] == ["Worker"]
        assert "webhook" not in system.api.output().lower()
        assert "worker" not in system.state["metrics"]


def test_the_page_has_the_tables_that_the_command_prints() -> None:
    """Under the commands that print them."""
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for head in (COST_HEAD, SIZES_HEAD, OTHERS_HEAD):
        assert "\n".join(head) in page
    verbs = re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z-]+)", page)) <= set(verbs)
    assert {"bench", "bench-full"} <= set(verbs)
