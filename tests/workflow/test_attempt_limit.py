"""The time limit of an attempt, and a GPT-4 answer that takes longer."""

import asyncio
from dataclasses import replace

from tests.integrations.street import Street, town
from tests.kit import model as kit
from tests.kit.by_id import run_job
from tests.kit.desk import new_ticket, notes_of, opened, settings
from tests.kit.logs import StartLog
from tests.kit.postgres import Store
from tests.kit.runner import run_when_due, runner_on
from tests.kit.simulators import Simulator

ATTEMPT_SECONDS = 1.5


async def test_what_is_paid_for_is_not_cut_off_by_it_nor_paid_for_again_where_the_note_is(
    store: Store, desks: Simulator, model: Simulator, street: Street, start_log: StartLog
) -> None:
    """The first model is down, the fallback answers slowly, and the desk is slow too."""
    log = start_log()
    ticket_id = new_ticket(desks)
    job_id = await store.accept(ticket_id=ticket_id)
    street.says["process"] = 503
    model.order(kind="slow_stream", seconds=0.2)
    fallback = {"model": "gpt-6-luna", "api_key": "sk-test", "base_url": f"{model.url}/v1"}
    process = {f"openai_fallback_{name}": value for name, value in fallback.items()}
    async with town(street, process) as its_town, opened(settings(desks.url)) as desk:
        runner = runner_on(desk, store.database, store.database)
        runner = replace(runner, model_of=its_town.models.of, attempt_seconds=ATTEMPT_SECONDS)
        first = asyncio.create_task(run_job(runner, job_id))
        while not (model.requests(operation="chat") or first.done()):  # noqa: ASYNC110 -- another server's memory
            await asyncio.sleep(0.05)
        desks.order(kind="slow", operation="read_ticket", seconds=5)
        assert await first
        row = store.table.job(job_id)
        assert (row["state"], row["reason"], row["attempt"]) == ("waiting", "attempt took too long", 1)
        assert row["enhancement"]["summary"]
        desks.forget()
        row = await run_when_due(replace(runner, attempt_seconds=60), store.table, job_id)
    assert row["state"] == "completed"
    assert len(notes_of(desks, ticket_id)) == len(model.requests(operation="chat")) == 1
    assert log.getvalue().count("OpenAI API error: 503 Service Unavailable") == 1


async def test_the_deadline_of_the_job_stands_while_the_model_answers(
    store: Store, desks: Simulator, model: Simulator
) -> None:
    job_id = await store.accept(ticket_id=new_ticket(desks), deadline_at="now() + interval '1 second'")
    model.order(kind="slow_stream", seconds=5)
    async with opened(settings(desks.url)) as desk, kit.opened(model.url, idle=20, total=20) as gpt4:
        runner = replace(runner_on(desk, store.database, store.database), model_of=lambda _: gpt4)
        assert await asyncio.wait_for(run_job(runner, job_id), 15)
    row = store.table.job(job_id)
    assert (row["state"], row["reason"]) == ("failed", "attempt took too long")
