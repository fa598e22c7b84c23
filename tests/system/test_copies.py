"""Housekeeping on real processes: copies, purges and embeddings, and no delay by a stuck desk."""

import psycopg
import pytest

from dev.stack.system import System
from tests.kit.system import StartSystem
from tests.kit.world import World, wait_for
from tests.system.by_hand import copied

AN_HOUR_AGO = """
UPDATE passes SET complete_from = complete_from - interval '61 minutes', complete_at = complete_at
    - interval '61 minutes', ended_at = ended_at - interval '61 minutes';
UPDATE listings SET listed_at = listed_at - interval '61 minutes', seen_at = seen_at - interval '61 minutes'
"""
pytestmark = pytest.mark.slow
OLD = """
INSERT INTO tickets (tenant_id, ticket_id, subject, description, resolution, status, synced_at)
VALUES ('globex', 'old', 's', 'd', 'r', 'Closed', now() - interval '31 days')
"""


@pytest.fixture(scope="module")
def system(start_system: StartSystem) -> System:
    """Start a system that copies once, and then not for five minutes; a desk may be silent for long."""
    settings: dict[str, object] = {f"{tenant}.servicedesk.rate_per_minute": 3000 for tenant in ("acme", "globex")}
    settings |= {"SERVICEDESK_TIMEOUT_SECONDS": "60", "NOTE_SETTLE_SECONDS": "60"}
    return start_system(settings=settings, openai_seconds=0.3)


def new_ticket(world: World) -> str:
    return world.create_ticket("Scanner jams", send_webhook=False)


def copied_anew(system: System) -> str:
    process = system.housekeeping
    system.restart(process)
    wait_for(lambda: "Sync completed: tenant_id=acme" in process.output())
    return process.output()


def test_a_desk_that_is_silent_delays_no_purge(system: System, world: World) -> None:
    with psycopg.connect(system.postgres.superuser_url, autocommit=True) as superuser:
        superuser.execute(OLD)
    world.desk_fault(kind="silence", tenant="globex", operation="list_tickets")
    copied_anew(system)
    wait_for(lambda: "old" not in copied(world, "globex"), 20)
    assert "Sync completed: tenant_id=globex" not in system.housekeeping.output()


def test_a_copy_goes_when_the_desk_says_that_the_ticket_is_gone(system: System, world: World) -> None:
    by_job, trashed_by_job, closed, by_sync, trashed = (new_ticket(world) for _ in range(5))
    copied_anew(system)
    assert copied(world) >= {by_job, trashed_by_job, closed, by_sync, trashed}
    world.delete_ticket(by_job)
    world.change_ticket(trashed_by_job, is_trashed=True)
    world.change_ticket(closed, status="Closed")
    for ticket_id in (by_job, trashed_by_job, closed):
        world.post_webhook(ticket_id)
    assert [world.ended(ticket_id)["state"] for ticket_id in (by_job, trashed_by_job, closed)] == ["skipped"] * 3
    assert copied(world) & {by_job, trashed_by_job, closed, by_sync, trashed} == {closed, by_sync, trashed}
    world.delete_ticket(by_sync)
    world.change_ticket(trashed, is_trashed=True)
    for removed in (0, 2):
        # Two passes over the desk's lists, an hour apart, show neither.
        with psycopg.connect(system.postgres.superuser_url, autocommit=True) as superuser:
            superuser.execute(AN_HOUR_AGO)
        assert f", removed={removed}" in copied_anew(system)
    assert copied(world) & {closed, by_sync, trashed} == {closed}


@pytest.fixture(scope="module")
def embedding(system: System) -> System:
    """Give acme's texts to an endpoint for embeddings from now on; housekeeping makes them, workers use them."""
    of_model = system.workers[0].environment
    endpoint = {f"EMBEDDINGS_{name}": of_model[f"OPENAI_{name}"] for name in ("BASE_URL", "API_KEY")}
    system.configure(endpoint | {"acme.servicedesk.embeddings": "endpoint"})
    for process in (system.housekeeping, *system.workers):
        system.restart(process)
    return system


def sent(world: World) -> list[str]:
    return [text for request in world.model_requests("embeddings") for text in request["payload"]["input"]]


def test_copies_get_them_and_a_job_is_searched_for_by_them(embedding: System, world: World) -> None:
    wait_for(lambda: "Embeddings computed: tenant_id=acme" in embedding.housekeeping.output(), 150)
    wait_for(lambda: ", left=0" in embedding.housekeeping.output())
    with world.admin() as connection:
        (rows,) = connection.execute("SELECT array_agg(DISTINCT tenant_id) FROM embeddings").fetchall()
    assert rows[0] == ["acme"]
    ticket_id = world.create_ticket("Scanner jams on the third floor")
    assert world.ended(ticket_id)["state"] == "completed"
    assert any("Scanner jams on the third floor" in text for text in sent(world))
    of_globex = world.create_ticket("Payroll of Robin is wrong", tenant="globex")
    assert world.ended(of_globex, tenant="globex")["state"] == "completed"
    assert not any("Robin" in text for text in sent(world))
    line = "Embeddings: texts of tenant_id=acme are sent to embeddings at 127.0.0.1"
    assert [process.output().count(line) for process in (embedding.housekeeping, *embedding.workers)] == [1, 1]


def test_without_the_endpoint_jobs_are_done_by_words(embedding: System, world: World) -> None:
    (worker,) = embedding.workers
    embedding.restart(worker, {"EMBEDDINGS_BASE_URL": "http://127.0.0.1:9/v1"})
    ticket_id = world.create_ticket("Scanner jams on the second floor")
    assert world.ended(ticket_id)["state"] == "completed"
    assert "Embeddings error: embeddings at 127.0.0.1: connection" in worker.output()
