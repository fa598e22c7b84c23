"""Phrases that the FAQ expects in the worker's log, and their comparison."""

import re

from dev.stack.processes import Process

STARTED = r"Task started: job_id=<J>, ticket_id=<T>"
HEALTHY = [
    STARTED,
    r"LangGraph workflow initiated",
    r"Context gathered: ticket_history=Yes, docs=Yes",
    r"GPT-4 API call: status=200",
    r"ServiceDesk Plus ticket updated: ticket_id=<T>",
    r"Task completed: job_id=<J>, duration=\d+s",
]
RETRIED = r"Task failed: job_id=<J>, ticket_id=<T>, reason=.*will be retried"


def assert_story(lines: list[str], patterns: list[str], ticket_id: str, job_id: str) -> None:
    rest = iter(lines)
    for pattern in patterns:
        wanted = re.compile(pattern.replace("<J>", job_id).replace("<T>", ticket_id) + r"(?![0-9])")
        assert any(wanted.search(line) for line in rest), f"{pattern!r} is not (in order) in:\n" + "\n".join(lines)


def lines_of(process: Process, job_id: str) -> list[str]:
    """Return a process's lines about a job, as step 4 does without a shell."""
    lines = process.log_path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if f"job_id: {job_id}" in line]
