"""A job beyond its tenant's daily limit: waits without losing time, then resumes."""

from dataclasses import replace
from uuid import UUID

from config.settings import WorkerSettings
from config.tenant_directory import TenantDirectory
from integrations.model.models import Models
from storage.spending import SpendingBook
from tests.config.given import ACME
from tests.kit.by_id import run_job
from tests.kit.clock import Clock
from tests.kit.desk import new_ticket, notes_of, opened, settings
from tests.kit.logs import StartLog
from tests.kit.postgres import Store
from tests.kit.runner import runner_on
from tests.kit.simulators import Simulator
from tests.kit.tenants_toml import filed


async def test_a_job_past_the_limit_waits_unpaid_and_goes_on_when_it_is_raised(
    store: Store, desks: Simulator, model: Simulator, start_log: StartLog
) -> None:
    """Another worker's spending counts; one line covers all jobs."""
    stream = start_log()
    paid, held = [await store.accept(ticket_id=new_ticket(desks), dedupe_keys=(key,)) for key in ("one", "two")]
    values, clock = filed(ACME, {"acme.openai.daily_tokens": 1}), Clock()
    process = WorkerSettings(
        database_url="postgresql://a:b@db/x",
        redis_url="redis://redis:6379/0",
        openai_api_key="sk-test",
        openai_base_url=f"{model.url}/v1",
    )

    async def run(job_id: UUID) -> None:
        book = SpendingBook(store.database)
        models = Models(TenantDirectory(lambda: dict(values), monotonic=clock), process, book, connections=4)
        async with opened(settings(desks.url)) as desk:
            runner = replace(runner_on(desk, store.database, store.database), model_of=models.of)
            assert await run_job(runner, job_id)
        await models.close()
        await book.close()

    await run(paid)
    before = store.table.job(held)["deadline_at"]
    await run(held)
    row = store.table.job(held)
    assert store.table.job(paid)["state"] == "completed"
    assert (row["state"], row["attempt"], row["reason"]) == ("waiting", 0, "spending limit of today reached")
    assert row["deadline_at"] > before
    assert len(model.requests(operation="chat")) == 1
    assert stream.getvalue().count("Spending limit of today reached: tenant_id=acme") == 1
    values |= filed(values, {"acme.openai.daily_tokens": 100_000})
    store.table.change(held, due_at="now()")
    await run(held)
    row = store.table.job(held)
    assert row["state"] == "completed"
    assert "(written by gpt-6-luna; " in notes_of(desks, row["ticket_id"])[0]["description"]
