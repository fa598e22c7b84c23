"""The fault table: external fault -> worker log -> outcome of the job.

Each row is one ticket whose faults hit that ticket only. `test_fault_table.py` plays all of them at once on a real
system. Every text that a fault can carry contains `PLANTED`, which no line may show.
"""

import re
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
    tenant: str = ""  # any on premises
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


def faults_of_gpt4() -> list[FaultRow]:
    """Return every GPT-4 fault that holds no other jobs."""
    error = "OpenAI API error: "
    silent = rf"GPT-4 API call failed: timeout after {IDLE}s"
    invalid = error + "invalid answer"
    # Faults that hold the jobs of all rows: `tests/workflow/test_held.py`.
    statuses = {400: "Bad Request", 403: "Forbidden"}
    later = {408: "Request Timeout", 500: "Internal Server Error", 503: "Service Unavailable", 529: "Overloaded"}
    rate = "429 Rate Limit"
    return [
        *(
            failed(f"GPT-4 {code}", f"{error}{code} {words}", openai("status", code=code, message=PLANTED))
            for code, words in statuses.items()
        ),
        *(
            retried(f"GPT-4 {code}", f"{error}{code} {words}", openai("status", code=code, message=PLANTED))
            for code, words in later.items()
        ),
        *(
            replace(
                failed(
                    f"GPT-4 400{told or ', unknown names'}",
                    f"{error}400 Bad Request{re.escape(told)}",
                    openai("status", code=400, message=PLANTED, word=word, param=param),
                ),
                reason=f"OpenAI API: 400 Bad Request{told}",
            )
            for told, word, param in (
                (" (code unsupported_value, param temperature)", "unsupported_value", "temperature"),
                (" (code context_length_exceeded, param messages)", "context_length_exceeded", "messages[1].content"),
                (" (param model)", PLANTED, "model"),
                ("", PLANTED, PLANTED),
            )
        ),
        retried("GPT-4 429", error + rate, openai("status", code=429, message=PLANTED)),
        retried("GPT-4 429 with Retry-After", error + rate, openai("status", code=429, retry_after=6), wait="6"),
        retried("GPT-4 HTML", invalid, openai("html", message=PLANTED)),
        retried("GPT-4 without end", invalid, openai("huge", megabytes=6)),
        retried("GPT-4 HTML 502", error + "502 Bad Gateway", openai("html", code=502, message=PLANTED)),
        retried("error in a 200", error + "502 Bad Gateway", openai("error_in_200", message=PLANTED)),
        retried("429 in a 200", error + "429 Rate Limit", openai("error_in_200", code=429, message=PLANTED)),
        failed("403 in a 200", error + "403 Forbidden", openai("error_in_200", code=403, message=PLANTED)),
        retried("error event", error + "502 Bad Gateway", openai("error_event", message=PLANTED)),
        retried("error event 429", error + "429 Rate Limit", openai("error_event", code=429, message=PLANTED)),
        retried("error event of no status", error + "500 Internal Server Error", openai("error_event", code=302)),
        retried("GPT-4 silence", silent, openai("silence")),
        retried("stream stalls", silent, openai("stall")),
        retried("comments for ever", silent, openai("keep_alive", seconds=0.3)),
        retried("comments for ever after content", silent, openai("keep_alive", seconds=0.3, chunks=3)),
        retried("empty pieces for ever", silent, openai("empty_deltas", seconds=0.3)),
        retried(
            "answer without end", rf"GPT-4 API call failed: timeout after {TOTAL}s", openai("slow_stream", seconds=0.6)
        ),
        retried("stream cut", error + "connection", openai("cut")),
        retried("stream cut before content", error + "connection", openai("cut", chunks=0)),
        failed("refusal", invalid, openai("refusal")),
        failed("content filter", error + "content filter", openai("content_filter")),
        *(repaired(f"{kind} once", openai(kind)) for kind in ("cut_off", "malformed", "wrong_schema", "empty_choices")),
        *(
            failed(f"{kind} twice", invalid, openai(kind, times=2), calls=2)
            for kind in ("cut_off", "malformed", "wrong_schema", "empty_choices")
        ),
        repaired("no json_schema", openai("no_json_schema")),
        repaired("unsupported parameter", openai("refuse_parameter", param="stream_options")),
        repaired("fenced JSON", openai("fenced"), calls=1),
        repaired("not streamed", openai("not_streamed"), calls=1),
        repaired("hostile content", openai("hostile"), calls=1),
        repaired("comments, then the answer", openai("keep_alive", seconds=0.2, comments=4), calls=1),
    ]


_ERROR = "ServiceDesk Plus API error: "
_TIMEOUT = "ServiceDesk Plus API timeout"
_SETTLED = str(SETTLE)


def faults_of_desk() -> list[FaultRow]:
    """Return every desk fault that holds no other jobs.

    401: `tests/workflow/test_held.py`; 429: `tests/system/test_throttled.py`.
    """
    return [*_reading(), *_gone(), *_noting(), *_finding(), *_cloud(), *_tokens()]


def _reading() -> list[FaultRow]:
    """Faults of the desk while the ticket is read, before GPT-4 is called."""
    read = "read_ticket"

    def again(name: str, phrase: str, fault: FaultOrder, wait: str = "2") -> FaultRow:
        """A read has no side effect, so it is retried soon."""
        return retried(f"read: {name}", phrase, fault, calls=1, wait=wait)

    def ended(name: str, phrase: str, fault: FaultOrder) -> FaultRow:
        return failed(f"read: {name}", phrase, fault, calls=0)

    def inner(code: int) -> FaultOrder:
        return desk("inner_failure", read, inner_code=code, message=PLANTED)

    return [
        *(again(f"{code}", f"{_ERROR}{code}", desk("status", read, code=code)) for code in (500, 502, 503, 504)),
        again("503 with Retry-After", _ERROR + "503", desk("status", read, code=503, retry_after=4), wait="4"),
        *(ended(f"{code}", f"{_ERROR}{code}", desk("status", read, code=code, message=PLANTED)) for code in (400, 403)),
        *(ended(f"4000 with {code}", _ERROR + "400", inner(code)) for code in (4001, 4012, 4014, 4016, 4021)),
        ended("4000 with 4002", _ERROR + "403", inner(4002)),
        again("4000 with 4004", _ERROR + "500", inner(4004)),
        ended("warning", _ERROR + "3000", desk("warning", read, message=PLANTED)),
        ended("redirect", _ERROR + "302", desk("redirect", read, location=f"https://{PLANTED}.example/")),
        ended("HTML 404", _ERROR + "404", desk("html", read, code=404, message=PLANTED)),
        again("HTML", _ERROR + "invalid answer", desk("html", read, message=PLANTED)),
        again("HTML 502", _ERROR + "502", desk("html", read, code=502, message=PLANTED)),
        again("not JSON", _ERROR + "invalid answer", desk("not_json", read)),
        again("without end", _ERROR + "invalid answer", desk("huge", read, megabytes=6)),
        again("silence", _TIMEOUT, desk("silence", read)),
        again("slow", _TIMEOUT, desk("slow", read, seconds=DESK + 2)),
        again("cut", _ERROR + "connection", desk("cut", read)),
        again("cut before the answer", _ERROR + "connection", desk("cut_after", read)),
    ]


def _gone() -> list[FaultRow]:
    """Tickets that are gone, in each way that the desk reports it: skipped."""
    phrase, reason = "Ticket not found: <T>", "ticket not found"
    thinking = openai("slow_stream", seconds=0.25)
    rows = [
        skipped("404", phrase, desk("status", "read_ticket", code=404, message=PLANTED), reason=reason),
        skipped("4000 with 4007", phrase, desk("inner_failure", "read_ticket", inner_code=4007), reason=reason),
        skipped("404 to the note", phrase, desk("status", "add_note", code=404), reason=reason, calls=1),
        replace(skipped("deleted", phrase, reason=reason), before=None),
        replace(skipped("deleted meanwhile", phrase, thinking, reason=reason, calls=1), meanwhile=None),
    ]
    phrase, reason = "Ticket deleted/closed", "ticket deleted or closed"
    changes: dict[str, dict[str, Any]] = {"closed": {"status": "Closed"}, "trashed": {"is_trashed": True}}
    for name, change in changes.items():
        rows.append(replace(skipped(name, phrase, reason=reason), before=change))
        meanwhile = skipped(f"{name} meanwhile", phrase, thinking, reason=reason, calls=1)
        rows.append(replace(meanwhile, meanwhile=change))
    return rows


def _noting() -> list[FaultRow]:
    """Faults while the note is posted: GPT-4 has answered, and is paid once."""
    add = "add_note"

    def posted_again(name: str, phrase: str, fault: FaultOrder, wait: str = _SETTLED) -> FaultRow:
        return retried(f"note: {name}", phrase, fault, calls=1, then=(KEPT, UPDATED), wait=wait)

    def found(name: str, phrase: str, fault: FaultOrder) -> FaultRow:
        """The note was stored anyway: the second attempt finds it without a GPT-4 call."""
        return retried(f"note stored: {name}", phrase, fault, calls=1, then=(UPDATED,), wait=_SETTLED)

    def ended(name: str, phrase: str, fault: FaultOrder) -> FaultRow:
        return failed(f"note: {name}", phrase, fault)

    return [
        posted_again("408", _ERROR + "408", desk("status", add, code=408), wait="2"),
        *(posted_again(f"{code}", f"{_ERROR}{code}", desk("status", add, code=code)) for code in (500, 503)),
        posted_again("408 with Retry-After", _ERROR + "408", desk("status", add, code=408, retry_after=4), wait="4"),
        posted_again("4000 with 4004", _ERROR + "500", desk("inner_failure", add, message=PLANTED)),
        posted_again("HTML", _ERROR + "invalid answer", desk("html", add, message=PLANTED)),
        posted_again("silence", _TIMEOUT, desk("silence", add)),
        found("500", _ERROR + "500", desk("status", add, performed=True, message=PLANTED)),
        found("4000 with 4004", _ERROR + "500", desk("inner_failure", add, performed=True)),
        found("HTML", _ERROR + "invalid answer", desk("html", add, performed=True)),
        found("not JSON", _ERROR + "invalid answer", desk("not_json", add, performed=True)),
        found("silence", _TIMEOUT, desk("silence", add, performed=True)),
        found("slow", _TIMEOUT, desk("slow", add, seconds=DESK + 2)),
        found("slow, after our time limit", _TIMEOUT, desk("slow", add, seconds=DESK + 2, performed=False)),
        found("cut", _ERROR + "connection", desk("cut", add)),
        found("cut before the answer", _ERROR + "connection", desk("cut_after", add)),
        *(ended(f"{code}", f"{_ERROR}{code}", desk("status", add, code=code)) for code in (400, 403)),
        ended("warning", _ERROR + "3000", desk("warning", add, message=PLANTED)),
        ended("4000 with 4002", _ERROR + "403", desk("inner_failure", add, inner_code=4002, message=PLANTED)),
        ended("redirect", _ERROR + "302", desk("redirect", add, location=f"https://{PLANTED}.example/")),
    ]


def _finding() -> list[FaultRow]:
    """The note is stored, its answer lost, and the look for it fails: one note."""

    def twice(name: str, phrase: str, fault: FaultOrder) -> FaultRow:
        lost = _ERROR + "connection"
        first, again = (f"will be retried in {wait}s" for wait in (_SETTLED, "[345]"))
        told = (lost, failed_line(lost, first), STARTED, phrase, failed_line(phrase, again), STARTED, UPDATED)
        return FaultRow(f"find: {name}", (desk("cut_after", "add_note"), fault), told, "completed", attempts=3)

    return [
        twice("500", _ERROR + "500", desk("status", "list_notes", message=PLANTED)),
        twice("408", _ERROR + "408", desk("status", "list_notes", code=408)),
        twice("HTML", _ERROR + "invalid answer", desk("html", "list_notes", message=PLANTED)),
        twice("silence", _TIMEOUT, desk("silence", "list_notes")),
        twice("4000 with 4004", _ERROR + "500", desk("inner_failure", "list_notes")),
        twice("500 to one note", _ERROR + "500", desk("status", "read_note")),
    ]


def _cloud() -> list[FaultRow]:
    """The cloud edition: the same answers, and a token that the desk may refuse once."""
    lost = retried(
        "note", _ERROR + "connection", desk("cut_after", "add_note"), calls=1, then=(UPDATED,), wait=_SETTLED
    )
    rows = [
        retried("read: 500", _ERROR + "500", desk("status", "read_ticket"), calls=1),
        retried("read: silence", _TIMEOUT, desk("silence", "read_ticket"), calls=1),
        retried("note: 408", _ERROR + "408", desk("status", "add_note", code=408), calls=1, then=(KEPT, UPDATED)),
        replace(lost, name="note stored: cut before the answer"),
        repaired("read: 401 once", desk("status", "read_ticket", code=401), calls=1),
        repaired("note: 401 once", desk("status", "add_note", code=401), calls=1),
    ]
    return [row.of("cloud") for row in rows]


def _tokens() -> list[FaultRow]:
    """Faults of the accounts host.

    Tokens are shared by a tenant's jobs, so each row has a tenant of its own.
    """

    def again(tenant: str, phrase: str, kind: str, **more: Any) -> FaultRow:
        return retried("token", phrase, desk(kind, "token", **more), calls=1).of(tenant)

    def ended(tenant: str, phrase: str, kind: str, **more: Any) -> FaultRow:
        return failed("token", phrase, desk(kind, "token", **more), calls=0).of(tenant)

    return [
        again("too-many-tokens", _ERROR + "429", "token_refused", message="Access Denied"),
        again("unknown-refusal", _ERROR + "invalid answer", "token_refused", message=PLANTED),
        again("token-html", _ERROR + "invalid answer", "html", message=PLANTED),
        again("token-429", _ERROR + "429", "status", code=429, message=PLANTED),
        again("token-500", _ERROR + "500", "status", message=PLANTED),
        again("token-silence", _TIMEOUT, "silence"),
        again("token-cut", _ERROR + "connection", "cut_after"),
        ended("token-403", _ERROR + "403", "status", code=403, message=PLANTED),
    ]
