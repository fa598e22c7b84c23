"""The job benchmark: all workers complete, desk and model answer like the simulators."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import jobs
from benchmarks.outside import DeskAndModel
from integrations.servicedesk.parsing import decode, ticket_of
from tests.documents.readme import ROOT


@pytest.mark.slow
def test_every_worker_does_its_jobs_and_has_its_row(tmp_path: Path) -> None:
    (tmp_path / "benchmarks.md").write_text("")
    command = [sys.executable, "-m", "benchmarks", "jobs", "--size", "tiny", "--documents", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert run.returncode == 0, run.stderr
    for title in jobs.TITLES.values():
        assert re.search(rf"^\| {re.escape(title)} (\| [\d.]+ ){{4}}\|$", run.stdout, re.MULTILINE), title
    assert "did not reach the collector" not in run.stderr


def test_the_cheap_desk_answers_as_the_simulated_one_does() -> None:
    outside = DeskAndModel(seconds=0, pieces=98)
    head, _, body = outside.ticket(b"77").partition(b"\r\n\r\n")
    assert int(head.rpartition(b" ")[2]) == len(body)
    assert ticket_of(decode(200, body, None).body["request"]).ticket_id == "77"
    outside.take_note(b"77")
    assert json.loads(outside.count().partition(b"\r\n\r\n")[2])["notes"] == 1


def test_the_cheap_model_streams_a_piece_a_token() -> None:
    question = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "?"}], "stream": True}
    streamed = DeskAndModel(seconds=0, pieces=98).reply(json.dumps(question).encode())
    texts = [json.loads(part.partition(b"data: ")[2].strip()) for part in streamed[1:-2]]
    assert 50 < len([text for text in texts if text["choices"][0]["delta"]["content"]]) <= 98
    assert streamed[-1].endswith(b"0\r\n\r\n")
