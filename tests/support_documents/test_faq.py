"""The FAQ `enhancements not received`, followed word by word for each fault of its list, on the running system."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.system import System
from tests.e2e.collector import Collector, collecting
from tests.e2e.conftest import QUICK, SHORT
from tests.e2e.world import World
from tests.support_documents.faults import FAULTS, Fault, Stage
from tests.support_documents.procedure import Procedure, Unfollowable
from tests.support_documents.shell import Shell

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/support/faq/faq-enhancements-not-received.md"
START, TRACE, QUICK_WAY = "Step 1", "Step 5", "The Quicker Way"
# What the words of a mistake in a command are, rather than of a system in trouble.
MISTAKES = ("unknown flag", "unknown shorthand", "unknown command", "NotFound", "invalid argument", "command not found")


class Person:
    """Does what a step says: types a command, or searches for a trace by its tags."""

    def __init__(self, shell: Shell, collector: Collector) -> None:
        self._shell = shell
        self._collector = collector

    def do(self, language: str, text: str) -> list[str]:
        """What is seen then."""
        if language != "bash":
            return self._search(dict(word.split("=", 1) for word in text.split()))
        done = self._shell.run(text)
        seen = [*done.lines, *done.complaints.splitlines()]
        mistakes = [line for line in seen if any(word in line for word in MISTAKES)]
        if mistakes:
            raise Unfollowable(f"{text}: {mistakes}")
        return seen

    def _search(self, tags: dict[str, str]) -> list[str]:
        """The spans of the traces that the tags find: name, tags, and what a red one says."""
        found = {span.trace_id for span in self._collector.search(**tags)}
        spans = [span for span in list(self._collector.spans) if span.trace_id in found]
        return [
            " ".join(
                [
                    span.name,
                    *(f"{name}={value}" for name, value in span.tags.items()),
                    *(f"{name}={value}" for name, value in span.events.get("exception", {}).items()),
                ]
            )
            for span in spans
        ]


@pytest.fixture(scope="module", params=["text", "json"])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Person]]:
    """One running system for all faults, in each of the two log formats."""
    folder = tmp_path_factory.mktemp("faq")
    settings = SHORT | QUICK | {"SERVICEDESK_TIMEOUT_SECONDS": "5", "WORKER_CONCURRENCY": "4"}
    with collecting() as collector:
        settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        settings["LOG_FORMAT"] = request.param
        with System(folder / "system", settings=settings, openai_seconds=0.5, housekeeping=False) as system:
            (folder / "shell").mkdir()
            shell = Shell(system, folder / "shell")
            world = World(system)
            yield Stage(system, world, shell), Person(shell, collector)
            world.close()


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
    stage: tuple[Stage, Person], document: Procedure, fault: Fault
) -> None:
    """By its steps, by the trace, and by the quicker way."""
    ground, person = stage
    with fault.inject(ground) as ticket_id:
        arrivals = {
            start: document.follow(start, {"TICKET_ID": ticket_id, "TENANT": "acme"}, person.do)
            for start in (START, TRACE, QUICK_WAY)
        }
    told = "\n".join(f"{start}: {' > '.join(arrival.way)}" for start, arrival in arrivals.items())
    print(told)
    steps = arrivals[START]
    assert (steps.resolution, steps.cause) == (fault.resolution, fault.cause), told
    assert arrivals[TRACE].cause == fault.cause, told
    assert arrivals[QUICK_WAY].cause == (fault.quick or fault.cause), told
