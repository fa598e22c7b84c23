"""Fair turns in a running system: no tenant waits for another's flood or limit."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from redis import Redis

from dev.stack.system import System
from tests.kit.system import SHORT, StartSystem
from tests.kit.world import World, wait_for
from tests.system.outcomes import assert_one_note, log_of

pytestmark = pytest.mark.slow

PLACES = 8
SOON_SECONDS = 5.0
LIMITS = {"initech.jobs.most_running": 2, "initech.jobs.most_waiting": 6}


@pytest.fixture(scope="module")
def system(start_system: StartSystem) -> System:
    """Start one worker with few places, and a GPT-4 that takes a second; one of three tenants has limits."""
    settings = SHORT | LIMITS | {"WORKER_CONCURRENCY": str(PLACES), "SERVICEDESK_TIMEOUT_SECONDS": "10"}
    settings |= {"NOTE_SETTLE_SECONDS": "10", "LEASE_SECONDS": "3"}
    tenants = ("acme", "globex", "initech")
    return start_system(tenants=tenants, settings=settings, openai_seconds=1, housekeeping=False)


@pytest.fixture
def redis(system: System) -> Iterator[Redis]:
    with Redis.from_url(system.state["redis_url"]) as client:
        yield client


def flood(world: World, tenant: str, count: int) -> list[str]:
    with ThreadPoolExecutor(8) as senders:
        tickets = list(senders.map(lambda _: world.create_ticket(tenant=tenant), range(count)))
    wait_for(lambda: all(world.job(ticket_id, tenant) for ticket_id in tickets))
    return tickets


def jobs(world: World, state: str) -> dict[str, int]:
    question = "SELECT tenant_id, count(*) FROM jobs WHERE state = %s GROUP BY 1"
    with world.admin() as connection:
        return dict(connection.execute(question, (state,)).fetchall())


def seconds_in_queue(world: World, ticket_id: str, tenant: str) -> float:
    wait_for(lambda: world.job(ticket_id, tenant).get("started_at"))
    row = world.job(ticket_id, tenant)
    return float((row["started_at"] - row["accepted_at"]).total_seconds())


def most_running_beside(world: World, tenant: str, other: str, since: datetime) -> int:
    """Return the most jobs of a tenant that ran at a start of one, while the other tenant had jobs to start.

    Claims at one moment do not see each other, so those of the first second may all select one tenant.
    """
    question = """
        WITH rows AS (SELECT * FROM jobs WHERE accepted_at >= %(since)s)
        SELECT max((SELECT count(*) FROM rows r WHERE r.tenant_id = s.tenant_id
                    AND s.started_at BETWEEN r.started_at AND r.finished_at))
        FROM rows s WHERE s.tenant_id = %(tenant)s
        AND s.started_at < (SELECT max(started_at) FROM rows WHERE tenant_id = %(other)s)
        AND s.started_at > (SELECT min(started_at) FROM rows) + interval '1 s'
    """
    with world.admin() as connection:
        values = {"tenant": tenant, "other": other, "since": since}
        ((most,),) = connection.execute(question, values).fetchall()
    return int(most or 0)


def all_ended(world: World) -> bool:
    return not (jobs(world, "waiting") or jobs(world, "running"))


def test_a_flood_of_one_tenant_is_not_another_ones_delay(world: World, system: System, redis: Redis) -> None:
    tickets = flood(world, "acme", 150)
    for _ in range(4):
        newcomer = world.create_ticket(tenant="globex")
        assert seconds_in_queue(world, newcomer, "globex") < SOON_SECONDS
        assert "Job queued: job_id=" in log_of(system, newcomer)
        # Each waiting job has its message, except those on their way.
        assert abs(redis.llen("celery") - sum(jobs(world, "waiting").values())) <= PLACES
    assert jobs(world, "waiting")["acme"] > 50
    wait_for(lambda: all_ended(world), 90)
    assert redis.llen("celery") == 0
    for ticket_id in tickets[::10]:
        assert_one_note(world, ticket_id)
        assert len(world.jobs(ticket_id)) == 1


def test_a_slow_desk_takes_no_more_places_than_its_tenants_share(world: World, system: System) -> None:
    world.desk_fault(kind="slow", seconds=1, tenant="acme")
    system.workers[0].pause()
    try:
        slow = flood(world, "acme", 20)
        others = flood(world, "globex", 40)
    finally:
        system.workers[0].resume()
    wait_for(lambda: not jobs(world, "waiting").get("globex"), 60)
    world.clear_faults()
    for ticket_id in others[::5]:
        assert_one_note(world, ticket_id, "globex")
    wait_for(lambda: all_ended(world), 60)
    since = min(world.job(ticket_id, "acme")["accepted_at"] for ticket_id in slow)
    assert 1 <= most_running_beside(world, "acme", "globex", since) <= PLACES // 2 + 1


def test_a_limit_of_running_jobs_leaves_the_places_to_others(world: World, system: System, redis: Redis) -> None:
    """Six jobs of at least 4 s, two at a time: the last two wait past their deadline."""
    world.openai_fault(kind="slow_stream", seconds=1, pieces=4)
    limited = flood(world, "initech", 6)
    wait_for(lambda: jobs(world, "running").get("initech") == 2)
    # The messages of the others stay in the list, where support counts them.
    wait_for(lambda: jobs(world, "waiting").get("initech", 0) >= 2 and redis.llen("celery") >= 2)
    # The wait for a tenant's share is not counted against the deadline.
    with world.admin() as connection:
        connection.execute("UPDATE jobs SET deadline_at = now() + interval '6 s' WHERE state = 'waiting'")
    newcomer = world.create_ticket()
    assert seconds_in_queue(world, newcomer, "acme") < SOON_SECONDS
    while not all_ended(world):
        assert jobs(world, "running").get("initech", 0) <= 2
        time.sleep(0.1)
    world.clear_faults()
    for ticket_id in limited:
        assert_one_note(world, ticket_id, "initech")
    assert "Worker stuck" not in system.workers[0].output()


def test_past_the_limit_of_waiting_jobs_a_webhook_is_to_come_again(world: World, system: System) -> None:
    worker = system.workers[0]
    worker.pause()
    try:
        tickets = [world.create_ticket(tenant="initech", send_webhook=False) for _ in range(8)]
        answers = [world.post_webhook(ticket_id, "initech") for ticket_id in tickets]
        assert [answer.status_code for answer in answers] == [202] * 6 + [429] * 2
        assert int(answers[-1].headers["Retry-After"]) >= 1
        refused = "Webhook rejected: status=429, reason=too many jobs waiting"
        assert refused in log_of(system, tickets[-1])
        assert world.post_webhook(world.create_ticket(send_webhook=False)).status_code == 202
    finally:
        worker.resume()
    wait_for(lambda: all_ended(world), 60)
    assert world.post_webhook(tickets[-1], "initech").status_code == 202
    assert_one_note(world, tickets[-1], "initech")


def test_lost_and_doubled_messages_lose_and_double_nothing(world: World, system: System, redis: Redis) -> None:
    worker = system.workers[0]
    worker.pause()
    try:
        tickets = flood(world, "acme", 6)
        wait_for(lambda: redis.llen("celery") >= 6)
        for _ in range(3):
            redis.rpop("celery")
        (doubled,) = redis.lrange("celery", 0, 0)
        redis.lpush("celery", doubled)
    finally:
        worker.resume()
    for ticket_id in tickets:
        assert_one_note(world, ticket_id)
    assert len(world.notes(tickets[0])) == 1
    wait_for(lambda: redis.llen("celery") == 0)


def test_a_worker_killed_between_message_and_claim_loses_nothing(world: World, system: System) -> None:
    worker = system.workers[0]
    with world.admin() as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION claim_next_job FROM ai_agents")
    ticket_id = world.create_ticket()
    try:
        wait_for(lambda: "Database error: job can't be claimed" in worker.output())
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(5)
    finally:
        with world.admin() as connection:
            connection.execute("GRANT EXECUTE ON FUNCTION claim_next_job TO ai_agents")
        system.restart(worker)
    assert_one_note(world, ticket_id, seconds=100)
    assert "attempt: 1" in [line for line in log_of(system, ticket_id).splitlines() if "Job queued" in line][-1]
