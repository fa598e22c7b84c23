"""Check of the webhook's public address, by a signed probe that creates no job."""

import json
import time

import httpx2

from config.settings import DeskClientSettings
from config.tenant_names import setting_suffix
from config.tenants import Tenant
from integrations.http import STRAIGHT, AnswerTooLarge, Outward, connection_words, open_client
from support.check.desk import clock_ahead
from support.check.findings import Finding, Findings, checks_of, proxy_remedy
from webhooks.fields import CHECK_EVENT
from webhooks.signing import TOKEN_HEADER, WINDOW_SECONDS, signed_headers

NAMES = checks_of("webhook")
_SECONDS = 10.0


async def webhook_rows(tenant: Tenant, url: str | None, settings: DeskClientSettings | None) -> list[Finding]:
    """Check that `url` accepts the tenant's secret or token of this process."""
    rows = Findings(NAMES, tenant.id)
    if url is None:
        rows.not_checked("no --url was given", *NAMES)
    elif tenant.polled and not tenant.opens_webhook:
        rows.not_checked("its desk is polled, and sends none", *NAMES)
    elif not tenant.opens_webhook:
        rows.not_checked("this process has neither a webhook secret nor a token of it", *NAMES)
    else:
        await _probe(rows, tenant, url, settings)
    return rows.all


async def _probe(rows: Findings, tenant: Tenant, url: str, settings: DeskClientSettings | None) -> None:
    body = json.dumps({"tenant_id": tenant.id, "event": CHECK_EVENT}).encode()
    http = open_client(
        connections=1, outward=Outward.of(settings, settings.servicedesk_ca_bundle) if settings else STRAIGHT
    )
    headers = _proving_headers(tenant, body)
    try:
        async with http, http.stream("POST", url, content=body, headers=headers, timeout=_SECONDS) as response:
            said = await _body(response)
    except (httpx2.HTTPError, httpx2.InvalidURL) as failure:
        words = connection_words(failure) if isinstance(failure, httpx2.HTTPError) else "no address"
        if "certificate" in words:
            rows.ok("it answers", "webhook address")
            rows.failed("webhook certificate", "it is not trusted", "install the chain of its authority at the ingress")
        elif "proxy" in words:
            rows.failed("webhook address", words, proxy_remedy(httpx2.URL(url).host))
        else:
            rows.failed("webhook address", words, "see that --url is right, and that ingress and API run")
        return
    rows.answers("webhook", url)
    _answered(rows, tenant, response, verified=said == {"status": "verified", "tenant_id": tenant.id})


async def _body(response: httpx2.Response) -> object:
    """Return the JSON of an answer; None if it is invalid or too large."""
    try:
        said: object = json.loads(await response.aread())
    except (AnswerTooLarge, ValueError, RecursionError):
        return None
    return said


def _proving_headers(tenant: Tenant, body: bytes) -> dict[str, str]:
    if not tenant.webhook_secrets:
        return {"Content-Type": "application/json", TOKEN_HEADER: tenant.webhook_token}
    return signed_headers(tenant.webhook_secrets[0], body, time.time())


def _answered(rows: Findings, tenant: Tenant, response: httpx2.Response, *, verified: bool) -> None:
    ahead = clock_ahead(response.headers.get("date"))
    clock_is_off = ahead is not None and abs(ahead) > WINDOW_SECONDS
    if ahead is None:
        rows.not_checked("its answer tells no time", "webhook clock")
    elif clock_is_off:
        remedy = "set both machines by the same time server: a signed webhook counts for five minutes"
        rows.failed("webhook clock", f"{abs(ahead):.0f} s from this machine's", remedy)
    else:
        rows.ok(f"{abs(ahead):.0f} s from this machine's", "webhook clock")
    if response.status_code == 200 and verified:
        rows.ok("the probe is taken", "webhook secret")
    elif response.status_code != 403:
        remedy = "--url must be the address of ai-agents' own POST /webhook, without a redirect"
        what = "with something else" if response.status_code == 200 else str(response.status_code)
        rows.failed("webhook address", f"it answers {what}", remedy)
    elif not clock_is_off:
        name = "WEBHOOK_SECRET" if tenant.webhook_secrets else "WEBHOOK_TOKEN"
        setting = f"{name}_{setting_suffix(tenant.id)}"
        remedy = f"give the API the same {setting} as this process has; its log says what was wrong"
        rows.failed("webhook secret", "the API refuses the probe (403)", remedy)
