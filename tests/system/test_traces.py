"""One trace for each job, across the queue, deaths and outages, as a collector receives it."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import httpx2
import pytest

from dev.stack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import QUICK, SHORT
from tests.kit.world import World, wait_for
from tests.system.collector import STEPS, Collector, ReceivedSpan, collecting, trace_of

UPDATE = "ServiceDesk Update"
# Longer than any test: spans are exported at the end of a process only.
NEVER = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "200"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def system(collector: Collector, tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    settings = SHORT | QUICK | SOON | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    folder = tmp_path_factory.mktemp("traced")
    with System(folder, settings=settings, openai_seconds=0.5, housekeeping=False, launch=loaded) as running:
        yield running


def spans_named(collector: Collector, ticket_id: str, name: str, count: int) -> list[ReceivedSpan]:
    """Return those spans of the ticket, oldest first, once there are this many."""

    def found() -> list[ReceivedSpan]:
        named = [span for span in collector.search(ticket_id=ticket_id, tenant_id="acme") if span.name == name]
        return named if len(named) >= count else []

    return sorted(wait_for(found), key=lambda span: span.start)


def test_a_job_is_one_trace_that_the_faq_finds(world: World, collector: Collector, system: System) -> None:
    ticket_id = world.create_ticket()
    row = world.ended(ticket_id)
    spans = trace_of(collector, ticket_id)
    assert set(STEPS) <= set(spans)
    for name in STEPS:
        tags = spans[name].tags
        assert (tags["ticket_id"], tags["tenant_id"], tags["job_id"]) == (ticket_id, "acme", str(row["id"])), name
        assert spans[name].status != 2
    assert spans["Worker"].tags["outcome"] == "completed"
    assert spans["Webhook"].parent_id == ""
    assert spans["Queue"].parent_id == spans["Worker"].parent_id == spans["Webhook"].span_id
    for name in ("Context", "GPT-4", UPDATE):
        assert spans[name].parent_id == spans["Worker"].span_id
    assert {spans[name].service for name in ("Webhook", "Worker")} == {"ai-agents-api", "ai-agents-worker"}
    # As Jaeger searches, where a service has to be chosen: a trace begins in the API's, and is found in the worker's.
    for service in ("ai-agents-api", "ai-agents-worker"):
        for tags in ({"ticket_id": ticket_id, "tenant_id": "acme"}, {"job_id": str(row["id"])}):
            assert set(STEPS) <= {span.name for span in collector.traces(service, **tags)}
    for process in (system.api, system.workers[0]):
        lines = process.log_path.read_text(encoding="utf-8").splitlines()
        own = [line for line in lines if f"ticket_id: {ticket_id}," in line]
        assert own
        assert all(f"trace_id: {spans['Worker'].trace_id}" in line for line in own)


def test_the_queue_span_lasts_as_long_as_the_job_waited(world: World, collector: Collector, system: System) -> None:
    system.workers[0].pause()
    ticket_id = world.create_ticket()
    wait_for(lambda: world.job(ticket_id))
    wait_for(lambda: world.job(ticket_id)["published_at"])
    with world.admin() as connection:
        connection.execute("SELECT pg_sleep(1.2)")
    system.workers[0].resume()
    row = world.ended(ticket_id)
    queue = trace_of(collector, ticket_id)["Queue"]
    waited = (row["started_at"] - row["accepted_at"]).total_seconds()
    assert waited > 1.2
    assert abs((queue.end - queue.start) / 1e9 - waited) < 0.001


def test_the_gpt4_span_has_the_genai_attributes_and_no_text(world: World, collector: Collector) -> None:
    secret = "Xylophone-4711"
    ticket_id = world.create_ticket(f"VPN does not connect {secret}")
    world.ended(ticket_id)
    gpt4 = trace_of(collector, ticket_id)["GPT-4"]
    names = ("operation.name", "provider.name", "request.model", "response.finish_reasons")
    assert [gpt4.tags[f"gen_ai.{name}"] for name in names] == ["chat", "openai", "gpt-6-luna", ["stop"]]
    assert min(gpt4.tags[f"gen_ai.usage.{kind}_tokens"] for kind in ("input", "output")) > 0
    assert "gen_ai.usage.cost" not in gpt4.tags
    assert gpt4.tags["gen_ai.response.time_to_first_chunk"] > 0
    assert gpt4.schema == "https://opentelemetry.io/schemas/1.41.0"
    everything = [span for span in collector.spans if span.trace_id == gpt4.trace_id]
    assert secret not in repr(everything)
    assert not any("input_data" in repr(span) for span in everything)
    # Phoenix shows others as unknown.
    kinds = {"Webhook": "CHAIN", "Queue": "CHAIN", "Worker": "CHAIN", "Context": "RETRIEVER", "GPT-4": "LLM"}
    kinds |= {UPDATE: "TOOL", "GET": "TOOL", "POST": "TOOL", "SELECT complete_job": "CHAIN"}
    assert kinds.items() <= {span.name: span.tags["openinference.span.kind"] for span in everything}.items()
    # HTTP and SQL have spans of their own.
    assert {"GET", "POST"} <= {span.tags.get("http.request.method") for span in everything}
    asked = {span.name for span in everything if span.tags.get("db.system.name") == "postgresql"}
    assert "SELECT complete_job" in asked


def test_a_failed_attempt_is_red_and_the_retry_belongs_to_the_same_trace(world: World, collector: Collector) -> None:
    subject = "VPN does not connect, red"
    ticket_id = world.create_ticket(subject, send_webhook=False)
    world.openai_fault(kind="status", code=429, match=subject, times=1)
    world.send_webhook(ticket_id)
    assert world.ended(ticket_id)["attempt"] == 2
    first, second = spans_named(collector, ticket_id, "Worker", 2)
    assert first.trace_id == second.trace_id
    assert (first.status, first.tags["attempt"], second.status != 2, second.tags["attempt"]) == (2, 1, True, 2)
    gpt4, _ = spans_named(collector, ticket_id, "GPT-4", 2)
    assert gpt4.status == 2
    assert gpt4.parent_id == first.span_id
    assert gpt4.events["exception"]["exception.type"].endswith("ModelUnavailableError")
    assert gpt4.events["exception"]["exception.message"] == "OpenAI API: 429 Rate Limit (code rate_limit_exceeded)"
    assert first.events["exception"]["exception.stacktrace"]


@contextmanager
def slow_documents(world: World, _: str) -> Iterator[None]:
    with world.admin() as connection:
        connection.execute("LOCK TABLE passages IN ACCESS EXCLUSIVE MODE")
        yield


def desk_refuses_notes(world: World, ticket_id: str) -> AbstractContextManager[None]:
    world.desk_fault(kind="status", operation="add_note", tenant="acme", ticket_id=ticket_id, code=403)
    return nullcontext()


def model_is_silent(world: World, ticket_id: str) -> AbstractContextManager[None]:
    world.openai_fault(kind="silence", match=f"Red {ticket_id}")
    return nullcontext()


@pytest.mark.parametrize(
    ("name", "fault", "kind", "message", "reds"),
    [
        ("Context", slow_documents, "TimeoutError", "context gathering timeout", {"Context"}),
        ("GPT-4", model_is_silent, "ModelTimeoutError", "GPT-4 timeout", {"GPT-4", "Worker"}),
        (UPDATE, desk_refuses_notes, "DeskRefusedError", "ServiceDesk Plus API: 403", {UPDATE, "POST", "Worker"}),
    ],
)
def test_the_step_that_failed_is_red_and_says_why(
    name: str,
    fault: Callable[[World, str], AbstractContextManager[None]],
    kind: str,
    message: str,
    reds: set[str],
    world: World,
    collector: Collector,
) -> None:
    ticket_id = world.create_ticket(send_webhook=False)
    world.change_ticket(ticket_id, subject=f"Red {ticket_id}")
    with fault(world, ticket_id):
        world.send_webhook(ticket_id)
        wait_for(lambda: any(span.name == "Worker" for span in collector.search(ticket_id=ticket_id)))
    spans = trace_of(collector, ticket_id)
    event = spans[name].events["exception"]
    assert event["exception.type"].split(".")[-1] == kind
    assert event["exception.message"].startswith(message)
    assert ".py:" in event["exception.stacktrace"]
    assert {span.name for span in spans.values() if span.status == 2} - {"SELECT"} == reds


def test_a_webhook_that_no_store_can_take_is_red(world: World, collector: Collector, system: System) -> None:
    system.postgres.stop()
    system.redis.stop()
    try:
        assert world.post_webhook("4711").status_code == 503
    finally:
        system.redis.restart()
        system.postgres.restart()
    (span,) = wait_for(lambda: [span for span in collector.search(ticket_id="4711") if span.name == "Webhook"])
    assert (span.status, span.tags["http.response.status_code"], span.tags["tenant_id"]) == (2, 503, "acme")
    assert span.events["exception"]["exception.message"] == "no store could take the event"


def test_a_foreign_traceparent_becomes_a_link_and_not_the_parent(world: World, collector: Collector) -> None:
    """A public caller must not decide the trace of our spans."""
    stranger = "ab" * 16
    ticket_id = world.create_ticket(send_webhook=False)
    headers = {"traceparent": f"00-{stranger}-{'cd' * 8}-01"}
    assert world.post_webhook(ticket_id, headers=headers).status_code == 202
    world.ended(ticket_id)
    webhook = trace_of(collector, ticket_id)["Webhook"]
    assert webhook.trace_id != stranger
    assert webhook.links == [stranger]


@pytest.mark.slow
def test_a_job_of_a_dead_worker_continues_its_trace(system: System, world: World, collector: Collector) -> None:
    """The dead worker's span is lost; the relay records why there is another attempt."""
    subject = "VPN does not connect, worker dies"
    world.openai_fault(kind="slow_stream", seconds=0.5, match=subject, times=1)
    ticket_id = world.create_ticket(subject)
    wait_for(lambda: world.gpt4_requests(subject))
    system.workers[0].kill()
    system.restart(system.workers[0])
    assert world.ended(ticket_id)["attempt"] == 2
    (worker,), relayed, _ = (
        spans_named(collector, ticket_id, name, count) for name, count in (("Worker", 1), ("Relay", 2), ("Queue", 1))
    )
    assert (worker.tags["attempt"], relayed[0].tags["outcome"]) == (2, "worker lost")
    assert {span.trace_id for span in collector.search(ticket_id=ticket_id)} == {worker.trace_id}
    assert {str(span.tags["job_id"]) for span in relayed} == {str(worker.tags["job_id"])}


@pytest.mark.slow
def test_no_span_is_lost_when_the_processes_are_told_to_end(system: System, world: World, collector: Collector) -> None:
    for process in (system.api, system.workers[0]):
        system.restart(process, NEVER)
    ticket_id = world.create_ticket()
    world.ended(ticket_id)
    assert collector.search(ticket_id=ticket_id) == []
    for process in (system.api, system.workers[0]):
        system.restart(process, SOON)
    assert set(STEPS) <= set(trace_of(collector, ticket_id))


@pytest.mark.slow
def test_prompt_and_answer_are_traced_on_request(system: System, world: World, collector: Collector) -> None:
    worker = system.workers[0]
    system.restart(worker, {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"})
    try:
        ticket_id = world.create_ticket("VPN does not connect Marimba-4711")
        world.ended(ticket_id)
        spans = trace_of(collector, ticket_id)
    finally:
        system.restart(worker, {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": ""})
    tags = spans["GPT-4"].tags
    told = ("input.messages", "system_instructions", "output.messages")
    (asked,), (rules,), (answered,) = (json.loads(tags[f"gen_ai.{name}"]) for name in told)
    assert (asked["role"], "Marimba-4711" in asked["parts"][0]["content"]) == ("user", True)
    assert rules["content"]
    assert (answered["role"], answered["finish_reason"]) == ("assistant", "stop")
    assert json.loads(answered["parts"][0]["content"])["summary"]
    others = [span for span in collector.search(ticket_id=ticket_id) if span.name != "GPT-4"]
    assert "Marimba-4711" not in repr(others)
    assert "Marimba-4711" not in worker.output()


@pytest.mark.slow
def test_a_collector_that_never_answers_costs_a_job_nothing(system: System, world: World, collector: Collector) -> None:
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


def test_the_gpt4_span_contains_the_providers_cost(world: World, collector: Collector, system: System) -> None:
    """OpenRouter does, with `maker/` in model names; the metric has the same cost."""
    # From here on: the later tests call no model.
    system.restart(system.workers[0], {"OPENAI_MODEL": "openai/gpt-6-luna"})
    ticket_id = world.create_ticket()
    world.ended(ticket_id)
    cost = trace_of(collector, ticket_id)["GPT-4"].tags["gen_ai.usage.cost"]
    assert cost > 0
    counted = httpx2.get(system.state["metrics"]["worker"], timeout=10).text
    (line,) = [line for line in counted.splitlines() if line.startswith("ai_agents_gpt4_cost_dollars_total{")]
    assert float(line.split()[-1]) == pytest.approx(cost)


def test_a_job_ended_by_the_relay_is_red_in_its_trace(world: World, collector: Collector, system: System) -> None:
    """It is the last test: there is no worker any more."""
    ends = {
        "deadline_at = now()": "deadline passed; not retried",
        "state = 'running', attempt = 8, lease_until = now()": "worker lost at its last attempt; not retried",
    }
    system.workers[0].stop(8)
    for change, reason in ends.items():
        ticket_id = world.create_ticket()
        wait_for(lambda ticket_id=ticket_id: world.job(ticket_id))  # type: ignore[misc]
        with world.admin() as connection:
            connection.execute(f"UPDATE jobs SET {change} WHERE ticket_id = '{ticket_id}'".encode())  # noqa: S608 -- ours
        assert world.ended(ticket_id)["state"] == "failed"
        relay = trace_of(collector, ticket_id, complete="Relay")["Relay"]
        assert relay.status == 2
        assert relay.events["exception"]["exception.message"] == reason
