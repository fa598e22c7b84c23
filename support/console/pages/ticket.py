"""A ticket: the verdict, what it rests on, what happened as a picture, and its jobs."""

from uuid import UUID

from storage import by_hand
from storage.by_hand import Details
from support.console.answers import Asked, GoTo, NotHere, Page
from support.console.drawing import NARROW, WIDE, Picture, draw
from support.console.figures.story import story
from support.console.pages.asked import job_id, seen_tenant, ticket_number
from support.diagnose.choosing import AskedAbout, TenantNotKnown
from support.diagnose.facts import Facts
from support.diagnose.gathering import Gatherer
from support.timeline import timeline


async def ticket(asked: Asked) -> Page:
    """Show a ticket; with `job` in the query, by that job of it."""
    tenant_id = seen_tenant(asked, asked.path["tenant_id"])
    number = ticket_number(asked.path["ticket_id"])
    chosen = job_id(asked.query["job"]) if asked.query.get("job") else None
    facts = await _facts(asked, tenant_id, number, chosen)
    own = asked.visitor.tenant_id is not None
    told = story(facts, own=own, jaeger_url=asked.sources.jaeger_url)
    values = {
        "story": told,
        "pictures": _pictures(facts),
        "texts": facts.job is not None and asked.visitor.reads_texts,
        "tenant_id": tenant_id,
        "ticket_id": number,
    }
    return Page("ticket.html", values)


async def job(asked: Asked) -> GoTo:
    """Lead to the page of a job's ticket."""
    found = await job_of(asked, job_id(asked.path["job_id"]))
    return GoTo(f"/tickets/{found.tenant_id}/{found.ticket_id}?job={found.id}")


async def job_of(asked: Asked, wanted: UUID) -> Details:
    """Return a job that is the visitor's to see. Raises NotHere: for another tenant's as for none, and as fast."""
    visitor, database = asked.visitor, asked.sources.database
    if visitor.tenant_id is not None and not await by_hand.is_of(database, visitor.tenant_id, wanted):
        raise NotHere
    found = await by_hand.details(database, wanted)
    if found is None or not visitor.sees(found.tenant_id):
        raise NotHere
    return found


async def _facts(asked: Asked, tenant_id: str, number: str, chosen: UUID | None) -> Facts:
    sources = asked.sources
    if chosen is not None and number not in _numbers(await job_of(asked, chosen)):
        raise NotHere
    gatherer = Gatherer(sources.database, sources.redis, sources.tenants, sources.outside)
    about = AskedAbout(None if chosen else number, tenant_id, chosen)
    try:
        facts = await gatherer.facts(about)
    except TenantNotKnown:
        raise NotHere from None
    if facts is None:
        raise NotHere
    return facts


def _numbers(found: Details) -> tuple[str | None, ...]:
    return found.ticket_id, found.desk_id, found.display_id


def _pictures(facts: Facts) -> list[Picture]:
    """Return the picture of the job, wide and narrow; none without a job, or where its events came too late."""
    if facts.job is None or facts.events is None:
        return []
    line = timeline(facts.job, facts.events, facts.asked_at)
    return [draw(line, facts.asked_at, shape) for shape in (WIDE, NARROW)]
