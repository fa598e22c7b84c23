"""Ports reserved for one process each."""

import subprocess
import sys

from devstack import free_ports
from devstack.free_ports import free_port

TAKES = "import sys; from devstack import free_ports; print(free_ports._reserve(int(sys.argv[1])))"


def other_process_takes(port: int) -> str:
    """Return another process's result of reserving the port."""
    return subprocess.run(
        [sys.executable, "-c", TAKES, str(port)], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_port_is_given_to_one_process_though_nobody_listens_on_it_yet() -> None:
    """Two test runs that drew the same number once started two servers on it."""
    port = free_port()
    assert free_ports.is_free(port)
    assert other_process_takes(port) == "False"


def test_the_port_of_a_process_that_ended_can_be_given_again() -> None:
    port = free_port()
    another = port + 1 if port + 1 not in free_ports._given else port - 1
    assert other_process_takes(another) == "True"
    assert other_process_takes(another) == "True"
