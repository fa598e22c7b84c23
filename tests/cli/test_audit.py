"""`ai-agents audit` and `replay`: records exported, and requested again beside the first answer."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

import pytest

from cli.pilot.postgres import Postgres
from cli.replay import parts_of, side_by_side
from knowledge import repository
from privacy import audit, erasure
from privacy.erasure import ErasureScope
from tests.config.given import ACME
from tests.jobs.exchanges import ANSWER, SENT, exchange
from tests.kit.postgres import Store
from tests.kit.simulators import Simulator
from tests.kit.tenants_toml import given
from tests.system.by_hand import Answer, here


async def kept(store: Store, *sources: str, ticket_id: str = "7", **changed: object) -> UUID:
    job_id = await store.accept(ticket_id=ticket_id)
    await audit.keep(store.database, "acme", job_id, exchange(*sources, **changed))
    return job_id


Typed = Callable[..., Coroutine[Any, Any, Answer]]


@pytest.fixture
def typed(server: Postgres, model: Simulator, untouched_logging: None) -> Typed:  # noqa: ARG001 -- puts the log back
    """Return a function that runs a verb with acme's settings and kept records."""
    settings: dict[str, object] = {**ACME, "DATABASE_URL": server.url, "REDIS_URL": "redis://127.0.0.1:1/0"}
    settings |= {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "sk-test", "acme.audit_days": 30}

    async def run(verb: str, *words: str, more: Mapping[str, object] = MappingProxyType({})) -> Answer:
        # The command runs its own event loop.
        return await asyncio.to_thread(here, verb, "--tenant", "acme", *words, **given({**settings, **more}))

    return run


async def test_records_are_exported_a_line_each_without_the_hash_of_a_person(store: Store, typed: Typed) -> None:
    text = {"ticket_id": "101", "subject": "s", "description": "", "resolution": "r", "status": "Closed"}
    await repository.save_ticket(store.database, "acme", text, "jordan.reyes@acme.example")
    jobs = [await kept(store, "101"), await kept(store, ticket_id="8", answer=None, reason="content filter")]
    assert "requester" in store.table.run("SELECT sources FROM audit_records")[0]["sources"][0]
    done = await typed("audit", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = map(json.loads, done.stdout.splitlines())
    assert [first["job_id"], second["job_id"]] == [*map(str, jobs)]
    assert (first["sent"], first["answer"], first["cost"]) == (SENT, ANSWER, 0.002)
    assert first["sources"][0] == {"id": "T101", "kind": "ticket", "number": "101", "title": "Mailbox full"}
    assert (second["answer"], second["reason"]) == (None, "content filter")
    assert "requester" not in done.stdout
    of_ticket = await typed("audit", "--ticket", "8", "--since", "1h", "--json")
    assert [json.loads(line)["ticket_id"] for line in of_ticket.stdout.splitlines()] == ["8"]
    assert "  content filter  " in (await typed("audit")).stdout
    # People get a table without the texts.
    head, row = (await typed("audit", "--job", str(jobs[0]))).stdout.splitlines()
    assert head.split() == [
        "AT",
        "JOB",
        "TICKET",
        "PROMPT",
        "MASKING",
        "TOKENS",
        "DOLLARS",
        "SOURCES",
        "ANSWER",
        "MODEL",
    ]
    assert row.split()[3:] == [
        str(jobs[0]),
        *["7", "2", "personal", "1020", "0.0020", "2", "yes", "m-1", "at", "model.example"],
    ]


async def test_records_past_their_days_are_not_exported_where_those_are_known(store: Store, typed: Typed) -> None:
    await kept(store)
    store.table.run("UPDATE audit_records SET at = now() - interval '31 days'")
    for days, lines in ((30, 0), (32, 1), ("many", 1)):
        done = await typed("audit", "--json", more={"acme.audit_days": days})
        assert len(done.stdout.splitlines()) == lines


@pytest.mark.parametrize(
    ("days", "words", "status", "told"),
    [
        (0, [], 0, "No audit record matches. acme keeps none: see acme.audit_days in tenants.toml."),
        (30, [], 0, "No audit record matches."),
        ("many", ["--ticket", "99"], 0, "No audit record matches."),
        (30, ["--job", str(UUID(int=7))], 1, "No audit record matches."),
    ],
)
async def test_no_record(days: object, words: list[str], status: int, told: str, store: Store, typed: Typed) -> None:
    await kept(store)
    store.table.run("UPDATE audit_records SET tenant_id = 'globex'")
    done = await typed("audit", *words, more={"acme.audit_days": days})
    assert (done.returncode, done.stdout, done.stderr.strip()) == (status, "", told)


NOWHERE = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}


def asked(model: Simulator) -> list[dict[str, Any]]:
    return [request["payload"] for request in model.requests(operation="chat")]


def spent(store: Store) -> int:
    return sum(row["tokens"] for row in store.table.run("SELECT tokens FROM spending WHERE tenant_id = 'acme'"))


async def test_both_models_answers_are_shown(store: Store, model: Simulator, typed: Typed) -> None:
    job_id = await kept(store, "101")
    before = store.table.run("SELECT * FROM jobs")
    done = await typed("replay", "--job", str(job_id), "--model", "gpt-4o")
    assert done.returncode == 0, done.stderr
    # The first was refused, unpaid, for an argument that this model does not support.
    _, request = asked(model)
    sent = [message["content"] for message in request["messages"]]
    assert (request["model"], sent) == ("gpt-4o", ["You help.", SENT])
    assert "Paid calls of gpt-4o at 127.0.0.1: 1, plus one for each" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"Job {job_id}, ticket 7, ")
    rows = {line.split()[0]: line for line in lines[3:] if line and not line.startswith(" ")}
    assert "Large attachments. [T101]" in rows["cause"]
    assert "T101 Mailbox full: Also a full mailbox." in rows["sources"]
    assert "same" in rows["prompt"]
    assert "900 + 120" in rows["tokens"]
    assert store.table.run("SELECT * FROM jobs") == before
    assert len(store.table.run("SELECT * FROM audit_records")) == 1
    assert spent(store) > 0


async def test_the_newest_are_replayed_as_json(store: Store, model: Simulator, typed: Typed) -> None:
    jobs = [await kept(store, prompt="1") for _ in range(3)]
    done = await typed("replay", "--last", "2", "--prompt", "4", "--json", more={"acme.note.rules": "Say du."})
    assert done.returncode == 0, done.stderr
    documents_read = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["job_id"] for each in documents_read] == [str(jobs[2]), str(jobs[1])]
    assert (documents_read[0]["before"]["answer"], documents_read[0]["before"]["prompt"]) == (ANSWER, "1")
    assert documents_read[0]["now"]["prompt"].startswith("4+")
    assert documents_read[0]["now"]["answer"]["summary"]
    assert documents_read[0]["now"]["input_tokens"] > 0
    assert all("Say du." in request["messages"][0]["content"] for request in asked(model))


async def test_a_useless_answer_ends_nothing(store: Store, model: Simulator, typed: Typed) -> None:
    await kept(store)
    await kept(store)
    model.order(kind="refusal", times=1)
    # A tenant's text goes to its own address, with its own key.
    own = {"acme.openai.base_url": f"{model.url}/v1", "acme.openai.model": "gpt-6.1-sol"}
    own["OPENAI_API_KEY_ACME"] = "sk-test"
    done = await typed("replay", "--last", "2", more=NOWHERE | own)
    assert (done.returncode, "OpenAI API: invalid answer" in done.stdout) == (1, True)
    assert [request["model"] for request in asked(model)] == ["gpt-6.1-sol"] * 2


REFUSED = [
    ({"OPENAI_API_KEY": ""}, 78, "No key: set OPENAI_API_KEY or OPENAI_API_KEY_ACME."),
    ({"acme.openai.base_url": "http://127.0.0.1:1/v1"}, 78, "acme has no usable settings here"),
    ({"OPENAI_API_KEY": "sk-wrong"}, 78, "Stopped after 0 of 1: model key refused."),
    (NOWHERE, 75, "Stopped after 0 of 1: OpenAI API: connection"),
    ({"acme.masking": "all"}, 1, "1 of 1 records are left out: they were redacted less than acme.masking in "),
]


@pytest.mark.parametrize(("settings", "status", "told"), REFUSED, ids=[told[:24] for _, _, told in REFUSED])
async def test_refusals_of_replay(settings: dict[str, str], status: int, told: str, store: Store, typed: Typed) -> None:
    await kept(store)
    done = await typed("replay", "--last", "1", more=settings)
    assert (done.returncode, done.stdout) == (status, "")
    assert told in done.stderr
    assert spent(store) == 0


async def test_past_the_limit_of_the_day_nothing_more_is_asked(store: Store, model: Simulator, typed: Typed) -> None:
    await kept(store)
    await kept(store)
    done = await typed("replay", "--last", "2", more={"acme.openai.daily_tokens": 10})
    assert (done.returncode, len(asked(model))) == (75, 1)
    assert "Stopped after 1 of 2: spending limit of today reached." in done.stderr
    assert done.stdout.startswith("Job ")


async def test_unknown_jobs_and_prompts(store: Store, model: Simulator, typed: Typed) -> None:
    job_id, there = uuid4(), await kept(store)
    missing = await typed("replay", "--job", str(job_id))
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.splitlines() == [
        f"Job {job_id} of acme has no audit record with an answer.",
        "Nothing to replay.",
    ]
    one = await typed("replay", "--job", str(job_id), str(there))
    assert (one.returncode, one.stdout.startswith(f"Job {there}")) == (1, True)
    model.forget()
    for version in ("9", "../note"):
        unknown = await typed("replay", "--job", str(there), "--prompt", version)
        assert unknown.returncode == 2
        assert f"unknown prompt version '{version}': choose from 4" in unknown.stderr
    assert (await typed("replay", "--last", "101")).returncode == 2
    # Nor what is past its days, or had no answer.
    in_vain = await kept(store, answer=None, reason="content filter")
    store.table.run("UPDATE audit_records SET at = now() - interval '31 days' WHERE job_id = %s", there)
    for words in (("--last", "9"), ("--job", str(there), str(in_vain))):
        done = await typed("replay", *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith("Nothing to replay.\n")
    assert asked(model) == []


async def test_what_is_forgotten_while_it_is_replayed_is_not_sent(store: Store, model: Simulator, typed: Typed) -> None:
    gone, there = await kept(store, ticket_id="8"), await kept(store)
    model.order(kind="slow_stream", seconds=0.2, pieces=8, times=1)
    under_way = asyncio.create_task(typed("replay", "--last", "2"))
    while not (asked(model) or under_way.done()):  # noqa: ASYNC110 -- another server's memory
        await asyncio.sleep(0.01)
    await erasure.erase(store.database, ErasureScope("acme", ticket_id="8"))
    model.change("DELETE", "/faults")
    done = await under_way
    assert (done.returncode, len(asked(model))) == (1, 1)
    assert done.stdout.startswith(f"Job {there}")
    assert f"The record of job {gone} was removed meanwhile." in done.stderr


def test_both_sides_are_wrapped_to_half_of_what_is_left_of_the_width() -> None:
    rows = [("", ["BEFORE"], ["NOW"]), ("cause", ["Large attachments fill the mailbox."], ["The quota."])]
    rows += [("steps", ["1. Raise.", "2. Archive."], ["1. Raise.", "2. Archive."]), ("model", ["m\x1b[2J"], [])]
    assert side_by_side(rows, 49).splitlines() == [
        "       BEFORE                NOW",
        "cause  Large attachments     The quota.",
        "       fill the mailbox.",
        "steps  1. Raise.             same",
        "       2. Archive.",
        "model  m?[2J",
    ]
    assert max(map(len, side_by_side([("x", ["word " * 90], ["word " * 90])], None).splitlines())) <= 120


def test_parts_name_sources_by_their_titles_and_those_that_were_not_found() -> None:
    quoted = {"quote": "Raised it", "same_problem": "yes"}
    sources = [{"id": "T1"} | quoted, {"id": "T2", "gives": "of an earlier release"}]
    parts = parts_of(ANSWER | {"sources": sources}, {"T1": "VPN"})
    assert parts["sources"] == ['T1 VPN: yes, "Raised it"', "T2 (not found): of an earlier release"]
    assert parts["steps"] == ["1. Raise the quota of [PERSON_1]."]
    of_another_release = parts_of({"summary": "S", "likely_cause": "C", "next_steps": ["N"]}, {})
    assert [of_another_release[name] for name in ("summary", "cause", "questions")] == [["S"], ["-"], ["-"]]
