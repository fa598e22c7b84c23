"""What desk and model say, within a second or so: the desk is read, and the model's server is not asked a question."""

import asyncio
from dataclasses import dataclass
from functools import partial

import httpx
from redis.asyncio import Redis

from config.settings import DeskClientSettings, WorkerSettings
from config.tenants import Tenant
from integrations.breaker import Breaker
from integrations.errors import HeldBack, OutsideFailure, TicketGone
from integrations.http import connection_words, open_client
from integrations.outward import Outward
from integrations.rate import PassingRate
from integrations.servicedesk.calls import Limits
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.tokens import LentTokens, NoSharedToken
from storage.by_hand import Details
from storage.jobs import ALREADY_ENHANCED
from storage.models import JobState
from support.diagnose.facts import DeskLook, ModelLook, TicketState
from workflow.note import is_note, is_note_of

SECONDS = 1.0
_NO_TENANT = "this process does not know the tenant"


@dataclass(slots=True)
class _DeskSeen:
    ticket: TicketState | None = None
    note: bool | None = None
    numbers: tuple[str, ...] = ()


async def look_at_desk(
    tenant: Tenant | None,
    settings: DeskClientSettings | None,
    redis: Redis | None,
    ticket_id: str,
    job: Details | None,
) -> DeskLook:
    """Look for the job's note, or for the ticket; each call counts against the desk's rate, and none changes anything.

    A cloud desk is asked with the token that the workers share. What was seen before a failure counts.
    """
    if tenant is None or tenant.desk is None:
        return DeskLook(failure=_NO_TENANT if tenant is None else "this process has no desk of the tenant")
    if settings is None:
        return DeskLook(failure="a worker's settings are not here")
    seen, asked, failure = _DeskSeen(), True, ""
    async with open_client(connections=2, outward=Outward.to_desks(settings)) as http:
        rate = PassingRate(tenant.id, tenant.desk.rate_per_minute, redis)
        limits = Limits(Breaker(f"desk of {tenant.id}", "desk unavailable"), rate, 1)
        tokens = LentTokens(http, redis, SECONDS)
        desk = ServiceDeskPlus(tenant, http, tokens, SECONDS, limits)
        try:
            async with asyncio.timeout(SECONDS):
                if tenant.desk.edition == "cloud":
                    # Before a call is taken from the rate.
                    await tokens.get(tenant.id, tenant.desk)
                await _look(desk, seen, ticket_id, job)
        except TicketGone:
            seen.ticket = "gone"
        except HeldBack as held:
            asked, failure = False, f"jobs have the desk's calls of this minute ({held.reason})"
        except NoSharedToken as none:
            asked, failure = False, str(none)
        except OutsideFailure as failed:
            failure = failed.reason
        except TimeoutError:
            failure = f"it did not answer within {SECONDS:g} s"
    return DeskLook(asked, failure, seen.ticket, seen.note, seen.numbers)


async def _look(desk: ServiceDeskPlus, seen: _DeskSeen, ticket_id: str, job: Details | None) -> None:
    """See into `seen` what there is. Raises what the desk does."""
    desk_id = await desk.id_of((job.desk_id or job.ticket_id) if job else ticket_id)
    if job is not None and job.state == JobState.COMPLETED and job.note_id:
        # One call, where all is well.
        seen.note = await desk.has_note(desk_id, job.note_id, partial(is_note_of, job.id)) or None
        if seen.note:
            return
    ticket = await desk.read_ticket(desk_id)
    seen.ticket = "closed" if ticket.closed else "open"
    seen.numbers = tuple(filter(None, (ticket.ticket_id, ticket.display_id)))
    if job is not None and (job.note_attempted_at or job.state == JobState.COMPLETED):
        found = await desk.find_note(desk_id, partial(is_note_of, job.id), job.note_attempted_at)
        seen.note = found is not None
    elif job is not None and job.reason == ALREADY_ENHANCED:
        seen.note = await desk.find_note(desk_id, is_note) is not None


async def look_at_model(tenant: Tenant | None, settings: WorkerSettings | None) -> ModelLook:
    """See whether the model's server answers: without a key and without a question, so that nothing is paid for."""
    if tenant is None or settings is None or tenant.model.withdrawn:
        return ModelLook(failure=_NO_TENANT if tenant is None else "a worker's settings are not here")
    url = f"{tenant.model.base_url or settings.openai_base_url}/models"
    try:
        async with (
            asyncio.timeout(SECONDS),
            open_client(connections=1, outward=Outward.to_models(settings)) as http,
            http.stream("GET", url, timeout=SECONDS),
        ):
            return ModelLook(asked=True)
    except (TimeoutError, httpx.TimeoutException):
        return ModelLook(asked=True, failure=f"it did not answer within {SECONDS:g} s")
    except (httpx.HTTPError, httpx.InvalidURL) as failure:
        words = connection_words(failure) if isinstance(failure, httpx.HTTPError) else "no address"
        return ModelLook(asked=True, failure=words)
