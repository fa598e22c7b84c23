"""Traces after a worker's death and during an outage of the collector."""

import json
import socket
import time
from collections.abc import Iterator

import pytest

from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import QUICK, SHORT
from tests.kit.world import World, wait_for
from tests.system.collector import STEPS, Collector, ReceivedSpan, collecting, trace_of

pytestmark = pytest.mark.slow

# Longer than any test: spans are exported at the end of a process only.
NEVER = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "200"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def system(collector: Collector, tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    export = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    settings = SHORT | QUICK | export | SOON
    with System(tmp_path_factory.mktemp("stories"), settings=settings, openai_seconds=0.5, launch=loaded) as running:
        yield running


def spans_named(collector: Collector, ticket_id: str, name: str, count: int) -> list[ReceivedSpan]:
    """Return those spans of the ticket, oldest first, once there are this many."""

    def found() -> list[ReceivedSpan]:
        named = [span for span in collector.search(ticket_id=ticket_id, tenant_id="acme") if span.name == name]
        return named if len(named) >= count else []

    return sorted(wait_for(found), key=lambda span: span.start)


def test_a_job_whose_worker_died_goes_on_in_its_trace(system: System, world: World, collector: Collector) -> None:
    """The dead worker's span is lost; the relay records why there is another attempt."""
    subject = "VPN does not connect, worker dies"
    world.openai_fault(kind="slow_stream", seconds=0.5, match=subject, times=1)
    ticket_id = world.create_ticket(subject)
    wait_for(lambda: world.gpt4_requests(subject))
    system.workers[0].kill()
    system.restart(system.workers[0])
    assert world.ended(ticket_id)["attempt"] == 2
    (worker,) = spans_named(collector, ticket_id, "Worker", 1)
    assert worker.tags["attempt"] == 2
    relayed = spans_named(collector, ticket_id, "Relay", 2)
    assert relayed[0].tags["outcome"] == "worker lost"
    assert spans_named(collector, ticket_id, "Queue", 1)
    assert {span.trace_id for span in collector.search(ticket_id=ticket_id)} == {worker.trace_id}
    assert {str(span.tags["job_id"]) for span in relayed} == {str(worker.tags["job_id"])}


def test_no_span_is_lost_when_the_processes_are_told_to_end(system: System, world: World, collector: Collector) -> None:
    """Pending spans are exported at the end."""
    for process in (system.api, system.workers[0]):
        system.restart(process, NEVER)
    ticket_id = world.create_ticket()
    world.ended(ticket_id)
    assert collector.search(ticket_id=ticket_id) == []
    for process in (system.api, system.workers[0]):
        system.restart(process, SOON)
    assert set(STEPS) <= set(trace_of(collector, ticket_id))


def test_prompt_and_answer_are_on_the_gpt4_span_if_the_operator_wants_it(
    system: System, world: World, collector: Collector
) -> None:
    """By OpenTelemetry's own setting and conventions; on no other span, in no line."""
    worker = system.workers[0]
    system.restart(worker, {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"})
    try:
        ticket_id = world.create_ticket("VPN does not connect Marimba-4711")
        world.ended(ticket_id)
        spans = trace_of(collector, ticket_id)
    finally:
        system.restart(worker, {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": ""})
    tags = spans["GPT-4"].tags
    (asked,) = json.loads(tags["gen_ai.input.messages"])
    assert asked["role"] == "user"
    assert "Marimba-4711" in asked["parts"][0]["content"]
    (rules,) = json.loads(tags["gen_ai.system_instructions"])
    assert rules["content"]
    (answered,) = json.loads(tags["gen_ai.output.messages"])
    assert (answered["role"], answered["finish_reason"]) == ("assistant", "stop")
    assert json.loads(answered["parts"][0]["content"])["summary"]
    trace_id = spans["GPT-4"].trace_id
    others = [span for span in collector.spans if span.trace_id == trace_id and span.name != "GPT-4"]
    assert "Marimba-4711" not in repr(others)
    assert "Marimba-4711" not in worker.output()


def test_a_collector_that_never_answers_costs_a_job_nothing(system: System, world: World, collector: Collector) -> None:
    """Exports hang and their failure is logged; jobs and stops are not delayed."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as deaf:
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        for process in (system.api, system.workers[0]):
            system.restart(process, {"OTEL_EXPORTER_OTLP_ENDPOINT": address})
        tickets = [world.create_ticket() for _ in range(12)]
        rows = [world.ended(ticket_id) for ticket_id in tickets]
        took = [(row["finished_at"] - row["accepted_at"]).total_seconds() for row in rows]
        log = system.workers[0].log_path
        wait_for(lambda: "Trace export failing" in log.read_text(encoding="utf-8"))
        began = time.monotonic()
        for process in (system.api, system.workers[0]):
            assert process.stop(20) in (0, -15)
        stopping = time.monotonic() - began
        for process in (system.api, system.workers[0]):
            system.restart(process, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    assert {row["state"] for row in rows} == {"completed"}
    # GPT-4 answers in 0.5 s; an export gives up after 3 s, and none of these jobs waited for one.
    assert max(took) < 3
    assert stopping < 16
