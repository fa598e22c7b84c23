"""One trace for each job, across the queue, as a collector receives it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx2
import pytest

from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.collector import STEPS, Collector, collecting, trace_of

UPDATE = "ServiceDesk Update"
Traced = tuple[World, Collector, System]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[Traced]:
    with collecting() as collector:
        export = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        folder = tmp_path_factory.mktemp("traced")
        with System(folder, settings=SHORT | export, openai_seconds=0.5, housekeeping=False, launch=loaded) as system:
            world = World(system)
            yield world, collector, system
            world.close()


def test_a_job_is_one_trace_with_the_spans_and_tags_that_the_faq_searches_for(traced: Traced) -> None:
    """Webhook, Queue, Worker, context, GPT-4 and ServiceDesk Update.

    Each is tagged and inside its parent; the log lines name the trace.
    """
    world, collector, system = traced
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


def test_the_queue_span_lasts_as_long_as_the_job_waited(traced: Traced) -> None:
    """From the accepting commit to the claim, both by the database's clock."""
    world, collector, system = traced
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


def test_the_gpt4_span_has_the_genai_attributes_and_no_text(traced: Traced) -> None:
    """Model, tokens and finish reason; no prompt or answer in any span of the trace."""
    world, collector, _ = traced
    secret = "Xylophone-4711"
    ticket_id = world.create_ticket(f"VPN does not connect {secret}")
    world.ended(ticket_id)
    spans = trace_of(collector, ticket_id)
    tags = spans["GPT-4"].tags
    assert tags["gen_ai.operation.name"] == "chat"
    assert tags["gen_ai.provider.name"] == "openai"
    assert tags["gen_ai.request.model"] == "gpt-6-luna"
    assert tags["gen_ai.response.finish_reasons"] == ["stop"]
    assert tags["gen_ai.usage.input_tokens"] > 0
    assert tags["gen_ai.usage.output_tokens"] > 0
    assert "gen_ai.usage.cost" not in tags
    everything = [span for span in collector.spans if span.trace_id == spans["GPT-4"].trace_id]
    assert secret not in repr(everything)
    assert not any("input_data" in repr(span) for span in everything)
    # HTTP and SQL have spans of their own.
    assert {"GET", "POST"} <= {span.tags.get("http.request.method") for span in everything}
    asked = {span.name for span in everything if span.tags.get("db.system.name") == "postgresql"}
    assert "SELECT complete_job" in asked


def test_a_failed_attempt_is_red_and_the_retry_belongs_to_the_same_trace(traced: Traced) -> None:
    """The GPT-4 and Worker spans have the exception; a second Worker span follows."""
    world, collector, _ = traced
    subject = "VPN does not connect, red"
    ticket_id = world.create_ticket(subject, send_webhook=False)
    world.openai_fault(kind="status", code=429, match=subject, times=1)
    world.send_webhook(ticket_id)
    assert world.ended(ticket_id)["attempt"] == 2

    def named(name: str) -> list[Any]:
        return [span for span in collector.search(ticket_id=ticket_id) if span.name == name]

    wait_for(lambda: len(named("Worker")) == 2)
    first, second = sorted(named("Worker"), key=lambda span: span.start)
    assert first.trace_id == second.trace_id
    assert (first.status, first.tags["attempt"], second.status != 2, second.tags["attempt"]) == (2, 1, True, 2)
    gpt4 = next(span for span in named("GPT-4") if span.status == 2)
    assert gpt4.parent_id == first.span_id
    assert gpt4.events["exception"]["exception.type"].endswith("ModelUnavailable")
    assert gpt4.events["exception"]["exception.message"] == "OpenAI API: 429 Rate Limit (code rate_limit_exceeded)"
    assert first.events["exception"]["exception.stacktrace"]


@contextmanager
def slow_documents(world: World, _: str) -> Iterator[None]:
    with world.admin() as connection:
        connection.execute("LOCK TABLE passages IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def desk_refuses_notes(world: World, ticket_id: str) -> Iterator[None]:
    world.desk_fault(kind="status", operation="add_note", tenant="acme", ticket_id=ticket_id, code=403)
    yield
    world.clear_faults()


@contextmanager
def model_is_silent(world: World, ticket_id: str) -> Iterator[None]:
    world.openai_fault(kind="silence", match=f"Red {ticket_id}")
    yield
    world.clear_faults()


@pytest.mark.parametrize(
    ("name", "fault", "kind", "message", "reds"),
    [
        ("Context", slow_documents, "TimeoutError", "context gathering timeout", {"Context"}),
        ("GPT-4", model_is_silent, "ModelTimeout", "GPT-4 timeout", {"GPT-4", "Worker"}),
        (UPDATE, desk_refuses_notes, "DeskRefused", "ServiceDesk Plus API: 403", {UPDATE, "POST", "Worker"}),
    ],
)
def test_the_step_that_failed_is_red_and_says_why(
    name: str,
    fault: Callable[[World, str], AbstractContextManager[None]],
    kind: str,
    message: str,
    reds: set[str],
    traced: Traced,
) -> None:
    """With the exception's type, our reason and the place; no other step is red."""
    world, collector, _ = traced
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


def test_a_webhook_that_no_store_can_take_is_red(traced: Traced) -> None:
    world, collector, system = traced
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


def test_a_strangers_traceparent_becomes_a_link_and_not_the_parent(traced: Traced) -> None:
    """A public caller must not decide the trace of our spans."""
    world, collector, _ = traced
    stranger = "ab" * 16
    ticket_id = world.create_ticket(send_webhook=False)
    headers = {"traceparent": f"00-{stranger}-{'cd' * 8}-01"}
    assert world.post_webhook(ticket_id, headers=headers).status_code == 202
    world.ended(ticket_id)
    webhook = trace_of(collector, ticket_id)["Webhook"]
    assert webhook.trace_id != stranger
    assert webhook.links == [stranger]


def test_the_gpt4_span_tells_the_cost_where_the_provider_names_one(traced: Traced) -> None:
    """OpenRouter does, with `maker/` in model names; the metric has the same cost."""
    world, collector, system = traced
    # From here on: the later tests call no model.
    system.restart(system.workers[0], {"OPENAI_MODEL": "openai/gpt-6-luna"})
    ticket_id = world.create_ticket()
    world.ended(ticket_id)
    cost = trace_of(collector, ticket_id)["GPT-4"].tags["gen_ai.usage.cost"]
    assert cost > 0
    counted = httpx2.get(system.state["metrics"]["worker"], timeout=10).text
    (line,) = [line for line in counted.splitlines() if line.startswith("ai_agents_gpt4_cost_dollars_total{")]
    assert float(line.split()[-1]) == pytest.approx(cost)


def test_a_job_that_the_relay_ends_is_red_in_its_trace(traced: Traced) -> None:
    """The deadline passes or the last worker died: the webhook's trace has the reason.

    It is the last test: there is no worker any more.
    """
    late = "deadline_at = now()"
    lost = "state = 'running', attempt = 8, lease_until = now()"
    ends = {late: "deadline passed; not retried", lost: "worker lost at its last attempt; not retried"}
    world, collector, system = traced
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
