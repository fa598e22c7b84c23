"""Embeddings in a whole system: made by housekeeping, used by workers, optional."""

from collections.abc import Iterator

import pytest

from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.world import World, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    settings: dict[str, object] = {f"{tenant}.servicedesk.rate_per_minute": 3000 for tenant in ("acme", "globex")}
    settings |= {"acme.servicedesk.embeddings": "endpoint"}
    with System(tmp_path_factory.mktemp("embeddings"), settings=settings, openai_seconds=0.3, launch=loaded) as running:
        of_model = running.workers[0].environment
        running.configure({f"EMBEDDINGS_{name}": of_model[f"OPENAI_{name}"] for name in ("BASE_URL", "API_KEY")})
        for process in (running.housekeeping, *running.workers):
            running.restart(process)
        yield running


def sent(world: World) -> list[str]:
    return [text for request in world.model_requests("embeddings") for text in request["payload"]["input"]]


def test_copies_get_them_and_a_job_is_searched_for_by_them(system: System, world: World) -> None:
    wait_for(lambda: "Embeddings made: tenant_id=acme" in system.housekeeping.output(), 150)
    wait_for(lambda: ", left=0" in system.housekeeping.output())
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
    assert [process.output().count(line) for process in (system.housekeeping, *system.workers)] == [1, 1]


def test_without_the_endpoint_jobs_are_done_by_words(system: System, world: World) -> None:
    (worker,) = system.workers
    system.restart(worker, {"EMBEDDINGS_BASE_URL": "http://127.0.0.1:9/v1"})
    ticket_id = world.create_ticket("Scanner jams on the second floor")
    assert world.ended(ticket_id)["state"] == "completed"
    assert "Embeddings error: embeddings at 127.0.0.1: connection" in worker.output()
