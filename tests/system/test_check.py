"""`ai-agents check`: each planted fault is a failed row with its remedy."""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import psycopg
import pytest
import trustme
from redis import Redis

from devstack.free_ports import free_port
from devstack.system import System
from support.check.findings import CHECKS
from tests.kit.system import CLOSED
from tests.kit.world import World
from tests.system.by_hand import Answer, here

pytestmark = pytest.mark.usefixtures("untouched_logging")
NOBODY = f"http://127.0.0.1:{free_port()}"


class Planted:
    """A fault: changed settings, and orders to the simulators."""

    def __init__(self, row: str, remedy: str, tenant: str = "acme", **settings: str | None) -> None:
        self.row = row
        self.remedy = remedy
        self.tenant = tenant
        self.settings = settings
        self.desk_fault: dict[str, Any] = {}
        self.model_fault: dict[str, Any] = {}
        self.around: Any = lambda _system: nullcontext({})

    def desk(self, **fault: Any) -> "Planted":
        self.desk_fault = fault
        return self

    def model(self, **fault: Any) -> "Planted":
        self.model_fault = fault
        return self

    def within(self, around: Any) -> "Planted":
        """Run the check within a context that yields settings."""
        self.around = around
        return self


class _OtherTime(BaseHTTPRequestHandler):
    """A desk whose clock is ten minutes behind."""

    def do_POST(self) -> None:
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        body = json.dumps({"requests": [], "solutions": [], "response_status": [{"status_code": 2000}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) - 600)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- http.server's name
        pass


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def slow_clock(_system: System) -> Iterator[dict[str, str]]:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), _OtherTime)) as server:
        yield {"SERVICEDESK_URL_ACME": f"http://127.0.0.1:{server.server_port}"}


@contextmanager
def unknown_authority(_system: System) -> Iterator[dict[str, str]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), _OtherTime)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        yield {"SERVICEDESK_URL_ACME": f"https://localhost:{server.server_port}"}


@contextmanager
def untrusted_receiver(system: System) -> Iterator[dict[str, str]]:
    with unknown_authority(system) as settings:
        yield {"url": settings["SERVICEDESK_URL_ACME"]}


@contextmanager
def receiver_of_another_time(_system: System) -> Iterator[dict[str, str]]:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), _OtherTime)) as server:
        yield {"url": f"http://127.0.0.1:{server.server_port}"}


@contextmanager
def elsewhere(system: System) -> Iterator[dict[str, str]]:
    yield {"url": system.state["api_url"]}


@contextmanager
def superuser(system: System) -> Iterator[dict[str, str]]:
    yield {"DATABASE_URL": system.postgres.superuser_url}


@contextmanager
def not_migrated(system: System) -> Iterator[dict[str, str]]:
    with psycopg.connect(system.postgres.superuser_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bare")
    try:
        yield {"DATABASE_URL": system.state["database_url"].rpartition("/")[0] + "/bare"}
    finally:
        with psycopg.connect(system.postgres.superuser_url, autocommit=True) as connection:
            connection.execute("DROP DATABASE bare")


@contextmanager
def evicting(system: System) -> Iterator[dict[str, str]]:
    with Redis.from_url(system.state["redis_url"]) as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            yield {}
        finally:
            redis.config_set("maxmemory-policy", "noeviction")


ENDPOINT = {"acme.servicedesk.embeddings": "endpoint"}
FAULTS = [
    Planted("settings", "OPENAI_API_KEY is missing", OPENAI_API_KEY=None),
    Planted("tenant settings", "SERVICEDESK_URL_HOOLI must be", CLOSED),
    Planted("tenant settings", "WEBHOOK_SECRET_<TENANT>", "nobody"),
    Planted("secret strength", "rotate WEBHOOK_SECRET_ACME", url=None, WEBHOOK_SECRET_ACME="acme-" * 9),
    Planted("postgres address", "DATABASE_URL", DATABASE_URL=NOBODY.replace("http://", "postgresql://a:b@") + "/x"),
    Planted("postgres role and tables", "NOSUPERUSER").within(superuser),
    Planted("postgres role and tables", "ai-agents migrate").within(not_migrated),
    Planted("redis address", "REDIS_URL", REDIS_URL=NOBODY.replace("http", "redis")),
    Planted("redis policy", "noeviction").within(evicting),
    Planted("desk address", "SERVICEDESK_URL_ACME", SERVICEDESK_URL_ACME=NOBODY),
    Planted("desk certificate", "SERVICEDESK_CA_BUNDLE").within(unknown_authority),
    Planted("desk credentials", "SERVICEDESK_API_KEY_ACME", SERVICEDESK_API_KEY_ACME="expired"),
    Planted("desk portal", "/app/<portal>").desk(kind="html"),
    Planted("desk portal", "/app/<portal>").desk(kind="redirect"),
    Planted("desk rate", "acme.servicedesk.rate_per_minute").desk(kind="status", code=429),
    Planted("desk rate", "acme.servicedesk.rate_per_minute").desk(kind="throttled"),
    Planted("desk rate", "acme.servicedesk.rate_per_minute").desk(kind="throttled", operation="list_notes"),
    Planted("desk ticket", "the right").desk(kind="status", code=403, operation="list_tickets"),
    Planted("desk notes", "the right").desk(kind="status", code=403, operation="list_notes"),
    Planted("desk solutions", "SDPOnDemand.solutions.READ").desk(kind="status", code=401, operation="list_solutions"),
    Planted("desk clock", "time server").within(slow_clock),
    Planted("model address", "OPENAI_BASE_URL", OPENAI_BASE_URL=NOBODY),
    Planted("model key", "OPENAI_API_KEY", OPENAI_API_KEY="sk-wrong"),
    Planted("model credit", "pay in").model(kind="status", code=429, word="insufficient_quota"),
    Planted("model name", "gpt-0 is none", OPENAI_MODEL="gpt-0"),
    Planted("model answers", "another model").model(kind="malformed"),
    Planted("model first token", "OPENAI_TIMEOUT_SECONDS", OPENAI_TIMEOUT_SECONDS="0.3").model(kind="silence"),
    Planted("embeddings answer", "EMBEDDINGS_BASE_URL", **ENDPOINT),
    Planted(
        "embeddings answer",
        "EMBEDDINGS_MODEL",
        **ENDPOINT,
        EMBEDDINGS_BASE_URL=NOBODY,
        EMBEDDINGS_API_KEY="sk-x",
    ),
    Planted("feedback page", "FEEDBACK_URL is right", FEEDBACK_URL=NOBODY),
    Planted("feedback page", "the same FEEDBACK_KEY", FEEDBACK_KEY="another-key-" * 4),
    Planted("webhook address", "--url", url=NOBODY),
    Planted("webhook address", "POST /webhook").within(elsewhere),
    Planted("webhook secret", "same WEBHOOK_SECRET_ACME", WEBHOOK_SECRET_ACME="0123456789" * 4),
    Planted("webhook certificate", "ingress").within(untrusted_receiver),
    Planted("webhook clock", "time server").within(receiver_of_another_time),
]


def check(system: System, *words: str, **settings: str | None) -> Answer:
    url = settings.pop("url", system.state["api_url"] + "/webhook")
    environment = system.api.environment | system.settings | {name: value or "" for name, value in settings.items()}
    where = () if url is None else ("--url", url)
    return here("check", "--json", *where, *words, **environment)


def states(answer: Answer) -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in json.loads(answer.stdout)}


def test_without_a_fault_nothing_fails_and_one_small_answer_is_paid(quick: System, around: World) -> None:
    asked = len(around.gpt4_requests("ready"))
    answer = check(quick, "--tenant", "acme")
    assert answer.returncode == 0, answer.stdout
    rows = states(answer)
    assert list(rows) == list(CHECKS)
    others = {name: row["state"] for name, row in rows.items() if row["state"] != "ok"}
    in_clear = dict.fromkeys(("desk certificate", "webhook certificate"), "warning")
    assert others == dict.fromkeys(("desk note writing", "embeddings answer"), "not checked") | in_clear
    assert "nothing is encrypted" in rows["desk certificate"]["seen"]
    assert len(around.gpt4_requests("ready")) == asked + 1
    told = here("check", "--tenant", "acme", "--no-model", **quick.settings).stdout
    assert all(name in told for name in rows)
    assert len(around.gpt4_requests("ready")) == asked + 1
    assert not any(secret in told + answer.stdout for secret in quick.state["tenants"].values())


# One of each subject is planted each time, the others with the slow tests.
OFTEN = {"settings", "redis policy", "desk certificate", "webhook secret"}


def planted_each() -> Iterator[Any]:
    for planted in FAULTS:
        yield pytest.param(planted, id=planted.row, marks=() if planted.row in OFTEN else pytest.mark.slow)


@pytest.mark.parametrize("planted", [*planted_each()])
def test_a_planted_fault_is_the_row_that_fails(quick: System, around: World, planted: Planted) -> None:
    if planted.desk_fault:
        around.desk_fault(tenant="acme", **planted.desk_fault)
    if planted.model_fault:
        around.openai_fault(**planted.model_fault)
    # Each answer takes the simulated model 1.5 s.
    words = () if planted.row.startswith(("model", "embeddings")) else ("--no-model",)
    context: AbstractContextManager[dict[str, str]] = planted.around(quick)
    with context as settings:
        answer = check(quick, "--tenant", planted.tenant, *words, **planted.settings | settings)
    assert answer.returncode == 78
    failed = [row for row in states(answer).values() if row["state"] == "failed"]
    assert [row["name"] for row in failed] == [planted.row], failed
    assert planted.remedy in failed[0]["seen"] + failed[0]["remedy"], failed


@pytest.mark.parametrize(
    ("settings", "seen"),
    [({}, "there is no tenant"), ({"WEBHOOK_SECRET_TERROR": "x" * 32}, "must not contain 'error'")],
)
def test_without_a_tenant_that_can_be_served_not_all_is_well(
    quick: System, settings: dict[str, str], seen: str
) -> None:
    """A worker would not start, or would serve the others only."""
    of_worker = ("DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY")
    environment = {name: quick.settings[name] for name in of_worker}
    answer = here("check", "--no-model", **environment, **settings)
    assert (answer.returncode, seen in " ".join(answer.stdout.split())) == (78, True), answer.stdout
