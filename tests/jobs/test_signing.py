"""Golden signatures, made by every signer and accepted by the receiver."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from api.authentication import SignatureError, verify_signature
from cli.kit import ai_agents_webhook
from cli.signing_kit import kit
from jobs.payloads import signed_headers
from tests.kit.signing import GOLDEN_SIGNATURES, GoldenSignature, mac, timed

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
def test_the_shell_commands_sign_so(golden: GoldenSignature) -> None:
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


def test_the_deluge_function_signs_so() -> None:
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


def test_the_function_of_deluge_is_plain_hmac_in_hex() -> None:
    """Example 2 of https://www.zoho.com/deluge/help/encryption/hmac-sha256.html."""
    key, data = "sk_5Ow7B_4eC39H", b"{Order ID: 0932, Currency: USD, Amount: 2500}"
    assert mac(key, data).hex() == "13721963e7ac439f5a2e63c261856393647f3f51b493beebf5919af4bc3de19c"


def test_the_deluge_function_calls_nothing_but_what_the_vendor_documents() -> None:
    """Sources: `docs/connect/deluge.md`. Deluge cannot wait, so it makes no pauses."""
    source = (Path(ai_agents_webhook.__file__).parent / "ai_agents_webhook.dg").read_text(encoding="utf-8")
    called = set(re.findall(r"([\w.]+)\(", re.sub(r'"(?:[^"\\]|\\.)*"|//.*', "", source)))
    methods = {name.rpartition(".")[2] for name in called if "." in name}
    assert methods == {"contains", "get", "hmacsha256", "length", "put", "subString", "toLong", "toString"}
    assert {name for name in called if "." not in name} == {"Map", "if"}
