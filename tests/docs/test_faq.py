"""The FAQ `enhancements not received`, followed literally for each fault."""

import os
import re
import signal
from pathlib import Path

import pytest

from config.exit_codes import OF_VERDICTS
from tests.docs.faq_faults import FAULTS, close
from tests.docs.faq_ground import BY_HAND, DOCUMENT, FIRST_HALF, START, TEXT, Ground, follow, running
from tests.docs.faults import FaqFault, gone
from tests.docs.outages import worker_killed
from tests.kit.faq_runner import MISTAKES, applies, sections
from tests.kit.loaded import LoadedPrograms

PODS = "kubectl get pods -n ai-agents-production"


def test_every_way_through_the_document_ends() -> None:
    assert DOCUMENT.anchors() & BY_HAND.anchors() == set()
    found = sections(TEXT)
    steps = [section for section in found.values() if section.rows]
    assert [section.title for section in steps][:5] == [
        "Step 1: Verify Webhook Delivery",
        "Step 2: Check Job Queuing",
        "Step 3: Check Queue Depth",
        "Step 4: Check Worker Processing",
        "Step 5: Use Distributed Tracing (End-to-End View)",
    ]
    targets = {target for section in steps for _, target in section.rows}
    assert targets - found.keys() == set()
    assert {anchor for anchor, section in found.items() if section.level == 4} - targets == set()
    for section in steps:
        assert section.rows[-1][0].startswith("anything else"), section.title


@pytest.mark.parametrize(
    ("row", "seen", "told"),
    [
        ("a number over 50", ["51"], {}),
        ("a number over 50", ["50"], None),
        ("a number", ["(nil)"], None),
        (
            "`a <JOB_ID>` or `b <JOB_ID>`",
            ["2026-11-01T10:00:02Z b two", "2026-11-01T10:00:01Z a one"],
            {"JOB_ID": "two"},
        ),
        ("`ticket_id=<TICKET_ID>`", ["ticket_id=12, ticket_id=123"], {"TICKET_ID": "12"}),
        ("`ticket_id=<TICKET_ID>`", ["ticket_id=123"], None),
        ("`Task failed`", ["Task completed"], None),
        ("anything else, or nothing", [], {}),
    ],
)
def test_a_row_matches_the_latest_line_and_whole_numbers(
    row: str, seen: list[str], told: dict[str, str] | None
) -> None:
    assert applies(row, seen, {"TICKET_ID": "12"}) == told


@pytest.mark.slow
@pytest.mark.parametrize("fault", FIRST_HALF, ids=lambda fault: fault.name)
def test_the_document_leads_from_a_fault_to_its_cause(ground: Ground, fault: FaqFault) -> None:
    follow(ground, fault)


@pytest.mark.slow
def test_the_document_leads_to_the_cause_with_json_logs_too(tmp_path: Path, loaded: LoadedPrograms) -> None:
    """Production logs JSON: one fault of each kind, on its own system."""
    causes = {}
    with running(tmp_path, "json", loaded) as ground:
        for fault in (fault for fault in FAULTS if fault.json):
            with fault.inject(ground.stage) as ticket_id:
                end = ground.runner.follow(START, {"TICKET_ID": ticket_id})[-1]
                causes[fault.name] = end.resolution, end.title
    assert causes == {fault.name: (fault.resolution, fault.cause) for fault in FAULTS if fault.json}


@pytest.mark.slow
def test_each_remedy_can_be_typed(ground: Ground) -> None:
    stage = ground.stage
    with gone(close)(stage) as ticket_id, worker_killed(stage):
        os.kill(stage.system.api.pid, signal.SIGKILL)
        stage.system.api.wait(5)
        stage.shell.look()
        stage.system.restart(stage.system.api)
    values = {"TICKET_ID": ticket_id, "TENANT": "acme", "JOB_ID": str(stage.world.job(ticket_id)["id"])}
    for name in ("worker", "api"):
        values[f"{name.upper()}_POD"] = stage.shell.run(f"{PODS} | grep {name}").lines[0].split()[0]
    for typed in remedies(ground):
        # A setting's name has the tenant in capitals.
        filled = typed.replace("SECRET_<TENANT>", "SECRET_ACME")
        for name, value in values.items():
            filled = filled.replace(f"<{name}>", value)
        done = stage.shell.run(filled)
        assert not MISTAKES.search(done.output + done.complaints), (filled, done)
        # Shown for a closed ticket.
        diagnosis = OF_VERDICTS["ticket_gone"]
        expected = {diagnosis} if "ai-agents diagnose" in filled else {0, 1} if "grep" in filled else {0}
        assert done.status in expected, (filled, done)


def remedies(ground: Ground) -> list[str]:
    """Return each command of the documents outside their steps, one a line."""
    steps = {section.command for section in ground.runner.sections.values() if section.rows}
    lines = [
        line
        for block in (*DOCUMENT.blocks("bash"), *BY_HAND.blocks("bash"))
        if block.text.strip() not in steps
        for line in block.text.splitlines()
    ]
    return list(dict.fromkeys([*lines, *re.findall(r"`(kubectl [^`]+)`", TEXT)]))
