"""Redis that refuses commands, and foreign entries in it: no crash and no loss."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest
import redis

from cli.pilot.valkey import Valkey
from dev.stack.system import System
from jobs.queue import message_of
from tests.kit.system import IMPATIENT, other_settings
from tests.kit.world import World, wait_for
from tests.system.outcomes import assert_one_note, figures

MESSAGES, ENTRIES = "ai_agents_messages_unreadable_total", "ai_agents_inbox_unreadable_total"
READ_ONLY = (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"))
REFUSALS = {
    "read-only": READ_ONLY,
    "no replica": (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
    "out of memory": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    # Longer than the job in flight takes, and then its acknowledgement.
    "silent": (("CLIENT", "PAUSE", "15000", "ALL"), ("PING",)),
}
SECRET = "do-not-print-me"


@pytest.fixture
def client(quick: System) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(quick.state["redis_url"]) as opened:
        yield opened


@contextmanager
def without_disk(client: Any, _folder: Path) -> Iterator[None]:
    """Make Redis answer MISCONF to writes: a folder replaces its snapshot file."""
    in_the_way = Path(client.config_get("dir")["dir"], client.config_get("dbfilename")["dbfilename"], "folder")
    in_the_way.mkdir(parents=True)
    client.config_set("save", "3600 1")
    client.bgsave()
    try:
        wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        yield
    finally:
        client.config_set("save", "")
        in_the_way.rmdir()
        in_the_way.parent.rmdir()


@contextmanager
def loading(client: Any, folder: Path) -> Iterator[None]:
    """Make Redis answer LOADING: it resyncs slowly from its former replica."""
    with Valkey(folder) as other, redis.Redis.from_url(other.url) as its_client:
        client.config_set("repl-diskless-sync-delay", 0)
        its_client.config_set("repl-diskless-sync-delay", 0)
        its_client.replicaof("127.0.0.1", client.get_connection_kwargs()["port"])
        wait_for(lambda: its_client.info("replication")["master_link_status"] == "up")
        its_client.replicaof("NO", "ONE")
        fillers = {f"filler:{number}": "x" * 1000 for number in range(2000)}
        its_client.mset(fillers)
        # A difference in one of them makes it load everything.
        client.set("filler:0", "y")
        # 6 s in all; names and values as in Redis's tests (tests/integration/replication.tcl).
        client.config_set("key-load-delay", 3000)
        client.config_set("loading-process-events-interval-bytes", 1024)
        client.replicaof("127.0.0.1", other.port)
        try:
            wait_for(lambda: client.info("persistence")["loading"])
            yield
            wait_for(lambda: not client.info("persistence")["loading"], seconds=30)
        finally:
            client.replicaof("NO", "ONE")
            client.config_set("key-load-delay", 0)
            client.delete(*fillers)


@contextmanager
def refusing(client: Any, refusal: tuple[tuple[str, ...], tuple[str, ...]]) -> Iterator[None]:
    begin, end = refusal
    client.execute_command(*begin)
    try:
        yield
    finally:
        client.execute_command(*end)


STATES = {"disk full": without_disk, "loading": loading}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*REFUSALS, *STATES])
def test_a_redis_that_refuses_writes_ends_no_process(
    around: World, quick: System, client: redis.Redis, kind: str, tmp_path: Path
) -> None:
    """A job in flight and webhooks go on, and the worker resumes when Redis does.

    The watchdog would end a worker after 6 s if it had a Redis to take jobs from.
    """
    worker, subject = quick.workers[0], f"in flight, {kind}"
    with other_settings(quick, worker, IMPATIENT | {"WORKER_STUCK_SECONDS": "6", "WORKER_CONCURRENCY": "1"}):
        running = {process.name: process.pid for process in (quick.api, worker)}
        around.openai_fault(kind="slow_stream", match=subject, seconds=1, pieces=5, times=1)
        in_flight = around.create_ticket(subject)
        wait_for(lambda: around.gpt4_requests(subject))
        waiting = around.create_ticket()
        wait_for(lambda: client.llen("celery"))
        with STATES[kind](client, tmp_path) if kind in STATES else refusing(client, REFUSALS[kind]):
            accepted = around.create_ticket(send_webhook=False)
            assert around.post_webhook(accepted).status_code == 202
            assert_one_note(around, in_flight)
            time.sleep(8)
        for ticket_id in (waiting, accepted):
            assert_one_note(around, ticket_id, seconds=120)
        assert {process.name: process.pid for process in (quick.api, worker)} == running


def test_a_worker_that_starts_while_redis_is_read_only_waits_for_it(
    around: World, quick: System, client: redis.Redis
) -> None:
    worker = quick.workers[0]
    worker.stop()
    with refusing(client, READ_ONLY):
        worker.start()
        wait_for(lambda: "Redis error: it is read-only, trying again" in worker.output())
        time.sleep(2)
        assert worker.running
        assert worker.output().count("Redis error: ") < 6
    assert_one_note(around, around.create_ticket())


@pytest.mark.slow
def test_a_worker_that_starts_while_the_cluster_is_down_waits(around: World, quick: System, tmp_path: Path) -> None:
    """A server without hash slots answers CLUSTERDOWN to each command with a key."""
    worker = quick.workers[0]
    own = worker.environment["REDIS_URL"]
    worker.stop()
    try:
        with Valkey(tmp_path, cluster=True) as other:
            worker.environment["REDIS_URL"] = other.url
            worker.start()
            wait_for(lambda: "Redis error: its cluster is down, trying again" in worker.output())
            time.sleep(3)
            assert worker.running
    finally:
        quick.restart(worker, {"REDIS_URL": own})
    assert_one_note(around, around.create_ticket())


def test_a_worker_that_ends_by_itself_has_a_status_that_says_so(
    around: World, quick: System, client: redis.Redis
) -> None:
    worker = quick.workers[0]
    with other_settings(quick, worker, IMPATIENT):
        with refusing(client, (("ACL", "SETUSER", "default", "-brpop"), ("ACL", "SETUSER", "default", "+brpop"))):
            ticket_id = around.create_ticket()
            assert worker.wait(30) == 75
        assert "Worker error: jobs wait and none is taken" in worker.output()
    assert_one_note(around, ticket_id)


def changed(part: str, value: object) -> bytes:
    """Return a job's message with a changed value, e.g. at `properties.delivery_tag`."""
    message: dict[str, Any] = json.loads(message_of(uuid4(), ""))
    *path, last = part.split(".")
    place = message
    for name in path:
        place = place[name]
    place[last] = value
    return json.dumps(message).encode()


STRANGE = {
    "word": SECRET.encode(),
    "nothing": b"",
    "binary": bytes(range(256)),
    "number": b"7",
    "huge number": b"1" * 5_000,
    "list": b"[1, 2]",
    "null": b"null",
    "text": json.dumps(SECRET).encode(),
    "megabyte": SECRET.encode() * 70_000,
    "deep": b"[" * 200_000,
    "object": b"{}",
    "other task": changed("headers.task", SECRET),
    "no task": changed("headers", {}),
    "headers are a list": changed("headers", [SECRET]),
    "id is no id": changed("headers.id", SECRET),
    "id is a number": changed("headers.id", 5),
}
# The job is known from it, and is looked for as with any message.
MENDED = {
    "properties are a number": changed("properties", 5),
    "no delivery tag": changed("properties", {}),
    "tag is a list": changed("properties.delivery_tag", []),
    "delivery info is text": changed("properties.delivery_info", SECRET),
    "unknown encoding": changed("properties.body_encoding", SECRET),
    "unknown content": changed("content-type", "application/x-python-serialize"),
    "unknown compression": changed("headers.compression", SECRET),
    "body is a list": changed("body", [SECRET]),
    "body is no base64": changed("body", SECRET),
    "body is no call": changed("body", base64.b64encode(b'{"a": 1}').decode()),
    "limit is a number": changed("headers.timelimit", 5),
    "due at no time": changed("headers.eta", SECRET),
}


def test_a_message_that_is_no_jobs_is_removed_and_counted(around: World, quick: System, client: redis.Redis) -> None:
    worker = quick.workers[0]
    pid, before, said = worker.pid, figures(quick, "worker"), len(worker.output())
    # A worker killed by another test may have left some.
    left = client.hlen("unacked")
    for strange in (STRANGE | MENDED).values():
        client.lpush("celery", strange)
    wait_for(lambda: not client.llen("celery") and client.hlen("unacked") <= left)
    assert_one_note(around, around.create_ticket())
    lines = worker.output()[said:]
    assert worker.pid == pid
    assert SECRET not in lines
    assert lines.count("Queue error: message without a job removed") == len(STRANGE)
    assert figures(quick, "worker")[MESSAGES] == before[MESSAGES] + len(STRANGE)
    for message in MENDED.values():
        assert lines.count(f"job_id={json.loads(message)['headers']['id']}, reason=its row is nowhere") == 1
    assert "connection lost" not in lines


def strange_entries(event: Mapping[str, Any]) -> dict[bytes, bytes]:

    def entry(**other: object) -> bytes:
        return json.dumps(dict(event) | other).encode()

    values = [b"\xff\xfe", SECRET.encode(), b"", b"[]", b"17", b"null", b"{}", b"[" * 200_000]
    values += [json.dumps(dict(event)).replace("acme", "\u00ff").encode("latin-1")]
    entries = {str(uuid4()).encode(): value for value in values}
    others: list[tuple[str, object]] = [
        *(("tenant_id", other) for other in (5, "")),
        *(("ticket_id", other) for other in (None, "1" * 5_000, "\x00", "\ud800")),
        *(("dedupe_keys", other) for other in ("abc", [1], [])),
        *(("accepted_at", "never"), ("traceparent", [])),
    ]
    for name, other in others:
        job_id = str(uuid4())
        entries[job_id.encode()] = entry(**{"job_id": job_id, name: other})
    for name in ("tenant_id", "ticket_id"):
        # No index takes it: 3,900 bytes that can't be compressed.
        long = "".join(map(chr, Random(0).choices(range(0x4E00, 0x9FFF), k=1_300)))  # noqa: S311
        given = dict(event) | {"job_id": str(uuid4()), name: long}
        entries[given["job_id"].encode()] = json.dumps(given, ensure_ascii=False).encode()
    return entries | {b"no id": entry(), b"\xff": entry(), str(uuid4()).encode(): entry()}


def test_entries_of_the_inbox_that_are_no_events_do_not_stop_the_others(
    around: World, quick: System, client: redis.Redis
) -> None:
    before, said = figures(quick), len(quick.api.output())
    ticket_id = around.create_ticket(send_webhook=False)
    quick.postgres.stop()
    try:
        job_id = around.post_webhook(ticket_id).json()["job_id"]
        strange = strange_entries(json.loads(client.hget("inbox", job_id) or ""))
        for key, value in strange.items():
            client.hset("inbox", key, value)
    finally:
        quick.postgres.restart()
    assert_one_note(around, ticket_id)
    wait_for(lambda: not client.hlen("inbox"))
    wait_for(lambda: figures(quick)[ENTRIES] == before[ENTRIES] + len(strange))
    time.sleep(2)
    lines = quick.api.output()[said:]
    assert 1 <= lines.count("Inbox error: ") <= len(strange)
    assert SECRET not in lines
    assert "Relay error" not in lines


def test_a_worker_that_finds_an_unreadable_event_goes_on(around: World, quick: System, client: redis.Redis) -> None:
    worker = quick.workers[0]
    job_id, left = uuid4(), client.hlen("unacked")
    quick.api.pause()
    try:
        client.hset("inbox", str(job_id), b"\xff")
        client.lpush("celery", message_of(job_id, ""))
        wait_for(lambda: f"Message error: job_id={job_id}, reason=its row is nowhere" in worker.output())
        wait_for(lambda: client.hlen("unacked") <= left and not client.hlen("inbox"))
    finally:
        quick.api.resume()
    assert figures(quick, "worker")[ENTRIES] >= 1
    assert_one_note(around, around.create_ticket())
