"""The FAQ `enhancements not received`, followed word by word for each fault of its list, on the running system."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from devstack.system import System
from tests.documents.faq_faults import FAULTS, close
from tests.documents.faults import FaqFault, FaultStage, gone
from tests.documents.outages import worker_killed
from tests.documents.person import MISTAKES, FaqReader, Record
from tests.documents.procedure import Procedure, Unfollowable
from tests.kit.kubectl.shell import Shell
from tests.kit.system import QUICK, SHORT
from tests.kit.world import World
from tests.system.collector import collecting

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/support/faq/faq-enhancements-not-received.md"
OTHERWISE = "anything else, or nothing"
START, TRACE, QUICK_WAY = "Step 1", "Step 5", "The Quicker Way"


PODS = "kubectl get pods -n ai-agents-production"
# Rows that no fault here takes: they stand for mistakes of ours, which nobody can order, and for the one of two
# processes that seldom comes first.
UNPROVED = {
    ("What Does the Database Say?", "`another job`"),
    ("Resolution: Queuing Failure", "`Webhook error: unexpected failure`"),
    ("Was It Queued All the Same?", OTHERWISE),
    ("Is It in the Queue?", "`and not queued`"),
}


@dataclass(frozen=True)
class Ground:
    """A running system, and the person who is asked about it."""

    stage: FaultStage
    person: FaqReader


Records = dict[str, dict[str, Record]]


def arrives(document: Procedure, values: dict[str, str], do: Callable[[str, str], list[str]]) -> str:
    """The cause that a document leads to; nothing where it can't be followed to an end."""
    try:
        return document.follow(START, values, do).cause
    except Unfollowable:
        return ""


def swapped(text: str, one: int, other: int) -> str:
    """The document with the bodies of two steps the other way round."""
    parts = re.split(r"(^### Step \d.*\n|^### The Quicker Way\n)", text, flags=re.MULTILINE)
    places = [parts.index(next(part for part in parts if part.startswith(f"### Step {n}"))) + 1 for n in (one, other)]
    parts[places[0]], parts[places[1]] = parts[places[1]], parts[places[0]]
    return "".join(parts)


def misspelt(text: str, title: str, seen: str) -> str:
    """The document with a wrong letter in each phrase of one row."""
    place = text.index(f"| {seen} |", text.index(f"# {title}\n"))
    wrong = re.sub(r"`(.)", r"`~\1", seen)
    return text[: place + 2] + wrong + text[place + 2 + len(seen) :]


@contextmanager
def running(folder: Path, log_format: str) -> Iterator[Ground]:
    """A system for all faults, whose times are short and whose workers have few places."""
    settings = SHORT | QUICK | {"WORKER_CONCURRENCY": "4", "LOG_FORMAT": log_format}
    with collecting() as collector:
        settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        with System(folder / "system", settings=settings, openai_seconds=0.5, housekeeping=False) as system:
            (folder / "shell").mkdir()
            shell = Shell(system, folder / "shell")
            world = World(system)
            yield Ground(FaultStage(system, world, shell), FaqReader(shell, collector))
            world.close()


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One running system for all tests here."""
    with running(tmp_path_factory.mktemp("faq"), "text") as ready:
        yield ready


@pytest.fixture(scope="module")
def records() -> Records:
    """What was seen so far, by fault, and by the heading that was begun with."""
    return {}


@pytest.fixture(scope="module")
def document() -> Procedure:
    return Procedure(DOCUMENT.read_text(encoding="utf-8"))


def test_every_way_through_the_document_ends() -> None:
    """Each row leads to a heading that there is, and each heading of a cause is reached by a row."""
    document = Procedure(DOCUMENT.read_text(encoding="utf-8"))
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
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_document_leads_from_a_fault_to_its_cause(
    ground: Ground, document: Procedure, records: Records, fault: FaqFault
) -> None:
    """By its steps, by the trace, and by the quicker way; with two steps swapped it does not."""
    with fault.inject(ground.stage) as ticket_id:
        values = {"TICKET_ID": ticket_id, "TENANT": "acme"}
        told = {start: ground.person.record(document, start, values) for start in (START, TRACE, QUICK_WAY)}
        if fault.swapped:
            other = Procedure(swapped(DOCUMENT.read_text(encoding="utf-8"), *fault.swapped))
            assert arrives(other, values, ground.person.do) != fault.cause
    records[fault.name] = told
    ways = "\n".join(f"{start}: {' > '.join(record.arrival.way)}" for start, record in told.items())
    steps = told[START].arrival
    assert (steps.resolution, steps.cause) == (fault.resolution, fault.cause), ways
    assert told[TRACE].arrival.cause == (fault.traced or fault.cause), ways
    assert told[QUICK_WAY].arrival.cause == (fault.quick or fault.cause), ways


@pytest.mark.slow
def test_it_does_with_logs_in_json_too(tmp_path: Path, document: Procedure) -> None:
    """As they are in production: one fault of each kind, on a system of its own."""
    causes = {}
    with running(tmp_path, "json") as ground:
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
        assert done.status in ((0, 1) if "grep" in typed else (124,) if typed.endswith(" -f") else (0,)), done


def remedies(document: Procedure) -> list[str]:
    """Each command of the document that no step types, one a line."""
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)\n```", text, re.MULTILINE | re.DOTALL)
    steps = {section.todo for section in document.sections if section.rows}
    lines = [line for block in blocks if block not in steps for line in block.splitlines()]
    return list(dict.fromkeys([*lines, *re.findall(r"`(kubectl [^`]+)`", text)]))


@pytest.mark.slow
def test_a_document_with_one_wrong_phrase_leads_elsewhere(records: Records) -> None:
    """On what each fault let the person see: without a phrase on the way, the cause of at least one is not found."""
    text = DOCUMENT.read_text(encoding="utf-8")
    needed: dict[tuple[str, str], bool] = {}
    for record in (told[START] for told in records.values()):
        for row in record.arrival.taken:
            if "`" in row[1]:
                cause = arrives(Procedure(misspelt(text, *row)), record.values, record.do)
                needed[row] = needed.get(row, False) or cause != record.arrival.cause
    if not needed:
        pytest.skip("no fault was tried before")
    assert [row for row, is_needed in needed.items() if not is_needed] == []


@pytest.mark.slow
def test_each_row_of_the_document_is_taken_by_a_fault(document: Procedure, records: Records) -> None:
    """But for those that are named here: a row that nothing proves may lie."""
    if records.keys() != {fault.name for fault in FAULTS}:
        pytest.skip("not all faults were tried before")
    taken = {row for told in records.values() for record in told.values() for row in record.arrival.taken}
    rows = {(section.title, row.seen) for section in document.sections for row in section.rows}
    assert rows - taken - UNPROVED == set()
    assert UNPROVED - rows == set()
