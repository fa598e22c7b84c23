"""The FAQ's diagnosis commands, run word for word by a shell, and the log phrases that it expects."""

import re
from pathlib import Path

from cli.pilot.processes import Process
from dev.stack.system import System
from tests.kit.faq_runner import Shell

STEP_1 = 'kubectl logs deployment/ai-agents-api -n ai-agents-production --since=24h | grep "ticket_id: <TICKET_ID>"'
STEP_2 = (
    "kubectl logs deployment/ai-agents-api -n ai-agents-production --since=24h"
    ' | grep -A5 "ticket_id: <TICKET_ID>" | grep "Job queued"'
)
STEP_3 = "kubectl exec -it deployment/ai-agents-api -n ai-agents-production -- redis-cli -h redis LLEN celery"
STEP_4 = 'kubectl logs deployment/ai-agents-worker -n ai-agents-production --since=24h | grep "job_id: <JOB_ID>"'
CAUSE_3 = "kubectl logs deployment/ai-agents-worker -n ai-agents-production --tail=50 | grep -i error"
CAUSE_4 = 'kubectl logs deployment/ai-agents-worker -n ai-agents-production --since=24h | grep "ticket_id: <TICKET_ID>"'
# Phrases of the worker's log.
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


class Support:
    """A support shell with kubectl."""

    def __init__(self, system: System, folder: Path) -> None:
        self._shell = Shell(system, folder)

    def close(self) -> None:
        self._shell.close()

    def type(self, command: str, *, ticket_id: str = "", job_id: str = "") -> list[str]:
        """Run a command of the FAQ with its placeholders filled in; return its lines."""
        done = self._shell.run(command.replace("<TICKET_ID>", ticket_id).replace("<JOB_ID>", job_id))
        assert done.complaints == "", done
        return done.lines

    def job_of(self, ticket_id: str) -> str:
        """Run step 2; return the job id, an empty text if nothing was queued."""
        lines = self.type(STEP_2, ticket_id=ticket_id)
        own = [line for line in lines if f"ticket_id={ticket_id} " in f"{line} ".replace('"', " ").replace(",", " ")]
        return own[0].split("job_id=")[1].split(",")[0] if own else ""

    def worker_lines(self, ticket_id: str) -> list[str]:
        """Run step 4; return the worker's lines about the job of a ticket."""
        job_id = self.job_of(ticket_id)
        return self.type(STEP_4, job_id=job_id) if job_id else []
