"""State changes of each function, as in functions.sql and docs/dev/states.md."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg
import pytest

from devstack.postgres import Postgres
from devstack.transitions import transitions
from tests.kit.postgres import Table
from tests.storage.bound_calls import BOUND_TO_A_CLAIM

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
SILENT = {"take_due_jobs", "unpublish_jobs", "renew_lease", "see_open", "know_numbers"}
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
    """On rows of every kind; and each change is an event."""
    seen: set[tuple[str, str]] = set()
    with psycopg.connect(server.url, autocommit=True) as application:
        application.execute("SELECT set_config('app.tenant_id', 'acme', false)")
        for case in cases():
            job_id = prepare(table, case)
            before = state_of(table, job_id)
            call = CALLS[function].replace("{id}", f"'{job_id}'::uuid")
            application.execute(f"SELECT * FROM {function}({call})".encode())  # noqa: S608 -- of those above
            after = state_of(table, job_id)
            told = table.run("SELECT what FROM job_events WHERE job_id = %s", job_id)
            if after != before:
                assert told, (case, after)
            if told and function not in TELL_OF_NO_STATE:
                seen.add((before, after))
    assert seen == {(one.before, one.after) for one in transitions() if one.function == function}


def test_each_function_that_tells_of_a_job_is_called_here() -> None:
    assert {one.function for one in transitions()} == CALLS.keys() - SILENT - TELL_OF_NO_STATE


def test_the_drawing_shows_each_change_and_no_other() -> None:
    drawn = set(re.findall(r"(?m)^    (\S+) --> (\S+): ", PAGE.read_text(encoding="utf-8")))
    purged = {(state, "[*]") for state in ("completed", "skipped", "failed")}
    assert drawn == {(one.before, one.after) for one in transitions()} | purged
