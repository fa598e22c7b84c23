"""Each command of the documents for support, typed into a shell on a running system: it prints what they say.

kubectl is the stand-in (`kubectl.py`); everything behind it is real: logs, Redis, Postgres, `ai-agents`, webhooks,
signatures, secrets that change while the processes run, restarts.
"""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.tenants import TENANT_SETTINGS
from devstack.system import System
from tests.e2e.conftest import SHORT
from tests.e2e.world import World, wait_for
from tests.support_documents.documents import Block, Document, documents
from tests.support_documents.expectations import unmet
from tests.support_documents.session import Cluster, Session, restore

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, ("openssl", "curl", "psql"))), reason="needs openssl, curl and psql"
    ),
]
# The document that follows decision tables has a test that follows them.
DOCUMENTS = [d for d in documents() if d.is_for_support and d.blocks("sh")]
# A changed file counts after 7 s; Kubernetes needs up to two minutes more to bring it, the stand-in none.
IN_FORCE_SECONDS = 8.0
FAILS_AT_ONCE = {"kind": "status", "code": 401}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("documents")
    secrets = folder / "secrets"
    secrets.mkdir()
    tools = folder / "shell"
    tools.mkdir()
    system = System(folder / "system", settings=SHORT | {"SECRETS_DIR": str(secrets)}, openai_seconds=0.5)
    restore(Cluster(system, tools, secrets), tenant_files(system))
    shutil.rmtree(tools)
    tools.mkdir()
    with system:
        wait_for(lambda: "Sync completed: tenant_id=globex" in system.housekeeping.log_path.read_text(encoding="utf-8"))
        yield Cluster(system, tools, secrets)


@pytest.fixture(scope="module")
def world(cluster: Cluster) -> Iterator[World]:
    outside = World(cluster.system)
    past_of_the_documents(outside)
    yield outside
    outside.close()


def tenant_files(system: System) -> dict[str, str]:
    """The settings of tenants, as Kubernetes mounts them."""
    environment = system.workers[0].environment | system.api.environment
    return {name: value for name, value in environment.items() if name.startswith(tuple(TENANT_SETTINGS))}


def past_of_the_documents(world: World) -> None:
    """What the documents' examples happened to: ticket 12345 is done, others met what support meets."""
    world.create_ticket(id="12345")
    for name, fault in {"500": {"kind": "status", "code": 500}, "silent": {"kind": "silence"}}.items():
        ticket = world.create_ticket(f"Case {name}", send_webhook=False)
        world.desk_fault(ticket_id=ticket, tenant="acme", times=1, **fault)
        world.send_webhook(ticket)
    world.openai_fault(match="Case 429", times=1, kind="status", code=429)
    world.create_ticket("Case 429")
    refused = world.create_ticket(send_webhook=False)
    world.send_webhook(refused, wrong_signature=True)
    assert world.post_webhook("12345", tenant="nobody", secret="x").status_code == 403
    assert world.ended("12345")["state"] == "completed"


def fail_a_job(world: World, number: int) -> None:
    """A ticket whose job has failed for good: the desk says 401 once."""
    ticket = str(number)
    world.create_ticket(f"Case {ticket}", id=ticket, send_webhook=False)
    world.desk_fault(ticket_id=ticket, tenant="acme", times=1, **FAILS_AT_ONCE)
    world.send_webhook(ticket)
    assert world.ended(ticket)["state"] == "failed"


def as_here(block: Block, system: System) -> str:
    """The block with what is the reader's own: addresses, keys, and fewer workers than a cluster has."""
    state, environment = system.state, system.workers[0].environment
    key = environment["OPENAI_API_KEY"] if "OPENAI_API_KEY" in block.text else environment["SERVICEDESK_API_KEY_ACME"]
    own = {
        "API=https://api.ai-agents.com": f"API={state['api_url']}",
        "MODEL_URL=https://api.openai.com/v1": f"MODEL_URL={state['openai_url']}",
        "NEW_KEY=the-key": f"NEW_KEY={key}",
        "--replicas=10": "--replicas=2",
        "--replicas=5": "--replicas=1",
    }
    text = block.text
    for theirs, ours in own.items():
        text = text.replace(theirs, ours)
    return text


@pytest.mark.parametrize(("number", "document"), list(enumerate(DOCUMENTS, 12347)), ids=lambda value: getattr(value, "name", ""))
def test_each_command_prints_what_the_document_says(
    number: int, document: Document, cluster: Cluster, world: World
) -> None:
    restore(cluster, tenant_files(cluster.system))
    fail_a_job(world, number)
    session = Session(cluster)
    wrong = []
    for block in document.blocks("sh"):
        if why := not_run(document, block):
            assert why
            continue
        text = as_here(block, cluster.system).replace("TICKET=12347", f"TICKET={number}")
        printed = session.run(text)
        if "patch secret" in text:
            time.sleep(IN_FORCE_SECONDS)
        if block.expectation and (problem := unmet(block.expectation, printed)):
            wrong.append(f"line {block.line}: {problem}\n{text}\n{printed[:600]}")
    session.close()
    assert wrong == [], "\n\n".join(wrong)


def not_run(document: Document, block: Block) -> str:
    """Why a block is not run here; empty for those that are."""
    if "$REDIS_CLI" in block.text or "REDIS_URL" in block.text:
        return "the development system's Redis has no password to rotate"
    if "ADMIN_DB" in block.text:
        return "would change the password of the one role under the running system"
    if re.search(r"^DESK=", block.text, re.MULTILINE) is None and "$DESK" not in block.text:
        return ""
    return ""


def test_an_expectation_that_is_not_met_is_seen(cluster: Cluster, tmp_path: Path) -> None:
    """A document that promises another line than the system prints fails."""
    path = tmp_path / "docs" / "runbooks" / "lie.md"
    path.parent.mkdir(parents=True)
    command = 'kubectl logs deployment/ai-agents-api -n ai-agents-production --all-pods=true | grep "API ready"'
    path.write_text(f"```sh\n{command}\n```\n\nExpect `API ready.` and `API steady.`.\n", encoding="utf-8")
    (block,) = Document(path, tmp_path).blocks("sh")
    session = Session(cluster)
    printed = session.run(block.text)
    session.close()
    assert unmet("`API ready.`", printed) == ""
    assert unmet(block.expectation, printed) == "missing: ['API steady.']"
