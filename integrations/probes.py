"""Checks of a tenant's desk and model for diagnostics: their values, and how they are made.

A check of a desk uses its rate and changes nothing; one of a model sends neither key nor question.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Literal
from uuid import UUID

import httpx2
from pydantic import StringConstraints, TypeAdapter
from redis.asyncio import Redis

from config.settings import DeskClientSettings, ModelAddressSettings
from config.tenants import Tenant
from integrations.errors import DeferredError, ExternalError, TicketGoneError
from integrations.http import EgressConfig, connection_words, open_client
from integrations.rate_limit import THROTTLED, PassingRate
from integrations.resilience import Breaker
from integrations.servicedesk.auth import LentTokens, NoSharedTokenError
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.transport import Limits
from integrations.values import DeskClient

LOOK_SECONDS = 1.0
"""How long one look takes at most."""
TicketState = Literal["open", "closed", "gone"]
# They become parts of a desk URL.
_Number = Annotated[str, StringConstraints(pattern="^[0-9]{1,20}$")]


@dataclass(frozen=True, slots=True)
class Sought:
    """A ticket, by any of its numbers, and optionally a note to find in it.

    `job_id`: the note of this job, posted not long before `since`; `note_id`: its id, if the desk has confirmed it.
    `any_note`: the note of any job.
    """

    number: _Number
    job_id: UUID | None = None
    since: datetime | None = None
    note_id: _Number | None = None
    any_note: bool = False


@dataclass(slots=True)
class DeskProbe:
    """The state of a ticket in the desk; `failure` explains a missing answer.

    `asked`: the desk was called. `ticket` and `note` are None if unknown; `numbers` are the ticket's, in the desk and
    for people.
    """

    asked: bool = False
    failure: str = ""
    ticket: TicketState | None = None
    note: bool | None = None
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelProbe:
    """Whether the model's server answers at all; no question is sent."""

    asked: bool = False
    failure: str = ""


SOUGHT = TypeAdapter(Sought)
DESK_PROBE = TypeAdapter(DeskProbe)
MODEL_PROBE = TypeAdapter(ModelProbe)
"""How each is written as JSON and read, when one process looks for another."""


@dataclass(frozen=True, slots=True)
class NoteMarks:
    """Recognition of this system's notes by plain text: those of one job, or all."""

    is_of: Callable[[UUID, str], bool]
    is_ours: Callable[[str], bool]


async def probe_desk(
    tenant: Tenant, settings: DeskClientSettings, redis: Redis | None, sought: Sought, marks: NoteMarks
) -> DeskProbe:
    """Look for the requested note and for the ticket.

    A cloud desk is called with the workers' shared token. Results before a failure count.
    """
    if tenant.desk is None:
        return DeskProbe(failure="this process has no desk of the tenant")
    if not tenant.desk.has_keys:
        return DeskProbe(failure="this process has no key of the tenant's desk: ask where a worker runs")
    seen = DeskProbe(asked=True)
    async with open_client(connections=2, egress=EgressConfig.of(settings, settings.servicedesk_ca_bundle)) as http:
        rate = PassingRate(tenant.id, tenant.desk.rate_per_minute, redis)
        limits = Limits(Breaker(f"desk of {tenant.id}", "desk unavailable", shown=False), rate, 1)
        tokens = LentTokens(http, redis, LOOK_SECONDS)
        desk = ServiceDeskPlus(tenant, http, tokens, LOOK_SECONDS, limits)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                if tenant.desk.edition == "cloud":
                    # Before a call is taken from the rate.
                    await tokens.get(tenant.id, tenant.desk)
                await _look(desk, seen, sought, marks)
        except TicketGoneError:
            seen.ticket = "gone"
        except DeferredError as held:
            seen.asked = held.reason == THROTTLED
            busy = f"jobs have the desk's calls of this minute ({held.reason})"
            seen.failure = "it throttles our calls" if seen.asked else busy
        except NoSharedTokenError as none:
            seen.asked, seen.failure = False, str(none)
        except ExternalError as failed:
            seen.failure = failed.reason
        except TimeoutError:
            seen.failure = f"it did not answer within {LOOK_SECONDS:g} s"
    return seen


async def _look(desk: DeskClient, seen: DeskProbe, sought: Sought, marks: NoteMarks) -> None:
    desk_id = await desk.id_of(sought.number)
    is_sought = marks.is_ours if sought.job_id is None else partial(marks.is_of, sought.job_id)
    if sought.note_id is not None and await desk.has_note(desk_id, sought.note_id, is_sought):
        # One call in the usual case.
        seen.note = True
        return
    ticket = await desk.read_ticket(desk_id)
    seen.ticket = "closed" if ticket.closed else "open"
    seen.numbers = tuple(filter(None, (ticket.ticket_id, ticket.display_id)))
    if sought.job_id is not None or sought.any_note:
        seen.note = await desk.find_note(desk_id, is_sought, sought.since) is not None


async def probe_model(tenant: Tenant, settings: ModelAddressSettings) -> ModelProbe:
    if tenant.model.withdrawn:
        return ModelProbe(failure="the tenant's own key was withdrawn")
    url = f"{tenant.model.base_url or settings.openai_base_url}/models"
    try:
        async with (
            asyncio.timeout(LOOK_SECONDS),
            open_client(connections=1, egress=EgressConfig.of(settings, settings.openai_ca_bundle)) as http,
            http.stream("GET", url, timeout=LOOK_SECONDS),
        ):
            return ModelProbe(asked=True)
    except (TimeoutError, httpx2.TimeoutException):
        return ModelProbe(asked=True, failure=f"it did not answer within {LOOK_SECONDS:g} s")
    except (httpx2.HTTPError, httpx2.InvalidURL) as failure:
        words = connection_words(failure) if isinstance(failure, httpx2.HTTPError) else "no address"
        return ModelProbe(asked=True, failure=words)
