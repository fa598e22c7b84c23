"""`python -m benchmarks.jobs` runs the same job through ours and each peer; its desk and model are the simulators'."""

import json
import re
import subprocess
import sys

import pytest

from benchmarks import jobs
from benchmarks.outside import DeskAndModel
from integrations.servicedesk.answers import decode
from integrations.servicedesk.contents import ticket_of
from tests.documents.readme import ROOT


@pytest.mark.slow
def test_every_worker_does_its_jobs_and_stands_in_the_table() -> None:
    command = [sys.executable, "-m", "benchmarks.jobs", "--rounds", "1", "--jobs", "10"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert run.returncode == 0, run.stderr
    for peer in jobs.PEERS.values():
        row = rf"^\| {re.escape(peer.title)} (\| [\d.]+ ){{4}}\| {re.escape(peer.lacks)} \|$"
        assert re.search(row, run.stdout, re.MULTILINE), peer.title
    assert re.search(r"^\| ours (\| [\d.]+ ){2}", run.stdout, re.MULTILINE)
    assert "did not reach the collector" not in run.stderr


def test_the_cheap_desk_answers_as_the_simulated_one_does() -> None:
    outside = DeskAndModel(seconds=0, pieces=98)
    head, _, body = outside.ticket(b"77").partition(b"\r\n\r\n")
    assert int(head.rpartition(b" ")[2]) == len(body)
    assert ticket_of(decode(200, body, None).body["request"]).ticket_id == "77"
    outside.take_note(b"77")
    assert json.loads(outside.count().partition(b"\r\n\r\n")[2])["notes"] == 1


def test_the_cheap_model_streams_a_piece_a_token() -> None:
    question = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "?"}]}
    outside = DeskAndModel(seconds=0, pieces=98)
    assert len(outside.reply(json.dumps(question).encode())) == 1
    streamed = outside.reply(json.dumps(question | {"stream": True}).encode())
    texts = [json.loads(part.partition(b"data: ")[2].strip()) for part in streamed[1:-2]]
    assert 50 < len([text for text in texts if text["choices"][0]["delta"]["content"]]) <= 98
    assert streamed[-1].endswith(b"0\r\n\r\n")
