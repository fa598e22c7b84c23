"""`ai-agents replay`: a recorded request again, beside the first answer."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from devstack.postgres import Postgres
from storage import erasure
from storage.erasure import Which
from tests.kit.postgres import Store
from tests.kit.simulators import Simulator
from tests.storage.exchanges import ANSWER, SENT
from tests.support.keeping import kept, typed

pytestmark = pytest.mark.usefixtures("untouched_logging")
NOWHERE = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}


def asked(model: Simulator) -> list[dict[str, Any]]:
    return [request["payload"] for request in model.requests(operation="chat")]


def spent(store: Store) -> int:
    return sum(row["tokens"] for row in store.table.run("SELECT tokens FROM spending WHERE tenant_id = 'acme'"))


async def test_another_model_is_asked_the_same_and_both_answers_are_shown(
    store: Store, server: Postgres, model: Simulator
) -> None:
    job_id = await kept(store, "101")
    before = store.table.run("SELECT * FROM jobs")
    done = await typed(server.url, "replay", "--tenant", "acme", "--job", str(job_id), "--model", "gpt-4o", model=model)
    assert done.returncode == 0, done.stderr
    # The first was refused, unpaid, for an argument that this model does not support.
    _, request = asked(model)
    assert (request["model"], [message["content"] for message in request["messages"]]) == (
        "gpt-4o",
        ["You help.", SENT],
    )
    assert "Calls of gpt-4o at 127.0.0.1 that will be paid for: 1, and" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"Job {job_id}, ticket 7, ")
    rows = {line.split()[0]: line for line in lines[3:] if line and not line.startswith(" ")}
    assert {"model", "prompt", "cause", "steps", "sources", "confidence", "tokens", "dollars"} <= rows.keys()
    assert "Large attachments. [T101]" in rows["cause"]
    assert "T101 Mailbox full: Also a full mailbox." in rows["sources"]
    assert "the same" in rows["prompt"]
    assert "900 + 120" in rows["tokens"]
    assert store.table.run("SELECT * FROM jobs") == before
    assert len(store.table.run("SELECT * FROM audit_records")) == 1
    assert spent(store) > 0


async def test_the_newest_are_asked_with_a_version_of_the_prompt_and_told_to_machines(
    store: Store, server: Postgres, model: Simulator
) -> None:
    jobs = [await kept(store, prompt="1"), await kept(store, prompt="1"), await kept(store, prompt="1")]
    words = ("replay", "--tenant", "acme", "--last", "2", "--prompt", "2", "--json")
    done = await typed(server.url, *words, model=model, more={"acme.note.rules": "Say du."})
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["job_id"] for each in told] == [str(jobs[2]), str(jobs[1])]
    assert (told[0]["before"]["answer"], told[0]["before"]["prompt"]) == (ANSWER, "1")
    assert told[0]["now"]["prompt"].startswith("2+")
    assert told[0]["now"]["answer"]["summary"]
    assert told[0]["now"]["input_tokens"] > 0
    assert all("Say du." in request["messages"][0]["content"] for request in asked(model))


async def test_an_answer_that_is_of_no_use_is_told_and_the_others_are_asked(
    store: Store, server: Postgres, model: Simulator
) -> None:
    await kept(store)
    await kept(store)
    model.order(kind="refusal", times=1)
    done = await typed(server.url, "replay", "--tenant", "acme", "--last", "2", model=model)
    assert done.returncode == 1, done.stderr
    assert "OpenAI API: invalid answer" in done.stdout
    assert len(asked(model)) == 2


async def test_a_tenants_text_goes_to_its_own_address_with_its_own_key(
    store: Store, server: Postgres, model: Simulator
) -> None:
    await kept(store)
    own = {"acme.openai.base_url": f"{model.url}/v1", "OPENAI_API_KEY_ACME": "sk-test", "acme.openai.model": "gpt-4o"}
    done = await typed(server.url, "replay", "--tenant", "acme", "--last", "1", more=NOWHERE | own)
    assert done.returncode == 0, done.stderr
    assert {request["model"] for request in asked(model)} == {"gpt-4o"}


REFUSED = [
    ({"OPENAI_API_KEY": ""}, 78, "There is no key: set OPENAI_API_KEY, or OPENAI_API_KEY_ACME."),
    ({"acme.openai.base_url": "http://127.0.0.1:1/v1"}, 78, "acme has no usable settings here"),
    ({"OPENAI_API_KEY": "sk-wrong"}, 78, "Stopped after 0 of 1: model key refused."),
    (NOWHERE, 75, "Stopped after 0 of 1: OpenAI API: connection"),
    (
        {"acme.masking": "all"},
        1,
        "1 of 1 records are left out: less was masked in them than acme.masking in ",
    ),
]


@pytest.mark.parametrize(("settings", "status", "told"), REFUSED, ids=[told[:24] for _, _, told in REFUSED])
async def test_what_is_in_the_way_is_told(
    settings: dict[str, str], status: int, told: str, store: Store, server: Postgres, model: Simulator
) -> None:
    await kept(store)
    done = await typed(server.url, "replay", "--tenant", "acme", "--last", "1", model=model, more=settings)
    assert (done.returncode, done.stdout) == (status, "")
    assert told in done.stderr
    assert spent(store) == 0


async def test_past_the_limit_of_the_day_nothing_more_is_asked(
    store: Store, server: Postgres, model: Simulator
) -> None:
    await kept(store)
    await kept(store)
    words = ("replay", "--tenant", "acme", "--last", "2")
    done = await typed(server.url, *words, model=model, more={"acme.openai.daily_tokens": 10})
    assert (done.returncode, len(asked(model))) == (75, 1)
    assert "Stopped after 1 of 2: spending limit of today reached." in done.stderr
    assert done.stdout.startswith("Job ")


async def test_jobs_without_a_record_and_prompts_that_there_are_not(
    store: Store, server: Postgres, model: Simulator
) -> None:
    job_id, there = uuid4(), await kept(store)
    missing = await typed(server.url, "replay", "--tenant", "acme", "--job", str(job_id), model=model)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.splitlines() == [
        f"No audit record of acme with an answer has the job {job_id}.",
        "There is nothing to replay.",
    ]
    both = ("replay", "--tenant", "acme", "--job", str(job_id), str(there))
    one = await typed(server.url, *both, model=model)
    assert (one.returncode, one.stdout.startswith(f"Job {there}")) == (1, True)
    model.forget()
    for version in ("9", "../note"):
        words = ("replay", "--tenant", "acme", "--job", str(there), "--prompt", version)
        unknown = await typed(server.url, *words, model=model)
        assert unknown.returncode == 2
        assert f"no prompt has the version '{version}': there are 2" in unknown.stderr
    assert (await typed(server.url, "replay", "--tenant", "acme", "--last", "101", model=model)).returncode == 2
    assert asked(model) == []


async def test_what_is_past_its_days_or_had_no_answer_is_not_asked_again(
    store: Store, server: Postgres, model: Simulator
) -> None:
    old, in_vain = await kept(store), await kept(store, answer=None, reason="content filter")
    store.table.run("UPDATE audit_records SET at = now() - interval '31 days' WHERE job_id = %s", old)
    for words in (("--last", "9"), ("--job", str(old), str(in_vain))):
        done = await typed(server.url, "replay", "--tenant", "acme", *words, model=model)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith("There is nothing to replay.\n")
    assert asked(model) == []


async def test_what_is_forgotten_while_it_is_replayed_is_not_sent(
    store: Store, server: Postgres, model: Simulator
) -> None:
    gone, there = await kept(store, ticket_id="8"), await kept(store)
    model.order(kind="slow_stream", seconds=0.2, pieces=8, times=1)
    under_way = asyncio.create_task(typed(server.url, "replay", "--tenant", "acme", "--last", "2", model=model))
    while not (asked(model) or under_way.done()):  # noqa: ASYNC110 -- another server's memory
        await asyncio.sleep(0.01)
    await erasure.erase(store.database, Which("acme", ticket_id="8"))
    model.change("DELETE", "/faults")
    done = await under_way
    assert (done.returncode, len(asked(model))) == (1, 1)
    assert done.stdout.startswith(f"Job {there}")
    assert f"The record of the job {gone} is gone by now." in done.stderr
