"""`make bench` writes each page, which has a place for each."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from dev.benchmarks import jobs, webhooks
from dev.benchmarks.__main__ import BENCHMARKS
from dev.benchmarks.growth import STATEMENTS
from dev.benchmarks.retrieval.sets import FOLDER
from tests.docs.documents import ROOT

NUMBER = r"[\d.]+"


def rows(*names: str, figures: int) -> list[str]:
    return [rf"^\| {re.escape(name)} (\| {NUMBER} ){{{figures}}}\|$" for name in names]


TOLD = {
    "webhooks": rows(*webhooks.TITLES.values(), "ours to it", figures=4),
    "jobs": rows(*jobs.TITLES.values(), figures=4),
    "held": [rf"^\| 30 jobs, .* (\| {NUMBER} ){{4}}\|$", rf"^\| [\d.]+ (\| -?{NUMBER} ){{2}}\|$"],
    "growth": rows("a claim, 16 tenants with waiting jobs", *STATEMENTS, figures=3),
    "starts": rows("API", "worker", "housekeeping", figures=4),
    "retrieval": [
        *rows("ours", "ours with embeddings", "TF-IDF, without wrapping", "BM25, without wrapping", figures=9),
        *rows("both searches, 2,000 tickets of the tenant, 2,500 in all", figures=3),
    ],
    "trackers": [rf"^\| 10 \| 1 (\| {NUMBER} ){{6}}\|$", *rows("desk", figures=6)],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOLD)
def test_a_benchmark_writes_its_tables_into_the_page(name: str, tmp_path: Path) -> None:
    (tmp_path / "desk.jsonl").write_bytes((FOLDER / "tickets" / "mail.jsonl").read_bytes())
    (tmp_path / "benchmarks.md").write_text(f"before\n<!-- table: bench-{name} -->\nold\n<!-- end -->\nafter\n")
    folder = f" folder={tmp_path}" * (name == "trackers")
    words = f"{name}{folder} --size tiny --documents {tmp_path}"
    run = subprocess.run(
        ["make", "bench", f"ARGS={words}"], cwd=ROOT, capture_output=True, text=True, timeout=400, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "did not reach the collector" not in run.stderr
    page = (tmp_path / "benchmarks.md").read_text()
    for row in TOLD[name]:
        assert re.search(row, page, re.MULTILINE), (row, page)
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "old" not in page
    assert json.loads((tmp_path / "benchmarks" / "results.json").read_text())[name]["figures"]


def test_the_page_has_a_place_for_each_benchmark() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert TOLD.keys() == BENCHMARKS.keys()
    for name in (*BENCHMARKS, "goals"):
        assert page.count(f"<!-- table: bench-{name} -->") == 1
    assert page.count("<!-- end -->") == len(BENCHMARKS) + 1
