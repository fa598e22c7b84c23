"""A running system for the FAQ's faults, and what follows the document on it.

The faults are done one after the other, and take minutes: two files have a half of them each, so that two processes
can have them at the same time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from devstack.system import System
from tests.documents.documents import ROOT, MarkdownFile
from tests.documents.faq_diagnoses import VERDICTS, diagnosed
from tests.documents.faq_faults import FAULTS
from tests.documents.faults import FaqFault, FaultStage
from tests.kit.faq_runner import FaqRunner, Shell
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import QUICK, SHORT
from tests.kit.world import World, wait_for
from tests.system.collector import collecting
from tests.system.console_reader import ConsoleReader

DOCUMENT = MarkdownFile(ROOT / "docs/support/faq/faq-enhancements-not-received.md")
START, TRACE, QUICK_WAY = "Step 1", "Step 5", "The Quicker Way"
_HALF = len(FAULTS) // 2
FIRST_HALF, SECOND_HALF = FAULTS[:_HALF], FAULTS[_HALF:]


@dataclass(frozen=True)
class Ground:
    """A running system, what follows the FAQ on it, and what somebody else reads in the console."""

    stage: FaultStage
    runner: FaqRunner
    console: ConsoleReader


@contextmanager
def running(folder: Path, log_format: str, loaded: LoadedPrograms) -> Iterator[Ground]:
    """A system for all faults, whose times are short and whose workers have few places."""
    settings = SHORT | QUICK | {"WORKER_CONCURRENCY": "4", "LOG_FORMAT": log_format}
    with collecting() as collector:
        settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        with System(
            folder / "system", settings=settings, openai_seconds=0.5, housekeeping=False, console=True, launch=loaded
        ) as system:
            shell = Shell(system, folder)
            world = World(system)
            console = ConsoleReader(system)
            yield Ground(FaultStage(system, world, shell), FaqRunner(DOCUMENT.text, shell, collector), console)
            console.close()
            world.close()
            shell.close()


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[Ground]:
    """One running system for all tests of a file."""
    with running(tmp_path_factory.mktemp("faq"), "text", loaded) as ready:
        yield ready


def follow(ground: Ground, fault: FaqFault) -> None:
    """See that the document leads from a fault to its cause: by its steps, by the trace, and by the quicker way.

    And that the one command says the same, and the console.
    """
    with fault.inject(ground.stage) as ticket_id:
        values = {"TICKET_ID": ticket_id, "TENANT": "acme"}
        # Between two tries a job is with a worker again, which is a verdict of its own for that moment.
        wait_for(lambda: diagnosed(ground.stage.shell, DOCUMENT, ticket_id) in VERDICTS[fault.cause])
        wait_for(lambda: ground.console.verdict(ticket_id) in VERDICTS[fault.cause])
        steps, traced, quick = (ground.runner.follow(start, values) for start in (START, TRACE, QUICK_WAY))
    told = "\n".join(" > ".join(section.title for section in way) for way in (steps, traced, quick))
    assert (steps[-1].resolution, steps[-1].title) == (fault.resolution, fault.cause), told
    assert traced[-1].title == (fault.traced or fault.cause), told
    assert quick[-1].title == (fault.quick or fault.cause), told
