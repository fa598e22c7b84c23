"""A blocked log pipe: a stopping worker gives its job back all the same."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from devstack.processes import Process
from devstack.system import System
from tests.kit.world import World, wait_for

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="the size of a pipe is Linux's to set")


@contextmanager
def into_a_pipe(process: Process) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the process's command with its output in a pipe; return the writing end."""
    out, into = os.pipe()
    short = process.environment | {"WORKER_GRACE_SECONDS": "0.2"}
    started = subprocess.Popen(process.command, env=short, cwd=process.folder, stdout=into, stderr=into)
    try:
        yield started, into
    finally:
        started.kill()
        started.wait()
        os.close(out)
        os.close(into)


def fill(into: int) -> None:
    """Fill the pipe, then make writes block again."""
    flags = fcntl.fcntl(into, fcntl.F_GETFL)
    fcntl.fcntl(into, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        while True:
            os.write(into, b"x")
    except BlockingIOError:
        fcntl.fcntl(into, fcntl.F_SETFL, flags)


@only_linux
@pytest.mark.slow
def test_a_worker_hands_its_job_back_and_ends_though_its_log_takes_no_line(around: World, quick: System) -> None:
    """Its end is forced, 20 s after its grace period, since no thread can log."""
    quick.workers[0].stop(8)
    with into_a_pipe(quick.workers[0]) as (worker, into):
        ticket_id = around.create_ticket("VPN is silent")
        wait_for(lambda: around.gpt4_requests("VPN is silent"))
        fill(into)
        worker.send_signal(signal.SIGTERM)
        wait_for(lambda: around.job(ticket_id)["state"] == "waiting", 5)
        # Given back, not taken away after its lease had expired: it cost no attempt.
        assert around.job(ticket_id)["attempt"] == 0
        assert worker.wait(30) == 75
    # The message stays with the dead worker for half an hour, and the relay would wait until its loss is certain.
    with redis.Redis.from_url(quick.state["redis_url"]) as client:
        client.delete("unacked", "unacked_index")
