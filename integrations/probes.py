"""Probes of a tenant's desk and model for diagnostics.

A probe of a desk uses its rate and changes nothing; one of a model sends no key and no question.
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
from integrations.desks import kind_of
from integrations.errors import DeferredError, ExternalError, TicketGoneError
from integrations.http import EgressConfig, connection_words, open_client
from integrations.ports import DeskClient, DeskLimits, ProbeSkippedError
from integrations.rate_limit import THROTTLED, ProbeRate
from integrations.resilience import Breaker

_TIMEOUT_SECONDS = 1.0
_TOO_LATE = f"it did not answer within {_TIMEOUT_SECONDS:g} s"
# Numbers become parts of a desk URL.
_Number = Annotated[str, StringConstraints(pattern="^[0-9]{1,20}$")]


@dataclass(frozen=True, slots=True)
class ProbeTarget:
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
    ticket: Literal["open", "closed", "gone"] | None = None
    note: bool | None = None
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelProbe:
    """Whether the model's server answers at all; no question is sent."""

    asked: bool = False
    failure: str = ""


PROBE_TARGET = TypeAdapter(ProbeTarget)
DESK_PROBE = TypeAdapter(DeskProbe)
MODEL_PROBE = TypeAdapter(ModelProbe)
"""JSON of each, for a process that probes for another."""


@dataclass(frozen=True, slots=True)
class NoteMarks:
    """Recognition of this system's notes by plain text: those of one job, or all."""

    is_of: Callable[[UUID, str], bool]
    is_ours: Callable[[str], bool]


async def probe_desk(
    tenant: Tenant, settings: DeskClientSettings, redis: Redis | None, target: ProbeTarget, marks: NoteMarks
) -> DeskProbe:
    """Look for the requested note and for the ticket. Results before a failure count."""
    desk = tenant.desk
    if desk is None:
        return DeskProbe(failure="this process has no desk of the tenant")
    if not desk.has_keys:
        return DeskProbe(failure="this process has no key of the tenant's desk: run this in a worker")
    probe = DeskProbe(asked=True)
    async with open_client(connections=2, egress=EgressConfig.of(settings, settings.servicedesk_ca_bundle)) as http:
        breaker = Breaker(f"desk of {tenant.id}", "desk unavailable", shown=False)
        limits = DeskLimits(breaker, ProbeRate(tenant.id, desk.rate_per_minute, redis), 1)
        client = kind_of(desk).open(tenant.id, desk, http, redis, _TIMEOUT_SECONDS, limits, probing=True)
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                # Before a call is taken from the rate.
                await client.authenticate()
                await _probe(client, probe, target, marks)
        except TicketGoneError:
            probe.ticket = "gone"
        except DeferredError as held:
            probe.asked = held.reason == THROTTLED
            busy = f"jobs use all calls of this minute ({held.reason})"
            probe.failure = "it throttles our calls" if probe.asked else busy
        except ProbeSkippedError as skipped:
            probe.asked, probe.failure = False, str(skipped)
        except ExternalError as failed:
            probe.failure = failed.reason
        except TimeoutError:
            probe.failure = _TOO_LATE
    return probe


async def _probe(client: DeskClient, probe: DeskProbe, target: ProbeTarget, marks: NoteMarks) -> None:
    desk_id = await client.id_of(target.number)
    is_wanted = marks.is_ours if target.job_id is None else partial(marks.is_of, target.job_id)
    if target.note_id is not None and await client.has_note(desk_id, target.note_id, is_wanted):
        # The usual case takes one call.
        probe.note = True
        return
    ticket = await client.read_ticket(desk_id)
    probe.ticket = "closed" if ticket.closed else "open"
    probe.numbers = tuple(filter(None, (ticket.ticket_id, ticket.display_id)))
    if target.job_id is not None or target.any_note:
        probe.note = await client.find_note(desk_id, is_wanted, target.since) is not None


async def probe_model(tenant: Tenant, settings: ModelAddressSettings) -> ModelProbe:
    """Request the model list without a key; any answer proves the server is up."""
    if tenant.model.withdrawn:
        return ModelProbe(failure="the tenant's own key was withdrawn")
    url = f"{tenant.model.base_url or settings.openai_base_url}/models"
    try:
        async with (
            asyncio.timeout(_TIMEOUT_SECONDS),
            open_client(connections=1, egress=EgressConfig.of(settings, settings.openai_ca_bundle)) as http,
            http.stream("GET", url),
        ):
            return ModelProbe(asked=True)
    except (TimeoutError, httpx2.TimeoutException):
        return ModelProbe(asked=True, failure=_TOO_LATE)
    except (httpx2.HTTPError, httpx2.InvalidURL) as failure:
        words = connection_words(failure) if isinstance(failure, httpx2.HTTPError) else "no address"
        return ModelProbe(asked=True, failure=words)
