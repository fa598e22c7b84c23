"""The webhook benchmark: both sides accept, and each request of the load is signed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import webhooks
from benchmarks.load import Plan, request
from tests.documents.readme import ROOT
from webhooks.signing import signed_headers


@pytest.mark.slow
def test_both_sides_take_webhooks_and_have_their_row(tmp_path: Path) -> None:
    (tmp_path / "benchmarks.md").write_text("")
    command = [sys.executable, "-m", "benchmarks", "webhooks", "--size", "tiny", "--documents", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert run.returncode == 0, run.stderr
    for name in (*webhooks.TITLES.values(), "ours to it"):
        assert re.search(rf"^\| {re.escape(name)} (\| [\d.]+ ){{4}}\|$", run.stdout, re.MULTILINE), name
    assert "did not reach the collector" not in run.stderr


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
