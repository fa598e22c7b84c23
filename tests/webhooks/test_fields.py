"""Accepted ids and events for all webhooks; signed bodies are read strictly."""

import json
from typing import Any

import pytest

from tests.webhooks.readings import READINGS
from webhooks.bodies import Malformed, Unusable, parse, read_signed, tenant_of, ticket_of

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
    *["true", "false", "null", "1.0", "12345.5", "1e3", "1e400", "NaN", "-5", "-0.0", "[]", "{}", '""', '" "', '"12a"'],
    *['"1\\u0000"', '"-1"', '"+1"', '"1.0"', '"1,2"', '"../1"', '"1 2"', '"\\u202e1"'],
    *['"' + "1" * 21 + '"', "1" * 21, '"\\u0661\\u0662"', '"\\uff11"', '"\\u00b2"', '"\\ud800"'],
]
# Desks that cannot sign insert them in this form.
UNREADABLE_SIGNED_IDS = ["[1]", '" 1"', '"1 "', '"1\\n"', '"\\n1"']


def body(ticket_id: str) -> bytes:
    return f'{{"tenant_id": "acme", "ticket_id": {ticket_id}}}'.encode()


@pytest.mark.parametrize(("written", "ticket_id"), READABLE_IDS)
def test_a_ticket_id_is_one_to_twenty_digits_as_number_or_text(written: str, ticket_id: str) -> None:
    for read in READINGS.values():
        payload = read(body(written))
        assert parse(payload).ticket_id == ticket_id
        assert ticket_of(payload) == ticket_id
        assert tenant_of(payload) == "acme"


@pytest.mark.parametrize("written", [*UNREADABLE_IDS, *UNREADABLE_SIGNED_IDS])
def test_anything_else_is_no_ticket_id_and_gets_into_no_log_line(written: str) -> None:
    for read in [read_signed] if written in UNREADABLE_SIGNED_IDS else READINGS.values():
        payload = read(body(written))
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


def test_what_the_desks_admin_adds_is_ignored() -> None:
    more = {"tenant_id": "globex", "ticket_id": 2, "subject": "Zoë \ud83d", "list": [{}, {}]}
    raw = json.dumps({"tenant_id": "acme", "more": more, "ticket_id": 1, "\ud800": 1}).encode()
    for read in READINGS.values():
        assert (tenant_of(read(raw)), parse(read(raw)).ticket_id) == ("acme", "1")


@pytest.mark.parametrize(
    "raw",
    [
        b"true",
        b"17",
        b'"acme"',
        b"NaN",
        b"[]",
        b'{"tenant_id": "acme"',
        b'{"tenant_id": "acme", "ticket_id": 1}{}',
        b"\xff\xfe\x00",
        '{"tenant_id": "acme", "ticket_id": 1}'.encode("utf-16"),
        body("00123"),
        b'{"tenant_id": "acme", "ticket_id": 1, "more": ' + b"1" * 5000 + b"}",
        b'{"tenant_id": "acme", "ticket_id": 1, "more": ' + b'{"a": ' * 5000 + b"1" + b"}" * 5000 + b"}",
    ],
)
def test_what_is_not_one_json_object_in_utf8_or_has_an_odd_number_is_refused(raw: bytes) -> None:
    for read in READINGS.values():
        with pytest.raises(Malformed):
            read(raw)


@pytest.mark.parametrize("event", ["ticket.created", "Ticket Created", "a", "note:added/2", None, "x" * 100])
def test_an_event_is_optional(event: str | None) -> None:
    assert parse({"ticket_id": 1, "event": event}).event == event


@pytest.mark.parametrize("event", ["", "x" * 101, "a\nb", "a\n", "<b>", "a;b", "\u202e", "\ud800", 1, True, ["a"]])
def test_an_event_with_anything_but_plain_words_is_refused(event: Any) -> None:
    with pytest.raises(Unusable, match=r"^event$"):
        parse({"ticket_id": 1, "event": event})
    with pytest.raises(Unusable, match=r"^event, ticket_id$"):
        parse({"event": event})
