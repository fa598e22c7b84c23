"""Arbitrary bodies and headers: 202 or a 4xx, one line, and no exception."""

import asyncio
import io
import json
import re
from urllib.parse import urlencode

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.kit.receiver import SECRET, TOKEN, Headers, Receiver, raw
from tests.kit.signing import github, standard, timed

NAMES = [
    *(b"content-type", b"content-encoding", b"content-length", b"transfer-encoding", b"expect"),
    *(b"traceparent", b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"x-servicedesk-delivery"),
    *(b"x-servicedesk-signature", b"x-servicedesk-timestamp", b"x-hub-signature-256", b"x-servicedesk-token"),
]
VALUES = [b"", b"gzip", b"identity", b"sha256=", b"v1,", b"v1,AAAA", b"9" * 40, b"-1", b"application/json", b"\xff"]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
tenants = st.sampled_from(["acme", "globex", "initech", "ACME", "acme\n", "acme\0", "", "error"]) | anything
tickets = st.sampled_from(["1", "00012345678901234567", "1\n", 1, 10**20, 1e400, True, "\ud800"]) | anything
objects = st.fixed_dictionaries(
    {"tenant_id": tenants, "ticket_id": tickets}, optional={"event": anything, "x": anything}
)
texts = st.text(alphabet='{}[]":,\\ \n\0019.eE-+tfnua\u0661\u202e', max_size=60)
bodies = st.one_of(
    st.binary(max_size=200),
    texts.map(str.encode),
    objects.map(json.dumps).map(str.encode),
    objects.map(json.dumps).map(lambda text: urlencode({"payload": text}).encode()),
    st.builds(lambda value, tail: json.dumps(value).encode() + tail, objects, st.binary(max_size=4)),
    st.builds(lambda depth: b'{"tenant_id": "acme", "x": ' + b"[" * depth, st.integers(0, 70_000)),
    st.builds(lambda digits: b'{"tenant_id": "acme", "ticket_id": %b}' % (b"9" * digits), st.integers(0, 70_000)),
)
names = st.sampled_from(NAMES) | st.binary(min_size=1, max_size=20)
values = st.sampled_from(VALUES) | st.binary(max_size=80)
headers = st.lists(st.tuples(names, values), max_size=6)
SCHEMES = {"servicedesk": timed, "hub": github, "standard": standard}
PROOFS = ["none", *SCHEMES, "token"]


def proving(proof: str, body: bytes) -> Headers:
    if proof == "token":
        return [(b"x-servicedesk-token", TOKEN.encode())]
    return raw(SCHEMES[proof](SECRET, body)) if proof in SCHEMES else []


def test_no_body_and_no_header_gets_a_5xx_or_a_second_line(log: io.StringIO) -> None:
    receiver = Receiver()
    seen: set[int] = set()
    with asyncio.Runner() as runner:

        @settings(
            max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
        )
        @given(bodies, headers, st.sampled_from(PROOFS), st.integers(1, 70_000), st.booleans())
        @example(b'{"tenant_id": "acme", "ticket_id": "1"}', [], "standard", 70_000, False)
        @example(b'{"tenant_id": "acme", "ticket_id": "x"}', [], "standard", 70_000, False)
        @example(b"payload=%7B%22requestId%22%3A+7%7D", [], "token", 69_999, False)
        @example(b"x" * 70_000, [], "hub", 1_000, False)
        def fuzz(body: bytes, more: Headers, proof: str, size: int, leaves: bool) -> None:
            log.seek(0)
            log.truncate()
            receiver.events.clear()
            parts = [body[at : at + size] for at in range(0, len(body), size)]
            path = "/webhook/initech" if proof == "token" and size % 2 else "/webhook"
            sent = receiver.post(parts, [*proving(proof, body), *more], leaves=leaves, path=path)
            status, answer = runner.run(sent)
            seen.add(status)
            (line,) = log.getvalue().splitlines()
            if status == 202:
                (event,) = receiver.events
                assert re.fullmatch("[0-9]{1,20}", event.ticket_id)
                tenant_id = "initech" if proof == "token" else "acme"
                assert f"Webhook received: ticket_id={event.ticket_id}, tenant_id={tenant_id}" in line
            else:
                assert 400 <= status < 500
                assert receiver.events == []
                assert f"Webhook rejected: status={status}, reason=" in line
                assert "error" not in line
            assert set(json.loads(answer)) in ({"detail"}, {"job_id", "status"})

        fuzz()
    # The run counts only if it reached each check.
    assert seen == {202, 400, 403, 413, 415, 422}
