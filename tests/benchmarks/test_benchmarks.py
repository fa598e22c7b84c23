"""`make bench` writes each page, and its baseline is without observability."""

import json
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import psycopg
import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.charts import Bar, bars
from benchmarks.growth import ASKED
from benchmarks.observability import STEPS
from benchmarks.ours import Ours, wait_until
from tests.documents.readme import ROOT
from workflow.prompt import CURRENT

NUMBER = r"[\d.]+"
SPREAD = rf"{NUMBER} \({NUMBER} to {NUMBER}\)"
TOLD = {
    "held": [rf"^\| 30 jobs, .* (\| {NUMBER} ){{4}}\|$", rf"^\| [\d.]+ (\| -?{NUMBER} ){{2}}\|$"],
    "fairness": [rf"^\| alone \| 2 (\| {NUMBER} ){{3}}\|$", rf"^\| behind 100 of another \| 3 (\| {NUMBER} ){{3}}\|$"],
    "growth": [
        rf"^\| {re.escape(name)} (\| {NUMBER} ){{6}}\|$" for name in ("a claim, 16 tenants with waiting jobs", *ASKED)
    ],
    "starts": [rf"^\| {process} (\| {NUMBER} ){{4}}\|$" for process in ("API", "worker", "housekeeping")],
    "connections": [rf"^\| ai-agents {name} \| {NUMBER} \|$" for name in ("api", "leases", "worker")],
    "observability": [
        *(rf"^\| {process} \| {SPREAD} \| {SPREAD} \| {SPREAD} \|$" for process in ("API", "worker", "both")),
        *(rf"\b1\.0 {name}\b" for name in STEPS),
    ],
    "alternatives": [rf"^\| an answer, .* (\| {NUMBER} ){{3}}\|$", rf"^\| a change, .* (\| {NUMBER} ){{3}}\|$"],
    "retrieval": [
        *(
            rf"^\| {name} (\| [01]\.\d\d ){{9}}\|$"
            for name in ("ours", "ours with embeddings", "TF-IDF", "BM25, without wrapping", "embeddings")
        ),
        rf"^\| both searches, 2,000 tickets of the tenant, 2,500 in all (\| {NUMBER} ){{3}}\|$",
    ],
    "evaluation": [
        rf"^\| wrong sources \| {NUMBER} \| {NUMBER} \| 1\.000 \|$",
        rf"^Of {NUMBER} right answers, {NUMBER} of which tell the fix, {NUMBER} are accused",
        rf"^\| planted: right \| {CURRENT} \| {NUMBER} \| ",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOLD)
def test_a_benchmark_writes_its_tables_into_the_page(name: str, tmp_path: Path) -> None:
    """Use a handful of jobs; webhooks and jobs have tests of their own."""
    (tmp_path / "benchmarks.md").write_text(f"before\n<!-- measured: {name} -->\nold\n<!-- measured end -->\nafter\n")
    words = f"{name} --size tiny --documents {tmp_path}"
    run = subprocess.run(
        ["make", "bench", f"ARGS={words}"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    page = (tmp_path / "benchmarks.md").read_text()
    for row in TOLD[name]:
        assert re.search(row, page, re.MULTILINE), (row, page)
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "old" not in page
    assert json.loads((tmp_path / "benchmarks" / "results.json").read_text())[name]["figures"]


@pytest.mark.slow
def test_the_baseline_is_without_observability(tmp_path: Path) -> None:
    """Jobs complete and notes are posted, without job lines, traces or metrics."""
    with Ours(tmp_path, dark=True, settings={"LOG_FORMAT": "text"}) as ours:
        ours.send(3)
        ours.await_notes(3)
        system = ours.system
        ended = "SELECT traceparent, note_id IS NOT NULL FROM jobs WHERE state = 'completed'"
        with psycopg.connect(system.state["database_admin_url"], autocommit=True) as rows:
            wait_until(lambda: len(rows.execute(ended).fetchall()) == 3, "3 jobs completed")
            assert rows.execute(ended).fetchall() == [(None, True)] * 3
        assert [line.split()[2] for line in system.workers[0].output().splitlines()] == ["Worker"]
        assert "webhook" not in system.api.output().lower()
        assert "worker" not in system.state["metrics"]


def test_the_page_has_a_place_for_each_benchmark_and_its_charts() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for name in BENCHMARKS:
        assert page.count(f"<!-- measured: {name} -->") == 1
    assert page.count("<!-- measured: goals -->") == 1
    assert page.count("<!-- measured end -->") == len(BENCHMARKS) + 1
    drawn = {path.name for path in (ROOT / "docs" / "benchmarks").glob("*.svg")}
    assert drawn == set(re.findall(r"\(benchmarks/([a-z-]+\.svg)\)", page))
    verbs = re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z-]+)", page)) <= set(verbs)


def test_a_bar_is_as_long_as_its_figure_is_large() -> None:
    drawn = bars("Jobs & more", "a second", [Bar("theirs", 50), Bar("ours", 100, ours=True)], "below")
    found = ET.fromstring(drawn)  # noqa: S314 -- drawn just now
    widths = [float(box.attrib["width"]) for box in found.findall("{http://www.w3.org/2000/svg}rect")][1:]
    assert widths[1] == pytest.approx(2 * widths[0])
    assert {"Jobs & more", "theirs", "ours", "100"} <= {text.text for text in found}
