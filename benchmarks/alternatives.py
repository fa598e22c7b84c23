"""CPU of two implementations, in turn in this process: the product's and a package's.

A streamed answer of GPT-4, read as plain JSON or by the openai package, from a simulated GPT-4 that sends one piece a
token. A change of a job's row, by a function or by the ORM, on an embedded Postgres.
"""

import asyncio
import statistics
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from openai import AsyncOpenAI
from sqlalchemy import func, update

from benchmarks.ours import PIECES
from benchmarks.report import Benchmark, Report, table
from devstack.free_ports import free_port
from devstack.postgres import Postgres
from devstack.programs import Programs
from integrations.model.client import ModelClient, Wire
from integrations.resilience import Breaker
from integrations.values import Prompt
from storage import claims, jobs
from storage.claims import Claim
from storage.jobs import Event
from storage.migrating import migrate
from storage.models import Job, JobState
from storage.session import Database
from storage.turns import Shares, claim_next
from workflow.enhancement import Enhancement

_KEY = "sk-benchmark"
_MODEL = "gpt-6-luna"
_PROMPT = Prompt("You help technicians.", '<ticket id="1">\n{"subject": "VPN does not connect"}\n</ticket>')
_LEASE = 3600.0

Way = Callable[[], Awaitable[object]]


async def _compared(ours: Way, theirs: Way, batches: int, runs: int) -> list[float]:
    """Return the CPU milliseconds of one run of each: the median, without the first batch."""
    found: list[list[float]] = [[], []]
    for _ in range(batches):
        for times, way in zip(found, (ours, theirs), strict=True):
            began = time.process_time()
            for _ in range(runs):
                await way()
            times.append((time.process_time() - began) / runs * 1000)
    return [statistics.median(times[1:]) for times in found]


async def _answers(url: str) -> list[float]:
    breaker = Breaker("model", "model unavailable")
    ours = ModelClient(api_key=_KEY, base_url=url, model=_MODEL, idle_seconds=30, total_seconds=60, connections=4,
                       breaker=breaker)  # fmt: skip
    client = AsyncOpenAI(api_key=_KEY, base_url=url, max_retries=0)
    messages = [{"role": "system", "content": _PROMPT.system}, {"role": "user", "content": _PROMPT.user}]
    request: Any = Wire(url, _MODEL).request(messages, Enhancement)

    async def package() -> object:
        stream = await client.chat.completions.create(**request)
        parts = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
        return Enhancement.model_validate_json("".join(parts))

    try:
        return await _compared(lambda: ours.ask(_PROMPT, Enhancement), package, 7, 30)
    finally:
        await ours.close()
        await client.close()


async def by_orm(database: Database, held: Claim) -> None:
    """Renew a lease by an ORM statement in a tenant's transaction, without the event."""
    later = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, _LEASE)
    holds = (Job.state == JobState.RUNNING, Job.claim_token == held.token, Job.lease_until > func.clock_timestamp())
    change = update(Job).where(Job.id == held.job_id, *holds)
    async with database.tenant(held.tenant_id) as session:
        values = {"note_attempted_at": func.clock_timestamp(), "lease_until": later}
        await session.scalar(change.values(**values).returning(Job.id))


async def _changes(url: str) -> list[float]:
    database = Database(url, application_name="benchmark", pool_size=1)
    event = Event(uuid4(), "acme", "1", None, ("key",), "", datetime.now(UTC))
    await jobs.accept_all(database, [event], 3600, published=True)
    held = await claim_next(database, "benchmark", _LEASE, Shares())
    assert held is not None  # noqa: S101 -- it was accepted just now
    try:
        return await _compared(
            lambda: claims.about_to_post(database, held, _LEASE), lambda: by_orm(database, held), 9, 80
        )
    finally:
        await database.close()


def _report(folder: Path, _given: Namespace) -> Report:
    port = free_port()
    model = Programs(folder, {}).openai(port, _KEY, 0.0)
    model.command = [*model.command, "--chunks", str(PIECES)]
    model.start()
    try:
        model.wait_ready(30)
        answers = asyncio.run(_answers(f"http://127.0.0.1:{port}/v1"))
    finally:
        model.stop(2)
    with Postgres(folder / "postgres") as server:
        migrate(server.admin_url, server.url)
        changes = asyncio.run(_changes(server.url))
    found = {
        "an answer, as plain JSON or by the openai package": answers,
        "a change, by a function or the ORM": changes,
    }
    rows = [(name, f"{ours:.2f}", f"{other:.2f}", f"{ours / other:.2f}") for name, (ours, other) in found.items()]
    return Report(table(("CPU milliseconds", "ours", "the other", "ratio"), rows), found)


BENCHMARK = Benchmark("alternatives", _report, {}, full={}, tiny={})
