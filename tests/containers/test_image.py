"""The image alone: its content, its messages if it cannot start, and signals."""

import json
import time
from collections.abc import Callable

import pytest

from tests.config.given import ENOUGH
from tests.containers.stack import LABEL, Engine

pytestmark = pytest.mark.containers
Once = Callable[..., tuple[int, str]]
SHELL = ("--entrypoint", "sh")


def test_the_image_contains_supports_programs_and_nothing_unneeded(once: Once) -> None:
    _, output = once(
        "-c", "redis-cli --version; psql --version; which gcc cc make; ls /app /opt/venv/bin", options=SHELL
    )
    assert "redis-cli " in output
    assert "psql (PostgreSQL) " in output
    found = set(output.split())
    assert {"api", "worker", "db", "celery", "uvicorn"} <= found
    assert not {"simulators", "dev", "tests", "pip", "pip3", "pytest", "/usr/bin/gcc", "/usr/bin/make"} & found


def test_its_code_is_compiled_already(once: Once) -> None:
    """On a read-only file system each start would compile everything again."""
    script = 'find /app /opt/venv -name "*.py" | wc -l; find /app /opt/venv -name "*.pyc" | wc -l'
    _, output = once("-c", script, options=SHELL)
    sources, compiled = (int(line) for line in output.split())
    assert compiled > 0.98 * sources


def test_no_secret_and_no_development_setting_is_in_it(engine: Engine, image: str) -> None:
    config = json.loads(engine.output("inspect", "--format", "{{json .Config}}", image))
    names = {setting.partition("=")[0] for setting in config["Env"]}
    assert not {name for name in names if "URL" in name or "SECRET" in name or "KEY" in name or "PASSWORD" in name}
    assert {"LOG_FORMAT=json", "API_PROBE_PORT=8001", "METRICS_PORT=9464"} <= set(config["Env"])
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["tini", "--", "ai-agents"]
    assert config["Labels"]["org.opencontainers.image.title"] == "ai-agents"


def test_a_signal_during_the_start_is_not_lost(engine: Engine, image: str) -> None:
    """Process 1 has no handler in its first second."""
    given = [part for name, value in ENOUGH.items() for part in ("--env", f"{name}={value}")]
    container = engine.output("run", "--detach", "--label", LABEL, *given, image, "worker")
    try:
        began = time.monotonic()
        engine.run("stop", "--time", "20", container)
        assert time.monotonic() - began < 10
        assert engine.state(container)["ExitCode"] != 137
    finally:
        engine.run("rm", "--force", container)
