"""Authentication of webhooks by signature, or by token for desks that can't sign.

A signature is an HMAC-SHA256 over the raw body, in one of three header schemes:

| scheme              | header                                                          | signed                 |
|---------------------|-----------------------------------------------------------------|------------------------|
| this system's       | `X-ServiceDesk-Signature: sha256=<hex>` (or the hex alone)      | `<timestamp>.<body>`   |
|                     | with `X-ServiceDesk-Timestamp`; without it the body is signed   | or the body            |
| GitHub's            | `X-Hub-Signature-256: sha256=<hex>`                             | the body               |
| Standard Webhooks   | `webhook-signature: v1,<base64> ...` with `webhook-id` and      | `<id>.<timestamp>.`    |
|                     | `webhook-timestamp`; the key is `whsec_<base64>`                | `<body>`               |

A signed timestamp must be within 300 s of now; a tenant may require one. Checks take the same time
for unknown tenants, and for tenants closed by a settings problem, as for all others.
"""

import asyncio
import base64
import contextlib
import hmac
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from secrets import token_hex
from typing import Self

from fastapi import Request
from starlette.requests import ClientDisconnect

from api.server import WHOLE_BODY
from config.tenant_directory import TenantDirectory
from config.tenants import Tenant
from db.session import DATABASE_FAILURES, Database
from jobs import payloads
from jobs.payloads import (
    LARGEST_BODY_BYTES,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    TOKEN_HEADER,
    WINDOW_SECONDS,
    MalformedBodyError,
    Payload,
)
from observability import metrics, tracing
from privacy import secret_fingerprints
from privacy.secret_fingerprints import CURRENT, MAX_BATCH, PREVIOUS, RETIRED, TOKEN

_SIGNATURE_HEADER, _TIMESTAMP_HEADER = SIGNATURE_HEADER.lower(), TIMESTAMP_HEADER.lower()
_TOKEN_HEADER = TOKEN_HEADER.lower()
_STANDARD_HEADER, _GITHUBS_HEADER = "webhook-signature", "x-hub-signature-256"
_SCHEMES = (_SIGNATURE_HEADER, _STANDARD_HEADER, _GITHUBS_HEADER)
_MAX_SIGNATURES = 8
_A_DAY_SECONDS = 86_400

_MAX_DRAINED_BYTES = 16 * 1024 * 1024
_DRAIN_SILENCE_SECONDS = 1.0
_DEFAULT_CONTENT_TYPES = (
    "",
    "*/*",
    "text/plain",
    "text/json",
    "application/octet-stream",
    "application/x-www-form-urlencoded",
)
# Random secrets for unknown tenants. Each check tries two secrets, so that its time reveals neither whether the tenant
# exists nor whether it has a previous secret.
_UNKNOWN_SECRETS = (token_hex(32), token_hex(32))
_UNKNOWN_RETIRED_SECRET = token_hex(32)
_UNKNOWN_TOKEN = token_hex(32)
_UNKNOWN_TENANT = Tenant("")
_WRITE_INTERVAL_SECONDS = 5.0
_WRITE_TIMEOUT_SECONDS = 5.0
_LAST_WRITE_SECONDS = 1.0
_KINDS = {CURRENT: "current", PREVIOUS: "previous", RETIRED: "retired", TOKEN: "token"}


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a refusal, as text for support.

    `stored`: replaces `text` in the tenant's record if `text` names another tenant. `owner`: the other tenant that the
    secret belongs to; empty if there are several.
    """

    text: str
    stored: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class SignatureClaim:
    """The signature headers of a request."""

    standard: bool
    """True for Standard Webhooks: signatures, and keys with `whsec_`, are in base64."""
    written: str
    """The header as received."""
    signatures: Sequence[bytes]
    timestamp: str | None
    prefix: bytes
    """Signed bytes before the body."""

    @property
    def key_of(self) -> Callable[[str], bytes]:
        return _standard_key if self.standard else str.encode


@dataclass(frozen=True, slots=True)
class SignatureMismatch:
    """A signature that did not match: the input for the search for its cause.

    For an unknown tenant the secrets are random, so that the search takes the same time.
    """

    claim: SignatureClaim
    body: bytes
    tenant_id: str
    secrets: tuple[str, ...]
    retired: str
    now: float


class SignatureError(Exception):
    """An invalid signature; its text is the reason in the log.

    `claim` is set for a mismatch.
    """

    def __init__(self, reason: str, *, cause: str = "", claim: SignatureClaim | None = None) -> None:
        super().__init__(reason)
        self.cause = cause
        self.claim = claim


@dataclass(eq=False)
class WebhookError(Exception):
    """A refused webhook: HTTP status, and reason for the log.

    `mismatch`: input for the search for a `cause`. `cause_found`: the search found the cause, which proves that the
    sender has a secret. `is_recorded`: the refusal is already in the database.
    """

    status: int
    reason: str
    tenant_id: str | None = None
    ticket_id: str | None = None
    known_tenant: bool = False
    verified: bool = False
    fields: str = ""
    cause: Cause | None = None
    mismatch: SignatureMismatch | None = None
    cause_found: bool = False
    is_recorded: bool = False

    def verified_for(self, tenant_id: str) -> Self:
        return replace(self, tenant_id=tenant_id, known_tenant=True, verified=True)

    @property
    def detail(self) -> str:
        if self.status == 403:
            return "forbidden"
        return f"{self.reason}: {self.cause.text}" if self.cause else self.reason


@dataclass(frozen=True, slots=True)
class Proof:
    """The secret that authenticated a webhook, and its setting.

    `signed`: the signed bytes, None for a token.
    """

    setting: str
    secret: str = field(repr=False)
    signed: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Webhook:
    """An authenticated webhook."""

    tenant_id: str
    tenant: Tenant
    payload: Payload
    body: bytes
    headers: Mapping[str, str]
    proof: Proof


async def authenticate(
    request: Request, tenants: TenantDirectory, secret_usage: "SecretUsage", seconds: float, tenant_in_path: str | None
) -> Webhook:
    """Read and verify a webhook; `seconds` limits the body. Raises WebhookError."""
    # The first header of each name, as a dictionary: Starlette would search a list for each of a dozen look-ups.
    headers = dict(reversed(request.headers.items()))
    is_signed = any(name in headers for name in _SCHEMES)
    by_token = not is_signed and (tenant_in_path is not None or _TOKEN_HEADER in headers)
    try:
        body = await read_body(request, LARGEST_BODY_BYTES, seconds, any_type=by_token)
    except WebhookError as refused:
        if by_token and tenant_in_path is not None:
            verify_token(tenants, tenant_in_path, headers, None)
            raise refused.verified_for(tenant_in_path) from None
        raise
    if by_token:
        webhook = _authenticate_by_token(tenants, headers, body, tenant_in_path)
    elif tenant_in_path is not None:
        # The address is not signed: the tenant of a signed webhook is in its body.
        raise WebhookError(400, "signed webhook at a tenant's address")
    else:
        webhook = _authenticate_by_signature(tenants, headers, body)
    secret_usage.count(webhook.tenant_id, webhook.proof)
    return webhook


def _authenticate_by_signature(tenants: TenantDirectory, headers: Mapping[str, str], body: bytes) -> Webhook:
    try:
        payload = payloads.read_signed(body)
    except MalformedBodyError as malformed:
        raise WebhookError(400, "malformed payload", cause=Cause(str(malformed))) from None
    if payload.tenant_id is None:
        raise WebhookError(400, "malformed payload", cause=Cause("tenant_id is missing"))
    tenant_id, now = payload.tenant_id, time.time()
    tenant = tenants.get(tenant_id) or _UNKNOWN_TENANT
    secrets = (*tenant.webhook_secrets, *_UNKNOWN_SECRETS)[:2]
    try:
        signed, number = verify_signature(secrets, headers, body, now, require_timestamp=tenant.require_timestamp)
        setting = PREVIOUS if number > 0 or tenant.lacks_current_secret else CURRENT
        return Webhook(tenant_id, tenant, payload, body, headers, Proof(setting, secrets[number], signed))
    except SignatureError as failure:
        reason, cause, mismatch = str(failure), Cause(failure.cause) if failure.cause else None, None
        if failure.claim is not None:
            retired = tenant.retired_secret or _UNKNOWN_RETIRED_SECRET
            mismatch = SignatureMismatch(failure.claim, body, tenant_id, secrets, retired, now)
    if not tenant.webhook_secrets:
        # Without secrets no signature can match, and an unsigned request needs a token.
        reason, cause = (reason, Cause("no secret is set for the tenant")) if mismatch else ("token missing", None)
    raise _refusal(reason, tenant, tenant_id, payload.ticket_id, cause, mismatch)


def _authenticate_by_token(
    tenants: TenantDirectory, headers: Mapping[str, str], body: bytes, tenant_in_path: str | None
) -> Webhook:
    problem = ""
    try:
        payload = payloads.read_unsigned(body)
    except MalformedBodyError as malformed:
        payload, problem = Payload(ticket_id=malformed.ticket_id), str(malformed)
    tenant_id = tenant_in_path or payload.tenant_id
    if tenant_id is None:
        raise WebhookError(400, "malformed payload", cause=Cause(problem or "tenant_id is missing"))
    tenant, proof = verify_token(tenants, tenant_id, headers, payload.ticket_id)
    if payload.tenant_id not in (None, tenant_id):
        problem = "tenant_id differs from the one in the address"
    if problem:
        refused = WebhookError(400, "malformed payload", ticket_id=payload.ticket_id, cause=Cause(problem))
        raise refused.verified_for(tenant_id)
    return Webhook(tenant_id, tenant, payload, body, headers, proof)


def verify_token(
    tenants: TenantDirectory, tenant_id: str, headers: Mapping[str, str], ticket_id: str | None
) -> tuple[Tenant, Proof]:
    """Verify the token of a tenant. Raises WebhookError."""
    tenant = tenants.get(tenant_id) or _UNKNOWN_TENANT
    token = headers.get(_TOKEN_HEADER)
    # Digests, because `compare_digest` reveals unequal lengths.
    matches = hmac.compare_digest(_digest(token or ""), _digest(tenant.webhook_token or _UNKNOWN_TOKEN))
    if token is None:
        raise _refusal("token missing", tenant, tenant_id, ticket_id)
    if not (matches and tenant.webhook_token):
        cause = None if tenant.webhook_token else Cause("no token is set for the tenant")
        raise _refusal("token mismatch", tenant, tenant_id, ticket_id, cause)
    return tenant, Proof(TOKEN, token)


def _refusal(
    reason: str,
    tenant: Tenant,
    tenant_id: str,
    ticket_id: str | None,
    cause: Cause | None = None,
    mismatch: SignatureMismatch | None = None,
) -> WebhookError:
    refused = WebhookError(403, "unknown tenant", tenant_id, ticket_id, mismatch=mismatch)
    if tenant.accepts_webhooks:
        refused = WebhookError(403, reason, tenant_id, ticket_id, cause=cause, mismatch=mismatch)
    elif not tenant.usable:
        refused = WebhookError(403, "tenant closed", tenant_id, ticket_id, mismatch=mismatch)
    elif tenant.polled:
        refused = WebhookError(403, "tenant is polled", tenant_id, ticket_id, mismatch=mismatch)
    refused.known_tenant = refused.reason != "unknown tenant"
    return refused


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


async def read_body(request: Request, limit: int, seconds: float, *, any_type: bool = False) -> bytes:
    """Return the body. Raises WebhookError.

    `any_type` accepts every content type. An oversized body is drained within a limit: otherwise the client would see a
    reset connection. A client that waits for `100 Continue` gets the 413 at once.
    """
    if _compressed(request):
        raise WebhookError(415, "compressed body", cause=Cause("send it uncompressed"))
    if not any_type and not _may_be_json(request.headers.get("content-type", "")):
        raise WebhookError(415, "unsupported content type")
    stream = request.stream()
    announced = request.headers.get("content-length", "")
    try:
        if announced.isdecimal() and int(announced[:12]) > limit:
            if "expect" in request.headers:
                raise _too_large(limit)
            body = None
        else:
            # No timer if the whole body has arrived: a timer costs 3 % of a webhook's time.
            async with contextlib.nullcontext() if request.scope.get(WHOLE_BODY) else asyncio.timeout(seconds):
                body = await _read_within(stream, limit)
    except TimeoutError:
        raise WebhookError(408, "body too slow") from None
    except ClientDisconnect:
        raise WebhookError(400, "body incomplete") from None
    if body is None:
        await _drain(stream, seconds)
        raise _too_large(limit)
    return body


async def _read_within(parts: AsyncIterator[bytes], limit: int) -> bytes | None:
    body = bytearray()
    async for part in parts:
        body += part
        if len(body) > limit:
            return None
    return bytes(body)


def _too_large(limit: int) -> WebhookError:
    return WebhookError(413, "body too large", cause=Cause(f"more than {limit // 1024} KiB, send ids only"))


def _may_be_json(content_type: str) -> bool:
    """Return True for JSON and for clients' default types, such as curl's form."""
    name = content_type.partition(";")[0].strip().lower()
    return name in _DEFAULT_CONTENT_TYPES or name == "application/json" or name.endswith("+json")


def _compressed(request: Request) -> bool:
    if "content-encoding" not in request.headers and "transfer-encoding" not in request.headers:
        return False
    codings = ",".join(request.headers.getlist("content-encoding") + request.headers.getlist("transfer-encoding"))
    return any(coding.strip().lower() not in ("", "identity", "chunked") for coding in codings.split(","))


async def _drain(stream: AsyncIterator[bytes], seconds: float) -> None:
    drained = 0
    with contextlib.suppress(ClientDisconnect, TimeoutError, StopAsyncIteration):
        async with asyncio.timeout(seconds):
            while drained <= _MAX_DRAINED_BYTES:
                async with asyncio.timeout(_DRAIN_SILENCE_SECONDS):
                    drained += len(await anext(stream))


def claim_of(headers: Mapping[str, str]) -> SignatureClaim | None:
    """Return the claim of the first scheme whose header is present, or None.

    Header names are in lower case.
    """
    if (written := headers.get(_STANDARD_HEADER)) is not None:
        timestamp = headers.get("webhook-timestamp", "")
        prefix = f"{headers.get('webhook-id', '')}.{timestamp}.".encode()
        return SignatureClaim(True, written, _standard_signatures(written), timestamp, prefix)
    if (written := headers.get(_SIGNATURE_HEADER)) is not None:
        sent = headers.get(_TIMESTAMP_HEADER)
        prefix = b"" if sent is None else sent.encode() + b"."
        return SignatureClaim(False, written, _hex_signature(written), sent, prefix)
    if (written := headers.get(_GITHUBS_HEADER)) is not None:
        return SignatureClaim(False, written, _hex_signature(written), None, b"")
    return None


def verify_signature(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float, *, require_timestamp: bool = False
) -> tuple[bytes, int]:
    """Return the signed bytes and the index of the matching secret.

    Header names are in lower case; `now` is Unix time. `require_timestamp` refuses signatures over the body alone. All
    secrets are tried, so that the time reveals nothing. Raises SignatureError.
    """
    claim = claim_of(headers)
    if claim is None:
        raise SignatureError("signature missing")
    signed = claim.prefix + body
    matching = [number for number, secret in enumerate(secrets) if _matches(claim, secret, signed)]
    if not matching:
        raise SignatureError("signature mismatch", claim=claim)
    if claim.timestamp is None and require_timestamp:
        raise SignatureError("timestamp missing")
    if claim.timestamp is not None and not _recent(claim.timestamp, now):
        raise SignatureError("stale timestamp", cause=_clock_cause(claim.timestamp, now))
    return signed, matching[0]


def _matches(claim: SignatureClaim, secret: str, signed: bytes) -> bool:
    """Compare with all signatures, so that the time reveals nothing."""
    expected, matches = hmac.digest(claim.key_of(secret), signed, sha256), False
    for signature in claim.signatures:
        matches |= hmac.compare_digest(expected, signature)
    return matches


def _hex_signature(header: str) -> list[bytes]:
    try:
        return [bytes.fromhex(header.strip().removeprefix("sha256="))]
    except ValueError:
        return [b""]


def _standard_signatures(header: str) -> list[bytes]:
    found: list[bytes] = []
    for part in header.split()[:_MAX_SIGNATURES]:
        version, _, encoded = part.partition(",")
        if version == "v1":
            with contextlib.suppress(ValueError):  # binascii.Error, or a character beyond ASCII
                found.append(base64.b64decode(encoded, validate=True))
    return found or [b""]


def _standard_key(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        with contextlib.suppress(ValueError):
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            if key:  # an empty key proves nothing
                return key
    return secret.encode()


def _recent(timestamp: str, now: float) -> bool:
    return timestamp.isascii() and timestamp.isdecimal() and abs(now - int(timestamp[:15])) <= WINDOW_SECONDS


def _clock_cause(timestamp: str, now: float) -> str:
    if not (timestamp.isascii() and timestamp.isdecimal()):
        return "timestamp is not a number of seconds"
    seconds = int(timestamp[:15])
    if abs(now - seconds / 1000) <= _A_DAY_SECONDS:
        return "timestamp in milliseconds"
    apart = round(seconds - now)
    return f"timestamp {abs(apart)} s {'ahead of' if apart > 0 else 'behind'} our clock"


class SecretUsage:
    """Uses of the tenants' secrets, written to the database in batches.

    There is at most one unwritten count per secret. A killed process loses its unwritten counts; a commit whose
    response is lost is counted twice.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unwritten: Counter[tuple[str, str, str]] = Counter()

    def count(self, tenant_id: str, proof: Proof) -> None:
        """Count a webhook by its secret; RETIRED counts refused webhooks."""
        metrics.series(metrics.WEBHOOKS_PROVED, tenant_id, _KINDS[proof.setting]).inc()
        self._unwritten[tenant_id, proof.setting, proof.secret] += 1

    async def write(self) -> None:
        """Write the counts; the next call retries failed ones."""
        batch, self._unwritten = list(self._unwritten.items()), Counter()
        try:
            with tracing.untraced():
                async with asyncio.timeout(_WRITE_TIMEOUT_SECONDS):
                    while part := batch[:MAX_BATCH]:
                        rows = [secret_fingerprints.seen(*secret, uses=uses) for secret, uses in part]
                        await secret_fingerprints.record(self._database, rows)
                        # Committed: a later failure must not repeat it.
                        del batch[:MAX_BATCH]
        except BaseException:
            self._unwritten.update(dict(batch))
            raise

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_INTERVAL_SECONDS)
            with contextlib.suppress(*DATABASE_FAILURES, TimeoutError):
                await self.write()

    async def close(self) -> None:
        with contextlib.suppress(*DATABASE_FAILURES, TimeoutError):
            async with asyncio.timeout(_LAST_WRITE_SECONDS):
                await self.write()
