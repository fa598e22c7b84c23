"""Unsigned bodies: accepted forms, and messages to the desk and to support."""

from urllib.parse import urlencode

import pytest

from tests.kit.logs import StartLog
from tests.kit.receiver import TOKEN, Receiver, raw

SAID = '{"ticket_id": "12345"}'
SECRET_WORDS = "payroll-of-zoe"
NO_FORM = "neither a JSON object nor a form with one field input_data or payload"
NO_TICKET = "ticket_id is missing or empty: is its name, and the desk's variable for it, spelled right?"
NO_NUMBER = "ticket_id is no number of 1 to 20 digits without commas, dots or blanks between them"
UNREPLACED = "ticket_id is a variable that the desk did not replace: is it spelled as in the form's list?"
ANOTHER_TENANT = "tenant_id is another one than in the address"
# Desks allow any header text for any body.
TYPES = [
    *("", "application/json", "application/x-www-form-urlencoded", "text/plain; charset=ISO-8859-1", "json"),
    *("text/html", "application/xml; charset=utf-8", "multipart/form-data; boundary=x"),
]
# One of each kind in tests/webhooks.
READ = {
    "requestId": '{"requestId": "12345"}',
    "raw line breaks": '{"subject": "one\ntwo\r\n\tthree", "ticket_id": "12345\n"}',
    "a form field": urlencode({"input_data": '{"requestId": "12345"}'}),
    "a form that names the tenant too": urlencode({"payload": SAID, "tenant_id": "initech"}),
    "the tenant as well": '{"tenant_id": ["initech"], "ticket_id": 12345}',
    "an empty name": '{"ticket_id": "", "requestId": "12345"}',
}
UNREADABLE = [
    ("", "nothing in it"),
    (f'{{"requestId": "1", "subject": "say "{SECRET_WORDS}""}}', "line 1 column 37: a quote inside a value or a"),
    ('{"tenant_id": 7, "ticket_id": 1}', "tenant_id is no text of 1 to 63 characters"),
    ('{"tenant_id": "acme", "ticket_id": 1}', ANOTHER_TENANT),
    (urlencode({"payload": SAID, "tenant_id": "acme"}), ANOTHER_TENANT),
    (f"<request><id>1</id><subject>{SECRET_WORDS}</subject></request>", NO_FORM),
    (SAID.encode("utf-16"), "byte 1: another character set than UTF-8"),
]
UNUSABLE = [("{}", NO_TICKET), ('{"requestId": "$request.id"}', UNREPLACED), ('{"ticket_id": "12,345"}', NO_NUMBER)]
CASES = [(body, 400, words) for body, words in UNREADABLE] + [(body, 422, words) for body, words in UNUSABLE]


def headers(content_type: str = "", **more: str) -> list[tuple[bytes, bytes]]:
    typed = {"content-type": content_type} if content_type else {}
    return raw({"x-servicedesk-token": TOKEN, **typed, **more})


@pytest.mark.parametrize("body", READ.values(), ids=READ)
async def test_a_body_as_desks_write_it_is_read_whatever_its_type(start_log: StartLog, body: str) -> None:
    start_log()
    receiver = Receiver()
    for content_type in TYPES:
        status, _ = await receiver.post([body.encode()], headers(content_type), path="/webhook/initech")
        assert status == 202, content_type
        event = receiver.events.pop()
        assert (event.tenant_id, event.ticket_id) == ("initech", "12345")


async def test_without_a_tenant_in_the_address_a_token_lets_any_type_be_read_too(start_log: StartLog) -> None:
    start_log()
    receiver = Receiver()
    for status, body in (
        (202, '{"tenant_id": "initech", "ticket_id": 1}'),
        (202, urlencode({"payload": '{"ticket_id": 1}', "tenant_id": "initech"})),
        (400, urlencode({"payload": '{"ticket_id": 1, "tenant_id": "initech"}', "tenant_id": "acme"})),
    ):
        assert (await receiver.post([body.encode()], headers("text/html")))[0] == status
    assert (await receiver.post([b"{}"], raw({"content-type": "text/html"})))[0] == 415


@pytest.mark.parametrize(("body", "status", "words"), CASES)
async def test_what_can_not_be_read_is_told_in_words_that_quote_nothing(
    start_log: StartLog, body: str | bytes, status: int, words: str
) -> None:
    """In the log, the answer and support's records; 422 if only a field is unusable."""
    stream, receiver = start_log(), Receiver()
    sent = body if isinstance(body, bytes) else body.encode()
    for content_type in ("", "multipart/form-data; boundary=x", "text/xml"):
        before = len(stream.getvalue())
        told, answer = await receiver.post([sent], headers(content_type), path="/webhook/initech")
        (line,) = stream.getvalue()[before:].splitlines()
        assert told == status, answer
        assert f'{{"detail":"malformed payload: {words}'.encode() in answer
        assert f"Webhook rejected: status={status}, reason=malformed payload | " in line
        assert f"cause: {words}" in line
        assert "tenant_id: initech" in line
        assert "verified" not in line
        assert SECRET_WORDS.encode() not in line.encode() + answer
        assert "error" not in line
        tenant_id, _, stored, why = receiver.rejections.pop()
        assert (tenant_id, stored) == ("initech", status)
        assert why.startswith(f"malformed payload: {words}")
    assert (receiver.events, receiver.rejections) == ([], [])


@pytest.mark.parametrize(
    ("body", "more", "status", "said"),
    [
        (b"x" * 65_537, {}, 413, "body too large: more than 64 KiB, send ids only"),
        (b"x", {"content-encoding": "gzip"}, 415, "compressed body: send it as it is"),
    ],
)
async def test_a_body_that_is_not_even_read_is_told_to_who_has_the_token(
    start_log: StartLog, body: bytes, more: dict[str, str], status: int, said: str
) -> None:
    """Recorded under the tenant; with a wrong token it is an ordinary 403."""
    stream, receiver = start_log(), Receiver()
    answer = await receiver.post([body], headers(**more), path="/webhook/initech")
    assert answer == (status, f'{{"detail":"{said}"}}'.encode())
    assert receiver.rejections == [("initech", None, status, said)]
    assert "| tenant_id: initech, " in stream.getvalue()
    assert f"cause: {said.partition(': ')[2]}\n" in stream.getvalue()
    wrong = [(name, value + b"x" * (name == b"x-servicedesk-token")) for name, value in headers(**more)]
    assert await receiver.post([body], wrong, path="/webhook/initech") == (403, b'{"detail":"forbidden"}')
    assert receiver.rejections[1:] == [("initech", None, 403, "token mismatch")]
