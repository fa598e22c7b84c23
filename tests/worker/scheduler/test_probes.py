"""Housekeeping's checks of desks and models on behalf of the console.

The console has neither their credentials nor a network path to them.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from dev.stack.free_ports import free_port
from integrations.probes import Sought
from jobs.diagnosis.facts import sought_of
from jobs.probe_requests import NoAnswerError, ProbeClient
from tests.jobs.diagnosis.known import JOB_ID, NOW, job
from tests.kit.desk import new_ticket, opened, settings
from tests.kit.simulators import Simulator
from tests.kit.tenants_toml import given
from worker.scheduler.probes import ProbeServer
from workflow.answer import Content
from workflow.note import to_html

Console = Callable[..., AbstractAsyncContextManager[ProbeClient]]


@pytest.fixture
def console(redis_url: str, redis: Redis, desks: Simulator, model: Simulator) -> Console:
    @asynccontextmanager
    async def looking(**changed: object) -> AsyncIterator[ProbeClient]:
        values: dict[str, object] = {
            "SERVICEDESK_URL_ACME": f"{desks.url}/acme",
            "SERVICEDESK_API_KEY_ACME": "acme-key",
            "acme.servicedesk.rate_per_minute": 6000,
        } | changed
        stores: dict[str, Any] = {"database_url": "postgresql://nobody@127.0.0.1/x", "redis_url": redis_url}
        of_process = HousekeepingSettings(**stores, openai_base_url=f"{model.url}/v1")
        server = ProbeServer(TenantDirectory(lambda: given(values)), of_process, redis)
        running, probes = asyncio.create_task(server.run()), ProbeClient(redis_url)
        yield probes
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        await probes.close()

    return looking


async def test_a_ticket_and_the_model_are_looked_at(console: Console, desks: Simulator, model: Simulator) -> None:
    ticket_id = new_ticket(desks)
    async with console() as probes:
        seen, server = await asyncio.gather(probes.desk("acme", Sought(ticket_id)), probes.model("acme"))
        gone = await probes.desk("acme", Sought("999999"))
    assert (seen.asked, seen.failure, seen.ticket, seen.note, seen.numbers[0]) == (True, "", "open", None, ticket_id)
    assert (server.asked, server.failure) == (True, "")
    assert (gone.asked, gone.ticket) == (True, "gone")
    assert model.requests(operation="chat") == []


async def test_the_note_of_a_job_is_looked_for(console: Console, desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    done = job("completed", ticket_id=ticket_id, note_id="4711", note_attempted_at=NOW)
    async with console() as probes, opened(settings(desks.url)) as worker:
        missing = await probes.desk("acme", sought_of(ticket_id, done))
        note_id = await worker.add_note(ticket_id, to_html(Content(summary="s"), JOB_ID, "m"))
        there = await probes.desk("acme", Sought(ticket_id, JOB_ID, note_id=note_id))
        by_another = await probes.desk("acme", Sought(ticket_id, any_note=True))
    assert (missing.ticket, missing.note) == ("open", False)
    assert (there.note, by_another.note) == (True, True)


async def test_a_look_that_fails_says_why(console: Console, desks: Simulator) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    own = {"acme.openai.base_url": f"{nowhere}/v1", "OPENAI_API_KEY_ACME": "sk-of-acme"}
    async with console(SERVICEDESK_URL_ACME=nowhere, **own) as probes:
        desk, server = await asyncio.gather(probes.desk("acme", Sought("1")), probes.model("acme"))
        unknown = await probes.desk("initech", Sought("1")), await probes.model("initech")
    assert (desk.asked, desk.failure) == (True, "ServiceDesk Plus API: connection")
    assert (server.asked, bool(server.failure)) == (True, True)
    assert [look.failure for look in unknown] == ["housekeeping does not know the tenant"] * 2
    assert desks.requests(operation="read_ticket") == []


async def test_what_is_no_number_is_never_part_of_an_address(console: Console, desks: Simulator) -> None:
    before = len(desks.requests())
    odd = ["", "[]", '{"number": "1/../../users"}', '{"number": "1\\n"}', '{"number": "1", "note_id": "../2"}']
    async with console() as probes:
        asked = [probes.ask("desk", "acme", about) for about in odd]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [NoAnswerError] * len(odd)
        assert len(desks.requests()) == before
        assert json.loads(await probes.ask("desk", "acme", '{"number": "1"}'))["asked"]
