"""A running system for the FAQ's faults, and a reader of the document on it.

The faults run one after the other and take minutes, so two files run one half each in parallel.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.stack.system import System
from tests.docs.documents import ROOT, MarkdownFile
from tests.docs.faq_faults import FAULTS, VERDICTS
from tests.docs.faults import FaqFault, FaultStage
from tests.kit.faq_runner import FaqRunner, Shell
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import QUICK, SHORT
from tests.kit.world import World, wait_for
from tests.system.collector import collecting
from tests.system.console_ground import ConsoleReader

DOCUMENT = MarkdownFile(ROOT / "docs/support/faq/faq-enhancements-not-received.md")
BY_HAND = MarkdownFile(ROOT / "docs/support/by-hand.md")
# The steps lead from the first page to the second and back.
TEXT = "\n".join(page.text for page in (DOCUMENT, BY_HAND))
START, TRACE, QUICK_WAY = "Step 1", "Step 5", "The Quicker Way"
_HALF = len(FAULTS) // 2
FIRST_HALF, SECOND_HALF = FAULTS[:_HALF], FAULTS[_HALF:]


@dataclass(frozen=True)
class Ground:
    """A running system, a reader of the FAQ on it, and a user of the console."""

    stage: FaultStage
    runner: FaqRunner
    console: ConsoleReader


@contextmanager
def running(folder: Path, log_format: str, loaded: LoadedPrograms) -> Iterator[Ground]:
    """Start a system with short times and few worker slots."""
    settings = SHORT | QUICK | {"WORKER_CONCURRENCY": "4", "LOG_FORMAT": log_format}
    with collecting() as collector:
        settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        with System(
            folder / "system", settings=settings, openai_seconds=0.5, housekeeping=False, console=True, launch=loaded
        ) as system:
            shell = Shell(system, folder)
            world = World(system)
            console = ConsoleReader(system)
            yield Ground(FaultStage(system, world, shell), FaqRunner(TEXT, shell, collector), console)
            console.close()
            world.close()
            shell.close()


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[Ground]:
    """Share one running system among all tests of a file."""
    with running(tmp_path_factory.mktemp("faq"), "text", loaded) as ready:
        yield ready


def diagnosed(shell: Shell, document: MarkdownFile, ticket_id: str) -> str:
    """Return the verdict of the document's command.

    It runs in a pod of the API if no worker is reachable.
    """
    (typed,) = (block.text for block in document.blocks("bash") if "ai-agents diagnose" in block.text)
    typed = f"{typed.strip()} --json".replace("<TENANT>", "acme").replace("<TICKET_ID>", ticket_id)
    done = shell.run(typed)
    if not done.output:
        done = shell.run(typed.replace("ai-agents-worker", "ai-agents-api"))
    assert done.output, done.complaints
    return str(json.loads(done.output)["verdict"])


def follow(ground: Ground, fault: FaqFault) -> None:
    """Check that the document leads from a fault to its cause.

    By its steps, the trace and the quick way; `ai-agents diagnose` and the console must agree.
    """
    with fault.inject(ground.stage) as ticket_id:
        values = {"TICKET_ID": ticket_id, "TENANT": "acme"}
        # Between two attempts a worker holds the job, which is another verdict for that moment.
        wait_for(lambda: diagnosed(ground.stage.shell, DOCUMENT, ticket_id) in VERDICTS[fault.cause])
        wait_for(lambda: ground.console.verdict(ticket_id) in VERDICTS[fault.cause])
        steps, traced, quick = (ground.runner.follow(start, values) for start in (START, TRACE, QUICK_WAY))
    told = "\n".join(" > ".join(section.title for section in way) for way in (steps, traced, quick))
    assert (steps[-1].resolution, steps[-1].title) == (fault.resolution, fault.cause), told
    assert traced[-1].title == (fault.traced or fault.cause), told
    assert quick[-1].title == (fault.quick or fault.cause), told
