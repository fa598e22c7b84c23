"""A runner of whole jobs on a real Postgres, with answers of desk and GPT-4."""

from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from config.tenants import Tenant
from db.session import Database
from integrations.servicedesk.client import ServiceDeskPlus
from jobs.fair_claim import FairShares
from jobs.outcomes import Outcome
from knowledge.search import PostgresSearch
from tests.kit.postgres import LEASE, Table, claim_by_id
from workflow.answer import Content, NoteText
from workflow.graph import build_graph
from workflow.lease import Leases
from workflow.runner import Runner, run_attempt
from workflow.stored_answers import StoredAnswers

TICKET = {"request": {"id": "12345", "subject": "S"}, "response_status": {"status_code": 2000}}
ANSWER = Content(summary="S", likely_cause=NoteText(text="C"), next_steps=[NoteText(text="N")])


class Nowhere(StoredAnswers):
    """Keeps nothing."""

    def __init__(self) -> None:
        super().__init__(Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=0.1), 1)


def runner_on(desk: ServiceDeskPlus, database: Database, lease_database: Database) -> Runner:
    """Return a runner for jobs that have GPT-4's answer already."""
    nothing: Any = None
    return Runner(
        owner="one",
        database=database,
        lease_database=lease_database,
        leases=Leases(lease_database, LEASE),
        model_of=lambda _: nothing,
        search=PostgresSearch(database, 2),
        graph=build_graph(),
        desk_of=lambda _: desk,
        tenant_of=Tenant,
        context_seconds=1,
        attempt_seconds=240,
        note_settle_seconds=60,
        answers=Nowhere(),
        capture_messages=False,
        fair_shares=FairShares(list),
    )


async def run_job(runner: Runner, job_id: UUID) -> Outcome | None:
    held = await claim_by_id(runner.lease_database, job_id, runner.owner, runner.leases.lease_seconds)
    return None if held is None else await run_attempt(runner, held)


async def run_when_due(runner: Runner, table: Table, job_id: UUID) -> dict[str, Any]:
    table.change(job_id, due_at="now()")
    assert await run_job(runner, job_id)
    return table.job(job_id)
