"""docs/containers.md, checked by rule; test_compose.py runs its commands."""

import re
import subprocess

from tests.containers.files import COMMANDS, PAGE, ROOT, SERVICES


def test_each_command_is_one_that_there_is() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for line in COMMANDS:
        kind, *words = line.removeprefix("docker ").split()
        if kind == "make":
            assert f"make {words[0]} " in listed
        else:
            assert kind == "compose"
            assert words[0] in ("up", "exec", "logs")
            if words[0] == "exec":
                assert words[1] in SERVICES


def test_each_address_is_a_port_of_the_compose_file() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    open_by_default = {re.findall(r":-(\d+)\}", port)[0] for port in ports}
    assert set(re.findall(r"http://localhost:(\d+)", PAGE)) == open_by_default
