"""All reasons that a job's row can have, collected from the code."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jobs.repository
from integrations import errors
from integrations.llm.spending import SPENDING_LIMIT
from integrations.rate_limit import REASON as RATE_LIMIT
from integrations.rate_limit import THROTTLED
from integrations.resilience import DeskHoldReason, HoldReason
from privacy.tombstones import FORGOTTEN, NAMED_FORGOTTEN
from workflow.nodes.resume import NoteMissingError, NoteUnsettledError

ROOT = Path(__file__).resolve().parents[3]
PRODUCT = ("workflow", "worker", "jobs", "integrations")
# Reasons of log lines only: a lost claim, and a job given back, which leaves none in the row.
NO_REASONS = {"claim lost", "worker stopping"}
# The position of the reason among the arguments.
PLACES = {"DeferredError": 0, "Outcome": 1, "Breaker": 1}
SERVERS_WORDS = [
    *("429 Rate Limit", "429 Rate Limit (code rate_limit_exceeded)", "500 Internal Server Error", "connection"),
    *("invalid answer", "400", "400 Bad Request (code unsupported_value, param temperature)"),
    *("400 Bad Request (code content_filter)", "content filter"),
]
# Words of events and of the row's webhook.
OTHER_WORDS = {
    *("SIGNED_BY_PREVIOUS", "SIGNED_KEY"),
    *("REFRESH_BY_HAND", "SEEN_REOPENED", "RECOVERED", "CONTEXT_INCOMPLETE", "CONTEXT_LATE", "CONTEXT_FAILED"),
}


def written_reasons() -> Iterator[str]:
    """Return each literal reason with which the code holds back or ends a job."""
    for path in (path for room in PRODUCT for path in (ROOT / room).rglob("*.py")):
        if path.stem == "embeddings":
            continue  # they hold back a search, not a job
        text = path.read_text(encoding="utf-8")
        names = dict(re.findall(r'^(_\w+) = "([^"]+)"', text, re.MULTILINE))
        for node in ast.walk(ast.parse(text)):
            place = PLACES.get(getattr(node.func, "id", "")) if isinstance(node, ast.Call) else None
            if isinstance(node, ast.Call) and place is not None:
                for given in node.args[place : place + 1]:
                    yield str(given.value) if isinstance(given, ast.Constant) else names.get(ast.unparse(given), "")


def raised_reasons() -> Iterator[str]:
    """Return the reason of each failure class, with a server's words if it has any."""
    for what in SERVERS_WORDS:
        for failure in (
            errors.ModelUnavailableError,
            errors.ModelRefusedError,
            errors.DeskUnavailableError,
            errors.DeskRefusedError,
        ):
            yield failure(what).reason
    raised: list[Any] = [
        errors.ModelTimeoutError(1),
        errors.DeskTimeoutError(),
        NoteMissingError(),
        errors.TicketNotFoundError("1"),
    ]
    raised += [errors.TicketClosedError(), errors.TicketTrashedError(), NoteUnsettledError(1), errors.DeskDeniedError()]
    raised += [errors.DeskRefusedError("no desk configured"), errors.ModelDeniedError("401 Unauthorized", "x")]
    yield from (failure.reason for failure in raised)
    yield errors.MODEL_UNAVAILABLE


def stored_reasons() -> Iterator[str]:
    for name, value in inspect.getmembers(jobs.repository):
        if name.isupper() and isinstance(value, str) and name not in OTHER_WORDS:
            yield value


_WRITTEN = {*written_reasons(), *raised_reasons(), *stored_reasons()}
_NAMED = {*HoldReason, *DeskHoldReason, SPENDING_LIMIT, RATE_LIMIT, THROTTLED, FORGOTTEN, NAMED_FORGOTTEN}
REASONS = sorted((_WRITTEN | _NAMED) - NO_REASONS - {""})
