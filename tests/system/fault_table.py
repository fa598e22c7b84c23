"""The fault table: external fault -> worker log -> outcome of the job.

Each row is one ticket whose faults hit that ticket only; the rows are in `faults_of_gpt4` and `faults_of_desk`.
`test_fault_table.py` plays all of them at once on a real system. Every text that a fault can carry contains
`PLANTED`, which no line may show.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.system.stories import STARTED

PLANTED = "hunter2-<b>zebra</b>"
IDLE, TOTAL, DESK, SETTLE = 5, 10, 5, 6
"""Seconds: the limits of GPT-4's silence, of its whole answer, of one answer of the desk, and of a note's arrival."""

Server = Literal["desk", "openai"]
FaultOrder = tuple[Server, Mapping[str, Any]]

ANSWERED = r"GPT-4 API call: status=200"
UPDATED = r"ServiceDesk Plus ticket updated: ticket_id=<T>"
COMPLETED = r"Task completed: job_id=<J>, duration=\d+s"
KEPT = r"GPT-4 answer of an earlier attempt used"


@dataclass(frozen=True)
class FaultRow:
    """One fault. `told` are the expected log phrases, in order, between start and end.

    `calls` is the number of GPT-4 requests, `attempts` that of the job. `ends` and `reason` are the job's state and
    reason. `before` and `meanwhile` (while GPT-4 answers) are changes of the ticket; None is its deletion.
    """

    name: str
    faults: tuple[FaultOrder, ...]
    told: tuple[str, ...]
    ends: Literal["completed", "skipped", "failed"]
    attempts: int = 1
    calls: int = 1
    reason: str | None = None
    tenant: str = "acme"
    before: Mapping[str, Any] | None = field(default_factory=dict)
    meanwhile: Mapping[str, Any] | None = field(default_factory=dict)

    @property
    def notes(self) -> int:
        return 1 if self.ends == "completed" else 0

    def of(self, tenant: str) -> "FaultRow":
        """Return the same fault at another tenant's desk."""
        return replace(self, name=f"{self.name}, {tenant}", tenant=tenant)


def desk(kind: str, operation: str, *, times: int | None = 1, **more: Any) -> FaultOrder:
    return "desk", {"kind": kind, "operation": operation, **({"times": times} if times else {}), **more}


def openai(kind: str, *, times: int | None = 1, **more: Any) -> FaultOrder:
    return "openai", {"kind": kind, **({"times": times} if times else {}), **more}


def reason_of(phrase: str) -> str:
    """Return the reason that belongs to a failure's phrase."""
    for server in ("OpenAI API", "ServiceDesk Plus API"):
        if phrase.startswith(f"{server} error: "):
            return f"{server}: {phrase.removeprefix(f'{server} error: ')}"
    return "GPT-4 timeout" if phrase.startswith("GPT-4") else "ServiceDesk Plus timeout"


def failed_line(phrase: str, words: str) -> str:
    """Return the line that ends an attempt that failed with that phrase."""
    reason = rf"{reason_of(phrase)}(?: \(code rate_limit_exceeded\))?"
    return f"Task failed: job_id=<J>, ticket_id=<T>, reason={reason}; {words}"


def retried(
    name: str,
    phrase: str,
    *faults: FaultOrder,
    calls: int = 2,
    then: tuple[str, ...] = (ANSWERED, UPDATED),
    wait: str = "2",
) -> FaultRow:
    """The fault hits one attempt; the next one completes, after `wait` seconds."""
    line = failed_line(phrase, rf"will be retried in {wait}s")
    return FaultRow(name, faults, (phrase, line, STARTED, *then), "completed", attempts=2, calls=calls)


def failed(name: str, phrase: str, *faults: FaultOrder, calls: int = 1) -> FaultRow:
    """Retries do not help: one attempt."""
    told = (phrase, failed_line(phrase, "not retried"))
    return FaultRow(name, faults, told, "failed", calls=calls, reason=reason_of(phrase))


def repaired(name: str, *faults: FaultOrder, calls: int = 2) -> FaultRow:
    """The client recovers within the attempt: nothing failed."""
    return FaultRow(name, faults, (ANSWERED, UPDATED), "completed", calls=calls)


def skipped(name: str, phrase: str, *faults: FaultOrder, reason: str, calls: int = 0) -> FaultRow:
    """The ticket is gone or closed, which is expected."""
    line = f"Task skipped: job_id=<J>, ticket_id=<T>, reason={reason}"
    return FaultRow(name, faults, (phrase, line), "skipped", reason=reason, calls=calls)
