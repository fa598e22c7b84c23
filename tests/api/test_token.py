"""Webhooks of desks that cannot sign: access by token, and accepted forms of their bodies."""

import io
import json
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import httpx2
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from config.tenant_directory import TenantDirectory
from dev.simulators.serving import serve_in_thread
from observability import metrics_server
from tests.kit.logs import StartLog, lines_of
from tests.kit.receiver import SECRET, TOKEN, Receiver, raw
from tests.kit.signing import timed

OTHER = "t0ken-of-hooli-" + "y" * 32
GOOD = '{"tenant_id": "initech", "ticket_id": "12345", "event": "ticket.created"}'
OF_HOOLI = GOOD.replace("initech", "hooli")
FORBIDDEN = b'{"detail":"forbidden"}'
SETTINGS = {
    "WEBHOOK_SECRET_ACME": SECRET,
    "WEBHOOK_TOKEN_INITECH": TOKEN,
    "WEBHOOK_SECRET_HOOLI": SECRET,
    "WEBHOOK_TOKEN_HOOLI": OTHER,
    "WEBHOOK_TOKEN_GLOBEX": "short",
}


@pytest.fixture
def receiver() -> Receiver:
    """`acme` has a secret, `initech` a token, `hooli` both, and `globex` is closed."""
    return Receiver(TenantDirectory(lambda: SETTINGS))


@pytest.fixture(scope="module")
def everyone() -> Receiver:
    return Receiver(TenantDirectory(lambda: SETTINGS))


@pytest.fixture(scope="module")
def door(everyone: Receiver) -> Iterator[httpx2.Client]:
    with serve_in_thread(everyone.app) as url, httpx2.Client(base_url=url, trust_env=False) as opened:
        yield opened


def token(value: str = TOKEN, **more: str) -> dict[str, str]:
    return {"x-servicedesk-token": value, **more}


def signed(body: str, timestamp: int | None = None) -> dict[str, str]:
    return timed(SECRET, body.encode(), timestamp)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "reason"),
    [
        ("/webhook", GOOD, token(), 202, ""),
        ("/webhook/initech", GOOD, token(), 202, ""),
        ("/webhook/hooli", '{"requestId": 1}', token(OTHER), 202, ""),
        ("/webhook", OF_HOOLI, token(OTHER), 202, ""),
        ("/webhook", OF_HOOLI, {}, 403, "signature missing"),
        ("/webhook", GOOD, {}, 403, "token missing"),
        ("/webhook/initech", GOOD, {}, 403, "token missing"),
        ("/webhook", GOOD, token(OTHER), 403, "token mismatch"),
        ("/webhook/initech", GOOD, token(OTHER), 403, "token mismatch"),
        ("/webhook/initech", "{", token(OTHER), 403, "token mismatch"),
        ("/webhook/initech", GOOD, token(TOKEN + "x"), 403, "token mismatch"),
        ("/webhook/initech", GOOD, token(TOKEN[:-1]), 403, "token mismatch"),
        ("/webhook/initech", GOOD, token(""), 403, "token mismatch"),
        # A tenant with only a secret accepts signed webhooks only.
        ("/webhook/acme", '{"requestId": 1}', token(SECRET), 403, "token mismatch"),
        ("/webhook/acme", '{"requestId": 1}', token(""), 403, "token mismatch"),
        ("/webhook", GOOD.replace("initech", "acme"), token(TOKEN), 403, "token mismatch"),
        ("/webhook", GOOD, signed(GOOD), 403, "signature mismatch"),
        ("/webhook/globex", GOOD, token("short"), 403, "tenant closed"),
        ("/webhook/nobody", GOOD, token(), 403, "unknown tenant"),
        ("/webhook/INITECH", GOOD, token(), 403, "unknown tenant"),
        *((f"/webhook/initech/{more}", GOOD, token(), 404, "unknown address") for more in ("", "x")),
        ("/webhook/" + "x" * 200, GOOD, token(), 403, "unknown tenant"),
        ("/webhook/" + quote("\n\x1b[2J"), GOOD, token(), 403, "unknown tenant"),
        # A token does not make up for a bad or old signature.
        ("/webhook", OF_HOOLI, signed("x") | token(OTHER), 403, "signature mismatch"),
        ("/webhook", OF_HOOLI, signed(OF_HOOLI, 1) | token(OTHER), 403, "stale timestamp"),
        ("/webhook", '{"tenant_id": "hooli", "requestId": 1}', signed("x") | token(OTHER), 403, "signature mismatch"),
        ("/webhook/hooli", GOOD, signed(GOOD) | token(OTHER), 400, "signed webhook at a tenant's address"),
        ("/webhook/hooli", GOOD, signed(GOOD), 400, "signed webhook at a tenant's address"),
        ("/webhook/nobody", GOOD, signed(GOOD), 400, "signed webhook at a tenant's address"),
        ("/webhook", '{"requestId": 1}', token(), 400, "malformed payload"),
        ("/webhook/", GOOD, token(), 404, "unknown address"),
        ("/webhook?tenant_id=initech", '{"requestId": 1}', token(), 400, "malformed payload"),
    ],
)
def test_what_opens_the_webhook(
    log: io.StringIO,
    everyone: Receiver,
    door: httpx2.Client,
    path: str,
    body: str,
    headers: dict[str, str],
    status: int,
    reason: str,
) -> None:
    everyone.events.clear()
    answer = door.post(path, content=body, headers=headers)
    assert answer.status_code == status
    assert len(everyone.events) == (1 if status == 202 else 0)
    if status == 403:
        assert answer.content == FORBIDDEN
    if reason:
        (line,) = lines_of(log)
        assert f"Webhook rejected: status={status}, reason={reason}" in line
        assert ("cause: no token is set for the tenant" in line) == ("acme" in path + body and reason[:5] == "token")


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/webhook/initech?ticket_id=77", 405, "wrong method: a webhook is sent with POST"),
        ("PUT", "/webhook/initech", 405, "wrong method: a webhook is sent with POST"),
        ("POST", "/webhook/initech/77", 404, "unknown address: it is /webhook, or with a token /webhook/<tenant>"),
        ("POST", "/webhook/initech/", 404, "unknown address: it is /webhook, or with a token /webhook/<tenant>"),
    ],
)
def test_unknown_methods_and_addresses_are_answered_and_logged(
    log: io.StringIO, everyone: Receiver, door: httpx2.Client, method: str, path: str, status: int, said: str
) -> None:
    reason, _, cause = said.partition(": ")
    for headers, tenant in (({}, ""), (token(OTHER), ""), (token(), "initech")):
        everyone.rejections.clear()
        answer = door.request(method, path, content=GOOD, headers=headers)
        assert (answer.status_code, answer.json()) == (status, {"detail": said})
        line = log.getvalue().splitlines()[-1]
        assert f"Webhook rejected: status={status}, reason={reason} | " in line
        assert f"cause: {cause}" in line
        assert ("tenant_id: initech" in line) == bool(tenant)
        assert everyone.rejections == ([(tenant, None, status, said)] if tenant else [])
    assert everyone.proved


async def test_unsigned_duplicates_have_the_same_ticket_event_and_body(start_log: StartLog, receiver: Receiver) -> None:
    """Same ticket, event and body; fixed headers of the desk never merge two tickets."""
    start_log()
    fixed = token(**{"x-servicedesk-delivery": "1", "webhook-id": "1"})
    bodies = ('{"requestId": 1}', '{"requestId": 1}', '{"requestId": 2}', '{"requestId": 1, "event": "updated"}')
    for body in bodies:
        assert (await receiver.post([body.encode()], raw(fixed), path="/webhook/initech"))[0] == 202
    keys = [event.dedupe_keys for event in receiver.events]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert {len(each) for each in keys} == {1}


async def test_a_span_has_no_address_that_a_stranger_wrote(
    start_log: StartLog, receiver: Receiver, spans: InMemorySpanExporter
) -> None:
    start_log()
    for path in ("/webhook", "/webhook/initech", "/webhook/x' OR 1=1"):
        await receiver.post([b"{}"], raw(token()), path=path)
    told = [dict(span.attributes or {}) for span in spans.get_finished_spans()]
    assert [(span.get("http.route"), span.get("url.path")) for span in told] == [
        ("/webhook", "/webhook"),
        ("/webhook/{tenant_id}", "/webhook/initech"),
        ("/webhook/{tenant_id}", None),
    ]


CHECK = '{"tenant_id": "%s", "event": "webhook.check"}'


async def test_a_check_is_verified_like_any_other_and_makes_no_job(log: io.StringIO, receiver: Receiver) -> None:
    before = checks()
    ways = [
        (CHECK % "acme", signed(CHECK % "acme"), "/webhook", "acme"),
        (CHECK % "hooli", signed(CHECK % "hooli"), "/webhook", "hooli"),
        (CHECK % "initech", token(), "/webhook", "initech"),
        ('{"event": "webhook.check"}', token(), "/webhook/initech", "initech"),
    ]
    for body, headers, path, tenant_id in ways:
        status, answer = await receiver.post([body.encode()], raw(headers), path=path)
        assert (status, json.loads(answer)) == (200, {"status": "verified", "tenant_id": tenant_id})
        assert f"Webhook checked: tenant_id={tenant_id} | tenant_id: {tenant_id}" in log.getvalue().splitlines()[-1]
    assert checks() - before == len(ways)
    for headers in ({}, token(), signed("x"), signed(CHECK % "acme", 1)):
        assert await receiver.post([(CHECK % "acme").encode()], raw(headers)) == (403, FORBIDDEN)
    assert (receiver.events, checks() - before) == ([], len(ways))
    with_ticket = '{"tenant_id": "acme", "event": "webhook.check", "ticket_id": "1"}'
    assert (await receiver.post([with_ticket.encode()], raw(signed(with_ticket))))[0] == 202


def checks() -> float:
    lines = metrics_server.render("api").decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if 'ai_agents_webhooks_total{result="checked"' in line)


SECRET_WORDS = "payroll-of-zoe"
ANOTHER_TENANT = "tenant_id differs from the one in the address"


@pytest.mark.parametrize(
    "body",
    [
        '{"subject": "one\ntwo\r\n\tthree", "ticket_id": "12345\n"}',
        urlencode({"payload": '{"ticket_id": "12345"}', "tenant_id": "initech"}),
        '{"tenant_id": ["initech"], "requestId": 12345}',
    ],
)
async def test_a_body_is_read_with_any_content_type(start_log: StartLog, receiver: Receiver, body: str) -> None:
    """Desks allow any header text for any body; `tests/jobs` has more bodies."""
    start_log()
    types = ("", "application/x-www-form-urlencoded", "json", "application/xml; charset=utf-8", "multipart/form-data")
    for content_type in types:
        headers = raw(token(**{"content-type": content_type}))
        assert (await receiver.post([body.encode()], headers, path="/webhook/initech"))[0] == 202, content_type
        event = receiver.events.pop()
        assert (event.tenant_id, event.ticket_id) == ("initech", "12345")


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (202, '{"tenant_id": "initech", "ticket_id": 1}', token()),
        (202, urlencode({"payload": '{"ticket_id": 1}', "tenant_id": "initech"}), token()),
        (400, urlencode({"payload": '{"ticket_id": 1, "tenant_id": "initech"}', "tenant_id": "acme"}), token()),
        (415, "{}", {}),
    ],
)
async def test_without_a_tenant_in_the_address_a_token_lets_any_type_be_read_too(
    start_log: StartLog, receiver: Receiver, status: int, body: str, headers: dict[str, str]
) -> None:
    start_log()
    assert (await receiver.post([body.encode()], raw(headers | {"content-type": "text/html"})))[0] == status


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (f'{{"requestId": "1", "subject": "say "{SECRET_WORDS}""}}', 400, "line 1 column 37: a quote inside a value"),
        ('{"tenant_id": "acme", "ticket_id": 1}', 400, ANOTHER_TENANT),
        (urlencode({"payload": '{"ticket_id": 1}', "tenant_id": "acme"}), 400, ANOTHER_TENANT),
        (f"<subject>{SECRET_WORDS}</subject>", 400, "neither a JSON object nor a form with one field"),
        ("\ud800", 400, "byte 1: another character set than UTF-8"),
        (f'{{"ticket_id": "{SECRET_WORDS}"}}', 422, "ticket_id is no number of 1 to 20 digits"),
    ],
)
async def test_an_unreadable_body_is_reported_without_quoting_it(
    start_log: StartLog, receiver: Receiver, body: str, status: int, words: str
) -> None:
    stream, sent = start_log(), body.encode(errors="surrogatepass")
    told, answer = await receiver.post([sent], raw(token(**{"content-type": "text/xml"})), path="/webhook/initech")
    (line,) = stream.getvalue().splitlines()
    assert told == status, answer
    assert f'{{"detail":"malformed payload: {words}'.encode() in answer
    assert f"Webhook rejected: status={status}, reason=malformed payload | " in line
    assert f"cause: {words}" in line
    assert "tenant_id: initech" in line
    assert "verified" not in line
    assert SECRET_WORDS.encode() not in line.encode() + answer
    assert "error" not in line
    ((tenant_id, _, stored, why),) = receiver.rejections
    assert (tenant_id, stored) == ("initech", status)
    assert why.startswith(f"malformed payload: {words}")
    assert receiver.events == []


@pytest.mark.parametrize(
    ("body", "more", "status", "said"),
    [
        (b"x" * 65_537, {}, 413, "body too large: more than 64 KiB, send ids only"),
        (b"x", {"content-encoding": "gzip"}, 415, "compressed body: send it uncompressed"),
    ],
)
async def test_an_unread_body_is_reported_to_token_holders(
    log: io.StringIO, receiver: Receiver, body: bytes, more: dict[str, str], status: int, said: str
) -> None:
    answer = await receiver.post([body], raw(token(**more)), path="/webhook/initech")
    assert answer == (status, f'{{"detail":"{said}"}}'.encode())
    assert "| tenant_id: initech, " in log.getvalue()
    assert f"cause: {said.partition(': ')[2]}\n" in log.getvalue()
    assert await receiver.post([body], raw(token("x", **more)), path="/webhook/initech") == (403, FORBIDDEN)
    assert receiver.rejections == [("initech", None, status, said), ("initech", None, 403, "token mismatch")]
