"""The command lines: one line on stdout, and a quick clean end with connections open."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).parents[3]


@contextmanager
def started(*arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_the_desk_ends_on_sigterm_with_a_silent_request_open(tmp_path: Path) -> None:
    config = tmp_path / "desks.json"
    config.write_text(json.dumps({"desks": {"acme": {"api_key": "k"}}}))
    with started("dev.simulators.servicedesk", "--config", str(config)) as (process, url):
        with httpx2.Client(base_url=url, trust_env=False) as client:
            assert client.get("/_sim/health").json() == {"status": "ok"}
            client.post("/_sim/faults", json={"kind": "silence"})
            with pytest.raises(httpx2.ReadTimeout):
                client.get("/api/v3/requests", timeout=0.2)
        process.terminate()
        assert process.communicate(timeout=10) == ("", "")
        assert process.returncode == 0


def test_a_wrong_configuration_is_a_message_not_a_traceback(tmp_path: Path) -> None:
    config = tmp_path / "desks.json"
    config.write_text('{"desks": {"acme": {"edition": "cloud"}}}')
    with started("dev.simulators.servicedesk", "--config", str(config)) as (process, first_line):
        _, err = process.communicate(timeout=10)
        assert first_line == ""
        assert process.returncode == 1
        assert "client_id" in err
        assert "Traceback" not in err
