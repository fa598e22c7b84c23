"""The FAQ `enhancements not received`, followed word by word for each fault of its list, on the running system."""

import os
import re
import signal
from pathlib import Path

import pytest

from config.exits import OF_VERDICTS
from tests.documents.faq_faults import FAULTS, close
from tests.documents.faq_ground import (
    DOCUMENT,
    FIRST_HALF,
    START,
    Ground,
    Records,
    follow,
    look_at_all,
    running,
)
from tests.documents.faults import FaqFault, gone
from tests.documents.outages import worker_killed
from tests.documents.person import MISTAKES
from tests.documents.procedure import Procedure
from tests.kit.loaded import LoadedPrograms

PODS = "kubectl get pods -n ai-agents-production"


def test_every_way_through_the_document_ends(document: Procedure) -> None:
    """Each row leads to a heading that there is, and each heading of a cause is reached by a row."""
    steps = [section for section in document.sections if section.rows]
    assert [section.title for section in steps][:5] == [
        "Step 1: Verify Webhook Delivery",
        "Step 2: Check Job Queuing",
        "Step 3: Check Queue Depth",
        "Step 4: Check Worker Processing",
        "Step 5: Use Distributed Tracing (End-to-End View)",
    ]
    targets = {row.target for section in steps for row in section.rows}
    causes = [section for section in document.sections if section.level == 4]
    assert [section.title for section in causes if section.anchor not in targets] == []
    for section in steps:
        assert section.rows[-1].seen.startswith("anything else"), section.title


@pytest.mark.slow
@pytest.mark.parametrize("fault", FIRST_HALF, ids=lambda fault: fault.name)
def test_the_document_leads_from_a_fault_to_its_cause(
    ground: Ground, document: Procedure, records: Records, fault: FaqFault
) -> None:
    """By its steps, by the trace, and by the quicker way; with two steps swapped it does not."""
    follow(ground, document, records, fault)


@pytest.mark.slow
def test_it_does_with_logs_in_json_too(tmp_path: Path, document: Procedure, loaded: LoadedPrograms) -> None:
    """As they are in production: one fault of each kind, on a system of its own."""
    causes = {}
    with running(tmp_path, "json", loaded) as ground:
        for fault in (fault for fault in FAULTS if fault.json):
            with fault.inject(ground.stage) as ticket_id:
                arrival = document.follow(START, {"TICKET_ID": ticket_id}, ground.person.do)
                causes[fault.name] = arrival.resolution, arrival.cause
    assert causes == {fault.name: (fault.resolution, fault.cause) for fault in FAULTS if fault.json}


@pytest.mark.slow
def test_each_remedy_can_be_typed(ground: Ground, document: Procedure) -> None:
    """The commands that are no steps: they run, and kubectl has nothing against them."""
    stage = ground.stage
    with gone(close)(stage) as ticket_id, worker_killed(stage):
        os.kill(stage.system.api.pid, signal.SIGKILL)
        stage.system.api.wait(5)
        stage.shell.look()
        stage.system.restart(stage.system.api)
    values = {"TICKET_ID": ticket_id, "TENANT": "acme", "JOB_ID": str(stage.world.job(ticket_id)["id"])}
    for remedy in remedies(document):
        for name in ("worker", "api"):
            values[f"{name.upper()}_POD"] = stage.shell.run(f"{PODS} | grep {name}").lines[0].split()[0]
        # In the name of a key a tenant is in capitals; a small machine has no room for ten workers.
        typed = remedy.replace("SECRET_<TENANT>", "SECRET_ACME").replace("--replicas=10", "--replicas=2")
        for name, value in values.items():
            typed = typed.replace(f"<{name}>", value)
        done = stage.shell.run(f"timeout 2 {typed}" if typed.endswith(" -f") else typed)
        assert not any(word in done.complaints for word in (*MISTAKES, "Error", "error:")), done
        expected = {0, 1} if "grep" in typed else {124} if typed.endswith(" -f") else {0}
        # Of a ticket that was closed.
        expected = {OF_VERDICTS["ticket_gone"]} if "ai-agents diagnose" in typed else expected
        assert done.status in expected, done


def remedies(document: Procedure) -> list[str]:
    """Each command of the document that no step types, one a line."""
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)\n```", text, re.MULTILINE | re.DOTALL)
    steps = {section.todo for section in document.sections if section.rows}
    lines = [line for block in blocks if block not in steps for line in block.splitlines()]
    return list(dict.fromkeys([*lines, *re.findall(r"`(kubectl [^`]+)`", text)]))


@pytest.mark.slow
def test_each_row_of_the_document_is_taken_by_a_fault_and_needed(document: Procedure, records: Records) -> None:
    look_at_all(document, records)
