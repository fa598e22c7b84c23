"""The narrow functions: who may run them, and that they give ids and states, never content."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from storage import claims, jobs
from storage.claims import LeaseLost
from storage.session import Database
from tests.kit.postgres import DEADLINE, LEASE, NewEvent, Table, claimed

FUNCTIONS = {
    "claim_job",
    "job_state",
    "recover_jobs",
    "take_due_jobs",
    "count_published_jobs",
    "published_jobs",
    "take_lost_jobs",
    "unpublish_jobs",
    "expire_jobs",
    "purge_short_lived",
    "list_jobs",
    "purge_answers",
    "purge_tickets",
    "purge_passages",
    "purge_jobs",
    "job_figures",
    "fail_lost_jobs",
}
HARMLESS = {
    *("id", "tenant_id", "ticket_id", "attempt", "traceparent", "state"),
    *("waiting_since", "claimed_at", "deadline_at", "published_seconds"),
    *("started_before", "answered", "note_attempted_at", "seen_open_at", "enhanced", "echo"),
    "another_first",
    *("waiting", "running", "oldest_waiting_seconds", "without_outcome"),
    "by_hand",
    *("reason", "accepted_at", "due_at", "started_at", "finished_at"),
}


def functions(table: Table) -> list[dict[str, Any]]:
    """Every function of the system, as the catalogue has it; extensions have others."""
    return table.run(
        "SELECT p.proname AS name, p.prosecdef AS definer, p.proconfig AS config, p.proacl::text[] AS grants,"
        " p.proargnames AS arguments, p.proargmodes::text[] AS modes, p.prorettype::regtype::text AS returns,"
        " has_function_privilege('ai_agents', p.oid, 'EXECUTE') AS may_run, pg_get_userbyid(p.proowner) AS owner"
        " FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace"
        " AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
    )


def test_there_is_no_function_but_the_known_ones(table: Table) -> None:
    assert {function["name"] for function in functions(table)} == FUNCTIONS
    assert all(function["may_run"] for function in functions(table))
    assert all(function["owner"] == "ai_agents_owner" for function in functions(table))


def test_each_definers_function_has_a_fixed_search_path(table: Table) -> None:
    assert all(function["definer"] for function in functions(table))
    assert {tuple(function["config"]) for function in functions(table)} == {("search_path=public, pg_temp",)}


def test_none_is_executable_by_everyone(table: Table) -> None:
    for function in functions(table):
        assert function["grants"] is not None, function["name"]
        # An entry of the form `=X/owner` is PUBLIC's.
        assert not [grant for grant in function["grants"] if grant.startswith("=")], function["name"]
        assert len(function["grants"]) == 2


def test_a_stranger_can_run_none(table: Table) -> None:
    table.run("CREATE ROLE stranger_to_functions")
    try:
        question = (
            "SELECT count(*) AS runnable FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef"
            " AND has_function_privilege('stranger_to_functions', p.oid, 'EXECUTE')"
        )
        assert table.run(question) == [{"runnable": 0}]
    finally:
        table.run("DROP ROLE stranger_to_functions")


def test_none_gives_content(table: Table) -> None:
    for function in functions(table):
        modes = function["modes"] or []
        given = {
            name for name, mode in zip(function["arguments"] or [], modes, strict=False) if mode in ("t", "o", "b")
        }
        assert given <= HARMLESS, function["name"]
        assert given or function["returns"] in ("bigint", "void"), function["name"]


SECRET = "text of a person"


async def test_what_the_functions_answer_holds_no_text_of_a_ticket_or_an_answer(
    database: Database, new_event: NewEvent, table: Table
) -> None:
    event = new_event(ticket_id="1")
    await jobs.accept(database, event, DEADLINE, published=False)
    row = {"enhancement": f'{{"summary": "{SECRET}"}}', "reason": SECRET, "model": SECRET, "note_id": SECRET}
    table.change(event.job_id, **row)
    calls = [
        "take_due_jobs(9)",
        f"job_state('{event.job_id}')",
        f"claim_job('{event.job_id}', 'w', gen_random_uuid(), 0)",
    ]
    calls += [
        "recover_jobs(9)",
        "expire_jobs(9, 'x')",
        "fail_lost_jobs(9, 'x')",
        "published_jobs(9)",
        "count_published_jobs()",
    ]
    calls += [f"take_lost_jobs(ARRAY['{event.job_id}'::uuid])"]
    answers: list[str] = []
    async with database.across_tenants() as session:
        for call in calls:
            rows = await session.execute(text(f"SELECT * FROM {call}"))  # noqa: S608 -- one of those above
            answers += [str(tuple(row)) for row in rows]
    assert len(answers) >= 4
    assert not [answer for answer in answers if SECRET in answer]


async def test_a_worker_of_the_code_before_takes_jobs_until_a_rollout_reaches_it(
    waiting: UUID, database: Database, table: Table
) -> None:
    """It claims without a token, and whoever had the job before notices all the same."""
    lost = await claimed(database, waiting)
    table.change(waiting, lease_until="now() - interval '1 second'")
    call = text("SELECT * FROM claim_job(:id, :owner, :lease)")
    async with database.across_tenants() as session:
        rows = await session.execute(call, {"id": waiting, "owner": lost.owner, "lease": LEASE})
        assert rows.mappings().one()["attempt"] == 2
    with pytest.raises(LeaseLost):
        await claims.complete(database, lost, "1")
    assert table.job(waiting)["claim_token"] not in (None, lost.token)


async def test_an_unknown_job_has_no_state(database: Database) -> None:
    assert await jobs.state_of(database, uuid4()) is None
    assert await claims.claim(database, uuid4(), "w", 45) is None


@pytest.mark.parametrize("schema", ["pg_temp", "public"])
async def test_nobody_can_put_a_table_of_his_own_before_the_real_one(
    schema: str, database: Database, new_event: NewEvent, table: Table
) -> None:
    event = new_event()
    await jobs.accept(database, event, DEADLINE, published=True)
    table.run("GRANT TEMPORARY ON DATABASE ai_agents TO ai_agents")
    try:
        async with database.across_tenants() as session:
            await session.execute(text("CREATE TEMPORARY TABLE jobs (id uuid, tenant_id text, state text)"))
            await session.execute(text(f"SET LOCAL search_path = {schema}, public"))
            state = await session.scalar(text("SELECT state FROM public.job_state(:id)"), {"id": event.job_id})
            await session.execute(text("DROP TABLE pg_temp.jobs"))
        assert state == "waiting"
    finally:
        table.run("REVOKE TEMPORARY ON DATABASE ai_agents FROM ai_agents")
