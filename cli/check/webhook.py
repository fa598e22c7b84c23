"""Checks of our public addresses: webhook and feedback page, by signed requests.

Neither creates or records anything.
"""

import json
import time
from uuid import UUID

import httpx2

from cli.check.desk import clock_ahead
from cli.check.findings import Finding, Findings
from config.settings import DeskClientSettings, FeedbackSettings
from config.tenants import Tenant, setting_suffix
from integrations.http import STRAIGHT, AnswerTooLargeError, EgressConfig, connection_words, open_client, proxy_remedy
from jobs.feedback import FeedbackLinks
from jobs.payloads import CHECK_EVENT, TOKEN_HEADER, signed_headers

_SECONDS = 10.0
_NO_JOB = UUID(int=0)


async def webhook_rows(tenant: Tenant, url: str | None, settings: DeskClientSettings | None) -> list[Finding]:
    rows = Findings("webhook", tenant.id)
    if url is None:
        return rows.not_checked("--url was not given")
    if not tenant.accepts_webhooks:
        reason = "the tenant has neither a webhook secret nor a token here"
        return rows.not_checked("not needed: the desk is polled" if tenant.polled else reason)
    body = json.dumps({"tenant_id": tenant.id, "event": CHECK_EVENT}).encode()
    http = open_client(
        connections=1, egress=EgressConfig.of(settings, settings.servicedesk_ca_bundle) if settings else STRAIGHT
    )
    if tenant.webhook_secrets:
        headers = signed_headers(tenant.webhook_secrets[0], body, time.time())
    else:
        headers = {"Content-Type": "application/json", TOKEN_HEADER: tenant.webhook_token}
    try:
        async with http, http.stream("POST", url, content=body, headers=headers, timeout=_SECONDS) as response:
            try:
                answer: object = json.loads(await response.aread())
            except (AnswerTooLargeError, ValueError, RecursionError):
                answer = None
    except (httpx2.HTTPError, httpx2.InvalidURL) as failure:
        words = connection_words(failure) if isinstance(failure, httpx2.HTTPError) else "no address"
        if "certificate" in words:
            rows.ok("it answers", "webhook address")
            remedy = "install the certificate chain at the ingress"
            return rows.failed("webhook certificate", "it is not trusted", remedy)
        remedy = "check --url, and that ingress and API run"
        return rows.failed("webhook address", words, proxy_remedy(httpx2.URL(url).host) if "proxy" in words else remedy)
    rows.answers(url)
    clock_is_off = rows.clock(clock_ahead(response.headers.get("date")))
    verified = answer == {"status": "verified", "tenant_id": tenant.id}
    if response.status_code == 200 and verified:
        rows.ok("the probe is accepted", "webhook secret")
    elif response.status_code != 403:
        remedy = "--url must be the address of POST /webhook of ai-agents, without a redirect"
        content = "an unexpected body" if response.status_code == 200 else str(response.status_code)
        rows.failed("webhook address", f"it answers with {content}", remedy)
    elif not clock_is_off:
        name = "WEBHOOK_SECRET" if tenant.webhook_secrets else "WEBHOOK_TOKEN"
        setting = f"{name}_{setting_suffix(tenant.id)}"
        remedy = f"set the same {setting} in the API as here; the API's log has the reason"
        rows.failed("webhook secret", "the API refuses the probe (403)", remedy)
    return rows.all


async def feedback_rows(tenant: Tenant, settings: FeedbackSettings | None) -> list[Finding]:
    rows = Findings("feedback", tenant.id)
    links = FeedbackLinks.of(settings) if settings is not None else None
    if links is None:
        return rows.not_checked("feedback is off: FEEDBACK_URL is not set")
    try:
        async with open_client(connections=1, egress=STRAIGHT) as http:
            status = (await http.get(links.link(tenant.id, _NO_JOB), timeout=_SECONDS)).status_code
    except (httpx2.HTTPError, httpx2.InvalidURL) as failure:
        words = connection_words(failure) if isinstance(failure, httpx2.HTTPError) else "no address"
        remedy = "check FEEDBACK_URL, and that it leads to FEEDBACK_PORT of the API"
        return rows.failed("feedback page", words, remedy)
    if status == 200:
        return rows.ok("a feedback link opens it", "feedback page")
    remedy = "set the same FEEDBACK_KEY in the API as here, and route FEEDBACK_URL to FEEDBACK_PORT"
    return rows.failed("feedback page", f"a feedback link is answered with {status}", remedy)
