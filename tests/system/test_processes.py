"""Imports of each process, and side effects forbidden to libraries."""

import pytest

from tests.config.given import ENOUGH
from tests.kit.fresh_process import in_a_fresh_process


def test_the_api_process_loads_no_graph_no_model_no_celery_and_no_other_process() -> None:
    loaded = in_a_fresh_process(
        "import json, sys, api.app; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    heavy = {"langgraph", "langchain_core", "langsmith", "openai", "httpx2", "celery", "kombu"}
    assert (heavy | {"workflow", "integrations", "worker", "housekeeping", "support"}) & set(loaded) == set()
    assert {"fastapi", "redis", "sqlalchemy"} <= set(loaded)


def test_the_command_loads_nothing_of_the_processes_that_it_can_start() -> None:
    loaded = in_a_fresh_process("import json, sys, cli.main; print(json.dumps(sorted(sys.modules)))")
    assert {"fastapi", "uvicorn", "celery", "langgraph", "openai", "sqlalchemy"} & set(loaded) == set()


SWITCHES = ["LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"]


@pytest.mark.slow
def test_ticket_text_is_never_uploaded_by_langsmith_whatever_the_environment_says() -> None:
    program = (
        "import json, os, sys; from worker.app import app; early = 'langsmith' in sys.modules; app.conf.worker_pool;"
        "seen = {name: os.environ[name] for name in " + repr(SWITCHES) + "};"
        "import worker.runtime; from langsmith.utils import tracing_is_enabled;"
        "print(json.dumps([early, seen, bool(tracing_is_enabled())]))"
    )
    switched_on = dict.fromkeys(SWITCHES, "true") | {"LANGSMITH_API_KEY": "k"}
    early, seen, enabled = in_a_fresh_process(program, **ENOUGH, **switched_on)
    assert seen == dict.fromkeys(SWITCHES, "false")
    assert (early, enabled) == (False, False)


@pytest.mark.parametrize(("value", "is_on"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_a_process_says_once_that_langsmith_stays_off(value: str, *, is_on: bool) -> None:
    program = (
        "from config.settings import LogSettings; from observability.startup import start_process;"
        "start_process(LogSettings, needs='nothing')" + ("" if is_on else "; print('[]')")
    )
    line = in_a_fresh_process(program, LOG_FORMAT="json", LANGSMITH_TRACING=value, LANGCHAIN_TRACING_V2="false")
    if is_on:
        assert line["level"] == "warning"
        assert line["event"].startswith("LangSmith stays off: LANGSMITH_TRACING has no effect. ")
    else:
        assert line == []


def test_a_silent_collector_has_bounded_time_and_queue_by_default() -> None:
    """A queue that is shorter than what we would send at once must not prevent a start."""
    program = (
        "import json, os\n"
        "from config.settings import set_library_defaults\n"
        "from observability.tracing import Tracing\n"
        "def after(**given):\n"
        "    os.environ.clear(); os.environ.update(given); set_library_defaults(); Tracing('api').close()\n"
        "    return [os.environ['OTEL_EXPORTER_OTLP_TIMEOUT'], os.environ['OTEL_BSP_MAX_EXPORT_BATCH_SIZE']]\n"
        "collector = {'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:9'}\n"
        "own = {'OTEL_EXPORTER_OTLP_TIMEOUT': '9', 'OTEL_BSP_MAX_QUEUE_SIZE': '128'}\n"
        "print(json.dumps([after(**collector), after(**collector, **own)]))"
    )
    assert in_a_fresh_process(program) == [["3", "256"], ["9", "128"]]
