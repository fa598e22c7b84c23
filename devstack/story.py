"""Progress of each ticket, from the log lines that support reads."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from observability import phrases

STAGES = {
    "received": phrases.WEBHOOK_RECEIVED,
    "queued": phrases.JOB_QUEUED,
    "context": phrases.CONTEXT_GATHERED,
    "GPT-4": phrases.GPT4_ANSWERED,
    "note": phrases.TICKET_UPDATED,
}
_ENDS = (phrases.TASK_COMPLETED, phrases.TASK_SKIPPED)
# A failed attempt may be retried: the line contains which.
_FAILED = phrases.TASK_FAILED
_IDENTIFIER = {name: re.compile(rf"\b{name}: ([^\s,\"]+)") for name in ("ticket_id", "tenant_id", "job_id")}


def fixed_part(phrase: phrases.Phrase) -> str:
    return phrase.template.partition("{")[0]


@dataclass
class TicketStory:
    """A ticket's seconds from creation to each logged stage."""

    tenant_id: str
    ticket_id: str
    subject: str
    created_at: float
    reached: dict[str, float] = field(default_factory=dict)
    job_id: str | None = None
    failure: str | None = None
    ended: bool = False


@dataclass(frozen=True)
class News:
    """A new stage of a ticket, or the phrase of a failure."""

    ticket: TicketStory
    stage: str
    seconds: float


def follow(lines: Sequence[str], stories: Sequence[TicketStory], now: float) -> Iterator[News]:
    """Update the stories from log lines; `now` is in seconds, as `created_at`."""
    for line in lines:
        story = _whose(line, stories)
        if story is None:
            continue
        seconds = now - story.created_at
        job = _IDENTIFIER["job_id"].search(line)
        story.job_id = job[1] if job else story.job_id
        for stage, phrase in STAGES.items():
            if fixed_part(phrase) in line and stage not in story.reached:
                story.reached[stage] = seconds
                yield News(story, stage, seconds)
        story.ended = story.ended or any(fixed_part(end) in line for end in _ENDS)
        if fixed_part(_FAILED) in line:
            story.failure = line[line.index(fixed_part(_FAILED)) :].partition(" | ")[0]
            yield News(story, story.failure, seconds)


def _whose(line: str, stories: Sequence[TicketStory]) -> TicketStory | None:
    found = {name: pattern.search(line) for name, pattern in _IDENTIFIER.items()}
    ticket, tenant = found["ticket_id"], found["tenant_id"]
    if ticket is None or tenant is None:
        return None
    ids = (tenant[1], ticket[1])
    return next((story for story in stories if (story.tenant_id, story.ticket_id) == ids), None)


class LogTail:
    """Reads new complete lines of a log file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new_lines(self) -> list[str]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as log:
            log.seek(self._offset)
            whole, end, _rest = log.read().rpartition(b"\n")
        self._offset += len(whole) + len(end)
        return whole.decode(errors="replace").splitlines() if end else []


def grep(text: str, paths: Sequence[Path]) -> list[str]:
    return [line for path in paths for line in path.read_text(errors="replace").splitlines() if text in line]
