"""Causes of a mismatched signature, reported to support after the answer."""

import asyncio
import base64
import io
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx2
import pytest

from api.authentication import Cause, SignatureMismatch, claim_of
from api.signature_diagnosis import SEARCH_SECONDS, SignatureDiagnosis
from api.webhooks import WRONGLY_NAMED
from config.tenant_directory import TenantDirectory
from dev.simulators.serving import serve_in_thread
from tests.kit.logs import lines_of
from tests.kit.receiver import TOKEN, Receiver, raw
from tests.kit.signing import mac

SECRET = base64.b64encode(b"the thirty-two bytes of a secret").decode()
HEX = b"an older key, in hexadecimal".hex()
RETIRED, OTHERS, SHARED = "the retired secret", "the secret of another", "a secret that two have"
WHSEC = "whsec_" + base64.b64encode(b"a standard key").decode()
SETTINGS = {
    "WEBHOOK_SECRET_ACME": SECRET,
    "PREVIOUS_WEBHOOK_SECRET_ACME": HEX,
    "RETIRED_WEBHOOK_SECRET_ACME": RETIRED,
    "WEBHOOK_SECRET_GLOBEX": OTHERS,
    "RETIRED_WEBHOOK_SECRET_GLOBEX": "one that globex had",
    "WEBHOOK_SECRET_HOOLI": SHARED,
    "WEBHOOK_SECRET_UMBRELLA": SHARED,
    "WEBHOOK_SECRET_QUOTED": '"a secret in quotes"',
    "WEBHOOK_SECRET_STANDARD": WHSEC,
    "WEBHOOK_TOKEN_INITECH": TOKEN,
}
BODY = '{"tenant_id": "acme", "ticket_id": "12345", "subject": "Zoë/1"}\n'.encode()
FIELDS = json.loads(BODY)
ENDS = "the body that was signed had other blanks or line breaks at its ends"
ANEW = "the body that was signed had its JSON written in another way"
JOINED = "signed with timestamp and body not joined by a dot"


def of(tenant_id: str) -> bytes:
    return BODY.replace(b"acme", tenant_id.encode())


@dataclass
class Signing:
    """A desk's way of signing: correct except for the given fields."""

    told: str
    kept: str = ""
    secret: str | bytes = SECRET
    body: bytes = BODY
    signed: bytes | None = None
    sent: str | None = field(default_factory=lambda: str(int(time.time())))
    header: str = "sha256={hex}"
    more: dict[str, str] = field(default_factory=dict)

    def header_of(self, signed: bytes) -> str:
        digest = mac(self.secret, signed)
        return self.header.format(hex=digest.hex(), base64=base64.b64encode(digest).decode())

    @property
    def headers(self) -> dict[str, str]:
        signed = self.signed or f"{self.sent}.".encode() + self.body
        timestamp = {} if self.sent is None else {"x-servicedesk-timestamp": self.sent}
        return {"x-servicedesk-signature": self.header_of(signed), **timestamp, **self.more}


def signings() -> list[Signing]:
    """Return each mistake, signed now, with support's message for it."""
    now = int(time.time())

    def signed(body: bytes, timestamp: object = now) -> bytes:
        return f"{timestamp}.".encode() + body

    def standard(told: str, header: str = "v1,{base64}", **how: Any) -> Signing:
        made = Signing(told, body=of("standard"), header=header, **{"secret": b"a standard key"} | how)
        signature = made.header_of(made.signed or b"m." + signed(made.body))
        made.more = {"webhook-id": "m", "webhook-timestamp": str(now), "webhook-signature": signature}
        return made

    return [
        Signing("signed with the retired secret", secret=RETIRED),
        Signing("signed with the secret of tenant globex", "signed with another tenant's secret", secret=OTHERS),
        Signing("signed with a secret of several tenants", "signed with another tenant's secret", secret=SHARED),
        Signing("signed with a line break behind the retired secret", secret=RETIRED + "\n"),
        Signing("signed with quotes around the retired secret", secret=f'"{RETIRED}"'),
        Signing(
            "signed with a line break behind the secret of tenant globex",
            "signed with another tenant's secret",
            secret=OTHERS + "\r\n",
        ),
        Signing("", secret="one that globex had"),
        Signing("signed with a line break behind the secret", secret=SECRET + "\n"),
        Signing("signed with a line break behind the secret", secret=HEX + "\r\n"),
        Signing("signed with a blank beside the secret", secret=f" {SECRET}"),
        Signing("signed with quotes around the secret", secret=f'"{SECRET}"'),
        Signing("signed with the secret without the quotes around it", secret="a secret in quotes", body=of("quoted")),
        Signing("signed with the secret decoded from base64", secret=base64.b64decode(SECRET)),
        Signing("signed with the secret decoded from hex", secret=bytes.fromhex(HEX)),
        Signing("the signature is written in base64", header="{base64}"),
        Signing("the signature is written in base64", header="sha256={base64}"),
        Signing("the signature has other characters around it", header='"sha256={hex}"'),
        Signing(
            "signed with the retired secret and the signature is written in base64", secret=RETIRED, header="{base64}"
        ),
        standard("the signature is written in hex", "v1,{hex}"),
        standard("the signature lacks its v1", "{base64}"),
        standard("signed with the secret itself, not decoded from base64", secret=WHSEC),
        standard("signed without the id that was sent", signed=signed(of("standard"))),
        Signing("signed without the timestamp that was sent", signed=BODY),
        Signing("signed with a timestamp that was not sent", signed=signed(BODY, now - 3), sent=None),
        Signing("signed with a timestamp 2 s earlier than the one sent", signed=signed(BODY, now - 2)),
        Signing("signed with a timestamp 5 s later than the one sent", signed=signed(BODY, now + 5)),
        Signing("", signed=signed(BODY, now + 6)),
        Signing(
            "signed with the timestamp in seconds, but sent in another unit", sent=f"{now}123", signed=signed(BODY)
        ),
        Signing(
            "signed with the timestamp in milliseconds, but sent in another unit", signed=signed(BODY, f"{now}000")
        ),
        Signing(JOINED, signed=f"{now}".encode() + BODY),
        Signing("signed with the timestamp behind the body", signed=BODY + f".{now}".encode()),
        Signing(ENDS, signed=signed(BODY.strip())),
        Signing(ENDS, signed=signed(BODY + b"\n")),
        Signing("the body that was signed had other line breaks", signed=signed(BODY.replace(b"\n", b"\r\n"))),
        Signing("the body that was signed had another character set", signed=signed(BODY.decode().encode("latin-1"))),
        *(
            Signing(ANEW, signed=signed(form.encode()))
            for form in (
                json.dumps(FIELDS, separators=(",", ":")),
                json.dumps(FIELDS, separators=(",", ":"), ensure_ascii=False),
                json.dumps(FIELDS, separators=(",", ":")).replace("/", "\\/"),
                json.dumps(FIELDS, indent=2),
                json.dumps(FIELDS, sort_keys=True),
            )
        ),
        Signing("timestamp in milliseconds", signed=signed(BODY, f"{now}123"), sent=f"{now}123"),
        Signing("timestamp is not a number of seconds", signed=signed(BODY, "noon"), sent="noon"),
        Signing("no secret is set for the tenant", body=of("initech"), signed=signed(BODY)),
        # A misspelt tenant id.
        Signing("signed with the secret of tenant acme", body=of("acne")),
        Signing("", secret="a stranger's"),
        Signing("", header="sha256=zz"),
    ]


@pytest.fixture(scope="module")
def receiver() -> Receiver:
    return Receiver(TenantDirectory(lambda: SETTINGS), SignatureDiagnosis(between_seconds=0, search_seconds=1))


@pytest.fixture(scope="module")
def client(receiver: Receiver) -> Iterator[httpx2.Client]:
    with serve_in_thread(receiver.app) as url, httpx2.Client(base_url=url, trust_env=False) as opened:
        yield opened


def test_each_cause_is_logged_for_support_only(log: io.StringIO, receiver: Receiver, client: httpx2.Client) -> None:
    for signing in signings():
        receiver.rejections.clear()
        log.seek(0)
        log.truncate()
        answer = client.post("/webhook", content=signing.body, headers=signing.headers)
        assert (answer.status_code, answer.content) == (403, b'{"detail":"forbidden"}'), signing
        (line,) = lines_of(log)
        assert "Webhook rejected: status=403, reason=" in line
        assert line.partition(", cause: ")[2] == signing.told, signing
        assert "error" not in line
        assert not any(secret in line for secret in (SECRET, HEX, OTHERS, SHARED, WHSEC, "Zo"))
        reason = line.partition("reason=")[2].partition(" |")[0]
        if reason == "unknown tenant":
            # The secret alone identifies the tenant: the webhook is found under it.
            assert receiver.rejections == [("acme", "12345", 403, f"unknown tenant: {WRONGLY_NAMED}")]
            assert receiver.proved
            continue
        kept = signing.kept or signing.told
        ((_, ticket_id, status, stored),) = receiver.rejections
        assert (ticket_id, status, stored) == ("12345", 403, f"{reason}: {kept}" if kept else reason)
        assert receiver.proved == (
            reason == "signature mismatch" and kept not in ("", "no secret is set for the tenant")
        )
    assert receiver.events == []


def test_how_far_a_clock_is_off_is_told(log: io.StringIO, receiver: Receiver, client: httpx2.Client) -> None:
    for apart, words in ((-4000, "behind"), (400, "ahead of")):
        sent = Signing("", sent=str(int(time.time()) + apart))
        assert client.post("/webhook", content=BODY, headers=sent.headers).status_code == 403
        near = [f"cause: timestamp {abs(apart) + late} s {words} our clock" for late in (-1, 0, 1)]
        assert any(one in log.getvalue() for one in near)
    assert receiver.rejections[-1][3].startswith("stale timestamp: timestamp ")


async def test_the_answer_is_sent_before_the_search_begins(log: io.StringIO) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    class Slow(SignatureDiagnosis):
        async def cause(self, mismatch: SignatureMismatch, tenants: TenantDirectory) -> Cause | None:
            begun.set()
            await may_end.wait()
            return await super().cause(mismatch, tenants)

    receiver = Receiver(TenantDirectory(lambda: SETTINGS), Slow())
    signing = signings()[0]
    answered: list[Any] = []
    posting = asyncio.create_task(receiver.post([signing.body], raw(signing.headers), sent=answered))
    await asyncio.wait_for(begun.wait(), 5)
    assert [message["type"] for message in answered] == ["http.response.start", "http.response.body"]
    assert (answered[0]["status"], log.getvalue(), receiver.rejections) == (403, "", [])
    may_end.set()
    assert (await posting)[0] == 403
    assert "cause: signed with the retired secret" in log.getvalue()


@cache
def tenants_of(number: int) -> TenantDirectory:
    values = {f"WEBHOOK_SECRET_T{one}": f"secret {one}" for one in range(number)}
    return TenantDirectory(lambda: values)


def mismatch(body: bytes, headers: dict[str, str] | None = None) -> SignatureMismatch:
    claim = claim_of(headers or {"x-servicedesk-signature": secrets.token_hex(32)})
    assert claim is not None
    return SignatureMismatch(claim, body, "acme", (SECRET, HEX), RETIRED, time.time())


async def test_a_flood_is_diagnosed_one_at_a_time_and_at_most_twice_a_second() -> None:
    clock = [0.0]
    diagnosis, retired = SignatureDiagnosis(now=lambda: clock[0]), mismatch(BODY, Signing("", secret=RETIRED).headers)
    running = asyncio.create_task(diagnosis.cause(mismatch(BODY), tenants_of(2000)))
    await asyncio.sleep(0)
    clock[0] += 10
    assert [await diagnosis.cause(retired, tenants_of(1)) for _ in range(3)] == [None] * 3
    assert await running is None
    found = []
    for _ in range(40):
        found.append(await diagnosis.cause(retired, tenants_of(1)))
        clock[0] += 0.1
    assert 7 <= len([cause for cause in found if cause is not None]) <= 9


@pytest.mark.parametrize("body", [BODY, b'{"x": "' + b"x" * 64_000 + b'"}', b'{"x": [' + b"[]," * 20_000 + b"0]}"])
async def test_no_search_takes_long_and_none_holds_others_up(body: bytes) -> None:
    longest, ended = 0.0, asyncio.Event()

    async def serve_others() -> None:
        nonlocal longest
        while not ended.is_set():
            began = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - began)

    others = asyncio.create_task(serve_others())
    diagnosis, tenants = SignatureDiagnosis(), tenants_of(2000)
    await asyncio.sleep(0)
    began = time.thread_time()
    assert await diagnosis.cause(mismatch(body), tenants) is None
    took = time.thread_time() - began
    ended.set()
    await others
    assert took < 3 * SEARCH_SECONDS
    assert longest < SEARCH_SECONDS
