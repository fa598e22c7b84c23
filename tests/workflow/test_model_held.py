"""Jobs of a model held until an operator acts, run whole on a real Postgres."""

from dataclasses import replace

from integrations.resilience import Hold
from tests.kit import model as kit
from tests.kit.clock import Clock
from tests.kit.desk import new_ticket, notes_of, opened, settings
from tests.kit.logs import StartLog
from tests.kit.postgres import Store
from tests.kit.runner import run_when_due, runner_on
from tests.kit.simulators import Simulator


async def test_held_jobs_lose_neither_attempts_nor_time_and_go_on_where_they_stood(
    store: Store, desks: Simulator, model: Simulator, start_log: StartLog
) -> None:
    """Also of a tenant with failure notes: nothing has failed."""
    log = start_log()
    ticket_id = new_ticket(desks)
    job_id = await store.accept(ticket_id=ticket_id)
    before = store.table.job(job_id)["deadline_at"]
    clock = Clock()
    model.order(kind="status", code=401)
    hold = Hold("model", monotonic=clock, jitter=lambda low, _high: low)
    async with (
        opened(settings(desks.url, failure_note=True)) as desk,
        kit.opened(model.url, hold=hold) as gpt4,
    ):
        runner = replace(runner_on(desk, store.database, store.database), model_of=lambda _: gpt4)
        for seconds in (0, 30):
            clock.now += seconds
            row = await run_when_due(runner, store.table, job_id)
            assert (row["state"], row["reason"], row["attempt"]) == ("waiting", "model key refused", 0)
        assert 60 <= (store.table.job(job_id)["deadline_at"] - before).total_seconds() < 120
        assert len(model.requests(operation="chat")) == 2
        # Held before its ticket is read again.
        read = len(desks.requests())
        await run_when_due(runner, store.table, job_id)
        assert len(desks.requests()) == read
        model.forget()
        clock.now += 30
        assert (await run_when_due(runner, store.table, job_id))["state"] == "completed"
    told = log.getvalue()
    assert len(notes_of(desks, ticket_id)) == 1
    assert told.count("OpenAI API error: 401 Unauthorized") == 2
    assert told.count("Hold error: model: model key refused") == told.count("Hold ended: model") == 1
    assert told.count(f"Job requeued: job_id={job_id}, ticket_id={ticket_id}, reason=model key refused, held back") == 3
    assert "Task failed" not in told
