"""Erasure by command: from every store, and neither sync nor webhook restores it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from cli.pilot.free_ports import free_port
from dev.stack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.by_hand import copied, failed_job, forget, here, job_to_come, sync_twice
from tests.system.faq import lines_of

WHO = "Robin.Adeyemi@acme.example"
OFTEN = {"SYNC_INTERVAL_SECONDS": "1", "acme.servicedesk.rate_per_minute": 100_000, "LEASE_SECONDS": "3"}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untouched_logging")]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    with System(
        tmp_path_factory.mktemp("forget"), settings=SHORT | OFTEN, openai_seconds=0.3, launch=loaded
    ) as running:
        yield running


@pytest.fixture
def kept(system: System) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(system.state["redis_url"], decode_responses=True) as client:
        yield client


def test_a_forgotten_ticket_is_erased_in_every_store(system: System, world: World, kept: redis.Redis) -> None:
    subject = "Payslip of March shows the wrong sum"
    row = failed_job(world, subject)
    ticket_id, job_id = row["ticket_id"], row["id"]
    elsewhere = failed_job(world, subject, "globex", id=ticket_id)
    naming = failed_job(world, "Another payslip")
    world.clear_faults()
    answer = {"similar_tickets": [{"ticket_id": ticket_id, "relevance": subject}]}
    with world.admin() as connection:
        connection.execute("UPDATE jobs SET enhancement = %s WHERE id = %s", (json.dumps(answer), naming["id"]))
    for job in (job_id, naming["id"], elsewhere["id"]):
        kept.set(f"answer:{job}", json.dumps([{"similar_tickets": [{"ticket_id": ticket_id}]}, "m"]))
        kept.set(f"masked-unusable:{job}", '{"summary": "no end')
        kept.set(f"look:{job}", '{"posted_at": "x", "listed_at": "x", "unread": ["9"]}')
    wait_for(lambda: ticket_id in copied(world) and ticket_id in copied(world, "globex"))

    words = ("--tenant", "acme", "--ticket", ticket_id)
    result = forget(system, *words)
    assert (result.returncode, ticket_id in copied(world)) == (2, True)
    assert "give --yes to erase this without confirmation" in result.stderr
    assert [line.split()[-1] for line in result.stdout.splitlines()[1:]] == ["1", "2", "0", "0"]
    assert world.job(ticket_id)["enhancement"] is not None
    done = forget(system, *words, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    # 0: a sync saw the tombstone and removed the copy first.
    copies = document.pop("copies")
    assert copies in (0, 1)
    nothing = {"audit_records": 0, "job_rows": 0, "others_running": 0, "unattributed": 0}
    assert document == {"tenant_id": "acme", "answers": 2, "jobs_ended": [], "redis_keys": 4, **nothing}
    assert f"Erased: tenant_id=acme, copies={copies}, answers=2, jobs=0, keys=4" in done.stderr
    assert subject not in done.stdout + done.stderr
    assert (world.job(ticket_id)["enhancement"], world.job(naming["ticket_id"])["enhancement"]) == (None, None)
    assert world.job(ticket_id, "globex")["enhancement"] is not None
    left = {f"masked-unusable:{naming['id']}", f"answer:{elsewhere['id']}", f"masked-unusable:{elsewhere['id']}"}
    assert {*kept.keys("answer:*"), *kept.keys("masked-unusable:*")} == left

    sync_twice(system)
    assert ticket_id not in copied(world)
    assert ticket_id in copied(world, "globex")
    questions = len(world.gpt4_requests(subject))
    world.send_webhook(ticket_id)
    wait_for(lambda: len(world.jobs(ticket_id)) == 2)
    late = world.ended(ticket_id)
    assert (late["state"], late["reason"]) == ("skipped", "forgotten")
    assert here("retry", str(job_id), DATABASE_URL=system.state["database_url"]).returncode == 0
    wait_for(lambda: world.jobs(ticket_id)[0]["reason"] == "forgotten")
    assert len(world.gpt4_requests(subject)) == questions
    assert world.notes(ticket_id) == []
    log = system.workers[0].log_path.read_text(encoding="utf-8")
    assert f"Task skipped: job_id={late['id']}, ticket_id={ticket_id}, reason=forgotten" in log
    unknown = forget(system, *words[:3], "987654321", "--yes")
    assert unknown.returncode == 0
    assert "No data of ticket 987654321 was stored, under either number." in unknown.stdout


def test_a_forgotten_requester_loses_all_tickets_old_and_new(system: System, world: World) -> None:
    subject = "Sick leave is booked twice"
    row = failed_job(world, subject, requester=WHO)
    other = failed_job(world, "Screen flickers")
    world.clear_faults()
    silent = world.create_ticket(subject, send_webhook=False, requester=WHO.upper())
    ours = {row["ticket_id"], silent}
    wait_for(lambda: ours | {other["ticket_id"]} <= copied(world))
    # Copied twice: the requester may be known a moment after the ticket itself.
    sync_twice(system)
    done = forget(system, "--tenant", "acme", "--requester", f" {WHO.lower()}", "--yes")
    assert done.returncode == 0, done.stderr
    # Fewer than 2: a sync saw the tombstone and removed a copy first.
    assert re.search(r"Erased: tenant_id=acme, copies=[012], answers=1, jobs=0, keys=0", done.stderr)
    assert WHO.lower() not in (done.stdout + done.stderr).lower()
    new = world.create_ticket(subject, requester=WHO)
    ended = world.ended(new)
    assert (ended["state"], ended["reason"]) == ("skipped", "forgotten")
    assert len(world.gpt4_requests(subject)) == 1
    sync_twice(system)
    assert not copied(world) & {*ours, new}
    assert other["ticket_id"] in copied(world)
    assert world.job(row["ticket_id"])["enhancement"] is None
    assert world.job(other["ticket_id"])["enhancement"] is not None
    with world.admin() as connection:
        dump = str([connection.execute(f"SELECT * FROM {name}").fetchall() for name in ("jobs", "tickets")])  # noqa: S608
    assert "adeyemi" not in dump.lower()
    # By the worker, and once by housekeeping; not at each copy.
    reads = [one for one in world.desk_requests() if (one["operation"], one["ticket_id"]) == ("read_ticket", new)]
    assert len(reads) <= 2


def test_an_address_without_stored_data_is_warned_of(system: System, world: World) -> None:
    """Like a ticket without stored data; a typo would otherwise look like an erasure."""
    row = failed_job(world, "Bonus is missing", requester="Kim.Novak@acme.example")
    world.clear_faults()
    wait_for(lambda: row["ticket_id"] in copied(world))
    warning = "No stored data has this address. Check the address"
    for address, is_warned in (("kim.nowak@acme.example", True), ("kim.novak@acme.example", False)):
        done = forget(system, "--tenant", "acme", "--requester", address, "--yes")
        assert done.returncode == 0, done.stderr
        assert (warning in done.stdout) is is_warned, done.stdout
        assert address not in done.stdout


def test_an_erased_running_job_stops_without_an_alarm(system: System, world: World, kept: redis.Redis) -> None:
    world.openai_fault(kind="slow_stream", seconds=1)
    ticket_id = world.create_ticket("Salary cap is leaked")
    wait_for(lambda: world.gpt4_requests("Salary cap is leaked"))
    done = forget(system, "--tenant", "acme", "--ticket", ticket_id, "--yes")
    assert done.returncode == 0, done.stderr
    assert "jobs ended as skipped  1" in done.stdout
    row, worker = world.job(ticket_id), system.workers[0]
    assert (row["state"], row["reason"], row["enhancement"]) == ("skipped", "forgotten", None)
    skipped = f"Task skipped: job_id={row['id']}, ticket_id={ticket_id}, reason=forgotten"
    wait_for(lambda: skipped in worker.output())
    assert not [line for line in lines_of(worker, str(row["id"])) if "error" in line.lower()]
    assert kept.keys(f"*:{row['id']}") == []
    assert (world.job(ticket_id)["enhancement"], world.notes(ticket_id)) == (None, [])


def test_without_redis_a_second_run_erases_the_rest(system: System, world: World, kept: redis.Redis) -> None:
    row = failed_job(world, "Badge does not open the door")
    kept.set(f"answer:{row['id']}", "[]")
    words = ("--tenant", "acme", "--ticket", row["ticket_id"], "--yes")
    away = forget(system, *words, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert away.returncode == 75
    assert "Redis does not answer and still has data" in away.stdout
    assert world.job(row["ticket_id"])["enhancement"] is None
    assert forget(system, *words).returncode == 0
    assert kept.keys(f"answer:{row['id']}") == []


def test_an_interrupted_one_says_so_and_is_gone_on_with(system: System, world: World) -> None:
    subject = "Contract ends in June"
    ticket_id = failed_job(world, subject)["ticket_id"]
    wait_for(lambda: ticket_id in copied(world))
    waiting = job_to_come(world, "acme", ticket_id)
    with world.admin() as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
            " CREATE TRIGGER refuse BEFORE DELETE ON tickets FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    words = ("--tenant", "acme", "--ticket", ticket_id, "--yes")
    cut = forget(system, *words)
    with world.admin() as connection:
        connection.execute("DROP FUNCTION refuse CASCADE")
    assert (cut.returncode, cut.stdout) == (70, "")
    assert "Not everything is erased yet. Run this again to continue." in cut.stderr
    assert f"Task skipped: job_id={waiting}, ticket_id={ticket_id}, reason=forgotten" in cut.stderr
    assert "Erased: " not in cut.stderr
    assert subject not in cut.stderr
    done = forget(system, *words)
    # The next sync takes the copy too, and may be first.
    assert re.search("Erased: tenant_id=acme, copies=[01], answers=1, jobs=0, keys=0", done.stderr)
    assert (done.returncode, world.job(ticket_id)["reason"]) == (0, "forgotten")
    sync_twice(system)
    assert ticket_id not in copied(world)


def test_all_data_of_a_removed_tenant_goes_in_two_runs(system: System, world: World, kept: redis.Redis) -> None:
    """Not while it is configured; processes that still have its settings stop first."""
    row = failed_job(world, "Mailbox is full", "globex")
    world.clear_faults()
    assert system.housekeeping is not None
    for process in (system.housekeeping, system.api):
        process.stop(5)
    waiting = job_to_come(world, "globex", "1")
    kept.hset("inbox", str(uuid4()), "not an event")
    own = (f"answer:{row['id']}", "rate:globex", "desk-token:globex:0123", "delivery:globex:key")
    kept.mset(dict.fromkeys((*own, "delivery:acme:key"), "[]"))
    others = copied(world)

    def rows() -> dict[str, int]:
        with world.admin() as connection:
            tables = (
                "SELECT table_name FROM information_schema.columns JOIN information_schema.tables"
                " USING (table_schema, table_name) WHERE column_name = 'tenant_id' AND table_type = 'BASE TABLE'"
            )
            counted = b"SELECT count(*) FROM %b WHERE tenant_id = 'globex'"
            names = [str(name) for (name,) in connection.execute(tables).fetchall()]
            found = {name: connection.execute(counted % name.encode()).fetchall()[0][0] for name in names}
        return {name: count for name, count in found.items() if count}

    before, words = rows(), ("--tenant", "globex", "--all", "--yes")
    # Unusable settings may be usable tomorrow.
    refused = forget(system, *words, SERVICEDESK_URL_GLOBEX="nonsense")
    assert (refused.returncode, refused.stdout, rows()) == (78, "", before)
    assert "Not erased: globex still has settings" in refused.stderr
    assert before["passages"] > 0
    done = forget(system, *words)
    assert done.returncode == 0, done.stderr
    assert "Rows of jobs remain without text while their messages may arrive" in done.stdout
    # No worker logs it.
    assert f"Task skipped: job_id={waiting}, ticket_id=1, reason=forgotten | ticket_id: 1, " in done.stderr
    assert rows() == {"jobs": 1, "job_events": 1}
    assert (world.job("1", "globex")["id"], world.job("1", "globex")["reason"]) == (waiting, "forgotten")
    assert [key for key in kept.keys("*") if "globex" in key or str(row["id"]) in key] == []
    assert kept.exists("delivery:acme:key")
    assert forget(system, *words).returncode == 0
    assert rows() == {}
    assert copied(world) == others


def test_each_key_of_a_running_system_stands_on_the_page_of_what_is_stored(kept: redis.Redis) -> None:
    assert kept.keys("rate:*")
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", page.split("\n## In Redis\n")[1].split("\n## ")[0], re.MULTILINE)
    names_found = tuple(name for row in rows for name in re.findall(r"`([^`<]+)", row))
    assert [key for key in kept.keys("*") if not str(key).startswith(names_found)] == []
