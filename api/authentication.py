"""Authentication of webhooks: by signature, or by token for desks that can't sign.

Every check takes the same time for unknown and closed tenants.
"""

import asyncio
import contextlib
import hmac
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_hex
from typing import Any

from fastapi import Request

from api import signatures
from api.rejections import WebhookError, read_body
from api.signature_diagnosis import Cause, Question
from config.tenant_directory import TenantDirectory
from config.tenants import Tenant
from db import known_secrets
from db.known_secrets import AT_ONCE, CURRENT, PREVIOUS, RETIRED, TOKEN
from db.session import DATABASE_FAILURES, Database
from jobs.payloads import LARGEST_BODY_BYTES, MalformedBodyError, read_signed, read_unsigned, tenant_of, ticket_of
from jobs.signing import TOKEN_HEADER
from observability import metrics, tracing

# Random secrets for unknown tenants. Each check tries two, so that its time reveals neither whether a tenant exists nor
# whether it has a previous secret.
_NOBODYS_SECRETS = (token_hex(32), token_hex(32))
_NOBODYS_RETIRED = token_hex(32)
_NOBODYS_TOKEN = token_hex(32)
_NOBODY = Tenant("")
_TOKEN_HEADER = TOKEN_HEADER.lower()


@dataclass(frozen=True, slots=True)
class Proof:
    """The secret that authenticated a webhook, its setting, and the signed bytes.

    `signed` is None for a token.
    """

    setting: str
    secret: str = field(repr=False)
    signed: bytes | None = field(default=None, repr=False)


def by_signature(
    tenants: TenantDirectory, tenant_id: str, headers: Mapping[str, str], body: bytes, ticket_id: str | None
) -> Proof:
    """Verify the signature and return the proof. Raises WebhookError."""
    tenant = tenants.get(tenant_id) or _NOBODY
    secrets = (*tenant.webhook_secrets, *_NOBODYS_SECRETS)[:2]
    now = time.time()
    try:
        signed, number = signatures.verify(secrets, headers, body, now, require_timestamp=tenant.require_timestamp)
        previous = number > 0 or tenant.lacks_current_secret
        return Proof(PREVIOUS if previous else CURRENT, secrets[number], signed)
    except signatures.SignatureError as failure:
        reason, cause, asked = str(failure), Cause(failure.cause) if failure.cause else None, None
        if failure.claim is not None:
            retired = tenant.retired_secret or _NOBODYS_RETIRED
            asked = Question(failure.claim, body, tenant_id, secrets, retired, tenants, now)
    if not tenant.webhook_secrets:
        reason, cause = (reason, Cause("no secret is set for the tenant")) if asked else ("token missing", None)
    raise _refused(403, reason, tenant, tenant_id, ticket_id, cause, asked)


def by_token(tenants: TenantDirectory, tenant_id: str, headers: Mapping[str, str], ticket_id: str | None) -> Proof:
    """Verify the token and return the proof. Raises WebhookError."""
    tenant = tenants.get(tenant_id) or _NOBODY
    given = headers.get(_TOKEN_HEADER)
    # Digests, because `compare_digest` reveals unequal lengths.
    same = hmac.compare_digest(_digest(given or ""), _digest(tenant.webhook_token or _NOBODYS_TOKEN))
    if given is None:
        raise _refused(403, "token missing", tenant, tenant_id, ticket_id)
    if not (same and tenant.webhook_token):
        cause = None if tenant.webhook_token else Cause("no token is set for the tenant")
        raise _refused(403, "token mismatch", tenant, tenant_id, ticket_id, cause)
    return Proof(TOKEN, given)


def _refused(
    status: int,
    reason: str,
    tenant: Tenant,
    tenant_id: str,
    ticket_id: str | None,
    cause: Cause | None = None,
    asked: Question | None = None,
) -> WebhookError:
    refused = WebhookError(403, "unknown tenant", tenant_id, ticket_id, asked=asked)
    if tenant.opens_webhook:
        refused = WebhookError(status, reason, tenant_id, ticket_id, cause=cause, asked=asked)
    elif not tenant.usable:
        refused = WebhookError(403, "tenant closed", tenant_id, ticket_id, asked=asked)
    elif tenant.polled:
        refused = WebhookError(403, "tenant is polled", tenant_id, ticket_id, asked=asked)
    refused.known_tenant = refused.reason != "unknown tenant"
    return refused


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class ProvedWebhook:
    """An authenticated webhook."""

    tenant_id: str
    payload: dict[str, Any]
    body: bytes
    proof: Proof
    headers: Mapping[str, str]


async def prove(request: Request, tenants: TenantDirectory, seconds: float, addressed: str | None) -> ProvedWebhook:
    """Read and authenticate a webhook. Raises WebhookError.

    `seconds` limits the body; `addressed` is the tenant in the URL.
    """
    # The first header of a name counts. A dictionary, because Starlette searches a list for each of a dozen names.
    headers = dict(reversed(request.headers.items()))
    unsigned = not signatures.has_claim(headers) and (addressed is not None or _TOKEN_HEADER in headers)
    try:
        body = await read_body(request, LARGEST_BODY_BYTES, seconds, any_type=unsigned)
    except WebhookError as refused:
        if unsigned and addressed is not None:
            by_token(tenants, addressed, headers, None)
            raise refused.proved(addressed) from None
        raise
    if unsigned or addressed is not None:
        return _proved_by_token(tenants, headers, body, addressed)
    try:
        payload = read_signed(body)
        tenant_id = tenant_of(payload)
    except MalformedBodyError as malformed:
        raise WebhookError(400, "malformed payload", cause=Cause(str(malformed))) from None
    proved = by_signature(tenants, tenant_id, headers, body, ticket_of(payload))
    return ProvedWebhook(tenant_id, payload, body, proved, headers)


def _proved_by_token(
    tenants: TenantDirectory, headers: Mapping[str, str], body: bytes, addressed: str | None
) -> ProvedWebhook:
    if signatures.has_claim(headers):
        # The tenant of a signed webhook is in its body. A tenant in the address would be unsigned.
        raise WebhookError(400, "signed webhook at a tenant's address")
    payload: dict[str, Any] = {}
    tenant_id, cause = addressed, ""
    try:
        payload = read_unsigned(body)
        if addressed is None or "tenant_id" in payload:
            tenant_id = tenant_of(payload)
    except MalformedBodyError as malformed:
        cause = str(malformed)
    claimed, ticket_id = addressed or tenant_id, ticket_of(payload)
    if claimed is None:
        raise WebhookError(400, "malformed payload", cause=Cause(cause))
    proved = by_token(tenants, claimed, headers, ticket_id)
    if tenant_id != claimed:
        cause = "tenant_id is another one than in the address"
    if cause:
        raise WebhookError(400, "malformed payload", ticket_id=ticket_id, cause=Cause(cause)).proved(claimed)
    return ProvedWebhook(claimed, payload, body, proved, headers)


_TELL_SECONDS = 5.0
_ANSWER_SECONDS = 5.0
_LAST_SECONDS = 1.0
_KINDS = {CURRENT: "current", PREVIOUS: "previous", RETIRED: "retired", TOKEN: "token"}


class SecretUses:
    """Usage counts of this process that are not in the database yet.

    The size is bounded by the number of tenants, also during an outage. Counts are lost if the process is killed, and
    counted twice if the answer to a commit is lost.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._untold: Counter[tuple[str, str, str]] = Counter()

    def note(self, tenant_id: str, proof: Proof) -> None:
        """Count a webhook with this proof, or one signed with the retired secret."""
        metrics.series(metrics.WEBHOOKS_PROVED, tenant_id, _KINDS[proof.setting]).inc()
        self._untold[tenant_id, proof.setting, proof.secret] += 1

    async def tell(self) -> None:
        """Write the counts to the database; failed ones are retried at the next call."""
        to_tell, self._untold = list(self._untold.items()), Counter()
        try:
            with tracing.untraced():
                async with asyncio.timeout(_ANSWER_SECONDS):
                    while some := to_tell[:AT_ONCE]:
                        seen = [known_secrets.seen(*whose, uses=uses) for whose, uses in some]
                        await known_secrets.know(self._database, seen)
                        # Each committed batch is removed at once, so that a later failure does not repeat it.
                        del to_tell[:AT_ONCE]
        except BaseException:
            self._untold.update(dict(to_tell))
            raise

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_TELL_SECONDS)
            with contextlib.suppress(*DATABASE_FAILURES, TimeoutError):
                await self.tell()

    async def close(self) -> None:
        with contextlib.suppress(*DATABASE_FAILURES, TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self.tell()
