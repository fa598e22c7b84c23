"""A webhook as it comes in, read and proved to be its tenant's; in what order, is told in `api.webhook`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from api import proof
from api.app_state import ApiState
from api.body import BodyCompressed, BodyOfAnotherType, BodyTooLarge, BodyTooSlow, read_body
from api.causes import Cause
from api.proof import Proof
from api.webhook_refusals import WebhookRefused
from webhooks.bodies import LARGEST_BODY_BYTES, read_signed, read_unsigned
from webhooks.fields import tenant_of, ticket_of
from webhooks.json_text import Malformed
from webhooks.signing import TOKEN_HEADER


@dataclass(frozen=True, slots=True)
class ProvedWebhook:
    """A webhook that is its tenant's."""

    tenant_id: str
    payload: dict[str, Any]
    body: bytes
    proof: Proof


async def prove(request: Request, state: ApiState, addressed: str | None) -> ProvedWebhook:
    """Return the webhook, proved to be the tenant's. Raises WebhookRefused."""
    headers = request.headers
    unsigned = not proof.is_signed(headers) and (addressed is not None or TOKEN_HEADER in headers)
    try:
        body = await _body_of(request, state, any_type=unsigned)
    except WebhookRefused as refused:
        if unsigned and addressed is not None:
            proof.by_token(state.tenants, addressed, headers, None)
            raise refused.proved(addressed) from None
        raise
    if unsigned or addressed is not None:
        return _proved_by_token(state, headers, body, addressed)
    try:
        payload = read_signed(body)
        tenant_id = tenant_of(payload)
    except Malformed as malformed:
        raise WebhookRefused(400, "malformed payload", cause=Cause(malformed.cause)) from None
    proved = proof.by_signature(state.tenants, tenant_id, headers, body, ticket_of(payload))
    return ProvedWebhook(tenant_id, payload, body, proved)


def _proved_by_token(state: ApiState, headers: Mapping[str, str], body: bytes, addressed: str | None) -> ProvedWebhook:
    """Return the webhook, proved by its token; `addressed` is the tenant in its address. Raises WebhookRefused."""
    if proof.is_signed(headers):
        # Its tenant is in what was signed: one in the address would be a second one, which nobody signed.
        raise WebhookRefused(400, "signed webhook at a tenant's address")
    payload: dict[str, Any] = {}
    tenant_id, cause = addressed, ""
    try:
        payload = read_unsigned(body)
        if addressed is None or "tenant_id" in payload:
            tenant_id = tenant_of(payload)
    except Malformed as malformed:
        cause = malformed.cause
    claimed, ticket_id = addressed or tenant_id, ticket_of(payload)
    if claimed is None:
        raise WebhookRefused(400, "malformed payload", cause=Cause(cause))
    proved = proof.by_token(state.tenants, claimed, headers, ticket_id)
    if tenant_id != claimed:
        cause = "tenant_id is another one than in the address"
    if cause:
        raise WebhookRefused(400, "malformed payload", ticket_id=ticket_id, cause=Cause(cause)).proved(claimed)
    return ProvedWebhook(claimed, payload, body, proved)


async def _body_of(request: Request, state: ApiState, *, any_type: bool) -> bytes:
    """Return the body, whatever it is declared as if `any_type` is set. Raises WebhookRefused."""
    try:
        return await read_body(request, LARGEST_BODY_BYTES, state.sender_seconds, any_type=any_type)
    except BodyCompressed:
        raise WebhookRefused(415, "compressed body", cause=Cause("send it as it is")) from None
    except BodyOfAnotherType:
        raise WebhookRefused(415, "unsupported content type") from None
    except BodyTooLarge:
        cause = Cause(f"more than {LARGEST_BODY_BYTES // 1024} KiB, send ids only")
        raise WebhookRefused(413, "body too large", cause=cause) from None
    except BodyTooSlow:
        raise WebhookRefused(408, "body too slow") from None
    except ClientDisconnect:
        raise WebhookRefused(400, "body incomplete") from None
