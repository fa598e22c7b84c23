"""Causes of a mismatched signature, reported to support after the answer."""

import asyncio
import importlib
import secrets
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx2
import pytest

from api.causes import SEARCH_SECONDS, Cause, Explainer, Question
from api.refusals import WRONGLY_NAMED
from api.signature import claim_of
from config.tenant_directory import TenantDirectory
from simulators.serving import serve_in_thread
from tests.api import signings
from tests.api.signings import (
    BODY,
    HEX,
    OTHERS,
    RETIRED,
    SECRET,
    SETTINGS,
    SHARED,
    WHSEC,
    Signing,
    signed,
)
from tests.kit.logs import StartLog, lines_of
from tests.kit.receiver import Receiver, raw


@pytest.fixture(scope="module")
def receiver() -> Receiver:
    """Return a receiver that always has time to search."""
    return Receiver(TenantDirectory(lambda: SETTINGS), Explainer(between_seconds=0, search_seconds=1))


@pytest.fixture(scope="module")
def client(receiver: Receiver) -> Iterator[httpx2.Client]:
    with serve_in_thread(receiver.app) as url, httpx2.Client(base_url=url, trust_env=False) as opened:
        yield opened


def test_each_cause_is_told_to_support_and_to_nobody_else(
    start_log: StartLog, receiver: Receiver, client: httpx2.Client
) -> None:
    """One line each with its cause; a tenant's record names no other tenant."""
    stream = start_log()
    # Timestamps are from the import, which happened at collection.
    for signing in importlib.reload(signings).SIGNINGS:
        receiver.rejections.clear()
        stream.seek(0)
        stream.truncate()
        answer = client.post("/webhook", content=signing.body, headers=signing.headers)
        assert (answer.status_code, answer.content) == (403, b'{"detail":"forbidden"}'), signing
        (line,) = lines_of(stream)
        assert "Webhook rejected: status=403, reason=" in line
        assert line.partition(", cause: ")[2] == signing.told, signing
        assert "error" not in line
        assert not any(secret in line for secret in (SECRET, HEX, OTHERS, SHARED, WHSEC, "Zo"))
        reason = line.partition("reason=")[2].partition(" |")[0]
        if reason == "unknown tenant":
            # The secret alone identifies the tenant: the webhook is found under it.
            assert receiver.rejections == [("acme", "12345", 403, f"unknown tenant: {WRONGLY_NAMED}")]
            assert receiver.proved
            continue
        kept = signing.kept or signing.told
        ((_, ticket_id, status, stored),) = receiver.rejections
        assert (ticket_id, status, stored) == ("12345", 403, f"{reason}: {kept}" if kept else reason)
        assert receiver.proved == (
            reason == "signature mismatch" and kept not in ("", "no secret is set for the tenant")
        )
    assert receiver.events == []


def test_how_far_a_clock_is_off_is_told(start_log: StartLog, receiver: Receiver, client: httpx2.Client) -> None:
    stream = start_log()
    for apart, words in ((-4000, "behind"), (400, "ahead of")):
        now = int(time.time())
        sent = Signing("", signed=signed(BODY, now + apart), sent=str(now + apart))
        assert client.post("/webhook", content=BODY, headers=sent.headers).status_code == 403
        near = [f"cause: timestamp {abs(apart) + late} s {words} our clock" for late in (-1, 0, 1)]
        assert any(one in stream.getvalue() for one in near)
    assert receiver.rejections[-1][3].startswith("stale timestamp: timestamp ")


async def test_the_answer_is_sent_before_the_search_begins(start_log: StartLog) -> None:
    stream = start_log()
    begun, may_end = asyncio.Event(), asyncio.Event()

    class Slow(Explainer):
        async def cause(self, asked: Question) -> Cause | None:
            begun.set()
            await may_end.wait()
            return await super().cause(asked)

    receiver = Receiver(TenantDirectory(lambda: SETTINGS), Slow())
    signing = signings.SIGNINGS[0]
    answered: list[Any] = []
    posting = asyncio.create_task(receiver.post([signing.body], raw(signing.headers), sent=answered))
    await asyncio.wait_for(begun.wait(), 5)
    assert [message["type"] for message in answered] == ["http.response.start", "http.response.body"]
    assert (answered[0]["status"], stream.getvalue(), receiver.rejections) == (403, "", [])
    may_end.set()
    assert (await posting)[0] == 403
    assert "cause: signed with the retired secret" in stream.getvalue()


@cache
def tenants_of(number: int) -> TenantDirectory:
    values = {f"WEBHOOK_SECRET_T{one}": f"secret {one}" for one in range(number)}
    return TenantDirectory(lambda: values)


def question(body: bytes, tenants: int = 1) -> Question:
    claim = claim_of({"x-servicedesk-signature": secrets.token_hex(32)})
    assert claim is not None
    return Question(claim, body, "acme", (SECRET, HEX), RETIRED, tenants_of(tenants), time.time())


async def test_a_flood_is_searched_one_at_a_time_and_no_more_than_two_a_second() -> None:
    """The search runs beside other requests; later mismatches get no cause."""
    clock = [0.0]
    explainer = Explainer(now=lambda: clock[0])
    retired = Signing("", secret=RETIRED)
    claim = claim_of(retired.headers)
    assert claim is not None
    asked = Question(claim, BODY, "acme", (SECRET, HEX), RETIRED, TenantDirectory(lambda: SETTINGS), time.time())
    running = asyncio.create_task(explainer.cause(question(BODY, tenants=2000)))
    await asyncio.sleep(0)
    clock[0] += 10
    assert [await explainer.cause(asked) for _ in range(3)] == [None] * 3
    assert await running is None
    found = []
    for _ in range(40):
        found.append(await explainer.cause(asked))
        clock[0] += 0.1
    assert 7 <= len([cause for cause in found if cause is not None]) <= 9


@pytest.mark.parametrize("body", [BODY, b'{"x": "' + b"x" * 64_000 + b'"}', b'{"x": [' + b"[]," * 20_000 + b"0]}"])
async def test_no_search_takes_long_and_none_holds_others_up(body: bytes) -> None:
    """However many tenants there are, and however large the body is."""
    longest, ended = 0.0, asyncio.Event()

    async def serve_others() -> None:
        nonlocal longest
        while not ended.is_set():
            began = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - began)

    others = asyncio.create_task(serve_others())
    asked, explainer = question(body, tenants=2000), Explainer()
    await asyncio.sleep(0)
    began = time.thread_time()
    assert await explainer.cause(asked) is None
    took = time.thread_time() - began
    ended.set()
    await others
    assert took < 3 * SEARCH_SECONDS
    assert longest < SEARCH_SECONDS


async def test_random_signatures_have_no_cause() -> None:
    explainer = Explainer(between_seconds=0)
    assert [await explainer.cause(question(BODY)) for _ in range(10)] == [None] * 10
