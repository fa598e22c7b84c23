"""`python -m devstack demo`: sample tickets processed by the whole system."""

import json
import shlex
import time
from pathlib import Path

import httpx2
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from devstack.desk_client import DeskClient, as_text
from devstack.story import LogTail, TicketStory, follow, grep
from devstack.summary import command, relative
from devstack.system import System
from observability import phrases
from observability.tracing import WEBHOOK, WORKER
from support.diagnose.gathering import AskedAbout
from support.trace import find, lines_of, tree

DEMO_TICKETS: list[dict[str, str]] = json.loads(Path(__file__).with_name("demo_tickets.json").read_text("utf-8"))
OPENAI_SECONDS = 2.0
# Text format and INFO, so that the demo reads all lines.
SETTINGS = {"LOG_LEVEL": "INFO", "LOG_FORMAT": "text"}
_SYNC_SECONDS = 8
_JOB_SECONDS = 14
_SPANS_SECONDS = 4
_POLL_SECONDS = 0.05
_BETWEEN_TICKETS_SECONDS = 0.4


def play(system: System, console: Console) -> bool:
    """Start the system, create the tickets and show the results.

    Returns True if each ticket got its note. Raises the errors of `System.start`. The system is left running.
    """
    began = time.monotonic()
    _say(console, "Starting Postgres, Valkey, the API, a worker, and a simulated desk and GPT-4 ...")
    system.start()
    _say(console, f"All of it is ready after {time.monotonic() - began:.1f} s.")
    _await_context(system, console)
    try:
        complete = _tell(system, console)
    except httpx2.HTTPError as failure:
        _say(console, f"The simulated desk failed: {failure!r}. Its log: {relative(system.desk.log_path)}")
        return False
    if complete:
        _say(console, f"\nEvery ticket has its note, {time.monotonic() - began:.0f} s after the start.")
    return complete


def _tell(system: System, console: Console) -> bool:
    keys = {tenant.id: tenant.desk_key for tenant in system.tenants}
    with DeskClient(system.state["desk_url"], keys) as desk:
        _say(console, "\nPeople write tickets; the desk announces each one with a signed webhook:\n")
        stories = _watch(system, desk, console)
        missing = [story for story in stories if not _own_notes(desk, story)]
        shown = next((story for story in stories if story not in missing), None)
        if shown is not None:
            _show_note(desk, shown, console)
            _show_lines(system, shown, console)
            _show_trace(system, shown, console)
    for story in missing:
        _explain(system, story, console)
    if (dead := system.died()) is not None:
        _say(console, f"\nThe process '{dead.name}' ended by itself, with status {dead.returncode}: that may be why.")
    return bool(stories) and not missing


def closing_words() -> str:
    return (
        "\nWhere to look next:\n"
        "  make dev         the same system, left running: write tickets in your browser, and see them in the console\n"
        "  docs/running.md  how to point it at a real desk and a real key\n"
        "  CONTRIBUTING.md  how to change it\n"
        "  make test        the tests"
    )


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _await_context(system: System, console: Console) -> None:
    """Wait until each desk's history is synced, because context comes from it."""
    phrase = phrases.SYNC_COMPLETED.template.partition(",")[0]
    wanted = [phrase.format(tenant_id=tenant.id) for tenant in system.tenants]
    deadline = time.monotonic() + _SYNC_SECONDS
    while time.monotonic() < deadline:
        output = system.housekeeping.output()
        if all(line in output for line in wanted):
            return
        time.sleep(_POLL_SECONDS)
    _say(console, f"The first sync is not done after {_SYNC_SECONDS} s: notes may lack context.")


def _watch(system: System, desk: DeskClient, console: Console) -> list[TicketStory]:
    tails = [LogTail(process.log_path) for process in (system.api, *system.workers)]
    stories: list[TicketStory] = []
    began = time.monotonic()
    while time.monotonic() < began + _JOB_SECONDS:
        due = 1 + int((time.monotonic() - began) / _BETWEEN_TICKETS_SECONDS)
        for ticket in DEMO_TICKETS[len(stories) : due]:
            created_at = time.monotonic()
            ticket_id = desk.create_ticket(ticket)
            stories.append(TicketStory(ticket["tenant"], ticket_id, ticket["subject"], created_at))
        now = time.monotonic()
        for event in (event for tail in tails for event in follow(tail.new_lines(), stories, now)):
            about = f"ticket {event.ticket.ticket_id} ({event.ticket.tenant_id})"
            _say(console, f"  {event.seconds:5.1f} s  {about:<22} {event.stage}")
        if len(stories) == len(DEMO_TICKETS) and all(story.ended for story in stories):
            break
        time.sleep(_POLL_SECONDS)
    return stories


def _own_notes(desk: DeskClient, story: TicketStory) -> list[str]:
    """Return the notes of the ticket's job from the desk, not from the log."""
    return [note for note in desk.notes(story.tenant_id, story.ticket_id) if story.job_id and story.job_id in note]


def _show_note(desk: DeskClient, story: TicketStory, console: Console) -> None:
    note = as_text(_own_notes(desk, story)[0])
    _say(console, "")
    title = f"The note in ticket {story.ticket_id}: {story.subject}"
    console.print(Panel(Text(note), title=Text(title), title_align="left", width=min(console.width, 100)))


def _show_lines(system: System, story: TicketStory, console: Console) -> None:
    wanted = f"ticket_id: {story.ticket_id}"
    paths = [system.api.log_path, system.workers[0].log_path]
    shown = " ".join(shlex.quote(str(relative(path))) for path in paths)
    _say(console, f'\nWhat support greps for this ticket:\n\n$ grep -h "{wanted}" {shown}')
    for line in grep(wanted, paths):
        _say(console, line)


def _show_trace(system: System, story: TicketStory, console: Console) -> None:
    folder = Path(system.state["traces"])
    asked = AskedAbout(story.ticket_id, story.tenant_id, None)
    deadline = time.monotonic() + _SPANS_SECONDS
    while not (
        found := [trace for trace in find(folder, asked) if {WEBHOOK, WORKER} <= {one["name"] for one in trace}]
    ):
        if time.monotonic() > deadline:
            return
        time.sleep(_POLL_SECONDS)
    lines = lines_of(found[0])
    _say(console, f"\n$ {command()} trace --ticket {story.ticket_id} --traces {relative(folder)}\n")
    console.print(tree(lines, max(line["end"] for line in lines), console.width))


def _explain(system: System, story: TicketStory, console: Console) -> None:
    _say(console, f"\nTicket {story.ticket_id} ({story.tenant_id}) has no note. {_reason(story)}")
    for process in (system.api, *system.workers):
        lines = grep(f"ticket_id: {story.ticket_id}", [process.log_path])[-5:]
        _say(console, f"{relative(process.log_path)}:")
        for line in lines or process.tail(5):
            _say(console, f"  | {line}")


def _reason(story: TicketStory) -> str:
    if story.failure is not None:
        return story.failure
    last = next(reversed(story.reached), None)
    return f"It came as far as '{last}'." if last else "No log has a line of it: its webhook did not arrive."
