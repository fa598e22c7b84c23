"""Webhooks dropped under load: each ticket has one note or is named in two rounds."""

import re
import time
from collections.abc import Collection

import pytest

from dev.stack.environment import SimulatedTenant
from dev.stack.system import System
from jobs.repository import MAX_RECOVERED_PER_MINUTE, RECOVERED
from tests.kit.system import SHORT, StartSystem
from tests.kit.world import World, wait_for
from tests.system.diagnosing import diagnose

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untouched_logging")]
INTERVAL = 8.0
COUNT = 120
SETTINGS = SHORT | {
    "RECONCILE_INTERVAL_SECONDS": f"{INTERVAL:g}",
    "acme.reconcile": "on",
    # Once, at the start, which is awaited: its list calls are not the rounds'.
    "SYNC_INTERVAL_SECONDS": "3600",
    "initech.webhook.mode": "poll",
    "hooli.jobs.most_waiting": "1",
    # An empty setting is none: its webhook has no secret.
    "WEBHOOK_SECRET_INITECH": "",
}


@pytest.fixture(scope="module")
def system(start_system: StartSystem) -> System:
    """`acme` makes missing jobs; `globex` and `hooli` report them; `initech` polls."""
    tenants = ("acme", SimulatedTenant("globex", edition="cloud"), "initech", "hooli")
    running = start_system(tenants=tenants, settings=SETTINGS, openai_seconds=0.3)
    wait_for(lambda: len(_seen(running)) == len(said(running, "Sync completed: tenant_id=")) == len(tenants))
    return running


def _seen(system: System) -> list[str]:
    with World(system).admin() as connection:
        return [row[0] for row in connection.execute("SELECT tenant_id FROM reconciliations")]


def said(system: System, words: str) -> list[str]:
    return [line for line in system.housekeeping.log_path.read_text("utf-8").splitlines() if words in line]


def tickets(world: World, tenant: str, count: int, *, told_of: bool) -> dict[str, float]:
    """Create tickets; return each with its time, later than the desk's: a round may begin in between."""
    made: dict[str, float] = {}
    for number in range(count):
        subject, told = f"VPN does not connect, no. {number}", told_of and number % 2 == 0
        made[world.create_ticket(subject, tenant, send_webhook=told)] = time.time()
    return made


def rounds_until_made(world: World, tenant: str, made: dict[str, float]) -> list[int]:
    looks = [
        call["time"]
        for call in world.desk_requests(tenant)
        if call["operation"] == "list_tickets" and call["payload"]["list_info"]["start_index"] == 1
    ]
    question = "SELECT ticket_id, recovered_at FROM missing_webhooks WHERE tenant_id = %s AND ticket_id = ANY (%s)"
    with world.admin() as connection:
        rows = connection.execute(question, (tenant, list(made))).fetchall()
    assert len(rows) == len(made)
    return [sum(made[ticket_id] < look < at.timestamp() for look in looks) for ticket_id, at in rows]


def test_each_ticket_has_its_one_note_though_half_the_webhooks_are_dropped(system: System, world: World) -> None:
    there = tickets(world, "acme", COUNT, told_of=True)
    made = list(there)
    dropped = made[1::2]
    wait_for(lambda: all(world.notes(ticket_id) for ticket_id in made), seconds=120)
    # No more than a minute may have.
    assert len(dropped) == MAX_RECOVERED_PER_MINUTE
    # By the second at the latest.
    assert set(rounds_until_made(world, "acme", {each: there[each] for each in dropped})) <= {1, 2}
    for ticket_id in dropped:
        (job,) = world.jobs(ticket_id)
        assert job["event"] == RECOVERED
        assert len([line for line in said(system, "Webhook missed") if f"ticket_id={ticket_id}," in line]) == 1
        assert said(system, f"Job recovered: job_id={job['id']}, ticket_id={ticket_id}, reason=webhook missed")
    assert all(world.job(ticket_id)["event"] == "ticket.created" for ticket_id in made[::2])
    # The webhooks arrive late after all.
    for ticket_id in dropped[:5]:
        world.send_webhook(ticket_id)
        assert world.ended(ticket_id)["reason"] == "already enhanced"
    time.sleep(2 * INTERVAL)
    assert [len(world.notes(ticket_id)) for ticket_id in made] == [1] * COUNT


def test_where_it_is_only_told_each_is_named_and_none_is_made(system: System, world: World) -> None:
    made = list(tickets(world, "globex", COUNT, told_of=True))
    dropped = set(made[1::2])
    wait_for(lambda: len(said(system, "tenant_id=globex, created=")) >= len(dropped), seconds=60)
    time.sleep(2 * INTERVAL)
    named = [re.findall(r"ticket_id=(\d+)", line)[0] for line in said(system, "tenant_id=globex, created=")]
    assert sorted(named) == sorted(dropped)
    assert all(world.jobs(ticket_id, "globex") == [] for ticket_id in dropped)
    assert all("error" not in line.lower() for line in said(system, "Webhook missed"))
    ticket_id = min(dropped)
    said_of_it = diagnose(system, ticket_id, "globex").said
    assert said_of_it["verdict"] == "webhook_missing"
    assert "seen in the desk at" in said_of_it["says"]
    assert any("globex.reconcile in tenants.toml is `report`" in mend for mend in said_of_it["do"])


def test_a_desk_that_sends_no_webhook_is_served(system: System, world: World) -> None:
    made = list(tickets(world, "initech", 10, told_of=False))
    wait_for(lambda: all(world.notes(ticket_id, "initech") for ticket_id in made), seconds=60)
    assert [len(world.notes(ticket_id, "initech")) for ticket_id in made] == [1] * 10
    assert said(system, "Webhook missed: ticket_id=" + made[0] + ", tenant_id=initech") == []
    answer = world.post_webhook(made[0], "initech")
    assert (answer.status_code, answer.json()) == (403, {"detail": "forbidden"})
    wait_for(lambda: "reason=tenant is polled" in system.api.log_path.read_text("utf-8"))


def test_a_webhook_refused_with_429_is_recovered_though_missed_ones_are_told(system: System, world: World) -> None:
    (worker,) = system.workers
    worker.pause()
    try:
        *sent, missed = [world.create_ticket(tenant="hooli", send_webhook=False) for _ in range(4)]
        assert [world.post_webhook(each, "hooli").status_code for each in sent] == [202, 429, 429]
    finally:
        worker.resume()
    wait_for(lambda: all(world.notes(each, "hooli") for each in sent), seconds=60)
    assert [len(world.notes(each, "hooli")) for each in sent] == [1] * 3
    for ticket_id in sent[1:]:
        assert said(system, f"ticket_id={ticket_id}, reason=webhook refused with 429")
    wait_for(lambda: said(system, f"Webhook missed: ticket_id={missed}, tenant_id=hooli"))
    time.sleep(2 * INTERVAL)
    assert world.jobs(missed, "hooli") == []


def test_a_leader_that_dies_in_the_middle_is_gone_on_for(system: System, world: World) -> None:
    made = tickets(world, "acme", 6, told_of=False)
    wait_for(lambda: len(_waiting(world, made)) == len(made))
    system.housekeeping.kill()
    system.restart(system.housekeeping)
    wait_for(lambda: all(world.notes(ticket_id) for ticket_id in made), seconds=90)
    assert [len(world.notes(ticket_id)) for ticket_id in made] == [1] * len(made)


def _waiting(world: World, made: Collection[str]) -> list[str]:
    with world.admin() as connection:
        rows = connection.execute("SELECT ticket_id FROM missing_webhooks WHERE ticket_id = ANY (%s)", (list(made),))
        return [row[0] for row in rows]
