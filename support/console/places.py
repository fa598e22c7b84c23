"""The addresses of the console, on one screen."""

from collections.abc import Sequence

from support.console.answers import Place
from support.console.pages.failures import failures
from support.console.pages.overview import live_queue, overview
from support.console.pages.retrying import preview, retry_one, retry_several
from support.console.pages.search import search
from support.console.pages.tenants import tenant, tenants
from support.console.pages.texts import texts
from support.console.pages.ticket import job, ticket

PLACES: Sequence[Place] = (
    Place("GET", "/", overview),
    Place("GET", "/live/queue", live_queue),
    Place("GET", "/search", search),
    Place("GET", "/tickets/{tenant_id}/{ticket_id}", ticket),
    Place("GET", "/jobs/{job_id}", job),
    Place("POST", "/jobs/{job_id}/retry", retry_one),
    Place("GET", "/jobs/{job_id}/texts", texts),
    Place("GET", "/tenants", tenants),
    Place("GET", "/tenants/{tenant_id}", tenant),
    Place("GET", "/failures", failures),
    Place("GET", "/failures/preview", preview, "operator"),
    Place("POST", "/failures/retry", retry_several, "operator"),
)
