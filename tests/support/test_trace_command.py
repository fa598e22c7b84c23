"""`ai-agents trace` from files, from the database, and without any source."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from devstack.postgres import Postgres
from support.trace import FROM_EVENTS
from tests.kit.postgres import Store, claimed
from tests.support.spans import JOB, OTHER_JOB, OTHER_TRACE, STORY, TRACE, kept, line, span
from tests.system.by_hand import Answer, here

pytestmark = pytest.mark.usefixtures("untouched_logging")


async def typed(*words: str, **settings: str) -> Answer:
    """Return the command's output; it runs its own event loop."""
    return await asyncio.to_thread(here, "trace", *words, **settings)


def test_kept_spans_are_drawn_without_a_database(tmp_path: Path) -> None:
    place = str(kept(tmp_path, **STORY))
    told = here("trace", "--ticket", "124", "--traces", place)
    lines = told.stdout.splitlines()
    assert (told.returncode, told.stderr) == (0, "")
    assert lines[0] == f"Trace {TRACE}: job {JOB}, ticket 124 of tenant acme"
    assert lines[1] == f"spans of {place}, kept when they end; from 2026-03-01 09:30:00 UTC, 20.0 s"
    assert lines[3].startswith("Webhook ")
    assert "    outcome=completed" in lines
    assert "│   exception.message=GPT-4 timeout; will be retried in 2s" in lines
    assert here("trace", "--job", JOB, TRACES_DIR=place).stdout == told.stdout


def test_for_machines_the_spans_are_a_list(tmp_path: Path) -> None:
    said = json.loads(here("trace", "--job", JOB, "--traces", str(kept(tmp_path, **STORY)), "--json").stdout)
    assert (said["job_id"], said["trace_id"], said["others"], len(said["spans"])) == (JOB, TRACE, [], 7)
    assert said["spans"][2] == {
        "depth": 1,
        "name": "Worker (attempt 1)",
        "start": "2026-03-01T09:30:02.000Z",
        "end": "2026-03-01T09:30:12.000Z",
        "state": "failed",
        "notes": ["exception.message=GPT-4 timeout; will be retried in 2s"],
        "process": "ai-agents-worker",
    }


def test_of_a_tickets_jobs_the_newest_that_asked_a_model_is_drawn(tmp_path: Path) -> None:
    skipped = span("Worker", 9, 0, 60, 61, OTHER_TRACE, tags={"job_id": OTHER_JOB, "outcome": "already enhanced"})
    place = str(kept(tmp_path, **STORY, later=line("ai-agents-worker", skipped)))
    told = here("trace", "--ticket", "124", "--traces", place).stdout.splitlines()
    assert told[0].startswith(f"Trace {TRACE}")
    assert told[2] == f"other jobs of the ticket, see --job: {OTHER_JOB}"
    told = here("trace", "--job", OTHER_JOB, "--traces", place).stdout.splitlines()
    assert told[0].startswith(f"Trace {OTHER_TRACE}")


def test_a_webhook_that_came_again_or_was_refused_hides_no_job(tmp_path: Path) -> None:
    own = line("ai-agents-api", span("Webhook", 1, 0, 0, 1)) + line("ai-agents-worker", span("Queue", 2, 1, 1, 2))
    again = span("Webhook", 9, 0, 60, 61, OTHER_TRACE)
    refused = span("Webhook", 8, 0, 70, 71, "cd" * 16, tags={"job_id": None})
    place = str(kept(tmp_path, api=own, later=line("ai-agents-api", again, refused)))
    for words in (["--ticket", "124"], ["--job", JOB]):
        assert here("trace", *words, "--traces", place).stdout.startswith(f"Trace {TRACE}: job {JOB}")


def test_whose_ticket_it_is_has_to_be_said_where_several_have_it(tmp_path: Path) -> None:
    theirs = span("Webhook", 1, 0, 0, 1, OTHER_TRACE, tags={"tenant_id": "globex", "job_id": OTHER_JOB})
    place = str(kept(tmp_path, **STORY, other=line("ai-agents-api", theirs)))
    told = here("trace", "--ticket", "124", "--traces", place)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == "Whose ticket is it? Say --tenant: acme, globex\n"
    told = here("trace", "--ticket", "124", "--tenant", "globex", "--traces", place)
    assert (told.returncode, "of tenant globex" in told.stdout) == (0, True)


def test_a_usual_place_that_cant_be_read_is_said(tmp_path: Path) -> None:
    told = here("trace", "--ticket", "124", TRACES_DIR=str(tmp_path / ("far" * 90)))
    assert (told.returncode, told.stdout) == (78, "")
    assert "can't be read (File name too long): the database is asked.\n" in told.stderr


def test_a_place_that_cant_be_read_is_said(tmp_path: Path) -> None:
    told = here("trace", "--ticket", "124", "--traces", str(tmp_path / "nowhere"))
    assert (told.returncode, told.stdout) == (78, "")
    assert f"{tmp_path}/nowhere can't be read (No such file or directory): the database is asked.\n" in told.stderr


@pytest.mark.parametrize("settings", [{}, {"TRACES_DIR": "/nobody/has/made/it/yet"}])
def test_without_spans_and_without_a_database_it_is_said_what_is_missing(settings: dict[str, str]) -> None:
    told = here("trace", "--ticket", "124", **settings)
    assert (told.returncode, told.stdout, "DATABASE_URL is missing" in told.stderr) == (78, "", True)


def test_that_a_place_has_no_span_of_it_is_said_before_the_database_is_asked(tmp_path: Path) -> None:
    told = here("trace", "--ticket", "124", "--traces", str(tmp_path))
    assert (told.returncode, told.stdout) == (78, "")
    assert told.stderr.startswith(f"{tmp_path} has no span of it: the database is asked.\n")
    assert "DATABASE_URL is missing" in told.stderr


@pytest.mark.parametrize(
    "words", [[], ["--ticket", "12a"], ["--job", "1"], ["--ticket", "1", "--job", JOB], ["--traces", ""]]
)
def test_what_is_not_understood_is_status_2(words: list[str]) -> None:
    assert here("trace", *words).returncode == 2


async def test_without_spans_a_jobs_events_are_drawn(store: Store, server: Postgres) -> None:
    job_id = await store.accept(ticket_id="124")
    await claimed(store.database, job_id)
    settings: dict[str, Any] = {"DATABASE_URL": server.url}
    for words in (["--ticket", "124"], ["--ticket", "124", "--tenant", "acme"], ["--job", str(job_id)]):
        told = await typed(*words, **settings)
        lines = told.stdout.splitlines()
        assert (told.returncode, told.stderr) == (0, "")
        assert lines[0].startswith("Trace 0af7651916cd43dd8448eb211c80319c: job ")
        assert lines[1].startswith(f"{FROM_EVENTS}; from ")
        assert [one.lstrip("│├└─ ").split()[0] for one in lines[3:]] == [
            "Webhook",
            "Queue",
            "Worker",
            "Context",
        ]
        assert "goes on" in lines[-1]
    said = json.loads((await typed("--job", str(job_id), "--json", **settings)).stdout)
    assert (said["source"], said["spans"][2]["end"]) == (FROM_EVENTS, None)


async def test_what_nobody_knows_is_status_1(store: Store, server: Postgres) -> None:
    await store.accept(ticket_id="124")
    settings: dict[str, Any] = {"DATABASE_URL": server.url}
    for words in (["--ticket", "125"], ["--ticket", "124", "--tenant", "globex"], ["--job", OTHER_JOB]):
        answer = await typed(*words, **settings)
        assert (answer.returncode, answer.stdout) == (1, "")
        assert answer.stderr == "Nothing is known of it, or it was purged by age.\n"


async def test_of_several_jobs_in_the_database_the_one_that_says_most_is_drawn(store: Store, server: Postgres) -> None:
    done = await store.accept(ticket_id="124", state="completed", finished_at="now()")
    later = await store.accept(ticket_id="124", state="skipped", reason="already enhanced", finished_at="now()")
    await store.accept(ticket_id="124", tenant_id="globex")
    several = await typed("--ticket", "124", DATABASE_URL=server.url)
    assert (several.returncode, several.stderr) == (2, "Whose ticket is it? Say --tenant: acme, globex\n")
    said = json.loads((await typed("--ticket", "124", "--tenant", "acme", "--json", DATABASE_URL=server.url)).stdout)
    assert (said["job_id"], said["others"]) == (str(done), [str(later)])
