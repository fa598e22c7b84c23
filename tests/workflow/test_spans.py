"""The spans of an attempt as Phoenix and Langfuse read them: kinds, usage and sources, and texts only on request."""

import json
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from knowledge import repository
from tests.kit.desk import new_ticket
from tests.kit.runner import run_job
from tests.workflow.place import WorkSite

SUBJECT = "Badge reader is dark"
RESOLUTION = "Jordan Reyes replaced the fuse."  # the requester of the simulated desk


@pytest.mark.parametrize("captured", [False, True])
async def test_the_spans_of_an_attempt_have_what_trace_viewers_read(
    place: WorkSite, spans: InMemorySpanExporter, *, captured: bool
) -> None:
    copy = {"ticket_id": "77", "display_id": "77", "subject": SUBJECT, "description": "No light."}
    await repository.save_ticket(place.store.database, "acme", copy | {"resolution": RESOLUTION, "status": "Closed"})
    job_id = await place.job(new_ticket(place.desks, subject=SUBJECT, description="It does nothing."))
    async with place.runner() as runner:
        assert await run_job(replace(runner, capture_messages=captured), job_id)
    finished = {span.name: span for span in spans.get_finished_spans()}
    named: dict[str, dict[str, Any]] = {name: dict(span.attributes or {}) for name, span in finished.items()}
    assert {name: tags["openinference.span.kind"] for name, tags in named.items() if not name.startswith("S")} == {
        **dict.fromkeys(("Queue", "Worker"), "CHAIN"),
        **dict.fromkeys(("GPT-4", "Claim Check"), "LLM"),
        **dict.fromkeys(("GET", "POST"), "TOOL"),
        "Context": "RETRIEVER",
    }
    assert named["ServiceDesk Update"]["openinference.span.kind"] == "TOOL"
    scope = finished["GPT-4"].instrumentation_scope
    assert scope is not None
    assert scope.schema_url == "https://opentelemetry.io/schemas/1.41.0"

    gpt4, check = ({k.removeprefix("gen_ai."): v for k, v in named[name].items()} for name in ("GPT-4", "Claim Check"))
    assert (gpt4["operation.name"], gpt4["provider.name"], gpt4["request.model"]) == ("chat", "openai", "gpt-6-luna")
    assert min(gpt4["usage.input_tokens"], gpt4["usage.output_tokens"], gpt4["response.time_to_first_chunk"]) > 0
    assert (gpt4["request.stream"], "request.stream" in check) == (True, False)
    assert (gpt4["prompt.version"], check["prompt.version"]) == ("4", "check-2")

    assert named["Context"]["gen_ai.operation.name"] == "retrieval"
    (source,) = json.loads(named["Context"]["gen_ai.retrieval.documents"])
    assert (source["id"], 0 < source["score"] <= 1) == ("ticket-77", True)
    assert source.get("content") == (f"{SUBJECT}\n[PERSON_1] replaced the fuse." if captured else None)
    assert ("input.messages" in gpt4, "output.messages" in gpt4, SUBJECT in repr(named)) == (captured,) * 3
    assert "Jordan" not in repr(named)
