"""What a desk posts: the bodies and ids that are read, and those that are not."""

import json
import time
from typing import Any

import pytest

from api.schemas import Malformed, Unusable, parse, read_object, tenant_of, ticket_of

READABLE_IDS = [
    ('"12345"', "12345"),
    ("12345", "12345"),
    ("0", "0"),
    ('"00123"', "00123"),
    ('"12345678901234567890"', "12345678901234567890"),
    ("12345678901234567890", "12345678901234567890"),
    ("234759000000312001", "234759000000312001"),
]
UNREADABLE_IDS = [
    *["true", "false", "null", "1.0", "12345.5", "1e3", "1e400", "NaN", "-5", "-0.0", "[]", "[1]", "{}", '""', '" "'],
    *['"12a"', '" 1"', '"1 "', '"1\\n"', '"\\n1"', '"1\\u0000"', '"-1"', '"+1"', '"1.0"', '"1,2"', '"../1"'],
    *['"' + "1" * 21 + '"', "1" * 21, '"\\u0661\\u0662"', '"\\uff11"', '"\\u00b2"', '"\\ud800"'],
]


def body(ticket_id: str) -> bytes:
    return f'{{"tenant_id": "acme", "ticket_id": {ticket_id}}}'.encode()


def refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_object(raw)


@pytest.mark.parametrize(("written", "ticket_id"), READABLE_IDS)
def test_a_ticket_id_is_one_to_twenty_digits_as_number_or_text(written: str, ticket_id: str) -> None:
    payload = read_object(body(written))
    assert parse(payload).ticket_id == ticket_id
    assert ticket_of(payload) == ticket_id
    assert tenant_of(payload) == "acme"


@pytest.mark.parametrize("written", UNREADABLE_IDS)
def test_anything_else_is_no_ticket_id_and_gets_into_no_log_line(written: str) -> None:
    payload = read_object(body(written))
    assert ticket_of(payload) is None
    with pytest.raises(Unusable, match=r"^ticket_id$"):
        parse(payload)


@pytest.mark.parametrize("tenant_id", [None, 1, True, "", "a" * 64, ["acme"], {"id": "acme"}])
def test_a_tenant_id_is_a_text_of_at_most_63_characters(tenant_id: Any) -> None:
    with pytest.raises(Malformed):
        tenant_of({"tenant_id": tenant_id, "ticket_id": 1})
    assert tenant_of({"tenant_id": "a" * 63}) == "a" * 63
    with pytest.raises(Malformed):
        tenant_of({"ticket_id": 1})


@pytest.mark.parametrize(
    "raw",
    [
        '{"tenant_id": "acme", "ticket_id": 1, "tenant_id": "globex"}',
        '{"tenant_id": "acme", "ticket_id": 1, "tenant_id": "acme"}',
        '{"tenant_id": "acme", "ticket_id": 1, "ticket_id": 2}',
        '{"tenant_id": "acme", "ticket_id": 1, "t\\u0065nant_id": "globex"}',
        '{"tenant_id": "acme", "ticket_id": 1, "more": {"ticket_id": 1, "ticket_id": 2}}',
        '{"tenant_id": "acme", "ticket_id": 1, "more": [[{"tenant_id": "a", "tenant_id": "b"}]]}',
    ],
)
def test_a_body_that_names_a_tenant_or_a_ticket_twice_is_refused(raw: str) -> None:
    refused(raw.encode())


def test_what_the_desks_admin_adds_is_ignored() -> None:
    more = {"tenant_id": "globex", "ticket_id": 2, "subject": "Zoë \ud83d", "list": [{}, {}]}
    payload = read_object(json.dumps({"tenant_id": "acme", "more": more, "ticket_id": 1, "\ud800": 1}).encode())
    parsed = parse(payload)
    assert (parsed.tenant_id, parsed.ticket_id, parsed.event) == ("acme", "1", None)
    assert set(parsed.model_dump()) == {"tenant_id", "ticket_id", "event"}


@pytest.mark.parametrize("opening", ["[", '{"a": '])
def test_five_thousand_levels_are_refused(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    deep = opening * 5000 + "1" + closing * 5000
    refused(deep.encode())
    refused(f'{{"tenant_id": "acme", "ticket_id": 1, "more": {deep}}}'.encode())


@pytest.mark.parametrize("start", ['"', '{"tenant_id": "acme", "x": "', ""])
@pytest.mark.parametrize("piece", ['\\"', '"', "\\", '"\\', "[", '["', '{"":', "1" * 4_000 + ","])
def test_no_body_takes_long_to_be_refused(start: str, piece: str) -> None:
    """One event loop serves all: 64 KiB of quotes that are never closed once took ten seconds of it."""
    raw = (start + piece * (65_000 // len(piece))).encode()
    began = time.thread_time()
    refused(raw)
    assert time.thread_time() - began < 0.25


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \n",
        b"null",
        b"true",
        b"17",
        b'"acme"',
        b"NaN",
        b"[]",
        b'[{"tenant_id": "acme", "ticket_id": 1}]',
        b'{"tenant_id": "acme"',
        b"{'tenant_id': 'acme'}",
        b'{"tenant_id": "acme", "ticket_id": 1}{}',
        b'{"tenant_id": "acme", "ticket_id": 1} x',
        b'{"tenant_id": "acme", "subject": "a\nb"}',
        b'{"tenant_id": "acm\xe9"}',
        b"\xff\xfe\x00",
        b'\xef\xbb\xbf{"tenant_id": "acme", "ticket_id": 1}',
        '{"tenant_id": "acme", "ticket_id": 1}'.encode("utf-16"),
        b"tenant_id=acme&ticket_id=1",
        body("00123"),
        body("1" * 5000),
        b'{"tenant_id": "acme", "ticket_id": 1, "more": ' + b"1" * 5000 + b"}",
    ],
)
def test_what_is_not_one_json_object_in_utf8_or_has_an_odd_number_is_refused(raw: bytes) -> None:
    refused(raw)


@pytest.mark.parametrize("event", ["ticket.created", "Ticket Created", "a", "note:added/2", None, "x" * 100])
def test_an_event_is_optional(event: str | None) -> None:
    assert parse({"tenant_id": "acme", "ticket_id": 1, "event": event}).event == event


@pytest.mark.parametrize("event", ["", "x" * 101, "a\nb", "a\n", "<b>", "a;b", "\u202e", "\ud800", 1, True, ["a"]])
def test_an_event_with_anything_but_plain_words_is_refused(event: Any) -> None:
    with pytest.raises(Unusable, match=r"^event$"):
        parse({"tenant_id": "acme", "ticket_id": 1, "event": event})
