"""The demo's progress: a live table on a terminal, a line for each event anywhere else."""

from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from devstack.story import STAGES, News, TicketStory

_LONGEST_SUBJECT = 44


class Screen:
    """Shows what happens to the tickets; `live` is the table to enter, None where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, refresh_per_second=12) if console.is_terminal else None

    def show(self, stories: Sequence[TicketStory], events: Sequence[News], now: float) -> None:
        """Show the events, and where each ticket is at `now` (seconds, of the stories' clock)."""
        if self.live is not None:
            self.live.update(_table(stories, now))
            return
        for event in events:
            ticket = f"ticket {event.ticket.ticket_id} ({event.ticket.tenant_id})"
            self.console.print(f"  {event.seconds:5.1f} s  {ticket:<22} {event.stage}", markup=False, highlight=False)


def _table(stories: Sequence[TicketStory], now: float) -> Table:
    table = Table("Ticket", "Tenant", "Subject", title="Seconds from the ticket's creation", title_justify="left")
    for stage in STAGES:
        table.add_column(stage, justify="right", min_width=8)
    for story in stories:
        subject = story.subject
        if len(subject) > _LONGEST_SUBJECT:
            subject = subject[: _LONGEST_SUBJECT - 1] + "…"
        table.add_row(story.ticket_id, story.tenant_id, Text(subject), *_cells(story, now))
    return table


def _cells(story: TicketStory, now: float) -> list[Text]:
    cells: list[Text] = []
    waiting = False
    for stage in STAGES:
        if stage in story.reached:
            cells.append(Text(f"{story.reached[stage]:.1f} ✓", "green"))
        elif waiting:
            cells.append(Text("·", "dim"))
        elif story.failure is not None:
            cells.append(Text("failed", "red"))
            waiting = True
        else:
            cells.append(Text(f"{now - story.created_at:.1f} …", "yellow"))
            waiting = True
    return cells
