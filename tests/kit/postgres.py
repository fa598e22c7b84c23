"""One embedded Postgres, migrated once; its tables are emptied for each test."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import text

from cli.pilot.postgres import Postgres
from config.tenants import Tenant
from db.migrate import migrate
from db.schema import DatabaseUnfitError, check_now
from db.session import Database
from jobs import repository
from jobs.claims import Claim
from jobs.repository import ANOTHER_FIRST, ANOTHER_FIRST_WAIT, ECHO, MAX_ATTEMPTS, MAX_LIFE, NOTE_MISSING, Event
from jobs.statistics import LEASES
from knowledge.search import PostgresSearch
from workflow.state import Attempt, AttemptLimit

TABLES = (
    *("audit_records", "feedback", "jobs", "job_events", "delivery_keys", "rejections", "spending"),
    *("known_secrets", "secret_uses", "ended_sessions", "reconciliations", "missing_webhooks"),
    *("tickets", "passages", "listings", "passes", "embeddings", "postings", "term_counts", "collection_sizes"),
    *("tombstone_keys", "tombstones"),
)
DEADLINE = 1800
LEASE = 45.0
_CLAIM = text(
    "SELECT c.*, n.* FROM claim_job("
    ":id, :owner, :token, :lease, :attempts, :wait, :longest, :echo, :another_first, :missing) c"
    " LEFT JOIN LATERAL numbers_of_job(c.tenant_id, :id) n ON true"
)
# The columns that come from a webhook.
OF_EVENT = {"tenant_id", "ticket_id", "dedupe_keys"}


class Table:
    """The superuser's view of the tables, past row-level security."""

    def __init__(self, connection: "psycopg.Connection[dict[str, Any]]") -> None:
        self._connection = connection

    def run(self, statement: str, *values: object) -> list[dict[str, Any]]:
        cursor = self._connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def job(self, job_id: UUID) -> dict[str, Any]:
        (row,) = self.run("SELECT * FROM jobs WHERE id = %s", job_id)
        return row

    def change(self, job_id: UUID, **values: object) -> None:
        """Set columns of a job; a text that begins with `now()` is an expression."""
        now = {name: value for name, value in values.items() if str(value).startswith("now()")}
        parts = [f"{name} = {now.get(name, '%s')}" for name in values]
        given = [value for name, value in values.items() if name not in now]
        self.run(f"UPDATE jobs SET {', '.join(parts)} WHERE id = %s", *given, job_id)  # noqa: S608 -- a test's own


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("storage")) as running:
        migrate(running.admin_url, running.url)
        yield running


@pytest.fixture(scope="session")
def _superuser(server: Postgres) -> "Iterator[psycopg.Connection[dict[str, Any]]]":
    with psycopg.connect(server.superuser_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


@pytest.fixture
def table(_superuser: "psycopg.Connection[dict[str, Any]]") -> Table:
    # For few rows cheaper than TRUNCATE, which makes new files for each table and index.
    _superuser.execute("; ".join(f"DELETE FROM {name}" for name in TABLES).encode())  # noqa: S608 -- names above
    return Table(_superuser)


@pytest.fixture
async def database(server: Postgres, table: Table) -> AsyncIterator[Database]:  # noqa: ARG001 -- emptied by it
    opened = Database(server.url, application_name="tests", pool_size=20)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def worker_session(server: Postgres) -> Iterator[None]:
    with psycopg.connect(server.url, application_name=LEASES, autocommit=True):
        yield


def refusal(url: str) -> str:
    with pytest.raises(DatabaseUnfitError) as refused:
        check_now(url)
    return str(refused.value)


NewEvent = Callable[..., Event]


@pytest.fixture
def new_event() -> NewEvent:

    def make(**changed: Any) -> Event:
        job_id, now = uuid4(), datetime.now(UTC)
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        event = Event(job_id, "acme", "12345", "ticket.created", (f"key of {job_id}",), trace, now)
        return replace(event, **changed)

    return make


async def accept(database: Database, event: Event, *, published: bool = True) -> UUID:
    """Accept one event; return the id of its job, or of the repeated one."""
    return (await repository.accept_all(database, [event], DEADLINE, published=published))[0]


@dataclass(frozen=True)
class Store:
    database: Database
    table: Table
    new_event: NewEvent

    async def accept(self, event: Event | None = None, *, published: bool = True, **columns: Any) -> UUID:
        """Accept an event and set columns of its row; return its or the earlier job's id."""
        of_event = {name: columns.pop(name) for name in OF_EVENT & columns.keys()}
        event = event or self.new_event(**of_event)
        job_id = await accept(self.database, event, published=published)
        if columns:
            self.table.change(job_id, **columns)
        return job_id


@pytest.fixture
def store(database: Database, table: Table, new_event: NewEvent) -> Store:
    return Store(database, table, new_event)


@pytest.fixture
async def waiting(database: Database, new_event: NewEvent) -> UUID:
    return await accept(database, new_event())


async def claim_by_id(database: Database, job_id: UUID, owner: str, lease_seconds: float) -> Claim | None:
    token, requested_at = uuid4(), time.monotonic()
    limits = {"attempts": MAX_ATTEMPTS, "wait": ANOTHER_FIRST_WAIT, "longest": MAX_LIFE, "echo": ECHO}
    reasons = {"another_first": ANOTHER_FIRST, "missing": NOTE_MISSING}
    lease = timedelta(seconds=lease_seconds)
    rows = await database.call(_CLAIM, id=job_id, owner=owner, token=token, lease=lease, **limits, **reasons)
    return Claim(job_id=job_id, token=token, owner=owner, requested_at=requested_at, **rows[0]) if rows else None


async def claimed(database: Database, job_id: UUID, owner: str = "one", lease: float = LEASE) -> Claim:
    claim = await claim_by_id(database, job_id, owner, lease)
    assert claim is not None
    return claim


class _NoDesk:
    """A desk that is never called."""

    def link_to(self, _ticket_id: str) -> str:
        return ""


def attempt_at(claim: Claim, database: Database, **parts: object) -> Attempt:
    """Return an attempt for the nodes, with only the parts that a test needs."""
    model = SimpleNamespace(name="gpt-6-luna", base_url="https://model.example/v1")
    given: dict[str, Any] = {"desk": _NoDesk(), "model": model, "answers": None, **parts}
    given.setdefault("tenant_settings", partial(Tenant, claim.tenant_id))
    return Attempt(
        claim=claim,
        search=PostgresSearch(database, 2),
        database=database,
        limit=AttemptLimit(240, DEADLINE),
        context_seconds=1,
        note_settle_seconds=60,
        lease_seconds=LEASE,
        capture_messages=False,
        **given,
    )
