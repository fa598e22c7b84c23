"""Each command of the documents for support, typed into a shell on a running system: it prints what they say.

kubectl is the stand-in (`tests/kit/kubectl/`); everything behind it is real: logs, Redis, Postgres, `ai-agents`,
webhooks, signatures, secrets that change while the processes run, restarts.
"""

import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import AuthenticationError, Redis

from config.tenant_names import TENANT_SETTINGS
from devstack.surroundings import parted
from devstack.system import System
from tests.documents import commands
from tests.documents.documents import Block, MarkdownFile, documents, lie
from tests.documents.expectations import failed, unmet
from tests.documents.holds import HOLDS, TypedHold
from tests.documents.session import Session, TypedCluster, in_pod, restore
from tests.documents.traffic import Traffic
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, ("openssl", "curl"))), reason="needs openssl and curl"),
]
# The document that follows decision tables has a test that follows them.
DOCUMENTS = [d for d in documents() if d.is_for_support and d.blocks("sh")]
ROTATION = next(document for document in DOCUMENTS if document.name.endswith("secret-rotation.md"))
FAILURES = next(document for document in DOCUMENTS if document.name.endswith("enhancement-failures.md"))
# Its section that is typed while webhooks come in, and not a second time.
UNDER_TRAFFIC = "## Redis"
# A changed file counts after 7 s; Kubernetes needs up to two minutes more to bring it, the stand-in none.
IN_FORCE_SECONDS = 8.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[TypedCluster]:
    folder = tmp_path_factory.mktemp("documents")
    every = folder / "secrets"
    every.mkdir()
    tools = folder / "shell"
    tools.mkdir()
    password = secrets.token_hex(32)
    settings = SHORT | {"REDISCLI_AUTH": password}
    system = System(folder / "system", settings=settings, openai_seconds=0.5, launch=loaded)
    restore(every, tenant_files(system))
    for process in (system.api, *system.workers, system.housekeeping):
        own = in_pod(f"ai-agents-{process.name}", every)
        process.environment["SECRETS_DIR"] = str(own)
        for name in tenant_files(system):
            # Only what is mounted is there.
            process.environment.pop(name, None)
    with system:
        wait_for(lambda: "Sync completed: tenant_id=globex" in system.housekeeping.log_path.read_text(encoding="utf-8"))
        yield TypedCluster(system, tools, every)


@pytest.fixture(scope="module")
def world(cluster: TypedCluster) -> Iterator[World]:
    outside = World(cluster.system)
    yield outside
    outside.close()


def tenant_files(system: System) -> dict[str, str]:
    """The settings of tenants, as Kubernetes mounts them."""
    return {name: value for name, value in system.settings.items() if name.startswith(tuple(TENANT_SETTINGS))}


def past_of(example: int, world: World) -> None:
    """What the document's examples met: 12345 is done, 12347 has failed; others met what support meets."""
    world.create_ticket(id=str(example))
    faults: dict[str, dict[str, Any]] = {"500": {"kind": "status", "code": 500}, "silent": {"kind": "silence"}}
    for case, fault in faults.items():
        ticket = world.create_ticket(f"Case {case}", send_webhook=False)
        world.desk_fault(ticket_id=ticket, tenant="acme", times=1, **fault)
        world.send_webhook(ticket)
    world.openai_fault(match=f"Case 429 of {example}", times=1, kind="status", code=429)
    world.create_ticket(f"Case 429 of {example}")
    refused = world.create_ticket(tenant="globex", send_webhook=False)
    world.send_webhook(refused, "globex", wrong_signature=True)
    failed = str(example + 2)
    world.create_ticket(f"Case {failed}", id=failed, send_webhook=False)
    world.desk_fault(ticket_id=failed, tenant="acme", times=1, kind="status", code=403)
    world.send_webhook(failed)
    assert world.ended(failed)["state"] == "failed"
    assert world.ended(str(example))["state"] == "completed"


def as_here(text: str, example: int, system: System) -> str:
    """A text with what is the reader's own: tickets, addresses, keys; and fewer workers than a cluster has."""
    state, environment = system.state, system.settings
    key = environment["OPENAI_API_KEY"] if "OPENAI_API_KEY" in text else environment["SERVICEDESK_API_KEY_ACME"]
    own = {
        "12345": str(example),
        "12347": str(example + 2),
        "API=https://api.ai-agents.com": f"API={state['api_url']}",
        "MODEL_URL=https://api.openai.com/v1": f"MODEL_URL={state['openai_url']}",
        "NEW_KEY=the-key": f"NEW_KEY={key}",
        "--replicas=10": "--replicas=2",
        "--replicas=5": "--replicas=1",
        # Waited for already, if it has to be.
        "sleep 10": "sleep 0",
    }
    for theirs, ours in own.items():
        text = text.replace(theirs, ours)
    return text


@pytest.mark.parametrize("number", range(len(DOCUMENTS)), ids=[document.name for document in DOCUMENTS])
def test_each_command_prints_what_the_document_says(number: int, cluster: TypedCluster, world: World) -> None:
    # Tickets of its own: the lines of others may have gone with their pods.
    example = 12345 + 10 * number
    if restore(cluster.secrets, tenant_files(cluster.system)):
        time.sleep(IN_FORCE_SECONDS)
    past_of(example, world)
    wrong = wrong_commands(DOCUMENTS[number], example, cluster, world)
    assert wrong == [], "\n\n".join(wrong)


def unfinished(world: World) -> int:
    """How many jobs run or wait."""
    with world.admin() as connection:
        return len(connection.execute("SELECT FROM jobs WHERE state IN ('waiting', 'running')").fetchall())


def wrong_commands(document: MarkdownFile, example: int, cluster: TypedCluster, world: World) -> list[str]:
    """Type the document from its beginning to its end: what is wrong, with its line."""
    wrong = []
    elsewhere = blocks_below(UNDER_TRAFFIC, document) if document.name == ROTATION.name else []
    with closing(Session(cluster)) as session:
        for block in commands.to_type(document):
            if block in elsewhere:
                continue
            text, expectation = (as_here(text, example, cluster.system) for text in (block.text, block.expectation))
            if re.search("curl|sha256sum|retry", text):
                cluster.await_secret(IN_FORCE_SECONDS)
            if re.search("--state (running waiting|waiting running)", text):
                # The second attempts of what `past_of` left behind: the document is of jobs that go on.
                wait_for(lambda: not unfinished(world))
            if problem := what_is_wrong(session, text, expectation):
                wrong.append(f"line {block.line}: {problem}")
    return wrong


def test_the_password_of_redis_is_rotated_and_no_job_is_lost(cluster: TypedCluster, world: World) -> None:
    """The runbook's section, while webhooks come in: the old password is refused then, and each job has its note."""
    if restore(cluster.secrets, tenant_files(cluster.system)):
        time.sleep(IN_FORCE_SECONDS)
    system = cluster.system
    old = system.redis.url
    with closing(Session(cluster)) as session, closing(Traffic(world)) as traffic:
        for block in blocks_below(UNDER_TRAFFIC, ROTATION):
            assert what_is_wrong(session, block.text, block.expectation) == ""
            traffic.await_more(3)
    with pytest.raises(AuthenticationError), Redis.from_url(old) as client:
        client.ping()
    with Redis.from_url(system.redis.url) as client:
        assert client.ping()
    assert [ticket for ticket in traffic.taken if world.ended(ticket)["state"] != "completed"] == []
    assert {len(world.notes(ticket)) for ticket in traffic.taken} == {1}


@pytest.mark.parametrize("hold", HOLDS, ids=[hold.heading for hold in HOLDS])
def test_where_jobs_are_held_the_runbooks_command_shows_it(
    hold: TypedHold, cluster: TypedCluster, world: World
) -> None:
    """And what is mended (a new key, a limit that is gone) begins without a hold."""
    (block,) = blocks_below(f"## {hold.heading}", FAILURES)
    variables, keys = parted(hold.settings)
    restore(cluster.secrets, tenant_files(cluster.system) | variables)
    cluster.system.write_tenants(keys)
    time.sleep(IN_FORCE_SECONDS)
    wait_for(lambda: hold.holds(world))
    with closing(Session(cluster)) as session:
        shown = session.run(block.text).output
    restore(cluster.secrets, tenant_files(cluster.system))
    cluster.system.write_tenants(dict.fromkeys(keys))
    time.sleep(IN_FORCE_SECONDS)
    assert [words for words in hold.shown if words not in shown] == []
    assert [words for words in hold.promised if f"`{words}" not in block.expectation] == []
    assert hold.reason in FAILURES.text.partition(f"## {hold.heading}\n")[2].partition("\n## ")[0]
    assert world.ended(world.create_ticket())["state"] == "completed"


def blocks_below(heading: str, document: MarkdownFile) -> list[Block]:
    """The blocks of one section."""
    lines = document.text.splitlines()
    start = lines.index(heading) + 1
    end = start + next(number for number, line in enumerate(lines[start:], 1) if line.startswith("## "))
    return [block for block in document.blocks("sh") if start < block.line < end]


def what_is_wrong(session: Session, text: str, expectation: str) -> str:
    """Run a block: what it prints other than the document says, and what fails in it; empty if all is well."""
    ran = session.run(text)
    found = [failed(text, expectation, ran), unmet(expectation, ran) if expectation else ""]
    return "\n".join([*filter(None, found), text, ran.printed[:600]]) if any(found) else ""


_N = "-n ai-agents-production"
_LOGS = f"kubectl logs deployment/ai-agents-api {_N} --all-pods=true --ignore-errors=true"


@pytest.mark.parametrize(
    ("typed", "expectation", "seen"),
    [
        (f'{_LOGS} | grep "API ready"', "`API ready.`", ""),
        (f'{_LOGS} | grep "API ready"', "`API ready.` and `API steady.`", "missing: ['API steady.']"),
        (f'{_LOGS} | grep "API steady"', "nothing", ""),
        (f"{_LOGS}\nkubectl get pods -n ai-agents", "`API ready.`", "failed (1,): kubectl get pods"),
        (f"kubectl get pods -n ai-agents\n{_LOGS}", "`API ready.`", "failed (1,): kubectl get pods"),
        (f"kubectl get pods -n ai-agents\n{_LOGS}", "`no such object`, or a pod", ""),
        (
            f"kubectl exec deployment/ai-agents-api {_N} -- ai-agents show 2>/dev/null | wc -l",
            "a number",
            "failed (2, 0)",
        ),
        (f"JOB=$(kubectl exec deployment/ai-agents-api {_N} -- ai-agents show 2>/dev/null)", "", "failed (2,)"),
        ('grep "API ready" no-such-file 2>/dev/null', "nothing", "failed (2,)"),
    ],
)
def test_an_expectation_that_is_not_met_is_seen(
    typed: str, expectation: str, seen: str, cluster: TypedCluster, tmp_path: Path
) -> None:
    """A document that promises another line than the system prints fails, and one with a command that fails."""
    (block,) = lie(f"```sh\n{typed}\n```\n\nExpect {expectation}.", "runbooks", tmp_path).blocks("sh")
    with closing(Session(cluster)) as session:
        problem = what_is_wrong(session, block.text, block.expectation)
    assert problem.startswith(seen)
    assert bool(problem) == bool(seen)


@pytest.mark.parametrize(
    ("typed", "is_wrong"),
    [
        (f"kubectl get pods {_N}", False),
        (f"{_LOGS} -f", False),
        (f"kubectl logs deployment/ai-agents-wroker {_N} --all-pods=true --ignore-errors=true -f", True),
        (f"kubectl rollout history deployment/ai-agents-wroker {_N}", True),
        (f"kubectl rollout undone deployment/ai-agents-worker {_N}", True),
        ("ai-agents jobs --state failed", False),
        ("ai-agents jobs --state broken", True),
        # They only name a command, or leave a place to fill.
        ("ai-agents show JOB", False),
        ("kubectl scale", False),
        (f"kubectl delete pod <WORKER_POD> {_N}", False),
    ],
)
def test_a_command_in_a_sentence_that_fails_is_seen(
    typed: str, is_wrong: bool, cluster: TypedCluster, world: World, tmp_path: Path
) -> None:
    found = wrong_commands(lie(f"Where nothing helps: `{typed}`.", "runbooks", tmp_path), 12345, cluster, world)
    assert [problem.split(":")[0] for problem in found] == ["line 1"] * is_wrong
