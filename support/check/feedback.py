"""Check of the feedback page, by a signed link; records nothing."""

from uuid import UUID

import httpx2

from config.feedback_settings import FeedbackSettings
from config.tenants import Tenant
from feedback.links import FeedbackLinks
from integrations.http import STRAIGHT, connection_words, open_client
from support.check.findings import Finding, Findings, checks_of

NAMES = checks_of("feedback")
_SECONDS = 10.0
_NO_JOB = UUID(int=0)


async def feedback_rows(tenant: Tenant, settings: FeedbackSettings | None) -> list[Finding]:
    rows = Findings(NAMES, tenant.id)
    links = FeedbackLinks.of(settings) if settings is not None else None
    if links is None:
        rows.not_checked("feedback is off: FEEDBACK_URL is not set", *NAMES)
        return rows.all
    try:
        async with open_client(connections=1, outward=STRAIGHT) as http:
            status = (await http.get(links.link(tenant.id, _NO_JOB), timeout=_SECONDS)).status_code
    except (httpx2.HTTPError, httpx2.InvalidURL) as failure:
        words = connection_words(failure) if isinstance(failure, httpx2.HTTPError) else "no address"
        remedy = "see that FEEDBACK_URL is right, and that its way leads to FEEDBACK_PORT of the API"
        rows.failed("feedback page", words, remedy)
        return rows.all
    if status == 200:
        rows.ok("a link leads to it", "feedback page")
    else:
        remedy = "give the API the same FEEDBACK_KEY as this process has, and let FEEDBACK_URL lead to FEEDBACK_PORT"
        rows.failed("feedback page", f"a link is answered {status}", remedy)
    return rows.all
