"""`ai-agents diagnose` during outages and with two faults, on real processes."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from config.exits import OF_VERDICTS
from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.by_hand import forget, run
from tests.system.diagnosing import Diagnosed, ask, diagnose, done, verdict

pytestmark = pytest.mark.usefixtures("untouched_logging")
SETTINGS = {
    "WORKER_CONCURRENCY": "2",
    "WORKER_GRACE_SECONDS": "1",
    # A key of its own: its hold does not affect other tenants.
    "OPENAI_API_KEY_INITECH": "sk-wrong",
    "globex.mode": "dry-run",
}
MOST_SECONDS = 4.0
FAQ = "docs/support/faq/faq-enhancements-not-received.md"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("outages")
    tenants = ("acme", "globex", "initech")
    with System(
        folder, tenants=tenants, settings=SHORT | SETTINGS, openai_seconds=0.2, housekeeping=False, launch=loaded
    ) as it:
        yield it


@pytest.fixture(autouse=True)
def _put_back(system: System, world: World) -> Iterator[None]:
    yield
    world.clear_faults()
    system.workers[0].resume()
    for process in system.processes:
        if not process.running:
            system.restart(process)


@pytest.fixture
def silent() -> Iterator[str]:
    """Start a server that accepts connections and never answers; return its address."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def timed(system: System, *words: str, **settings: str) -> Diagnosed:
    """Return the diagnosis, which must be quick even without the start of a process."""
    started = time.monotonic()
    answer = ask(system, *words, "--json", **settings)
    assert answer.stdout, answer.stderr
    assert time.monotonic() - started < MOST_SECONDS
    said = json.loads(answer.stdout)
    assert answer.returncode == said["exit_status"] == OF_VERDICTS[said["verdict"]]
    assert "Start refused" not in answer.stderr
    return Diagnosed(answer.returncode, said)


def without_worker(system: System, ticket_id: str) -> Diagnosed:
    told = wait_for(lambda: (now := diagnose(system, ticket_id)).said["verdict"] == "no_worker" and now, 10)
    assert told
    return told


def busy(world: World) -> tuple[list[str], str]:
    world.openai_fault(kind="slow_stream", seconds=1, pieces=200)
    running = [world.create_ticket(f"Busy {number}") for number in range(2)]
    wait_for(lambda: all(world.job(ticket_id).get("state") == "running" for ticket_id in running))
    return running, world.create_ticket("Behind both")


def test_a_start_that_was_given_back_is_told_by_both_lines(system: System, world: World) -> None:
    (worker,) = system.workers
    (given_back, other), waiting = busy(world)
    worker.stop(8)
    wait_for(lambda: world.job(given_back)["state"] == "waiting")
    for ticket_id in (given_back, waiting):
        told = without_worker(system, ticket_id)
        assert "none was begun" not in told.because
        ago = told.because.split("the last one was begun ")[1].split("s ago")[0]
        assert int(ago) < 15
    world.clear_faults()
    system.restart(worker)
    for ticket_id in (given_back, other, waiting):
        world.ended(ticket_id)


def test_a_second_fault_is_named_and_an_old_hold_has_its_time(system: System, world: World) -> None:
    """The model refuses the client's key, and then the desk refuses ours."""
    ticket_id = world.create_ticket("Two faults", "initech")
    wait_for(lambda: world.job(ticket_id, "initech").get("reason") == "model key refused")
    said = diagnose(system, ticket_id, "initech").said
    assert said["verdict"] == "model_held"
    assert ["Besides" in said["says"], "its key is refused" in said["says"]] == [False, True]
    world.desk_fault(tenant="initech", kind="status", code=401)
    said = diagnose(system, ticket_id, "initech").said
    assert (said["verdict"], len(said["do"]) > 1) == ("model_held", True)
    assert "Besides, the desk fails just now: ServiceDesk Plus API: 401" in said["says"]
    with world.admin() as connection:
        connection.execute(
            "UPDATE job_events SET at = at - interval '10 minutes' WHERE job_id = %s",
            (world.job(ticket_id, "initech")["id"],),
        )
    says = diagnose(system, ticket_id, "initech").said["says"]
    parts = ("waits: last refused at ", "UTC (model key refused); the next try", "its key is refused")
    assert [part in says for part in parts] == [True, True, False]
    system.workers[0].kill()
    both = "Besides, no worker is there to take its job. Besides, the desk fails just now"
    wait_for(lambda: both in diagnose(system, ticket_id, "initech").said["says"], 10)


def test_without_postgres_there_is_a_verdict_in_time_and_what_the_others_know(
    system: System, world: World, silent: str
) -> None:
    delivered = done(world, "It has its note")
    refused = timed(system, "--ticket", "1", "--tenant", "acme", DATABASE_URL=f"postgresql://a@{silent}/x").said
    assert (refused["verdict"], refused["document"]) == ("database_failing", f"{FAQ}#database-down")
    system.postgres.stop()
    assert world.post_webhook("880088").status_code == 202
    told = timed(system, "--ticket", "880088", "--tenant", "acme")
    job_id = told.said["job_id"]
    assert told.said["verdict"] == "database_failing"
    assert "was accepted, and waits in Redis until our database answers" in told.said["says"]
    for known in ("Postgres was asked, and it does not answer", "Redis keeps its webhook", "queue: "):
        assert known in told.because
    assert told.said["trace_id"]
    assert timed(system, "--job", job_id).said["ticket_id"] == "880088"
    assert timed(system, "--ticket", delivered, "--tenant", "acme").said["verdict"] == "delivered"
    both = timed(system, "--ticket", "880088", "--tenant", "acme", REDIS_URL=f"redis://{silent}/0")
    assert "neither our database nor Redis answers" in both.said["says"]
    assert both.said["document"] == f"{FAQ}#redis-or-both-stores-down"
    printed = run("diagnose", "--ticket", "880088", "--tenant", "acme", **system.workers[0].environment)
    assert f"document  {FAQ}#database-down" in printed.stdout.splitlines()
    system.postgres.restart()
    world.ended("880088")


def test_without_redis_there_is_a_verdict_in_time(system: System, world: World, silent: str) -> None:
    (worker,) = system.workers
    delivered = done(world, "Redis goes away")
    worker.pause()
    waiting = world.create_ticket("Redis goes away later")
    wait_for(lambda: world.job(waiting))
    system.redis.stop()
    for more in ({}, {"REDIS_URL": f"redis://{silent}/0"}):
        said = timed(system, "--ticket", waiting, "--tenant", "acme", **more).said
        assert (said["verdict"], said["document"]) == ("not_queued", f"{FAQ}#redis-or-both-stores-down")
        assert timed(system, "--ticket", delivered, "--tenant", "acme", **more).said["verdict"] == "delivered"
    system.redis.restart()
    worker.resume()
    world.ended(waiting)


def test_the_document_has_a_heading_for_what_the_client_wants_so(system: System, world: World) -> None:
    dry = world.create_ticket("For now without a note", "globex")
    world.ended(dry, "globex")
    gone = world.create_ticket("To be forgotten", send_webhook=False)
    assert forget(system, "--tenant", "acme", "--ticket", gone, "--yes").returncode == 0
    headings = (Path(__file__).parents[2] / FAQ).read_text(encoding="utf-8").splitlines()
    for ticket_id, tenant, heading in ((dry, "globex", "Dry Run"), (gone, "acme", "Forgotten")):
        said, name = diagnose(system, ticket_id, tenant).said, heading.lower()
        assert (said["verdict"], said["document"]) == (name.replace(" ", "_"), f"{FAQ}#{name.replace(' ', '-')}")
        assert f"##### {heading}" in headings


def test_a_full_worker_is_waited_for_and_a_killed_one_is_known_at_once(system: System, world: World) -> None:
    """A killed worker's leases last for longer than a diagnosis may take."""
    (worker,) = system.workers
    running, waiting = busy(world)
    wait_for(lambda: "0 listen at the queue, 1 have jobs, 2 jobs run" in diagnose(system, waiting).because)
    assert [verdict(system, ticket_id) for ticket_id in (waiting, running[0])] == ["in_progress"] * 2
    system.postgres.restart()
    for ticket_id in (waiting, running[0]):
        told = diagnose(system, ticket_id)
        assert (told.said["verdict"], "no worker is connected" in told.because) == ("in_progress", False)
    worker.kill()
    for ticket_id in (waiting, running[0]):
        told = without_worker(system, ticket_id)
        assert "2 jobs run, but no worker is connected to Postgres any more" in told.because
    assert {world.job(ticket_id)["state"] for ticket_id in running} == {"running"}


def test_the_hold_of_a_shared_key_is_named_where_the_desk_refuses_first(system: System, world: World) -> None:
    """Runs last, since the hold stays for half a minute."""
    world.desk_fault(tenant="globex", kind="status", code=401)
    ticket_id = world.create_ticket("The desk refuses", "globex")
    wait_for(lambda: world.job(ticket_id, "globex").get("reason") == "desk credentials refused")
    assert "Besides" not in diagnose(system, ticket_id, "globex").said["says"]
    world.openai_fault(kind="status", code=401, match="")
    other = world.create_ticket("The model refuses", id="700700700")
    wait_for(lambda: world.job(other).get("reason") == "model key refused")
    told = diagnose(system, ticket_id, "globex")
    assert told.said["verdict"] == "desk_failing"
    assert "Besides, jobs with the same model key wait: model key refused" in told.said["says"]
    assert other not in json.dumps(told.said)
