"""`make bench` writes each page; its load is signed, and its desk and model answer like the simulators."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import jobs, webhooks
from benchmarks.__main__ import BENCHMARKS
from benchmarks.growth import ASKED
from benchmarks.load import Plan, request
from benchmarks.outside import DeskAndModel
from integrations.servicedesk.parsing import decode, ticket_of
from tests.documents.readme import ROOT
from webhooks.signing import signed_headers

NUMBER = r"[\d.]+"


def rows(*names: str, figures: int) -> list[str]:
    return [rf"^\| {re.escape(name)} (\| {NUMBER} ){{{figures}}}\|$" for name in names]


TOLD = {
    "webhooks": rows(*webhooks.TITLES.values(), "ours to it", figures=4),
    "jobs": rows(*jobs.TITLES.values(), figures=4),
    "held": [rf"^\| 30 jobs, .* (\| {NUMBER} ){{4}}\|$", rf"^\| [\d.]+ (\| -?{NUMBER} ){{2}}\|$"],
    "growth": rows("a claim, 16 tenants with waiting jobs", *ASKED, figures=3),
    "starts": rows("API", "worker", "housekeeping", figures=4),
    "retrieval": [
        *rows("ours", "ours with embeddings", "TF-IDF", "BM25, without wrapping", "embeddings", figures=9),
        *rows("both searches, 2,000 tickets of the tenant, 2,500 in all", figures=3),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOLD)
def test_a_benchmark_writes_its_tables_into_the_page(name: str, tmp_path: Path) -> None:
    """Use a handful of jobs."""
    (tmp_path / "benchmarks.md").write_text(f"before\n<!-- measured: {name} -->\nold\n<!-- measured end -->\nafter\n")
    words = f"{name} --size tiny --documents {tmp_path}"
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
        assert page.count(f"<!-- measured: {name} -->") == 1
    assert page.count("<!-- measured end -->") == len(BENCHMARKS) + 1


def test_a_request_of_the_load_is_signed_and_like_no_other() -> None:
    plan = Plan(port=1, secret="s3cret", tenant="acme", first_ticket=7, seconds=1, requests=2)
    heads, bodies = zip(*(request(plan, number).split(b"\r\n\r\n") for number in range(2)), strict=True)
    names = [dict(line.split(": ") for line in head.decode().split("\r\n")[1:]) for head in heads]
    for headers, body in zip(names, bodies, strict=True):
        signed = signed_headers("s3cret", body, int(headers["X-ServiceDesk-Timestamp"]))
        assert signed.items() <= headers.items()
        assert 800 < len(body) == int(headers["Content-Length"]) < 1000
    assert bodies[0] != bodies[1]
    assert names[0]["X-ServiceDesk-Delivery"] != names[1]["X-ServiceDesk-Delivery"]


def test_the_cheap_desk_answers_as_the_simulated_one_does() -> None:
    outside = DeskAndModel(seconds=0, pieces=98)
    head, _, body = outside.ticket(b"77").partition(b"\r\n\r\n")
    assert int(head.rpartition(b" ")[2]) == len(body)
    assert ticket_of(decode(200, body, None).body["request"]).ticket_id == "77"
    outside.take_note(b"77")
    assert json.loads(outside.told(b"count").partition(b"\r\n\r\n")[2])["notes"] == 1


def test_the_cheap_model_streams_a_piece_a_token() -> None:
    question = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "?"}], "stream": True}
    streamed = DeskAndModel(seconds=0, pieces=98).reply(json.dumps(question).encode())
    texts = [json.loads(part.partition(b"data: ")[2].strip()) for part in streamed[1:-2]]
    assert 50 < len([text for text in texts if text["choices"][0]["delta"]["content"]]) <= 98
    assert streamed[-1].endswith(b"0\r\n\r\n")
