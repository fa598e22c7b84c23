"""The metrics: names, places that set them, and the port that serves them."""

import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families
from uuid_utils.compat import uuid7

from cli.pilot.free_ports import free_port
from config.tenant_directory import TenantDirectory
from config.tenants import TENANTS_TOML
from integrations.errors import DeferredError, DeskTimeoutError, ExternalError, TicketClosedError
from integrations.resilience import Breaker
from observability import metrics, metrics_server
from observability.startup import follow_tenants, log_tenant_problem
from tests.kit.clock import Clock
from tests.kit.logs import StartLog

ROOT = Path(__file__).resolve().parents[2]
METRICS = {name: metric for name, metric in vars(metrics).items() if isinstance(metric, MetricWrapperBase)}
UNITS = ("_seconds", "_dollars", "_ratio")


def value(process: str, name: str, **labels: str) -> float | None:
    """Return a process's current value; None for a missing series."""
    for family in text_string_to_metric_families(metrics_server.render(process).decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


@pytest.mark.parametrize("name", METRICS)
def test_each_metric_is_named_by_convention_and_explained(name: str) -> None:
    metric = METRICS[name]
    (family,) = metric.describe()
    # The GenAI conventions' names, as Prometheus writes them, have their own prefix, and `{token}` is no unit.
    assert re.fullmatch(r"(ai_agents|gen_ai_client)(_[a-z0-9]+)+", family.name)
    assert not family.name.endswith(("_total", "_count", "_sum", "_bucket"))
    assert "seconds" not in family.name or family.name.endswith(UNITS)
    assert family.type != "histogram" or family.name.endswith((*UNITS, "_token_usage"))
    assert family.documentation.endswith(".")
    assert set(metric._labelnames) <= set(metrics.LABELS)
    assert any(metric in given for given in metrics_server.PROCESSES.values())


def test_each_label_is_used_and_each_metric_is_set_somewhere() -> None:
    assert {label for metric in METRICS.values() for label in metric._labelnames} == set(metrics.LABELS)
    rooms = ("api", "jobs", "worker", "workflow", "cli", "console", "knowledge", "integrations", "observability")
    code = [path.read_text() for room in rooms for path in (ROOT / room).rglob("*.py") if path.name != "exposition.py"]
    assert set(METRICS) - set(re.findall(r"metrics\.(\w+)", "".join(code))) == set()


def test_each_logged_webhook_is_counted() -> None:
    for path in (ROOT / "api").glob("*.py"):
        for part in re.split(r"^ *(?:async )?def ", path.read_text(), flags=re.MULTILINE):
            if "say(phrases.WEBHOOK_REJECTED" in part or "say(phrases.WEBHOOK_NOT_TAKEN" in part:
                assert "metrics.webhook(" in part, (path.name, part.partition("(")[0])


def test_tenants_with_unusable_settings_are_counted_at_each_scrape(
    start_log: StartLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"WEBHOOK_SECRET_ACME": "s", "WEBHOOK_SECRET_GLOBEX": "s", "SERVICEDESK_URL_GLOBEX": "nowhere"}
    clock = Clock()
    stream = start_log()
    monkeypatch.setattr(metrics.TENANT_UNUSABLE, "callback", None)
    tenants = TenantDirectory(lambda: values, monotonic=clock, on_problem=log_tenant_problem)
    follow_tenants(tenants)
    name = "ai_agents_tenant_settings_unusable"
    for process in metrics_server.PROCESSES:
        assert [value(process, name, tenant_id=one) for one in ("acme", "globex", "unknown")] == [0, 1, None]
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert all("Tenant settings unusable, the tenant is closed: SERVICEDESK_" in line for line in lines)
    assert all(line.split()[1] == "error" for line in lines)
    assert all("tenant_id: globex" in line for line in lines)
    del values["SERVICEDESK_URL_GLOBEX"]
    values |= {"WEBHOOK_SECRET_MY_ERRORS": "s", "WEBHOOK_SECRET_UNKNOWN": "s", TENANTS_TOML: "acme.audit_days = -1"}
    clock.now += 6
    assert [value("api", name, tenant_id=one) for one in ("acme", "globex", "unknown")] == [1, 0, 1]
    lines = stream.getvalue().splitlines()[2:]
    assert sum("tenant_id: " in line for line in lines) == 1
    assert "Tenant settings unusable, the ones before stay: acme.audit_days in tenants.toml" in lines[0]


def test_a_jobs_time_counts_from_when_its_id_was_made() -> None:
    now = time.time_ns() // 1_000_000
    job_id = UUID(int=((now - 45_000) << 80) | (uuid7().int & ((1 << 80) - 1)))
    ahead = UUID(int=((now + 60_000) << 80) | 1)
    labels = {"tenant_id": "a-tenant-of-this-test", "outcome": "failed"}
    metrics.expect_outcomes(labels["tenant_id"], "failed")
    assert value("worker", "ai_agents_job_duration_seconds_count", **labels) == 0
    for each in (job_id, ahead):
        metrics.job_ended(labels["tenant_id"], each, "failed", "GPT-4 timeout")
    assert value("api", "ai_agents_job_duration_seconds_count", **labels) == 2
    assert value("worker", "ai_agents_job_duration_seconds_sum", **labels) == pytest.approx(45, abs=2)
    assert value("worker", "ai_agents_jobs_ended_total", reason="GPT-4 timeout", **labels) == 2


def test_labels_from_outside_are_few_and_short() -> None:
    values = metrics.FewValues(3)
    told = [values.of(value) for value in ("a", "b", "a", "c" * 500, "d", "b", "e")]
    assert told == ["a", "b", "a", "c" * 80, "other", "b", "other"]


@pytest.mark.parametrize(
    ("end", "result"),
    [
        (None, "ok"),
        (TicketClosedError(), "skipped"),
        (DeferredError("desk busy", 5), "held back"),
        (DeskTimeoutError(), "failed"),
        (KeyboardInterrupt(), "stopped"),
    ],
    ids=repr,
)
def test_a_step_tells_how_it_ended(end: BaseException | None, result: str) -> None:
    labels = {"step": "a step of this test", "result": result}
    before = value("worker", "ai_agents_step_duration_seconds_count", **labels) or 0
    with pytest.raises(type(end)) if end is not None else contextlib.nullcontext(), metrics.step(labels["step"]):
        if end is not None:
            raise end
    assert value("worker", "ai_agents_step_duration_seconds_count", **labels) == before + 1


def test_a_call_that_was_held_back_is_none() -> None:
    told = {"server": "servicedesk", "tenant_id": "a-tenant-of-this-test"}
    for end in (DeferredError("desk busy", 5), DeskTimeoutError(), OSError()):
        with pytest.raises(type(end)), metrics.external_call("servicedesk", told["tenant_id"], ExternalError):
            raise end
    with metrics.external_call("servicedesk", told["tenant_id"], ExternalError) as call:
        call.failed = True
    results = [value("worker", "ai_agents_external_calls_total", result=each, **told) for each in ("failed", "ok")]
    assert results == [2, None]


def test_the_model_metrics_have_the_names_of_the_genai_conventions() -> None:
    model = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "openai", "gen_ai_request_model": "of this test"}
    given: dict[str, Any] = {"model": model["gen_ai_request_model"], "provider": "openai"}
    with metrics.external_call("gpt4", "acme", ExternalError, **given):
        metrics.model_answered("openai", model["gen_ai_request_model"], (1385, 361), 0.6)
    with pytest.raises(DeskTimeoutError), metrics.external_call("gpt4", "acme", ExternalError, **given):
        raise DeskTimeoutError
    name = "gen_ai_client_operation_duration_seconds_count"
    assert [value("worker", name, **model, error_type=error) for error in ("", "DeskTimeoutError")] == [1, 1]
    name = "gen_ai_client_token_usage_sum"
    assert [value("worker", name, **model, gen_ai_token_type=kind) for kind in ("input", "output")] == [1385, 361]
    assert value("worker", "gen_ai_client_operation_time_to_first_chunk_seconds_sum", **model) == 0.6


def test_a_breakers_metric_shows_its_newest_state() -> None:
    name = "desk of a-tenant-of-this-test"
    old = Breaker(name, "desk unavailable", most_failures=1, rest_seconds=0)
    for _ in range(2):
        with pytest.raises(DeskTimeoutError), old.watch():
            raise DeskTimeoutError
        assert value("worker", "ai_agents_breaker_open", server=name) == 1
        with old.watch():
            pass
        assert value("worker", "ai_agents_breaker_open", server=name) == 0
    with pytest.raises(DeskTimeoutError), old.watch():
        raise DeskTimeoutError
    for shown, is_open in ((False, 1), (True, 0)):
        Breaker(name, "desk unavailable", shown=shown)
        assert value("worker", "ai_agents_breaker_open", server=name) == is_open


def broken() -> tuple[bool, dict[str, str]]:
    raise ValueError("a fault of ours")


@contextmanager
def served(ready: Callable[[], tuple[bool, dict[str, str]]] = broken) -> Iterator[int]:
    port = free_port()
    end = metrics_server.serve("worker", port, ready)
    yield port
    end()


@pytest.fixture
def port() -> Iterator[int]:
    with served() as port:
        yield port


def get(port: int, path: str = "/metrics", host: str = "127.0.0.1") -> httpx2.Response:
    return httpx2.get(f"http://{host}:{port}{path}", trust_env=False)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="a machine without IPv6")
def test_a_port_is_reached_over_ipv6_too(port: int) -> None:
    """Some clusters' pods have IPv6 only."""
    assert get(port, host="[::1]").status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_with_a_host_is_reached_at_that_address_only(host: str) -> None:
    port = free_port()
    end = metrics_server.serve("worker", port, broken, host)
    try:
        for shown, is_reached in (("127.0.0.1", host == "127.0.0.1"), ("[::1]", host == "::1")):
            with nullcontext() if is_reached else pytest.raises(httpx2.ConnectError):
                assert get(port, host=shown).status_code == 200
    finally:
        end()


def test_a_port_gives_what_its_process_counts_and_nothing_else(port: int) -> None:
    answer = get(port)
    assert answer.status_code == 200
    assert "ai_agents_jobs_in_flight 0.0" in answer.text
    assert "process_cpu_seconds_total" in answer.text
    assert not re.search("ai_agents_queue_depth|_created", answer.text)


def test_a_port_that_is_taken_is_refused_with_a_sentence_and_none_is_none(port: int) -> None:
    with pytest.raises(metrics_server.PortError, match="METRICS_PORT is wrong: the port is in use already"):
        metrics_server.serve("housekeeping", port, lambda: (True, {}))
    metrics_server.serve("worker", None, lambda: (True, {}))()


def test_readiness_is_served_beside_the_metrics_without_delaying_them() -> None:
    asked, told = threading.Event(), threading.Event()
    away = {"status": "not ready", "redis": "unreachable"}
    answers = iter([(False, away), (True, {"status": "ready"})])

    def ready() -> tuple[bool, dict[str, str]]:
        asked.set()
        assert told.wait(10)
        return next(answers)

    with served(ready) as port, ThreadPoolExecutor(1) as thread:
        answer = thread.submit(get, port, "/ready")
        assert asked.wait(10)
        assert "ai_agents_jobs_in_flight" in get(port).text
        told.set()
        first, second = answer.result(), get(port, "/ready")
    assert (first.status_code, first.json()) == (503, away)
    assert (second.status_code, second.json()) == (200, {"status": "ready"})
    assert second.headers["content-type"] == "application/json"


def test_neither_an_error_nor_a_disconnected_scraper_prints_anything(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library's server would print a traceback."""
    answer = get(port, "/ready")
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready", "failure": "ValueError"})
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port)) as rude:
            rude.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
            time.sleep(0.05)
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert get(port).status_code == 200
    assert capfd.readouterr() == ("", "")
