"""Webhooks at the door: headers and bodies within limits, reasons of a 403, and a tenant's limit of waiting jobs."""

import asyncio
import io
import time
from dataclasses import replace
from typing import Any

import pytest
from starlette.requests import Request

from api.authentication import WebhookError, read_body
from config.tenant_directory import TenantDirectory
from observability import metrics_server
from tests.kit.postgres import Store
from tests.kit.receiver import SECRET, Headers, Receiver, raw
from tests.kit.signing import github, timed, untimed
from tests.kit.tenants_toml import filed


@pytest.mark.parametrize(
    ("parts", "leaves", "result", "read"),
    [
        ([b"ab", b"", b"cd"], False, b"abcd", 3),
        ([b""], False, b"", 1),
        # Read to its end before it is refused.
        ([b"abc", b"de", b"f" * 1000, b"g"], False, "body too large", 4),
        # A client that sends for ever is not read for ever.
        ([b"x" * 1024 * 1024] * 40, False, "body too large", 19),
        ([b"ab"], True, "body incomplete", 2),
        ([b"abcde", b"f"], True, "body too large", 3),
    ],
)
async def test_a_body_is_put_together_up_to_the_limit(
    parts: list[bytes], leaves: bool, result: bytes | str, read: int
) -> None:
    unread: list[dict[str, Any]] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if leaves:
        unread.append({"type": "http.disconnect"})
    else:
        unread[-1]["more_body"] = False
    most_left = len(unread) - read

    async def receive() -> dict[str, Any]:
        return unread.pop(0)

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    if isinstance(result, bytes):
        assert await read_body(request, 4, 10) == result
    else:
        with pytest.raises(WebhookError, match=result):
            await read_body(request, 4, 10)
    assert len(unread) >= most_left


async def test_an_announced_size_is_refused_without_waiting_for_a_body_that_does_not_come() -> None:
    async def silence() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    for headers, most in (([], 3.0), ([(b"expect", b"100-continue")], 0.5)):
        began = time.monotonic()
        head = [(b"content-length", b"10000000"), *headers]
        with pytest.raises(WebhookError, match="body too large"):
            await read_body(Request({"type": "http", "method": "POST", "headers": head}, silence), 4, 10)
        assert time.monotonic() - began < most


BODY = b'{"tenant_id": "acme", "ticket_id": "1"}'


async def test_added_middleware_sees_each_webhook() -> None:
    receiver, seen = Receiver(), []

    @receiver.app.middleware("http")
    async def note(request: Request, call_next: Any) -> Any:
        seen.append(request.url.path)
        return await call_next(request)

    assert (await receiver.post([BODY], raw(github(SECRET, BODY))))[0] == 202
    assert (await receiver.post([BODY], [], path="/webhook/acme"))[0] == 403
    assert seen == ["/webhook", "/webhook/acme"]


@pytest.mark.parametrize(("secrets", "status"), [((SECRET, "another"), 202), (("another", SECRET), 403)])
async def test_of_two_headers_of_a_name_the_first_counts(secrets: tuple[str, str], status: int) -> None:
    headers = [header for secret in secrets for header in raw(github(secret, BODY))]
    assert (await Receiver().post([BODY], headers))[0] == status


BAD: Headers = [(b"x-servicedesk-signature", b"sha256=" + b"0" * 64)]


def body_of(tenant_id: str) -> bytes:
    return b'{"tenant_id": "%b", "ticket_id": "12345"}' % tenant_id.encode()


@pytest.mark.parametrize(
    ("tenant_id", "reason", "label"),
    [
        ("acme", "signature mismatch", "acme"),
        ("strict", "signature mismatch", "strict"),
        ("globex", "tenant closed", "globex"),
        ("umbrella", "tenant is polled", "umbrella"),
        ("nobody", "unknown tenant", "unknown"),
    ],
)
async def test_the_refusal_reason_is_only_logged(log: io.StringIO, tenant_id: str, reason: str, label: str) -> None:
    """Includes one signed with the secret that the closed tenant's settings name."""
    receiver = Receiver()
    sent = body_of(tenant_id)
    for headers in [BAD] if label in ("acme", "strict") else [BAD, raw(timed(SECRET, sent))]:
        before = counted(label, reason)
        assert await receiver.post([sent], headers) == (403, b'{"detail":"forbidden"}')
        assert counted(label, reason) == before + 1
    line = log.getvalue().splitlines()[-1]
    assert f"Webhook rejected: status=403, reason={reason} |" in line
    assert f"tenant_id: {tenant_id}" in line
    known = [(tenant_id, "12345", 403, reason)] if label == tenant_id else []
    assert receiver.rejections[-1:] == known
    assert receiver.events == []


@pytest.mark.parametrize("name", ["x-servicedesk-signature", "x-hub-signature-256"])
async def test_a_tenant_that_requires_a_timestamp_refuses_a_signature_without(log: io.StringIO, name: str) -> None:
    receiver = Receiver()
    sent = body_of("strict")
    assert await receiver.post([sent], raw(untimed(SECRET, sent, name))) == (403, b'{"detail":"forbidden"}')
    assert "Webhook rejected: status=403, reason=timestamp missing |" in log.getvalue()
    assert receiver.rejections == [("strict", "12345", 403, "timestamp missing")]
    assert (await receiver.post([sent], raw(timed(SECRET, sent))))[0] == 202
    assert (await receiver.post([body_of("acme")], raw(untimed(SECRET, body_of("acme"), name))))[0] == 202


def counted(tenant_id: str, result: str) -> float:
    series = f'ai_agents_webhooks_total{{result="{result}",tenant_id="{tenant_id}"}} '
    found = [line for line in metrics_server.render("api").decode().splitlines() if line.startswith(series)]
    return float(found[0].removeprefix(series)) if found else 0.0


FULL = "too many jobs waiting: 1 or more jobs of this tenant wait"


@pytest.fixture
async def receiver(store: Store) -> Receiver:
    made = Receiver(TenantDirectory(lambda: filed({"WEBHOOK_SECRET_ACME": SECRET}, {"acme.jobs.most_waiting": 1})))
    made.app.state.api = replace(made.app.state.api, database=store.database)
    await store.accept(ticket_id="1")
    return made


async def post(receiver: Receiver, ticket_id: int) -> int:
    body = b'{"tenant_id": "acme", "ticket_id": %d}' % ticket_id
    status, _ = await receiver.post([body], raw(timed(SECRET, body)))
    return status


async def test_the_refusal_is_recorded_once_per_ticket_before_the_answer(receiver: Receiver, store: Store) -> None:
    assert [await post(receiver, ticket_id) for ticket_id in (77, 77, 78)] == [429] * 3
    rows = store.table.run("SELECT tenant_id, ticket_id, status, reason FROM rejections ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [("acme", "77", 429, FULL), ("acme", "78", 429, FULL)]
    assert (receiver.events, receiver.rejections) == ([], [])


async def test_a_webhook_whose_refusal_can_not_be_recorded_is_taken(receiver: Receiver, store: Store) -> None:
    """It would be lost: the desk may never send it again."""
    store.table.run("ALTER TABLE rejections ADD CONSTRAINT no_429 CHECK (status <> 429)")
    try:
        assert await post(receiver, 77) == 202
    finally:
        store.table.run("ALTER TABLE rejections DROP CONSTRAINT no_429")
    assert [event.ticket_id for event in receiver.events] == ["77"]
