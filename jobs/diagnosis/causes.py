"""Causes by job reason: a verdict, a sentence for the client and an action.

Reasons are defined in `integrations.errors`, `integrations.resilience`, `jobs.repository` and `workflow.retry`; a test
covers all of them.
"""

import re
from dataclasses import dataclass

from integrations.errors import MODEL_UNAVAILABLE
from integrations.llm.spending import SPENDING_LIMIT
from integrations.rate_limit import REASON as RATE_LIMIT
from integrations.rate_limit import THROTTLED
from integrations.resilience import DeskHoldReason, HoldReason
from jobs.diagnosis.verdict_codes import VerdictCode
from jobs.repository import (
    ALREADY_ENHANCED,
    ANOTHER_FIRST,
    DRY_RUN,
    DUPLICATE,
    LEFT_OUT,
    NOTE_MISSING,
    NOTHING_FOUND,
    OWN_FAILURE_NOTE,
    REFRESHED_LATELY,
    RETRIED_BY_HAND,
    WORKER_LOST,
)
from privacy.tombstones import FORGOTTEN, NAMED_FORGOTTEN

DEADLINE_PASSED = "deadline passed"
ENDED_UNHELD = "worker lost at its last attempt"
"""What the reason of a job begins with that the relay has ended, since its worker fell silent."""
# The database appends the reason before for a job that no worker ended (`expire_jobs`).
_ENDED = re.compile(r"(.+?) \((?:last|before): (.+)\)", re.DOTALL)
_RETRY = "`ai-agents retry {job}`"
_STATUS_PAGE = "look at the model's status page"
_KEY = "SERVICEDESK_API_KEY_{suffix} (on premises), or SERVICEDESK_REFRESH_TOKEN_{suffix} (in the cloud)"
_NEW_KEY = (
    "have the client give us a new key: SERVICEDESK_API_KEY_{suffix} on premises; in the cloud "
    "SERVICEDESK_CLIENT_SECRET_{suffix} and SERVICEDESK_REFRESH_TOKEN_{suffix}, with {tenant}.servicedesk.client_id in "
    "tenants.toml"
)
_ASK_DESK = "ask the client whether their desk answers and whether it limits our account"

OF_SETTING = (
    "`ai-agents check --tenant {tenant} --no-model` names the setting: run it in the pod of a worker, and in the API's "
    "as well, which alone has the settings of webhooks; mend it"
)
_ADDRESS = "set OPENAI_BASE_URL to what stands before /chat/completions"
_ANY = (
    "`ai-agents check --tenant {tenant}` asks a small question: if that is refused as well, change OPENAI_MODEL, "
    "OPENAI_BASE_URL or OPENAI_API_KEY; else it is this ticket's text"
)
_FILTER = (
    "look at the content filter of the deployment, at the model's service, and at this ticket's text; a retry helps "
    "only once one of the two has changed"
)
_OTHER_CHAT = "set OPENAI_MODEL to a model that does chat completions at OPENAI_BASE_URL"
_LONGER = "set OPENAI_MODEL to a model that takes longer questions"
_OTHER_TEXT = "set OPENAI_MODEL to a model that takes such text; no other setting helps this ticket"
# Setting to change for a refused model request, by its code or parameter. The first match counts.
_SETTINGS = {
    "param model": _OTHER_CHAT,
    "unsupported_model": _OTHER_CHAT,
    "OperationNotSupported": _OTHER_CHAT,
    "context_length_exceeded": _LONGER,
    "string_above_max_length": _LONGER,
    "invalid_prompt": _OTHER_TEXT,
    "content_policy_violation": _OTHER_TEXT,
    "param reasoning": "set OPENAI_MODEL to a model that takes the effort `none`",
    "param ": "set OPENAI_MODEL or OPENAI_BASE_URL to a model or a service that takes this part of the question",
}
_FILTERED = re.compile(r"OpenAI API: (\d+) .*\((code content_filter.*)\)")
_BAD_REQUEST = re.compile(r"OpenAI API: 400 Bad Request \((.+)\)")


@dataclass(frozen=True, slots=True)
class JobCause:
    """Verdict of a reason with its texts.

    `text` follows `ticket 124 of acme`; `action` is the operator's action, empty for none. `retried`: retry by hand
    after the fix.
    """

    verdict: VerdictCode
    text: str
    action: str = ""
    retried: bool = True


def _model(text: str, action: str = _STATUS_PAGE) -> JobCause:
    return JobCause(VerdictCode.MODEL_FAILING, f"has no enhancement: {text}", action)


def _desk(text: str, action: str = _ASK_DESK) -> JobCause:
    return JobCause(VerdictCode.DESK_FAILING, f"has no enhancement: {text}", action)


def _held(text: str, action: str) -> JobCause:
    return JobCause(VerdictCode.MODEL_HELD, f"waits for the model: {text}", action)


def _no_retry(verdict: VerdictCode, text: str, action: str = "") -> JobCause:
    return JobCause(verdict, text, action, retried=False)


def _goes_on(why: str) -> JobCause:
    return _no_retry(VerdictCode.IN_PROGRESS, f"goes on by itself: {why}")


CAUSES: dict[str, JobCause] = {
    HoldReason.KEY_REFUSED: _held("its key is refused", "give the model's service a valid key (OPENAI_API_KEY)"),
    HoldReason.OUT_OF_CREDIT: _held(
        "the account has no credit", "add credit, or raise the limit, at the model's service"
    ),
    HoldReason.NOT_FOUND: _held("the service has none of that name", "mend OPENAI_MODEL, or OPENAI_BASE_URL"),
    HoldReason.NOT_PERMITTED: _held("we may not use it from here", "ask the model's service why"),
    SPENDING_LIMIT: _held(
        "the tenant has spent what it may in a day",
        "wait until midnight UTC, or raise {tenant}.openai.daily_tokens in tenants.toml",
    ),
    MODEL_UNAVAILABLE: _model("the model is down"),
    "GPT-4 timeout": _model("the model was silent for too long"),
    DeskHoldReason.CREDENTIALS_REFUSED: _desk("the desk refuses our key", _NEW_KEY),
    DeskHoldReason.NOTES_REFUSED: _desk(
        "the desk lets us add no notes", f"have the client give the right to add notes to {_KEY}"
    ),
    "desk unavailable": _desk("the desk is down, as far as we see"),
    "desk busy": _desk("the desk answers too slowly"),
    "desk key changed": JobCause(VerdictCode.IN_PROGRESS, "goes on by itself: the desk's key was just changed"),
    "note may still arrive": _goes_on("the desk did not say whether it has the note, which is looked for"),
    "ServiceDesk Plus timeout": _desk("the desk did not answer in time"),
    "ServiceDesk Plus API: no desk configured": _desk(
        "the workers know no desk of this tenant", "set SERVICEDESK_URL_<TENANT> and its key, where the workers run"
    ),
    NOTE_MISSING: _desk("the desk took the note and does not have it"),
    RATE_LIMIT: JobCause(
        VerdictCode.RATE_HELD,
        "waits: the desk has had its calls of this minute",
        "wait; if the desk bears more, raise {tenant}.servicedesk.rate_per_minute in tenants.toml",
    ),
    THROTTLED: JobCause(
        VerdictCode.RATE_HELD,
        "waits: the desk throttles our calls",
        "wait; if it lasts, lower {tenant}.servicedesk.rate_per_minute in tenants.toml, or have the client raise the "
        "desk's own limit",
    ),
    "tenant closed": JobCause(
        VerdictCode.TENANT_CLOSED,
        "waits: a setting of the client has to be mended with us",
        OF_SETTING,
    ),
    "database unreachable": JobCause(
        VerdictCode.DATABASE_FAILING, "has no enhancement: our database was away", "escalate to Engineering"
    ),
    "ticket not found": _no_retry(VerdictCode.TICKET_GONE, "was not in the desk any more when we came to it"),
    "ticket deleted or closed": _no_retry(VerdictCode.TICKET_GONE, "was closed or deleted before we came to it"),
    FORGOTTEN: _no_retry(VerdictCode.FORGOTTEN, "was erased with us at somebody's word, and gets no enhancement"),
    LEFT_OUT: _no_retry(
        VerdictCode.LEFT_OUT,
        "is of a kind that the client's rules leave out",
        "if it should not be: {tenant}.tickets in tenants.toml, then " + _RETRY,
    ),
    NOTHING_FOUND: _no_retry(
        VerdictCode.NOTHING_FOUND, "got no enhancement: nothing was like it, and the client wants no note then"
    ),
    DRY_RUN: _no_retry(
        VerdictCode.DRY_RUN,
        "got no enhancement: the client has dry runs for now",
        "`ai-agents show {job}` has the note; once the tenant is live, " + _RETRY,
    ),
    ALREADY_ENHANCED: _no_retry(
        VerdictCode.ALREADY_ENHANCED,
        "has its enhancement already, or may have it, by another job",
        "have the client look for `Ref`; if a second note is wanted, " + _RETRY,
    ),
    REFRESHED_LATELY: _no_retry(
        VerdictCode.ALREADY_ENHANCED,
        "had a further note within the hour",
        "once an hour: later, `ai-agents enhance --tenant {tenant} --ticket {ticket}`",
    ),
    DUPLICATE: _no_retry(VerdictCode.ANOTHER_JOB, "came twice: another job does the work of this webhook"),
    OWN_FAILURE_NOTE: _no_retry(
        VerdictCode.ANOTHER_JOB, "has our note that the model failed, and this webhook came of that note"
    ),
    ANOTHER_FIRST: _goes_on("another job of it is at work first"),
    RETRIED_BY_HAND: _goes_on("it was retried by hand"),
    NAMED_FORGOTTEN: _goes_on("GPT-4 is asked again, since its answer named what was erased"),
    WORKER_LOST: _goes_on("its worker ended in the middle of it"),
    ENDED_UNHELD: _no_retry(
        VerdictCode.WORKER_LOST,
        "has no enhancement: its job ended each worker that took it",
        "do not retry it; escalate to Engineering with the job's lines",
    ),
    DEADLINE_PASSED: JobCause(
        VerdictCode.DEADLINE_PASSED,
        "has no enhancement: no worker ended its job in time",
        "see that the workers take jobs",
    ),
    "attempt took too long": JobCause(
        VerdictCode.FAILED, "has no enhancement: reading what could help took too long", "look at the trace"
    ),
    "unexpected failure": JobCause(
        VerdictCode.FAILED, "has no enhancement: a mistake of ours", "escalate to Engineering with the job's lines"
    ),
}
"""By the whole reason; `_FAMILIES` has those that go on with what a server said."""
_FASTER = "raise the account's rate limit, or lower WORKER_CONCURRENCY"
_FAMILIES: tuple[tuple[str, JobCause], ...] = (
    (
        "OpenAI API: 429 Rate Limit (code rate_limit_exceeded)",
        _model("the model's service throttles us for the rate of questions", f"at the model's service, {_FASTER}"),
    ),
    (
        "OpenAI API: 429",
        _model(
            "the model's service throttles us: for the rate of questions, or for credit, which it does not say",
            f"look at both at the model's service: at the account's credit and limits of spending; and {_FASTER}",
        ),
    ),
    ("OpenAI API: content filter", _model("the content filter of the model's service refuses the answer", _FILTER)),
    ("OpenAI API: 405", _model("what answers is no model's service", _ADDRESS)),
    ("OpenAI API: 3", _model("what answers is no model's service", _ADDRESS)),
    ("OpenAI API: 4", _model("the model's service refuses this question", _ANY)),
    ("OpenAI API: ", _model("the model's service fails")),
    ("ServiceDesk Plus API: 401", _desk("the desk refuses our key", _NEW_KEY)),
    (
        "ServiceDesk Plus API: 403",
        _desk("the desk refuses it to our technician", f"have the client give the right to {_KEY}"),
    ),
    ("ServiceDesk Plus API: 429", _desk("the desk throttles us")),
    ("ServiceDesk Plus API: connection", _desk("the desk is not reached", "see that it runs, and the way there")),
    ("ServiceDesk Plus API: ", _desk("the desk fails")),
)
_ELSE = JobCause(VerdictCode.FAILED, "has no enhancement: its job failed", "look at the trace; escalate to Engineering")
FAILING = frozenset(
    {
        VerdictCode.MODEL_FAILING,
        VerdictCode.MODEL_HELD,
        VerdictCode.DESK_FAILING,
        VerdictCode.RATE_HELD,
        VerdictCode.TENANT_CLOSED,
        VerdictCode.DATABASE_FAILING,
        VerdictCode.CONTEXT_FAILING,
    }
)
"""What an earlier attempt may have met, so that it explains why a job waits or has run out of time."""
BEHIND_ANOTHER = frozenset({ANOTHER_FIRST, DUPLICATE, ALREADY_ENHANCED, REFRESHED_LATELY, OWN_FAILURE_NOTE})
"""Of jobs that another one of the ticket tells more of."""


def known_cause(reason: str) -> JobCause | None:
    """Return the cause of a reason; None for an unknown one.

    For a job that ran out of time, the failure that it met last explains more.
    """
    if refused := _FILTERED.fullmatch(reason):
        what = f"{refused[1]} ({refused[2]})"
        return _model(f"the content filter of the model's service refuses the question: {what}", _FILTER)
    if refused := _BAD_REQUEST.fullmatch(reason):
        action = next((setting for named, setting in _SETTINGS.items() if named in refused[1]), _ANY)
        return _model(f"the model's service refuses the question: 400 ({refused[1]})", action)
    found = CAUSES.get(reason) or next((cause for begins, cause in _FAMILIES if reason.startswith(begins)), None)
    ended = _ENDED.fullmatch(reason) if found is None else None
    if ended is None:
        return found
    found, met = CAUSES.get(ended[1]), known_cause(ended[2])
    explains = found is CAUSES[DEADLINE_PASSED] and met is not None and met.verdict in FAILING
    return met if explains else found


def cause_of(reason: str | None) -> JobCause:
    """Return the cause of an ended job; a general one for an unknown reason."""
    return known_cause(reason or "") or _ELSE
