"""Desk and model lookups, by this process or by housekeeping.

Housekeeping serves a process without credentials or network access.
"""

from typing import Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis

from cli.check.findings import Loaded
from config.tenant_directory import TenantDirectory
from integrations.probes import (
    DESK_PROBE,
    MODEL_PROBE,
    SOUGHT,
    DeskProbe,
    ModelProbe,
    NoteMarks,
    Sought,
    probe_desk,
    probe_model,
)
from jobs.models import JobState
from jobs.probe_requests import Kind, NoAnswerError, ProbeClient
from jobs.queries import Details
from jobs.repository import ALREADY_ENHANCED
from workflow.note import is_note, is_note_of

_NO_TENANT = "this process does not know the tenant"
_NO_SETTINGS = "a worker's settings are not here"
_MARKS = NoteMarks(is_note_of, is_note)
Seen = TypeVar("Seen", DeskProbe, ModelProbe)


class Outside(Protocol):
    """Lookups within seconds that change nothing; a failed one carries its reason."""

    async def desk(self, tenant_id: str | None, ticket_id: str, job: Details | None) -> DeskProbe:
        """Look for the job's note, or for the ticket."""

    async def model(self, tenant_id: str | None) -> ModelProbe:
        """Check that the server of the tenant's model answers."""


def sought_of(ticket_id: str, job: Details | None) -> Sought:
    if job is None:
        return Sought(ticket_id)
    number = job.desk_id or job.ticket_id
    completed = job.state == JobState.COMPLETED
    if completed or job.note_attempted_at:
        note_id = job.note_id if completed else None
        return Sought(number, job.id, job.note_attempted_at, note_id or None)
    return Sought(number, any_note=job.reason == ALREADY_ENHANCED)


class DirectProbes:
    """Lookups of a command, with the worker settings in `loaded`."""

    def __init__(self, tenants: TenantDirectory, loaded: Loaded, redis: Redis | None) -> None:
        self._tenants = tenants
        self._loaded = loaded
        self._redis = redis

    async def desk(self, tenant_id: str | None, ticket_id: str, job: Details | None) -> DeskProbe:
        return await self.look_for(tenant_id, sought_of(ticket_id, job))

    async def look_for(self, tenant_id: str | None, sought: Sought) -> DeskProbe:
        tenant = self._tenants.get(tenant_id) if tenant_id else None
        if tenant is None or self._loaded.desks is None:
            return DeskProbe(failure=_NO_TENANT if tenant is None else _NO_SETTINGS)
        return await probe_desk(tenant, self._loaded.desks, self._redis, sought, _MARKS)

    async def model(self, tenant_id: str | None) -> ModelProbe:
        tenant = self._tenants.get(tenant_id) if tenant_id else None
        if tenant is None or self._loaded.worker is None:
            return ModelProbe(failure=_NO_TENANT if tenant is None else _NO_SETTINGS)
        return await probe_model(tenant, self._loaded.worker)


class SchedulerProbes:
    """Lookups of the console, by housekeeping."""

    def __init__(self, asking: ProbeClient) -> None:
        self._asking = asking

    async def desk(self, tenant_id: str | None, ticket_id: str, job: Details | None) -> DeskProbe:
        about = SOUGHT.dump_json(sought_of(ticket_id, job), exclude_defaults=True).decode()
        return await self._look("desk", tenant_id, about, DESK_PROBE, DeskProbe)

    async def model(self, tenant_id: str | None) -> ModelProbe:
        return await self._look("model", tenant_id, "", MODEL_PROBE, ModelProbe)

    async def _look(
        self, what: Kind, tenant_id: str | None, about: str, form: TypeAdapter[Seen], kind: type[Seen]
    ) -> Seen:
        if tenant_id is None:
            return kind(failure=_NO_TENANT)
        try:
            return form.validate_json(await self._asking.ask(what, tenant_id, about))
        except NoAnswerError as why:
            return kind(failure=str(why))
        except ValidationError:
            return kind(failure="housekeeping answered what this release can't read")
