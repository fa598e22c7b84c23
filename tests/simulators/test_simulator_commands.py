"""The command lines: one line on stdout, and a quick clean end with connections open."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).parents[2]


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


def end(process: "subprocess.Popen[str]", how: signal.Signals) -> tuple[int, str, str, float]:
    """Return exit code, the rest of stdout, stderr and the seconds until the end."""
    begun = time.monotonic()
    process.send_signal(how)
    out, err = process.communicate(timeout=10)
    return process.returncode, out, err, time.monotonic() - begun


def test_the_desk_ends_on_sigterm_with_a_silent_request_open(tmp_path: Path) -> None:
    config = tmp_path / "desks.json"
    config.write_text(json.dumps({"desks": {"acme": {"api_key": "k"}}}))
    with started("simulators.servicedesk", "--config", str(config)) as (process, url):
        with httpx2.Client(base_url=url, trust_env=False) as client:
            assert client.get("/_sim/health").json() == {"status": "ok"}
            client.post("/_sim/faults", json={"kind": "silence"})
            with pytest.raises(httpx2.ReadTimeout):
                client.get("/api/v3/requests", timeout=0.2)
        assert end(process, signal.SIGTERM)[:3] == (0, "", "")


def test_the_model_ends_on_sigint_with_a_stream_open() -> None:
    with started("simulators.openai", "--api-key", "k", "--seconds", "60") as (process, url):
        body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
        headers = {"authorization": "Bearer k"}
        with (
            httpx2.Client(base_url=url, trust_env=False, headers=headers) as client,
            client.stream("POST", "/v1/chat/completions", json=body) as response,
        ):
            assert response.status_code == 200
            code, out, err, seconds = end(process, signal.SIGINT)
        assert (code, out, err) == (0, "", "")
        assert seconds < 3


def test_a_wrong_configuration_is_a_message_not_a_traceback(tmp_path: Path) -> None:
    config = tmp_path / "desks.json"
    config.write_text('{"desks": {"acme": {"edition": "cloud"}}}')
    with started("simulators.servicedesk", "--config", str(config)) as (process, first_line):
        _, err = process.communicate(timeout=10)
        assert first_line == ""
        assert process.returncode == 1
        assert "client_id" in err
        assert "Traceback" not in err
