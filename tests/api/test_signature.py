"""Proof of a webhook's tenant: three schemes, two secrets, and rejected forms."""

import base64
from collections.abc import Callable

import pytest

from api.authentication import SignatureError, verify_signature
from tests.kit.signing import github, standard, timed, untimed

NOW = 1_800_000_000
BODY = b'{"tenant_id": "acme", "ticket_id": "12345"}'
CURRENT, PREVIOUS = "the current secret", "the previous secret"
SECRETS = (CURRENT, PREVIOUS)
Scheme = Callable[..., dict[str, str]]
KEY = b"\x00\x01 a key that is no text \xff"
WHSEC = "whsec_" + base64.b64encode(KEY).decode()

TIMED = [timed, standard]
SCHEMES = [*TIMED, untimed, github]
MISMATCH = "signature mismatch"


def by(scheme: Scheme, secret: str | bytes = CURRENT, timestamp: object = NOW) -> dict[str, str]:
    return scheme(secret, BODY, timestamp) if scheme in TIMED else scheme(secret, BODY)


def refusal(
    headers: dict[str, str], body: bytes = BODY, secrets: tuple[str, ...] = SECRETS, *, require_timestamp: bool = False
) -> str:
    with pytest.raises(SignatureError) as refused:
        verify_signature(secrets, headers, body, NOW, require_timestamp=require_timestamp)
    return str(refused.value)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("secret", SECRETS)
def test_each_scheme_verifies_under_its_secret_and_for_its_body_alone(scheme: Scheme, secret: str) -> None:
    verify_signature(SECRETS, by(scheme, secret), BODY, NOW)
    others = tuple(other for other in SECRETS if other != secret)
    assert [refusal(by(scheme, secret), secrets=left) for left in (others, ())] == [MISMATCH] * 2
    assert refusal(by(scheme, secret), body=BODY + b" ") == MISMATCH


def test_the_hex_may_stand_alone_in_capitals_and_with_spaces_around_it() -> None:
    for scheme in (timed, github):
        headers = by(scheme)
        name = next(name for name in headers if "signature" in name)
        bare = headers[name].removeprefix("sha256=")
        for written in (bare, bare.upper(), f"  sha256={bare} "):
            verify_signature(SECRETS, headers | {name: written}, BODY, NOW)


def test_a_whsec_secret_is_the_key_that_it_encodes() -> None:
    verify_signature((WHSEC,), by(standard, KEY), BODY, NOW)
    assert refusal(by(standard, WHSEC), secrets=(WHSEC,)) == MISMATCH
    for encodes_nothing in ("whsec_", "whsec_===="):
        assert refusal(by(standard, b""), secrets=(encodes_nothing,)) == MISMATCH
    for no_base64 in ("whsec_not base64!", "whsec_schlüssel"):
        verify_signature((no_base64,), by(standard, no_base64), BODY, NOW)


def test_one_good_signature_among_several_is_enough() -> None:
    headers = by(standard)
    good = headers["webhook-signature"]
    stranger = by(standard, "a stranger's")["webhook-signature"]
    for several in (f"{stranger} {good}", f"v1a,{'A' * 88} {good} {stranger}", f"v1,not-base64! v2,x {good}"):
        verify_signature(SECRETS, headers | {"webhook-signature": several}, BODY, NOW)
    assert refusal(headers | {"webhook-signature": f"{stranger} v1a,{good[3:]}"}) == MISMATCH


@pytest.mark.parametrize("scheme", TIMED)
def test_a_signed_timestamp_holds_for_300_seconds_in_both_directions(scheme: Scheme) -> None:
    for seconds in (-300, 0, 300):
        verify_signature(SECRETS, by(scheme, timestamp=NOW + seconds), BODY, NOW, require_timestamp=True)
    for seconds in (-301, 301, -(10**8), 10**8):
        assert refusal(by(scheme, timestamp=NOW + seconds)) == "stale timestamp"


@pytest.mark.parametrize("scheme", TIMED)
@pytest.mark.parametrize(
    "timestamp",
    [
        *["", "now", "1.8e9", "-1800000000", "+1800000000", "1800000000.0", "1_800_000_000", f"{NOW}000", "9" * 5000],
        *[" 1800000000", "1800000000\n", "1800000000\x00", "0x6b49d200"],
        *["１８００００００００", "١٨٠٠٠٠٠٠٠٠", "18000000²"],
    ],
)
def test_a_timestamp_that_is_no_plain_number_of_now_is_stale(scheme: Scheme, timestamp: str) -> None:
    assert refusal(by(scheme, timestamp=timestamp)) == "stale timestamp"


def test_the_timestamp_of_a_captured_request_can_be_neither_removed_nor_renewed() -> None:
    captured = by(timed, timestamp=NOW - 4000)
    assert refusal(captured) == "stale timestamp"
    without = {"x-servicedesk-signature": captured["x-servicedesk-signature"]}
    assert refusal(without) == MISMATCH
    assert refusal(without | {"x-servicedesk-timestamp": str(NOW)}) == MISMATCH
    assert refusal({"x-hub-signature-256": captured["x-servicedesk-signature"]}) == MISMATCH


def test_no_part_of_a_captured_standard_webhook_can_be_removed_or_exchanged() -> None:
    captured = by(standard, timestamp=NOW - 4000)
    for name in ("webhook-id", "webhook-timestamp"):
        assert refusal({key: value for key, value in captured.items() if key != name}) == MISMATCH
    assert refusal(captured | {"webhook-timestamp": str(NOW)}) == MISMATCH
    assert refusal(captured | {"webhook-id": "msg_2"}) == MISMATCH


@pytest.mark.parametrize("scheme", [untimed, github])
def test_a_signature_without_a_timestamp_is_refused_where_one_is_required(scheme: Scheme) -> None:
    assert refusal(by(scheme), require_timestamp=True) == "timestamp missing"
    assert refusal(by(scheme, "a stranger's"), require_timestamp=True) == MISMATCH
    added = by(scheme) | {"webhook-timestamp": str(NOW), "x-servicedesk-timestamp": str(NOW)}
    assert refusal(added, require_timestamp=True) in ("timestamp missing", MISMATCH)


def test_without_a_signature_header_nothing_is_verified() -> None:
    assert refusal({}) == "signature missing"
    assert refusal({"x-servicedesk-timestamp": str(NOW), "webhook-id": "msg_1"}) == "signature missing"


@pytest.mark.parametrize("name", ["x-servicedesk-signature", "x-hub-signature-256", "webhook-signature"])
@pytest.mark.parametrize(
    "value",
    [
        *["", " ", "sha256=", "v1,", "v1", ",", "sha256=zz", "sha256=abc", "v1,v1,v1", "=" * 64],
        *["é", "\x00", "\x7f", "\x85", "日本", "v1,é", "v1,\u0660", "sha256=é", "sha256=\x00\x00"],
    ],
)
def test_an_empty_malformed_or_strange_signature_is_a_mismatch(name: str, value: str) -> None:
    assert refusal({name: value, "webhook-id": "msg_1", "webhook-timestamp": str(NOW)}) == MISMATCH


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("strange", ["é", "\x00", "v1,\u0660"])
def test_strange_characters_in_any_header_are_refused_and_break_nothing(scheme: Scheme, strange: str) -> None:
    signed = by(scheme)
    for name in signed:
        assert refusal(signed | {name: strange}) in (MISMATCH, "stale timestamp")
