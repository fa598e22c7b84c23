"""Webhook bodies in the strict (signed) and the lenient (token) reading, and the fields of both."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from api.authentication import SignatureError, verify_signature
from cli.kit import ai_agents_webhook
from cli.signing_kit import kit
from jobs.payloads import MalformedBodyError, Payload, read_signed, read_unsigned, signed_headers
from tests.kit.signing import GOLDEN_SIGNATURES, GoldenSignature, mac, timed

READINGS: dict[str, Callable[[bytes], Payload]] = {"signed": read_signed, "unsigned": read_unsigned}


def told(read: Callable[[bytes], Payload], body: str | bytes) -> str:
    """Return `tenant ticket event`, `check`, or the reason of a refusal."""
    try:
        payload = read(body.encode() if isinstance(body, str) else body)
    except MalformedBodyError as malformed:
        return str(malformed)
    if payload.is_check:
        return f"{payload.tenant_id or '-'} check"
    if payload.problems:
        return "; ".join(payload.problems.values())
    return " ".join((payload.tenant_id or "-", payload.ticket_id or "", payload.event or "-"))


SECRET_WORDS = "payroll-of-zoe"
SAID = "- 12345 -"
NO_JSON_FORM = "neither a JSON object nor a form with one field input_data or payload"
NO_OBJECT = "not a JSON object, which begins with { and ends with }"
NO_VALUE = "line 1 column 1: a value is missing, or a text has no quotes"
NO_TICKET = "ticket_id is missing or empty: check the spelling of its name and of the desk's variable"
NO_NUMBER = "ticket_id is no number of 1 to 20 digits without commas, dots or blanks between them"
UNREPLACED = "ticket_id is a variable that the desk did not replace: check its spelling in the form's list"
OTHER_CHARSET = "another character set than UTF-8"
NO_EVENT = "event may have only A-Z, a-z, 0-9, spaces and _.:/-, at most 100 characters"
NO_TENANT = "tenant_id must be a text of 1 to 63 characters"
# Refused by both readings in the same words.
UNREADABLE: dict[str | bytes, str] = {
    "": "an empty body",
    " \n": "an empty body",
    b"\xff": f"byte 1: {OTHER_CHARSET}",
    b'{"ticket_id": "\xfc"}': f"byte 16: {OTHER_CHARSET}",
    '{"ticket_id": "1"}'.encode("utf-16-le"): f"byte 1: {OTHER_CHARSET}",
    '{"ticket_id": "1"}'.encode("utf-16-be"): f"byte 1: {OTHER_CHARSET}",
    f'{{"ticket_id": "1", "subject": "say "{SECRET_WORDS}""}}': "line 1 column 37: a quote inside a value or "
    "a missing comma",
    '{"ticket_id": $RequestId}': NO_VALUE.replace("column 1", "column 15"),
    '{\n"ticket_id": }': NO_VALUE.replace("1 column 1", "2 column 14"),
    "{'ticket_id': '1'}": "line 1 column 2: a name without double quotes or an extra comma",
    '{"ticket_id" "1"}': "line 1 column 14: a missing colon",
    '{"ticket_id": "1': "line 1 column 15: a missing closing quote",
    f'{{"ticket_id": "1", "path": "C:\\{SECRET_WORDS}"}}': "line 1 column 31: a backslash inside a value",
    '{"ticket_id": "1"} more': "line 1 column 20: text after the end",
    "[1, 2]": NO_OBJECT,
    "[[1]]": NO_OBJECT,
    '[{"ticket_id": 1}, {"ticket_id": 2}]': NO_OBJECT,
    '{"ticket_id": 1, "ticket_id": 2}': "ticket_id occurs twice",
    '{"tenant_id": "acme", "ticket_id": 1, "tenant_id": "acme"}': "tenant_id occurs twice",
    '{"ticket_id": 1, "t\\u0065nant_id": "acme", "tenant_id": "globex"}': "tenant_id occurs twice",
    '{"ticket_id": 1, "more": [[{"ticket_id": 1, "ticket_id": 2}]]}': "ticket_id occurs twice",
    '{"x": ' + "[" * 200 + "]" * 200 + "}": "nested too deeply",
    "[" * 50_000: "nested too deeply",
    '{"ticket_id": ' + "1" * 5000 + "}": "a number with thousands of digits",
    '{"tenant_id": 7, "ticket_id": 1}': NO_TENANT,
    "{}": NO_TICKET,
    # No source uses this name.
    '{"id": 12345}': NO_TICKET,
    f'{{"ticket_id": "{SECRET_WORDS}"}}': NO_NUMBER,
    '{"ticket_id": ["1", "2"]}': NO_NUMBER,
    '{"ticket_id": "1 234"}': NO_NUMBER,
    '{"ticket_id": "$RequestID"}': UNREPLACED,
    f'{{"ticket_id": "${{{SECRET_WORDS}}}"}}': UNREPLACED,
    # JSON in a JSON string; no source uses it.
    '"{\\"ticket_id\\": 1}"': NO_OBJECT,
}
# Result of each reading. Bodies that only the lenient one accepts were seen at third parties ("Its webhooks" of
# docs/dev/outside.md); the byte order mark: RFC 8259, 8.1.
BODIES: list[tuple[str | bytes, str, str]] = [
    # Accepted by both.
    *[
        (body, said, said)
        for body, said in {
            '{"ticket_id": 12345}': SAID,
            '{"ticket_id": "12345", "tenant_id": "acme", "event": "ticket.created"}': "acme 12345 ticket.created",
            '{"ticket_id": 123640000000240013, "subject": "Zo\\u00eb"}': "- 123640000000240013 -",
            '{"event": "webhook.check", "tenant_id": "acme"}': "acme check",
            '{"event": "webhook.check", "ticket_id": 1}': "- 1 webhook.check",
            '{"ticket_id": 12345, "event": null}': SAID,
        }.items()
    ],
    # Accepted by the lenient reading only.
    ('{"requestId": "12345"}', NO_TICKET, SAID),
    ('{"requestId": 12345, "ticket_id": "12345"}', SAID, SAID),
    ('{"ticket_id": "", "requestId": "12345"}', NO_TICKET, SAID),
    ('{"ticket_id": null, "requestId": ["12345"]}', NO_TICKET, SAID),
    ('{"ticket_id": "12345", "requestId": " "}', SAID, SAID),
    ('{"event": "webhook.check", "ticket_id": ""}', NO_TICKET, "- check"),
    ('{"ticket_id": ["12345"]}', NO_NUMBER, SAID),
    ('{"tenant_id": ["acme"], "ticket_id": 12345}', NO_TENANT, "acme 12345 -"),
    ('[{"requestId": ["12345"], "event": ["created"]}]', NO_OBJECT, "- 12345 created"),
    ('{"ticket_id": " 12345\\n", "event": ""}', f"{NO_EVENT}; {NO_NUMBER}", SAID),
    *[
        (f'{{"ticket_id": 12345, "event": {event}}}', NO_EVENT, SAID)
        for event in ('"<b>"', f'"a\\n{SECRET_WORDS}"', '"$EventName"', '"Erstellt: Störung"', "1", "{}", '["a", "b"]')
    ],
    ('{"ticket_id": 12345, "tenant_id": null}', NO_TENANT, SAID),
    ('{"requestId": 1, "tenantId": "acme"}', NO_TICKET, "acme 1 -"),
    (
        '{"ticket_id": "12345", "subject": "one\ntwo\r\n\tthree"}',
        "line 1 column 39: a line break or a tab inside a value",
        SAID,
    ),
    ('\ufeff{"ticket_id": 12345}', "line 1 column 1: a byte order mark", SAID),
    (urlencode({"input_data": '{"requestId": "12345"}'}), NO_VALUE, SAID),
    (urlencode({"payload": '{"subject": "a\nb", "ticket_id": 12345}', "more": "x"}), NO_VALUE, SAID),
    ('payload={"requestId": "12345"}', NO_VALUE, SAID),
    (urlencode({"payload": '{"ticket_id": 12345}', "tenant_id": " acme"}), NO_VALUE, "acme 12345 -"),
    (urlencode({"payload": '{"ticket_id": 12345}', "tenantId": "acme"}), NO_VALUE, "acme 12345 -"),
    (urlencode({"tenant_id": "acme", "payload": '{"tenant_id": "acme", "ticket_id": 1}'}), NO_VALUE, "acme 1 -"),
    (urlencode({"tenant_id": "", "payload": '{"tenant_id": "acme", "ticket_id": 12345}'}), NO_VALUE, "acme 12345 -"),
    *[(body, words, words) for body, words in UNREADABLE.items()],
    # Refused by both, in different words.
    ('{"requestId": ""}', NO_TICKET, NO_TICKET),
    ('{"requestId": 1, "requestId": 2}', NO_TICKET, "requestId occurs twice"),
    ('{"ticket_id": 1, "requestId": 2}', "- 1 -", "ticket_id and requestId differ"),
    ('{"ticket_id": 1, "event": "a", "event": "b"}', "- 1 b", "event occurs twice"),
    ("ticket_id=12345", NO_VALUE, NO_JSON_FORM),
    ("null", NO_OBJECT, NO_JSON_FORM),
    ("<request><id>12345</id></request>", NO_VALUE, NO_JSON_FORM),
    (
        '--x\r\nContent-Disposition: form-data; name="payload"\r\n\r\n{"ticket_id": 12345}\r\n--x--\r\n',
        NO_VALUE,
        "it is a multipart form, choose JSON or plain text for it",
    ),
    ('{"tenant_id": "a", "tenantId": "b", "ticket_id": 1}', "a 1 -", "tenant_id occurs twice"),
    (urlencode({"payload": '{"tenant_id": "a"}', "tenant_id": "b"}), NO_VALUE, "tenant_id occurs twice"),
    (urlencode({"payload": '{"tenant_id": "a"}', "tenantId": "b"}), NO_VALUE, "tenant_id occurs twice"),
    (urlencode([("payload", "{}"), ("tenant_id", "a"), ("tenant_id", "b")]), NO_VALUE, "tenant_id occurs twice"),
    (urlencode({"payload": "{}", "input_data": "{}"}), NO_VALUE, NO_JSON_FORM),
    (urlencode({"payload": '{"requestId": "}'}), NO_VALUE, "in payload line 1 column 15: a missing closing quote"),
    (urlencode({"payload": "[1]"}), NO_VALUE, f"in payload {NO_OBJECT}"),
    ("&".join(["a=1"] * 51), NO_VALUE, "more than 50 fields"),
]


@pytest.mark.parametrize(("body", "signed", "unsigned"), BODIES)
def test_a_body_is_read_or_its_problem_named(body: str | bytes, signed: str, unsigned: str) -> None:
    assert {name: told(read, body) for name, read in READINGS.items()} == {"signed": signed, "unsigned": unsigned}
    assert SECRET_WORDS not in signed + unsigned
    assert "error" not in (signed + unsigned).lower()


@pytest.mark.parametrize("start", ['"', '{"tenant_id": "acme", "x": "', "", "payload="])
@pytest.mark.parametrize("piece", ['\\"', '"', "\\", '"\\', "[", '["', '{"":', "&", "1" * 4_000 + ","])
def test_no_body_takes_long_to_be_refused(start: str, piece: str) -> None:
    """One loop serves all: 64 KiB of unclosed quotes once took ten seconds of it."""
    raw = (start + piece * (65_000 // len(piece))).encode()
    for read in READINGS.values():
        began = time.thread_time()
        assert "acme" not in told(read, raw)
        assert time.thread_time() - began < 0.25


READABLE_IDS = [
    *("12345", "0", "12345678901234567890", "234759000000312001"),
    *('"12345"', '"00123"', '"12345678901234567890"'),
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


@pytest.mark.parametrize("written", [*READABLE_IDS, *UNREADABLE_IDS, *UNREADABLE_SIGNED_IDS])
def test_a_ticket_id_is_one_to_twenty_digits_as_number_or_text(written: str) -> None:
    for read in [read_signed] if written in UNREADABLE_SIGNED_IDS else READINGS.values():
        payload = read(body(written))
        expected = (written.strip('"'), []) if written in READABLE_IDS else (None, ["ticket_id"])
        assert (payload.ticket_id, [*payload.problems]) == expected


@pytest.mark.parametrize("tenant_id", [None, 1, True, "", "a" * 64, ["acme"], {"id": "acme"}])
def test_a_tenant_id_is_a_text_of_at_most_63_characters(tenant_id: Any) -> None:
    with pytest.raises(MalformedBodyError) as malformed:
        Payload.of({"tenant_id": tenant_id, "ticket_id": 1})
    assert malformed.value.ticket_id == "1"
    assert Payload.of({"ticket_id": 1}).tenant_id is None
    assert Payload.of({"tenant_id": "a" * 63}).tenant_id == "a" * 63


def test_what_the_desks_admin_adds_is_ignored() -> None:
    more = {"tenant_id": "globex", "ticket_id": 2, "subject": "Zoë \ud83d", "list": [{}, {}]}
    raw = json.dumps({"tenant_id": "acme", "more": more, "ticket_id": 1, "\ud800": 1}).encode()
    for read in READINGS.values():
        assert (read(raw).tenant_id, read(raw).ticket_id) == ("acme", "1")


@pytest.mark.parametrize("event", ["ticket.created", "Ticket Created", "a", "note:added/2", None, "x" * 100])
def test_an_event_is_optional(event: str | None) -> None:
    assert Payload.of({"ticket_id": 1, "event": event}) == Payload(None, "1", event)


@pytest.mark.parametrize("event", ["", "x" * 101, "a\nb", "a\n", "<b>", "a;b", "\u202e", "\ud800", 1, True, ["a"]])
def test_an_event_with_anything_but_plain_words_is_refused(event: Any) -> None:
    assert [*Payload.of({"ticket_id": 1, "event": event}).problems] == ["event"]
    assert [*Payload.of({"event": event}).problems] == ["event", "ticket_id"]


golden = pytest.mark.parametrize("golden", GOLDEN_SIGNATURES, ids=lambda each: each.name)
URL = "https://api.example.com/webhook"


def sent(golden: GoldenSignature) -> dict[str, str]:
    return {"x-servicedesk-signature": golden.signature, "x-servicedesk-timestamp": golden.timestamp}


@golden
def test_check_the_python_script_and_the_tests_sign_so(golden: GoldenSignature) -> None:
    body, now = golden.body.encode(), int(golden.timestamp) + 0.9
    of_script = ai_agents_webhook.signed(golden.secret.encode(), body, "d-1", now)
    for headers, more in (
        (signed_headers(golden.secret, body, now), {}),
        (of_script, {"x-servicedesk-delivery": "d-1"}),
    ):
        made = {name.lower(): value for name, value in headers.items()}
        assert made == {"content-type": "application/json"} | sent(golden) | more
    assert timed(golden.secret, body, golden.timestamp) == sent(golden)


@golden
def test_the_shell_commands_make_the_golden_signatures(golden: GoldenSignature) -> None:
    """The kit's signing lines only; the kit's tests run the whole."""
    lines = re.findall(r"^(?:SIGN|SIGNATURE)=.*$", kit("script", "acme", URL, None), re.MULTILINE)
    assert len(lines) == 2
    given = {"SECRET": golden.secret, "BODY": golden.body, "NOW": golden.timestamp, "LC_ALL": "C.UTF-8"}
    script = "\n".join([*lines, 'printf %s "$SIGNATURE"'])
    ran = subprocess.run(["bash", "-euc", script], env=os.environ | given, capture_output=True, text=True, check=True)
    assert f"sha256={ran.stdout}" == golden.signature


@golden
def test_the_receiver_takes_it_and_nothing_else(golden: GoldenSignature) -> None:
    secrets, body, now = ["another", golden.secret], golden.body.encode(), int(golden.timestamp)
    assert verify_signature(secrets, sent(golden), body, now) == (f"{golden.timestamp}.{golden.body}".encode(), 1)
    with pytest.raises(SignatureError, match="signature mismatch"):
        verify_signature(secrets, sent(golden), body + b" ", now)


@pytest.mark.parametrize("body", [b"\xff\n", b"\x00"])
def test_bytes_that_are_no_text_are_signed_as_they_are(body: bytes) -> None:
    headers = {name.lower(): value for name, value in signed_headers("s3cret", body, 1_800_000_000).items()}
    assert headers == {"content-type": "application/json"} | timed("s3cret", body, 1_800_000_000)


def test_the_deluge_function_makes_the_golden_signature() -> None:
    """By its source: Deluge runs in Zoho's editor only."""
    expected = GOLDEN_SIGNATURES[0]
    source = kit("deluge", "acme", URL, expected.secret)
    values = dict(re.findall(r'^(tenant|secret|event) = "(.*)";$', source, re.MULTILINE))
    values["ticket"] = "123640000000240013"
    assert 'ticket = requestObj.get("id").toString();\n' in source
    (body,) = re.findall(r"^body = (.+);$", source, re.MULTILINE)
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"|(\w+)', body)
    joined = "".join(values[name] if name else re.sub(r"\\(.)", r"\1", text) for text, name in parts)
    assert (joined, values["secret"]) == (expected.body, expected.secret)
    assert "timestamp = millis.subString(0, millis.length() - 3);\n" in source
    digest = 'zoho.encryption.hmacsha256(secret, timestamp + "." + body, "hex")'
    assert f'headers.put("X-ServiceDesk-Signature", "sha256=" + {digest});\n' in source
    assert 'headers.put("X-ServiceDesk-Timestamp", timestamp);\n' in source
    assert "            parameters: body\n" in source


def test_deluges_hmac_is_plain_hmac_in_hex() -> None:
    """Example 2 of https://www.zoho.com/deluge/help/encryption/hmac-sha256.html."""
    key, data = "sk_5Ow7B_4eC39H", b"{Order ID: 0932, Currency: USD, Amount: 2500}"
    assert mac(key, data).hex() == "13721963e7ac439f5a2e63c261856393647f3f51b493beebf5919af4bc3de19c"


def test_the_deluge_function_calls_only_documented_functions() -> None:
    """Sources: `docs/connect/deluge.md`. Deluge cannot wait, so it makes no pauses."""
    source = (Path(ai_agents_webhook.__file__).parent / "ai_agents_webhook.dg").read_text(encoding="utf-8")
    called = set(re.findall(r"([\w.]+)\(", re.sub(r'"(?:[^"\\]|\\.)*"|//.*', "", source)))
    methods = {name.rpartition(".")[2] for name in called if "." in name}
    assert methods == {"contains", "get", "hmacsha256", "length", "put", "subString", "toLong", "toString"}
    assert {name for name in called if "." not in name} == {"Map", "if"}
