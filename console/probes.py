"""Desk and model lookups of the console, done by housekeeping.

The console has no credentials of desks and models, and no network access to them.
"""

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from integrations.probes import DESK_PROBE, MODEL_PROBE, SOUGHT, DeskProbe, ModelProbe
from jobs.diagnosis.facts import sought_of
from jobs.probe_requests import Kind, NoAnswerError, ProbeClient
from jobs.queries import Details

Seen = TypeVar("Seen", DeskProbe, ModelProbe)


class SchedulerProbes:
    """Lookups by any scheduler process, through Redis."""

    def __init__(self, client: ProbeClient) -> None:
        self._client = client

    async def desk(self, tenant_id: str | None, ticket_id: str, job: Details | None) -> DeskProbe:
        about = SOUGHT.dump_json(sought_of(ticket_id, job), exclude_defaults=True).decode()
        return await self._look("desk", tenant_id, about, DESK_PROBE, DeskProbe)

    async def model(self, tenant_id: str | None) -> ModelProbe:
        return await self._look("model", tenant_id, "", MODEL_PROBE, ModelProbe)

    async def _look(
        self, what: Kind, tenant_id: str | None, about: str, form: TypeAdapter[Seen], kind: type[Seen]
    ) -> Seen:
        if tenant_id is None:
            return kind(failure="this process does not know the tenant")
        try:
            return form.validate_json(await self._client.ask(what, tenant_id, about))
        except NoAnswerError as why:
            return kind(failure=str(why))
        except ValidationError:
            return kind(failure="housekeeping answered what this release can't read")
