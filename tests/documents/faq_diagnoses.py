"""Verdicts of `ai-agents diagnose`, compared with the cause of the FAQ's steps."""

import json
from collections.abc import Mapping

from tests.documents.documents import MarkdownFile
from tests.kit.faq_runner import Shell
from tests.system.console_reader import AWAY

_AWAY = {"database_failing", AWAY}
_QUEUED, _WORKERS = {"not_queued", *_AWAY}, {"no_worker", "in_progress"}
VERDICTS: Mapping[str, set[str]] = {
    "Never Sent": {"webhook_missing"},
    "API Down": {"webhook_missing"},
    # A request to a wrong address shows neither ticket nor tenant.
    "Wrong Address": {"webhook_missing"},
    "Refused With 403": {"webhook_rejected", "tenant_closed"},
    "Refused for Its Form": {"webhook_rejected"},
    "Too Many Jobs Waiting": {"webhook_rejected"},
    "Redis or Both Stores Down": _QUEUED,
    "Redis Refuses Us": _QUEUED,
    "Redis Takes Nothing": _QUEUED,
    "Too Few Workers": {"waiting_backlog", "no_worker"},
    # In its first seconds such a job waits like any other.
    "Alive but Taking Nothing": _WORKERS,
    "Crashing": _WORKERS,
    "Not Starting": {"no_worker"},
    "No Room": {"no_worker"},
    "Database Down": _AWAY,
    "Ended at Its Deadline": {"deadline_passed"},
    "1. GPT-4 API Timeout/Error": {"model_failing", "model_held"},
    "2. ServiceDesk Plus API Unavailable": {"desk_failing", "rate_held", "tenant_closed"},
    "3. Invalid Ticket ID": {"ticket_gone", "forgotten"},
    "4. Context Gathering Timeout": {"context_failing"},
    "5. Anything Else": {"worker_lost", "failed", "in_progress"},
    # It reports the outcome of the ticket's other job.
    "Another Job Has It": {"delivered", "in_progress", "already_enhanced", "another_job"},
    "Slow but in Progress": {"in_progress"},
    "Nothing Is Wrong": {"delivered"},
}
"""By the heading of a cause."""


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
