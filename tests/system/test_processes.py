"""What a process loads, and what it never lets a library do."""

import json
import os
import subprocess
import sys
from typing import Any


def in_a_fresh_process(program: str, **environment: str) -> Any:
    """Run a piece of Python that prints JSON."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_api_process_loads_neither_the_graph_nor_the_model_nor_another_process() -> None:
    loaded = in_a_fresh_process(
        "import json, sys, api.app; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    heavy = {"langgraph", "langchain_core", "langsmith", "openai", "httpx", "httpx2", "workflow", "integrations"}
    assert (heavy | {"worker", "housekeeping", "support"}) & set(loaded) == set()
    assert {"fastapi", "celery", "sqlalchemy"} <= set(loaded)


def test_the_command_loads_nothing_of_the_processes_that_it_can_start() -> None:
    loaded = in_a_fresh_process("import json, sys, support.cli; print(json.dumps(sorted(sys.modules)))")
    assert {"fastapi", "uvicorn", "celery", "langgraph", "openai", "sqlalchemy"} & set(loaded) == set()


SWITCHES = ["LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"]


def test_ticket_text_is_never_uploaded_by_langsmith_whatever_the_environment_says() -> None:
    program = (
        "import json, os, config; seen = {name: os.environ[name] for name in " + repr(SWITCHES) + "};"
        "import workflow.graph; from langsmith.utils import tracing_is_enabled;"
        "print(json.dumps([seen, bool(tracing_is_enabled())]))"
    )
    seen, enabled = in_a_fresh_process(program, **dict.fromkeys(SWITCHES, "true"), LANGSMITH_API_KEY="k")
    assert seen == dict.fromkeys(SWITCHES, "false")
    assert enabled is False


def test_a_silent_collector_is_given_seconds_unless_the_operator_gives_more() -> None:
    program = "import json, os, config; print(json.dumps(os.environ['OTEL_EXPORTER_OTLP_TIMEOUT']))"
    assert in_a_fresh_process(program) == "3"
    assert in_a_fresh_process(program, OTEL_EXPORTER_OTLP_TIMEOUT="9") == "9"
