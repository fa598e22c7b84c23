"""`ai-agents check`: each planted fault is a failed row with its remedy."""

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

import psycopg
import pytest
import trustme
from redis import Redis

from cli.check.findings import CHECKS
from cli.pilot.free_ports import free_port
from dev.stack.system import System
from tests.kit.system import CLOSED
from tests.kit.world import World
from tests.system.by_hand import Answer, here

pytestmark = pytest.mark.usefixtures("untouched_logging")
NOBODY = f"http://127.0.0.1:{free_port()}"


class _OtherTime(BaseHTTPRequestHandler):
    """A desk whose clock is ten minutes behind."""

    def do_POST(self) -> None:
        self.answer(403)

    def do_GET(self) -> None:
        self.answer(200)

    def answer(self, status: int) -> None:
        body = json.dumps({"requests": [], "solutions": [], "response_status": [{"status_code": 2000}]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) - 600)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def of_other_time(setting: str, *, tls: bool = False) -> Iterator[dict[str, str]]:
    """Serve a desk of another time, with TLS by an unknown authority; yield its address as that setting."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _OtherTime) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trustme.CA().issue_cert("localhost").configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield {setting: f"{'https' if tls else 'http'}://localhost:{server.server_port}"}
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def not_migrated(system: System) -> Iterator[dict[str, str]]:
    with psycopg.connect(system.postgres.superuser_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bare")
        yield {"DATABASE_URL": system.state["database_url"].rpartition("/")[0] + "/bare"}
        connection.execute("DROP DATABASE bare")


@contextmanager
def evicting(system: System) -> Iterator[dict[str, str]]:
    with Redis.from_url(system.state["redis_url"]) as redis, ExitStack() as after:
        after.callback(redis.config_set, "maxmemory-policy", "noeviction")
        redis.config_set("maxmemory-policy", "allkeys-lru")
        yield {}


DESK_URL = "SERVICEDESK_URL_ACME"
ENDPOINT: dict[str, Any] = {"acme.servicedesk.embeddings": "endpoint"}
# One of each subject is planted each time, the others with the slow tests.
OFTEN = {"settings", "redis policy", "desk certificate", "webhook secret"}
Context = Callable[[System], AbstractContextManager[dict[str, str]]]


class Planted(NamedTuple):
    """The row that fails, a part of its remedy, an order to desk or model, a context that yields settings, settings."""

    row: str
    remedy: str
    order: dict[str, Any] | None
    within: Context
    settings: dict[str, str | None]


def planted(
    row: str,
    remedy: str,
    order: dict[str, Any] | None = None,
    within: Context = lambda _: nullcontext({}),
    **settings: str | None,
) -> Any:
    marks = () if row in OFTEN else pytest.mark.slow
    return pytest.param(Planted(row, remedy, order, within, settings), id=row, marks=marks)


FAULTS = [
    planted("settings", "OPENAI_API_KEY is missing", OPENAI_API_KEY=None),
    planted("tenant settings", "SERVICEDESK_URL_HOOLI must be", tenant=CLOSED),
    planted("tenant settings", "WEBHOOK_SECRET_<TENANT>", tenant="nobody"),
    planted("secret strength", "rotate WEBHOOK_SECRET_ACME", url=None, WEBHOOK_SECRET_ACME="acme-" * 9),
    planted("postgres address", "DATABASE_URL", DATABASE_URL=NOBODY.replace("http://", "postgresql://a:b@") + "/x"),
    planted(
        "postgres role and tables",
        "NOSUPERUSER",
        within=lambda system: nullcontext({"DATABASE_URL": system.postgres.superuser_url}),
    ),
    planted("postgres role and tables", "ai-agents migrate", within=not_migrated),
    planted("redis address", "REDIS_URL", REDIS_URL=NOBODY.replace("http", "redis")),
    planted("redis policy", "noeviction", within=evicting),
    planted("desk address", "SERVICEDESK_URL_ACME", SERVICEDESK_URL_ACME=NOBODY),
    planted("desk certificate", "SERVICEDESK_CA_BUNDLE", within=lambda _: of_other_time(DESK_URL, tls=True)),
    planted("desk credentials", "SERVICEDESK_API_KEY_ACME", SERVICEDESK_API_KEY_ACME="expired"),
    planted("desk portal", "/app/<portal>", order={"kind": "html"}),
    planted("desk portal", "/app/<portal>", order={"kind": "redirect"}),
    planted("desk rate", "acme.servicedesk.rate_per_minute", order={"kind": "status", "code": 429}),
    planted("desk rate", "acme.servicedesk.rate_per_minute", order={"kind": "throttled"}),
    planted("desk rate", "acme.servicedesk.rate_per_minute", order={"kind": "throttled", "operation": "list_notes"}),
    planted("desk ticket", "the right", order={"kind": "status", "code": 403, "operation": "list_tickets"}),
    planted("desk notes", "the right", order={"kind": "status", "code": 403, "operation": "list_notes"}),
    planted("desk solutions", "solutions.READ", order={"kind": "status", "code": 401, "operation": "list_solutions"}),
    planted("desk clock", "synchronize both clocks", within=lambda _: of_other_time(DESK_URL)),
    planted("model address", "OPENAI_BASE_URL", OPENAI_BASE_URL=NOBODY),
    planted("model key", "OPENAI_API_KEY", OPENAI_API_KEY="sk-wrong"),
    planted("model credit", "add credit", order={"kind": "status", "code": 429, "word": "insufficient_quota"}),
    planted("model name", "which gpt-0 is not", OPENAI_MODEL="gpt-0"),
    planted("model answers", "another model", order={"kind": "malformed"}),
    planted("model first token", "OPENAI_TIMEOUT_SECONDS", OPENAI_TIMEOUT_SECONDS="0.3", order={"kind": "silence"}),
    planted("embeddings answer", "EMBEDDINGS_BASE_URL", **ENDPOINT),
    planted("embeddings answer", "EMBEDDINGS_MODEL", **ENDPOINT, EMBEDDINGS_BASE_URL=NOBODY, EMBEDDINGS_API_KEY="sk-x"),
    planted("feedback page", "check FEEDBACK_URL", FEEDBACK_URL=NOBODY),
    planted("feedback page", "the same FEEDBACK_KEY", FEEDBACK_KEY="another-key-" * 4),
    planted("webhook address", "--url", url=NOBODY),
    planted("webhook address", "POST /webhook", within=lambda system: nullcontext({"url": system.state["api_url"]})),
    planted("webhook secret", "same WEBHOOK_SECRET_ACME", WEBHOOK_SECRET_ACME="0123456789" * 4),
    planted("webhook certificate", "ingress", within=lambda _: of_other_time("url", tls=True)),
    planted("webhook clock", "synchronize both clocks", within=lambda _: of_other_time("url")),
]


def check(system: System, *words: str, **settings: str | None) -> Answer:
    url = settings.pop("url", system.state["api_url"] + "/webhook")
    environment = system.api.environment | system.settings | {name: value or "" for name, value in settings.items()}
    where = () if url is None else ("--url", url)
    return here("check", "--json", *where, *words, **environment)


def states(answer: Answer) -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in json.loads(answer.stdout)}


def test_without_a_fault_nothing_fails_and_one_small_answer_is_paid(quick: System, around: World) -> None:
    requests_seen = len(around.gpt4_requests("ready"))
    answer = check(quick, "--tenant", "acme")
    assert answer.returncode == 0, answer.stdout
    rows = states(answer)
    assert list(rows) == list(CHECKS)
    others = {name: row["state"] for name, row in rows.items() if row["state"] != "ok"}
    in_clear = dict.fromkeys(("desk certificate", "webhook certificate"), "warning")
    assert others == dict.fromkeys(("desk note writing", "embeddings answer"), "not checked") | in_clear
    assert "not encrypted" in rows["desk certificate"]["seen"]
    assert len(around.gpt4_requests("ready")) == requests_seen + 1
    result = here("check", "--tenant", "acme", "--no-model", **quick.settings).stdout
    assert all(name in result for name in rows)
    assert len(around.gpt4_requests("ready")) == requests_seen + 1
    assert not any(secret in result + answer.stdout for secret in quick.state["tenants"].values())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_the_row_that_fails(fault: Planted, quick: System, around: World) -> None:
    if fault.order and fault.row.startswith("model"):
        around.openai_fault(**fault.order)
    elif fault.order:
        around.desk_fault(tenant="acme", **fault.order)
    # Each answer takes the simulated model 1.5 s.
    words = () if fault.row.startswith(("model", "embeddings")) else ("--no-model",)
    with fault.within(quick) as more:
        given = {"tenant": "acme", **fault.settings, **more}
        answer = check(quick, "--tenant", str(given.pop("tenant")), *words, **given)
    assert answer.returncode == 78
    failed = [found for found in states(answer).values() if found["state"] == "failed"]
    assert [found["name"] for found in failed] == [fault.row], failed
    assert fault.remedy in failed[0]["seen"] + failed[0]["remedy"], failed


@pytest.mark.parametrize(
    ("settings", "seen"),
    [({}, "no tenant is set up"), ({"WEBHOOK_SECRET_TERROR": "x" * 32}, "must not contain 'error'")],
)
def test_no_tenant_that_can_be_served_is_told(quick: System, settings: dict[str, str], seen: str) -> None:
    of_worker = ("DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY")
    environment = {name: quick.settings[name] for name in of_worker}
    answer = here("check", "--no-model", **environment, **settings)
    assert (answer.returncode, seen in " ".join(answer.stdout.split())) == (78, True), answer.stdout
