"""Audit records of requests without a usable answer: recipient and reason."""

from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from integrations.errors import OutsideFailure
from integrations.values import SimilarTicket
from storage import erasure
from storage.erasure import Which
from tests.kit.postgres import Store
from tests.kit.simulators import Simulator
from tests.workflow.recording import STATE, called, records, wait_again
from workflow.attempt import GraphState

KEEPING: dict[str, Any] = {"audit_days": 30}


@pytest.mark.parametrize(
    ("kind", "times", "reason"),
    [
        ("refusal", 1, "OpenAI API: invalid answer"),
        ("content_filter", 1, "OpenAI API: content filter"),
        ("cut", 1, "OpenAI API: connection"),
        ("wrong_schema", 2, "OpenAI API: invalid answer"),
        ("stall", 1, "GPT-4 timeout"),
    ],
)
async def test_what_was_sent_without_a_usable_answer_has_a_record(
    kind: str, times: int, reason: str, waiting: UUID, store: Store, redis: Redis, model: Simulator
) -> None:
    model.order(kind=kind, times=times)
    with pytest.raises(OutsideFailure):
        await called(store, model, redis, waiting, idle=1, **KEEPING)
    (record,) = records(store)
    first = model.requests(operation="chat")[0]["payload"]["messages"]
    assert (record["system"], record["sent"]) == (first[0]["content"], first[1]["content"])
    assert (record["answer"], record["reason"], record["host"]) == (None, reason, "127.0.0.1")
    assert record["sources"][0]["id"] == "ticket-101"
    assert "Adeyemi" not in str(record)


async def test_a_refused_request_has_a_record_and_a_tenant_without_days_has_none(
    waiting: UUID, store: Store, redis: Redis, model: Simulator
) -> None:
    nothing: dict[str, Any] = {}
    for wishes, kept in ((KEEPING, 1), (nothing, 1)):
        model.order(kind="status", code=429, times=1)
        with pytest.raises(OutsideFailure):
            await called(store, model, redis, waiting, **wishes)
        reason = "OpenAI API: 429 Rate Limit (code rate_limit_exceeded)"
        assert [record["reason"] for record in records(store)] == [reason] * kept
        wait_again(store, waiting)


async def test_what_reached_nobody_has_no_record(waiting: UUID, store: Store, redis: Redis) -> None:
    with pytest.raises(OutsideFailure):
        await called(store, "http://127.0.0.1:1", redis, waiting, **KEEPING)
    assert records(store) == []


async def test_a_repair_at_once_is_one_record_with_the_tokens_of_both_calls(
    waiting: UUID, store: Store, redis: Redis, model: Simulator
) -> None:
    model.order(kind="wrong_schema", times=1)
    await called(store, model, redis, waiting, **KEEPING)
    (record,) = records(store)
    first, second = (answer["usage"] for answer in model.look("/answers")["answers"])
    assert record["answer"]["summary"]
    assert record["reason"] is None
    assert record["input_tokens"] == first["prompt_tokens"] + second["prompt_tokens"]
    assert record["output_tokens"] == first["completion_tokens"] + second["completion_tokens"]


async def test_a_repair_of_a_later_attempt_names_what_was_found_for_the_first(
    waiting: UUID, store: Store, redis: Redis, model: Simulator
) -> None:
    """The answer's source ticket is not found any more by then."""
    model.order(kind="wrong_schema", times=1)
    model.order(kind="status", code=503, times=1)
    with pytest.raises(OutsideFailure):
        await called(store, model, redis, waiting, **KEEPING)
    wait_again(store, waiting)
    other = SimilarTicket("102", "Another mailbox", "Emptied it.")
    later: GraphState = {**STATE, "similar_tickets": [other]}
    await called(store, model, redis, waiting, later, **KEEPING)
    in_vain, answered = records(store)
    sent = [request["payload"]["messages"][1]["content"] for request in model.requests(operation="chat")]
    assert [in_vain["sent"], in_vain["sent"], answered["sent"]] == sent
    assert (in_vain["answer"], in_vain["reason"]) == (None, "OpenAI API: 503 Service Unavailable")
    assert min(record["output_tokens"] for record in (in_vain, answered)) > 0
    ids = [[source["id"] for source in record["sources"]] for record in (in_vain, answered)]
    document = ids[0][1]
    assert ids == [["ticket-101", document], ["ticket-101", document, "ticket-102"]]
    erased = await erasure.erase(store.database, Which("acme", ticket_id="101"))
    assert (erased.records, records(store)) == (2, [])
