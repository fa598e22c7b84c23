"""Reasons of a 403 on a webhook: logged and recorded, hidden from the caller."""

import pytest

from observability import exposition
from tests.kit.logs import StartLog
from tests.kit.receiver import SECRET, Headers, Receiver, raw
from tests.kit.signing import timed, untimed

BAD: Headers = [(b"x-servicedesk-signature", b"sha256=" + b"0" * 64)]


def body(tenant_id: str) -> bytes:
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
async def test_a_refused_webhook_has_its_reason_in_the_log_and_tells_the_caller_nothing(
    start_log: StartLog, tenant_id: str, reason: str, label: str
) -> None:
    """Includes one signed with the secret that the closed tenant's settings name."""
    stream, receiver = start_log(), Receiver()
    sent = body(tenant_id)
    for headers in [BAD] if label in ("acme", "strict") else [BAD, raw(timed(SECRET, sent))]:
        before = counted(label, reason)
        assert await receiver.post([sent], headers) == (403, b'{"detail":"forbidden"}')
        assert counted(label, reason) == before + 1
    line = stream.getvalue().splitlines()[-1]
    assert f"Webhook rejected: status=403, reason={reason} |" in line
    assert f"tenant_id: {tenant_id}" in line
    known = [(tenant_id, "12345", 403, reason)] if label == tenant_id else []
    assert receiver.rejections[-1:] == known
    assert receiver.events == []


@pytest.mark.parametrize("name", ["x-servicedesk-signature", "x-hub-signature-256"])
async def test_a_tenant_that_requires_a_timestamp_refuses_a_signature_without(start_log: StartLog, name: str) -> None:
    stream, receiver = start_log(), Receiver()
    sent = body("strict")
    assert await receiver.post([sent], raw(untimed(SECRET, sent, name))) == (403, b'{"detail":"forbidden"}')
    assert "Webhook rejected: status=403, reason=timestamp missing |" in stream.getvalue()
    assert receiver.rejections == [("strict", "12345", 403, "timestamp missing")]
    assert (await receiver.post([sent], raw(timed(SECRET, sent))))[0] == 202
    assert (await receiver.post([body("acme")], raw(untimed(SECRET, body("acme"), name))))[0] == 202


def counted(tenant_id: str, result: str) -> float:
    series = f'ai_agents_webhooks_total{{result="{result}",tenant_id="{tenant_id}"}} '
    found = [line for line in exposition.of("api").decode().splitlines() if line.startswith(series)]
    return float(found[0].removeprefix(series)) if found else 0.0
