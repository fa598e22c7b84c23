"""Probes of desks and models for the console, which has no route or credentials.

Each housekeeping process answers requests (`jobs.probe_requests`), leader or not, without the database.
"""

import asyncio

from pydantic import ValidationError
from redis.asyncio import Redis

from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from integrations.probes import (
    DESK_PROBE,
    MODEL_PROBE,
    PROBE_TARGET,
    DeskProbe,
    ModelProbe,
    NoteMarks,
    probe_desk,
    probe_model,
)
from jobs.probe_requests import ProbeRequest, ProbeRequests
from jobs.queue import QueueUnavailableError
from observability import log_events, tracing
from observability.logging import log_event
from workflow.note import is_note, is_note_of

_MAX_CONCURRENT = 4
# After each probe: a flood of requests causes at most eight probes in a second. Their calls yield to jobs.
_PAUSE_SECONDS = 0.5
_WITHOUT_REDIS_SECONDS = 5.0
_MARKS = NoteMarks(is_note_of, is_note)
_UNKNOWN = "housekeeping does not know the tenant"


class ProbeServer:
    """Answers a few requests at once."""

    def __init__(self, tenants: TenantDirectory, settings: HousekeepingSettings, redis: Redis) -> None:
        self._tenants = tenants
        self._settings = settings
        self._redis = redis
        self._requests = ProbeRequests(redis)

    async def run(self) -> None:
        with tracing.untraced():
            await asyncio.gather(*(self._serve() for _ in range(_MAX_CONCURRENT)))

    async def _serve(self) -> None:
        while True:
            try:
                request = await self._requests.take()
                if request is None:
                    continue
                answer = await self._probe(request)
                if answer is not None:
                    await self._requests.answer(request, answer.decode())
                await asyncio.sleep(_PAUSE_SECONDS)
            except QueueUnavailableError:
                # Not logged: the console shows a failure, and workers log the outage.
                await asyncio.sleep(_WITHOUT_REDIS_SECONDS)
            except Exception as failure:  # noqa: BLE001 -- one malformed request must not end the others
                log_event(log_events.LOOK_FAILED, reason="unexpected failure", failure=failure)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _probe(self, request: ProbeRequest) -> bytes | None:
        tenant = self._tenants.get(request.tenant_id)
        if request.kind == "model":
            model = ModelProbe(failure=_UNKNOWN) if tenant is None else await probe_model(tenant, self._settings)
            return MODEL_PROBE.dump_json(model)
        try:
            sought = PROBE_TARGET.validate_json(request.about)
        except ValidationError:
            return None
        if tenant is None:
            return DESK_PROBE.dump_json(DeskProbe(failure=_UNKNOWN))
        return DESK_PROBE.dump_json(await probe_desk(tenant, self._settings, self._redis, sought, _MARKS))
