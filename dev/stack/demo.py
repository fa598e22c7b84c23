"""`python -m dev.stack demo`: sample tickets on their way through the system."""

import json
import re
import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from cli.pilot.processes import Process, wait_until
from cli.pilot.programs import ROOT
from cli.trace import find, lines_of, tree
from dev.stack.desk_client import DeskClient, as_text
from dev.stack.environment import demo_tenants
from dev.stack.summary import command, relative
from dev.stack.system import System
from jobs.diagnosis.facts import DiagnosisSubject
from observability import log_events
from observability.tracing import WEBHOOK, WORKER

DEMO_TICKETS: list[dict[str, str]] = json.loads(Path(__file__).with_name("demo_tickets.json").read_text("utf-8"))
_OPENAI_SECONDS = 2.0
# Text format and INFO, so that the demo reads all lines.
_SETTINGS = {"LOG_LEVEL": "INFO", "LOG_FORMAT": "text"}
STAGES = {
    "received": log_events.WEBHOOK_RECEIVED,
    "queued": log_events.JOB_QUEUED,
    "context": log_events.CONTEXT_GATHERED,
    "GPT-4": log_events.GPT4_ANSWERED,
    "note": log_events.TICKET_UPDATED,
    "completed": log_events.TASK_COMPLETED,
}
# A failed attempt may be retried: the line contains which.
_FAILED = log_events.TASK_FAILED.template.partition(":")[0]
_IDS = re.compile(r"\| ticket_id: ([^\s,]+), tenant_id: ([^\s,]+)(?:, job_id: ([^\s,]+))?")
_SYNC_SECONDS = 8
_JOB_SECONDS = 14
_SPANS_SECONDS = 4
_POLL_SECONDS = 0.05
_BETWEEN_TICKETS_SECONDS = 0.4
NEXT = """
Next steps:
  make dev         keep the system running: create tickets in your browser, and see them in the console
  docs/running.md  connect a real desk and a real model
  CONTRIBUTING.md  change the code
  make test        run the tests"""


@dataclass
class TicketStory:
    """A ticket's logged stages; `stage` is the last one, or a failure's phrase."""

    tenant_id: str
    ticket_id: str
    subject: str
    created_at: float = field(default_factory=time.monotonic)
    job_id: str | None = None
    stage: str = ""


def follow(line: str, stories: dict[tuple[str, str], TicketStory]) -> TicketStory | None:
    """Update a ticket's story from a log line; return it at a new stage."""
    ids = _IDS.search(line)
    story = stories.get((ids[2], ids[1])) if ids else None
    if ids is None or story is None:
        return None
    story.job_id = ids[3] or story.job_id
    stage = next((name for name, phrase in STAGES.items() if phrase.template.partition("{")[0] in line), "")
    if _FAILED in line:
        stage = line[line.index(_FAILED) :].partition(" | ")[0]
    if stage in ("", story.stage):
        return None
    story.stage = stage
    return story


def demo_system() -> System:
    folder = ROOT / ".devstack" / "demo"
    return System(folder, tenants=demo_tenants(), openai_seconds=_OPENAI_SECONDS, settings=_SETTINGS, traces=True)


def play(system: System, console: Console) -> bool:
    """Start the system, create the tickets and show the results.

    Returns True if each ticket got its note. Raises the errors of `System.start`. The system stays running.
    """
    began = time.monotonic()
    _print(console, "Starting Postgres, Valkey, the API, a worker, a simulated desk and a simulated GPT-4 ...")
    system.start()
    _print(console, f"Ready after {time.monotonic() - began:.1f} s.")
    _await_context(system, console)
    try:
        with DeskClient(system.state["desk_url"], system.tenants) as desk:
            complete = _print_progress(system, desk, console)
    except httpx2.HTTPError as failure:
        _print(console, f"The simulated desk failed: {failure!r}. Its log: {relative(system.desk.log_path)}")
        return False
    if complete:
        _print(console, f"\nAll tickets have their notes, {time.monotonic() - began:.0f} s after the start.")
        _print(console, NEXT)
    return complete


def _print_progress(system: System, desk: DeskClient, console: Console) -> bool:
    _print(console, "\nCreating tickets; the desk sends a signed webhook for each:\n")
    stories = _watch(system, desk, console)
    # From the desk, not from the log.
    notes = {story.ticket_id: desk.notes(story.tenant_id, story.ticket_id) for story in stories}
    our_notes = {ticket: note for ticket, ticket_notes in notes.items() for note in ticket_notes if "Ref " in note}
    example = next((story for story in stories if story.ticket_id in our_notes), None)
    if example is not None:
        title = Text(f"Note in ticket {example.ticket_id}: {example.subject}")
        note = Text(as_text(our_notes[example.ticket_id]))
        _print(console, "")
        console.print(Panel(note, title=title, title_align="left", width=min(console.width, 100)))
        _show_lines(system, example, console)
        _show_trace(system, example, console)
    missing = [story for story in stories if story.ticket_id not in our_notes]
    for story in missing:
        state = f"Its last stage is '{story.stage}'." if story.stage else "No log line mentions it: no webhook arrived."
        _print(console, f"\nTicket {story.ticket_id} ({story.tenant_id}) has no note. {state}")
        for process in (system.api, *system.workers):
            _print(console, "\n  | ".join([f"{relative(process.log_path)}:", *process.tail(5)]))
    if (dead := system.died()) is not None:
        _print(console, f"\nProcess '{dead.name}' exited with status {dead.returncode}, which may be the cause.")
    return bool(stories) and not missing


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _await_context(system: System, console: Console) -> None:
    """Wait for each desk's first sync, because context comes from it."""
    phrase = log_events.SYNC_COMPLETED.template.partition(",")[0]
    phrases = [phrase.format(tenant_id=tenant.id) for tenant in system.tenants]
    output = system.housekeeping.output
    if not wait_until(lambda: all(phrase in output() for phrase in phrases), _SYNC_SECONDS, pause=_POLL_SECONDS):
        _print(console, f"The first sync is not complete after {_SYNC_SECONDS} s: notes may lack context.")


def _watch(system: System, desk: DeskClient, console: Console) -> list[TicketStory]:
    stories: dict[tuple[str, str], TicketStory] = {}
    read: dict[str, int] = {}
    began = time.monotonic()
    while time.monotonic() < began + _JOB_SECONDS:
        due = 1 + int((time.monotonic() - began) / _BETWEEN_TICKETS_SECONDS)
        for ticket in DEMO_TICKETS[len(stories) : due]:
            story = TicketStory(ticket["tenant"], desk.create_ticket(ticket), ticket["subject"])
            stories[story.tenant_id, story.ticket_id] = story
        for line in (line for process in (system.api, *system.workers) for line in _new_lines(process, read)):
            if advanced := follow(line, stories):
                about = f"ticket {advanced.ticket_id} ({advanced.tenant_id})"
                _print(console, f"  {time.monotonic() - advanced.created_at:5.1f} s  {about:<22} {advanced.stage}")
        if len(stories) == len(DEMO_TICKETS) and all(story.stage == "completed" for story in stories.values()):
            break
        time.sleep(_POLL_SECONDS)
    return list(stories.values())


def _new_lines(process: Process, read: dict[str, int]) -> list[str]:
    lines = process.output().split("\n")[read.get(process.name, 0) : -1]
    read[process.name] = read.get(process.name, 0) + len(lines)
    return lines


def _show_lines(system: System, story: TicketStory, console: Console) -> None:
    phrase = f"ticket_id: {story.ticket_id}"
    processes = (system.api, system.workers[0])
    files = " ".join(shlex.quote(str(relative(process.log_path))) for process in processes)
    _print(console, f'\nLog lines of this ticket:\n\n$ grep -h "{phrase}" {files}')
    for line in (line for process in processes for line in process.output().splitlines() if phrase in line):
        _print(console, line)


def _show_trace(system: System, story: TicketStory, console: Console) -> None:
    folder = Path(system.state["traces"])
    subject = DiagnosisSubject(story.ticket_id, story.tenant_id, None)
    deadline = time.monotonic() + _SPANS_SECONDS
    while not (
        traces := [trace for trace in find(folder, subject) if {WEBHOOK, WORKER} <= {span["name"] for span in trace}]
    ):
        if time.monotonic() > deadline:
            return
        time.sleep(_POLL_SECONDS)
    lines = lines_of(traces[0])
    _print(console, f"\n$ {command()} trace --ticket {story.ticket_id} --traces {relative(folder)}\n")
    console.print(tree(lines, max(line["end"] for line in lines), console.width))
