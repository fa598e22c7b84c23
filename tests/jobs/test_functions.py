"""Database functions: grants, ids and states only, and their changes of states.

The changes are those of the comments in functions.sql and of docs/dev/states.md.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text

from cli.pilot.postgres import Postgres
from db.session import Database
from dev.stack.document_tables import transitions
from tests.kit.postgres import Store, Table, claimed

BOUND_TO_A_CLAIM = {
    "renew_lease": "interval '1 hour'",
    "see_open": "",
    "know_numbers": "'9', '1', interval '0', 'x'",
    "keep_answer": "1, '{}', 'm', '1s', 9, 1, null",
    "add_usage": "'m', 9, 1, null",
    "begin_posting": "1, interval '1 hour'",
    "end_posting": "1, 'not posted', null",
    "tell_of_attempt": "1, 'x', 'y'",
    "complete_job": "1, '7'",
    "skip_job": "1, 'x'",
    "fail_job": "1, 'x'",
    "retry_job_later": "1, interval '0', 'x'",
    "look_once_more": "1, 8, interval '0', 'x', interval '0'",
    "hold_job_back": "1, interval '0', 'x', interval '0', interval '1 day'",
    "give_job_back": "1",
    "begin_failure_note": "1, '9', '1', 'x'",
    "end_failure_note": "1",
    "begin_refresh": "1, true, interval '1 hour', 'lately', 'x'",
}
"""With what follows tenant, job and token."""


OF_THE_CALLER = {
    *("tell_event", "tell_freed", "remember_deliveries", "accept_jobs", "accept_late_job"),
    *("retry_job_by_hand", "skip_forgotten_jobs", "ask_jobs_again", "lock_ticket", "other_jobs_of_ticket"),
    *("has_place", "next_turn", "know_secrets", "keep_postings", "find_texts", "leave_tombstones", "forgotten_among"),
    *("numbers_of_jobs", "unfinished_jobs", "count_jobs", "mark_tickets_of_jobs", "erase_jobs", "erase_job_rows"),
    *("numbers_of_records", "forgotten_records", "count_records", "mark_tickets_of_records", "erase_records"),
    *("numbers_of_copies", "count_copies", "erase_copies", "tickets_of_answer", "delete_rows"),
    *(f"erase_rest_of_{package}" for package in ("integrations", "jobs", "knowledge", "privacy")),
}
"""Under row-level security; any other function has its owner's rights. tests/kit/outside_names.txt has all of them."""
HARMLESS = {
    *("id", "tenant_id", "ticket_id", "desk_id", "display_id", "attempt", "traceparent", "state", "waiting_since"),
    *("claimed_at", "deadline_at", "started_before", "answered", "note_attempted_at", "seen_open_at", "enhanced"),
    *("echo", "another_first", "why", "waiting", "later", "running", "oldest_waiting_seconds", "without_outcome"),
    *("jobs", "by_hand", "workers", "silent", "last_started_at", "missed", "last_at", "is_cut", "completed", "failed"),
    *("reason", "accepted_at", "due_at", "started_at", "finished_at", "rejected_at", "published_at", "retried_at"),
    *("refresh", "failure_noted_at", "seen_closed_at", "model", "input_tokens", "output_tokens", "dollars"),
    *("bar", "is_reported", "open", "half_seconds", "most_seconds", "carried"),
}


def functions(table: Table) -> list[dict[str, Any]]:
    """Return every function of the system from the catalogue, without extensions'."""
    return table.run(
        "SELECT p.proname AS name, p.prosecdef AS definer, p.proconfig AS config, p.proacl::text[] AS grants,"
        " p.proargnames AS arguments, p.proargmodes::text[] AS modes, p.prorettype::regtype::text AS returns,"
        " (SELECT array_agg(a.attname::text) FROM pg_attribute a JOIN pg_type t ON t.typrelid = a.attrelid"
        " WHERE t.oid = p.prorettype AND a.attnum > 0) AS columns,"
        " has_function_privilege('ai_agents', p.oid, 'EXECUTE') AS may_run, pg_get_userbyid(p.proowner) AS owner"
        " FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace"
        " AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
    )


def test_each_function_has_the_rights_that_it_needs(table: Table) -> None:
    found = functions(table)
    assert {function["name"] for function in found if not function["definer"]} == OF_THE_CALLER
    assert {function["name"] for function in found} > OF_THE_CALLER | BOUND_TO_A_CLAIM.keys()
    for function in found:
        assert (function["may_run"], function["owner"]) == (True, "ai_agents_owner"), function["name"]
        assert "search_path=public, pg_temp" in function["config"], function["name"]
        # An entry of the form `=X/owner` is PUBLIC's.
        assert [grant.startswith("=") for grant in function["grants"]] == [False, False], function["name"]


def test_none_of_the_owners_gives_content(table: Table) -> None:
    for function in functions(table):
        named = zip(function["arguments"] or [], function["modes"] or [], strict=False)
        given = {name for name, mode in named if mode in ("t", "o", "b")} | set(function["columns"] or [])
        if function["definer"]:
            assert given <= HARMLESS, function["name"]
            assert given or function["returns"] in ("bigint", "boolean", "void"), function["name"]


SECRET = "text of a person"


async def test_what_the_functions_answer_holds_no_text_of_a_ticket_or_an_answer(store: Store) -> None:
    event = store.new_event(ticket_id="1")
    await store.accept(event, published=False)
    row = {"enhancement": f'{{"summary": "{SECRET}"}}', "reason": SECRET, "model": SECRET, "note_id": SECRET}
    store.table.change(event.job_id, **row)
    calls = [
        "take_due_jobs(9, 'by hand')",
        f"job_state('{event.job_id}')",
        f"claim_job('{event.job_id}', 'w', gen_random_uuid(), '0', 8, '0', '1 day', '0', 'x', 'x')",
        "claim_next_job('w', gen_random_uuid(), '0', 8, '0', '1 day', '0', 'x', 'x', '{}', '{}', '{}', 9)",
        "recover_jobs(9, 8, 'x')",
        "expire_jobs(9, 8, 'x', '0')",
        "fail_lost_jobs(9, 8, 'x', 'x', '0')",
        "count_listed_jobs('0', 9)",
        "take_jobs_without_message(0, 9, '0', 'by hand')",
        "open_jobs(9)",
        "due_jobs_of_all(9)",
    ]
    answers: list[str] = []
    async with store.database.across_tenants() as session:
        for call in calls:
            rows = await session.execute(text(f"SELECT * FROM {call}"))  # noqa: S608 -- one of those above
            answers += [str(tuple(row)) for row in rows]
    assert len(answers) >= 4
    assert not [answer for answer in answers if SECRET in answer]


@pytest.mark.parametrize("function", BOUND_TO_A_CLAIM)
@pytest.mark.parametrize("state", ["running", "failed"])
async def test_a_claimed_job_needs_its_tenant_and_token(
    function: str, state: str, waiting: UUID, database: Database, table: Table, server: Postgres
) -> None:
    claim = await claimed(database, waiting)
    table.change(waiting, state=state)
    before, rest = table.job(waiting), BOUND_TO_A_CLAIM[function]
    with psycopg.connect(server.url) as attacker:
        for tenant, token in (("globex", str(claim.token)), ("acme", str(uuid4())), ("acme", None), (None, None)):
            call = f"SELECT {function}(%s, %s, %s{', ' if rest else ''}{rest})"
            # A function that returns a row has none to return.
            assert attacker.execute(call.encode(), (tenant, waiting, token)).fetchone() in ((False,), None)
    assert table.job(waiting) == before
    assert [event["what"] for event in table.run("SELECT what FROM job_events ORDER BY id")] == ["accepted", "claimed"]


async def test_functions_of_the_caller_obey_row_security(waiting: UUID, store: Store, server: Postgres) -> None:
    before = store.table.job(waiting)
    await store.accept(state="completed")
    with psycopg.connect(server.url, autocommit=True) as attacker:
        retry = "SELECT * FROM retry_job_by_hand('globex', %s, '1 hour', 'x', 'x')"
        again = attacker.execute(retry, (waiting,)).fetchall()
        skipped = attacker.execute("SELECT * FROM skip_forgotten_jobs(%s, 'x')", ([waiting],)).fetchall()
        attacker.execute("SELECT ask_jobs_again(%s, 'x')", ([waiting],))
        for forged in (
            "tell_event('acme', %s, 1, 'completed')",
            "remember_deliveries('acme', ARRAY[%s], '{k}', now(), '1 hour')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                attacker.execute(f"SELECT {forged}".encode(), (waiting,))
        accepted = attacker.execute(
            "SELECT accept_late_job('globex', %s, '1', null, null, '{k}', now(), '1 hour', '1 hour', 'x')", (waiting,)
        )
        assert accepted.fetchone() == (True,)
        assert attacker.execute("SELECT current_setting('app.tenant_id', true)").fetchone() in ((None,), ("",))
        assert attacker.execute("SELECT * FROM jobs").fetchall() == []
        others = attacker.execute("SELECT * FROM other_jobs_of_ticket(%s, '1 hour', 'x')", (waiting,)).fetchone()
        assert others == (False, False, False, False, False)
    assert (again, skipped) == ([], [])
    assert store.table.job(waiting) == before


@pytest.mark.parametrize("schema", ["pg_temp", "public"])
async def test_nobody_can_put_a_table_of_his_own_before_the_real_one(schema: str, store: Store) -> None:
    event = store.new_event()
    await store.accept(event)
    store.table.run("GRANT TEMPORARY ON DATABASE ai_agents TO ai_agents")
    try:
        async with store.database.across_tenants() as session:
            await session.execute(text("CREATE TEMPORARY TABLE jobs (id uuid, tenant_id text, state text)"))
            await session.execute(text(f"SET LOCAL search_path = {schema}, public"))
            state = await session.scalar(text("SELECT state FROM public.job_state(:id)"), {"id": event.job_id})
            await session.execute(text("DROP TABLE pg_temp.jobs"))
        assert state == "waiting"
    finally:
        store.table.run("REVOKE TEMPORARY ON DATABASE ai_agents FROM ai_agents")


PAGE = Path(__file__).resolve().parents[2] / "docs" / "dev" / "states.md"
TOKEN = UUID(int=7)
PAST, TO_COME = "now() - interval '1 minute'", "now() + interval '1 hour'"
CALLS = {name: f"'acme', {{id}}, '{TOKEN}'{rest and ', '}{rest}" for name, rest in BOUND_TO_A_CLAIM.items()} | {
    "accept_jobs": "jsonb_build_array(jsonb_build_object('tenant', 'acme', 'id', {id}, 'ticket', '1',"
    " 'keys', ARRAY['k'])), true, '1 hour', '1 hour'",
    "accept_late_job": "'acme', {id}, '1', null, null, '{k}', now(), '1 hour', '1 hour', 'duplicate webhook'",
    "claim_job": "{id}, 'w', gen_random_uuid(), '1 hour', 8, '0', '1 day', '0', 'another first', 'missing'",
    "retry_job_by_hand": "'acme', {id}, '1 hour', 'retried by hand', 'duplicate webhook'",
    "skip_forgotten_jobs": "ARRAY[{id}]::uuid[], 'forgotten'",
    "ask_jobs_again": "ARRAY[{id}]::uuid[], 'x'",
    "take_due_jobs": "9, 'by hand'",
    "unpublish_jobs": "ARRAY[{id}]::uuid[]",
    "recover_jobs": "9, 8, 'worker lost'",
    "fail_lost_jobs": "9, 8, 'worker lost', 'worker lost', '1 hour'",
    "expire_jobs": "9, 8, 'expired', '1 hour'",
}
SILENT = {"take_due_jobs", "unpublish_jobs", "renew_lease", "see_open", "know_numbers", "add_usage"}
TELL_OF_NO_STATE = {"begin_refresh", "tell_of_attempt", "begin_failure_note", "end_failure_note"}


class Case(NamedTuple):
    """A row, if any, and whether an older waiting job has its delivery key."""

    state: str | None
    over: bool
    lost: bool
    attempt: int
    posted: bool
    duplicate: bool
    rival: bool


def cases() -> Iterator[Case]:
    yes_no = (False, True)
    for state in ("waiting", "running", "completed", "skipped", "failed"):
        for over, attempt, posted, rival in itertools.product(yes_no, (1, 8), yes_no, yes_no):
            yield Case(state, over, False, attempt, posted, False, rival)
            if state == "running":
                yield Case(state, over, True, attempt, posted, False, rival)
    yield Case("skipped", False, False, 0, False, True, False)
    yield from (Case(None, False, False, 0, False, False, rival) for rival in yes_no)


def prepare(table: Table, case: Case) -> UUID:
    table.run("DELETE FROM jobs")
    table.run("DELETE FROM job_events")
    table.run("DELETE FROM delivery_keys")
    if case.rival:
        older = table.run(
            "INSERT INTO jobs (id, tenant_id, ticket_id, accepted_at, due_at, deadline_at)"
            " VALUES (gen_random_uuid(), 'acme', '1', now() - interval '1 hour', now() + interval '1 hour',"
            " now() + interval '1 day') RETURNING id"
        )
        table.run("INSERT INTO delivery_keys VALUES ('acme', 'k', %s, now() + interval '1 hour')", older[0]["id"])
    job_id = uuid4()
    if case.state is None:
        return job_id
    ended = case.state not in ("waiting", "running")
    values: dict[str, Any] = {
        "published_at": PAST,
        "due_at": PAST,
        "deadline_at": PAST if case.over else TO_COME,
        "lease_until": (PAST if case.lost else TO_COME) if case.state == "running" else "null",
        "finished_at": PAST if ended else "null",
        "note_attempted_at": PAST if case.posted else "null",
    }
    reason = "duplicate webhook" if case.duplicate else None
    table.run(  # the values are this file's own
        f"INSERT INTO jobs (id, tenant_id, ticket_id, state, attempt, reason, claim_token, {', '.join(values)})"  # noqa: S608
        f" VALUES (%s, 'acme', '1', %s, %s, %s, %s, {', '.join(values.values())})",
        *(job_id, case.state, case.attempt, reason, TOKEN if case.state == "running" or ended else None),
    )
    return job_id


def state_of(table: Table, job_id: UUID) -> str:
    found = table.run("SELECT state FROM jobs WHERE id = %s", job_id)
    return str(found[0]["state"]) if found else "[*]"


@pytest.mark.parametrize("function", CALLS)
def test_a_function_changes_the_state_as_its_comments_say(function: str, table: Table, server: Postgres) -> None:
    seen: set[tuple[str, str]] = set()
    with psycopg.connect(server.url, autocommit=True) as application:
        application.execute("SELECT set_config('app.tenant_id', 'acme', false)")
        for case in cases():
            job_id = prepare(table, case)
            before = state_of(table, job_id)
            call = CALLS[function].replace("{id}", f"'{job_id}'::uuid")
            application.execute(f"SELECT * FROM {function}({call})".encode())  # noqa: S608 -- of those above
            after = state_of(table, job_id)
            found_rows = table.run("SELECT what FROM job_events WHERE job_id = %s", job_id)
            if after != before:
                assert found_rows, (case, after)
            if found_rows and function not in TELL_OF_NO_STATE:
                seen.add((before, after))
    assert seen == {(before, after) for before, after, _, by in transitions() if by == function}


def test_each_function_that_tells_of_a_job_is_called_here() -> None:
    assert {function for *_, function in transitions()} == CALLS.keys() - SILENT - TELL_OF_NO_STATE


def test_the_drawing_shows_each_change_and_no_other() -> None:
    drawn = set(re.findall(r"(?m)^    (\S+) --> (\S+): ", PAGE.read_text(encoding="utf-8")))
    purged = {(state, "[*]") for state in ("completed", "skipped", "failed")}
    assert drawn == {(before, after) for before, after, *_ in transitions()} | purged
