"""Signing mistakes, one each, and support's message for it."""

import base64
import json
import time
from dataclasses import dataclass, field
from typing import Any

from tests.kit.receiver import TOKEN
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
UNICODE = BODY.decode().strip()
NOW = int(time.time())


def of(tenant_id: str) -> bytes:
    return BODY.replace(b"acme", tenant_id.encode())


@dataclass
class Signing:
    """A desk's way of signing: correct except for the given fields."""

    told: str
    kept: str = ""
    secret: str | bytes = SECRET
    body: bytes = BODY
    signed: bytes = f"{NOW}.".encode() + BODY
    sent: str | None = str(NOW)
    header: str = ""
    more: dict[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        digest = mac(self.secret, self.signed)
        written = self.header.format(hex=digest.hex(), base64=base64.b64encode(digest).decode())
        timestamp = {} if self.sent is None else {"x-servicedesk-timestamp": self.sent}
        return {"x-servicedesk-signature": written or f"sha256={digest.hex()}", **timestamp, **self.more}


def signed(body: bytes, timestamp: object = NOW) -> bytes:
    return f"{timestamp}.".encode() + body


def standard(told: str, header: str = "v1,{base64}", **how: Any) -> Signing:
    names = {"webhook-id": "m", "webhook-timestamp": str(NOW)}
    how = {"secret": b"a standard key", "signed": b"m." + signed(of("standard"))} | how
    digest = mac(how["secret"], how["signed"])
    names["webhook-signature"] = header.format(hex=digest.hex(), base64=base64.b64encode(digest).decode())
    return Signing(told, body=of("standard"), more=names, **how)


ENDS = "the body that was signed had other blanks or line breaks at its ends"
ANEW = "the body that was signed had its JSON written in another way"
JOINED = "signed with timestamp and body joined otherwise than by a dot"
SIGNINGS = [
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
    Signing(
        "signed with the secret without the quotes around it",
        secret="a secret in quotes",
        body=of("quoted"),
        signed=signed(of("quoted")),
    ),
    Signing("signed with the secret decoded from base64", secret=base64.b64decode(SECRET)),
    Signing("signed with the secret decoded from hex", secret=bytes.fromhex(HEX)),
    Signing("the signature is written in base64", header="{base64}"),
    Signing("the signature is written in base64", header="sha256={base64}"),
    Signing("the signature has something around it", header='"sha256={hex}"'),
    Signing("signed with the retired secret and the signature is written in base64", secret=RETIRED, header="{base64}"),
    standard("the signature is written in hex", "v1,{hex}"),
    standard("the signature lacks its v1", "{base64}"),
    standard("signed with the secret as it stands and not decoded from base64", secret=WHSEC),
    standard("signed without the id that was sent", signed=signed(of("standard"))),
    Signing("signed without the timestamp that was sent", signed=BODY),
    Signing("signed with a timestamp that was not sent", signed=signed(BODY, NOW - 3), sent=None),
    Signing("signed with a timestamp 2 s earlier than the one sent", signed=signed(BODY, NOW - 2)),
    Signing("signed with a timestamp 5 s later than the one sent", signed=signed(BODY, NOW + 5)),
    Signing("", signed=signed(BODY, NOW + 6)),
    Signing("signed with the timestamp in seconds and not as it was sent", sent=f"{NOW}123"),
    Signing("signed with the timestamp in milliseconds and not as it was sent", signed=signed(BODY, f"{NOW}000")),
    Signing(JOINED, signed=f"{NOW}".encode() + BODY),
    Signing("signed with the timestamp behind the body", signed=BODY + f".{NOW}".encode()),
    Signing(ENDS, signed=signed(BODY.strip())),
    Signing(ENDS, signed=signed(BODY + b"\n")),
    Signing("the body that was signed had other line breaks", signed=signed(BODY.replace(b"\n", b"\r\n"))),
    Signing("the body that was signed had another character set", signed=signed(BODY.decode().encode("latin-1"))),
    *(
        Signing(ANEW, signed=signed(form.encode()))
        for form in (
            json.dumps(json.loads(UNICODE), separators=(",", ":")),
            json.dumps(json.loads(UNICODE), separators=(",", ":"), ensure_ascii=False),
            json.dumps(json.loads(UNICODE), separators=(",", ":")).replace("/", "\\/"),
            json.dumps(json.loads(UNICODE), indent=2),
            json.dumps(json.loads(UNICODE), sort_keys=True),
        )
    ),
    Signing("timestamp in milliseconds", signed=signed(BODY, f"{NOW}123"), sent=f"{NOW}123"),
    Signing("timestamp is no number of seconds", signed=signed(BODY, "noon"), sent="noon"),
    Signing("no secret is set for the tenant", body=of("initech")),
    # A misspelt tenant id.
    Signing("signed with the secret of tenant acme", body=of("acne"), signed=signed(of("acne"))),
    Signing("", secret="a stranger's"),
    Signing("", header="sha256=zz"),
]
