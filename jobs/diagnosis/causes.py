"""Causes by job reason: a verdict, a sentence for the client and a next step.

Reasons are defined in `integrations.errors`, `integrations.resilience`, `jobs.repository` and `workflow.retry`; a test
covers all of them.
"""

import re
from dataclasses import dataclass

from config.tenants import setting_suffix
from integrations.errors import MODEL_UNAVAILABLE
from integrations.llm.spending import SPENDING_LIMIT
from integrations.rate_limit import REASON as RATE_LIMIT
from integrations.rate_limit import THROTTLED
from integrations.resilience import DeskHoldReason, HoldReason
from jobs.diagnosis.verdict_codes import VerdictCode
from jobs.repository import (
    ALREADY_ENHANCED,
    ANOTHER_FIRST,
    DEADLINE_PASSED,
    DRY_RUN,
    DUPLICATE,
    HELD_OUT,
    LAST_WORKER_LOST,
    LEFT_OUT,
    NOTE_MISSING,
    NOTHING_FOUND,
    OWN_FAILURE_NOTE,
    REFRESHED_LATELY,
    RETRIED_BY_HAND,
    WORKER_LOST,
)
from privacy.tombstones import FORGOTTEN, NAMED_FORGOTTEN

# The database appends the earlier reason if it ends a job itself (`expire_jobs`).
_ENDED = re.compile(r"(.+?) \((?:last|before): (.+)\)", re.DOTALL)
_RETRY = "`ai-agents retry {job}`"
_STATUS_PAGE = "check the status page of the model's provider"
_DESK_STATE = "ask the client whether the desk is up and whether it limits our account"
_NEW_KEY = (
    "ask the client for a new key: SERVICEDESK_API_KEY_{suffix} on premises; in the cloud "
    "SERVICEDESK_CLIENT_SECRET_{suffix} and SERVICEDESK_REFRESH_TOKEN_{suffix}, with {tenant}.servicedesk.client_id in "
    "tenants.toml"
)
_RIGHT = (
    "ask the client to give {right} to SERVICEDESK_API_KEY_{{suffix}} (on premises) or SERVICEDESK_REFRESH_TOKEN_"
    "{{suffix}} (in the cloud)"
)
CHECK_SETTINGS = (
    "run `ai-agents check --tenant {tenant} --no-model` where a worker runs, and where the API runs, since only it has "
    "the settings of webhooks; fix the setting that it names"
)
_ADDRESS = "set OPENAI_BASE_URL to the part of the address before /chat/completions"
_ANY = (
    "run `ai-agents check --tenant {tenant}`, which sends a small request; if that is refused too, change "
    "OPENAI_MODEL, OPENAI_BASE_URL or OPENAI_API_KEY; otherwise the ticket's text is the cause"
)
_FILTER = (
    "check the content filter of the deployment and the ticket's text; a retry helps only after one of them has changed"
)
_OTHER_CHAT = "set OPENAI_MODEL to a model that supports chat completions at OPENAI_BASE_URL"
_LONGER = "set OPENAI_MODEL to a model with a larger context"
_OTHER_TEXT = "set OPENAI_MODEL to a model that accepts this text; no other setting helps this ticket"
# Next step for a refused request, by the code or parameter in the answer. The first match counts.
_SETTINGS = {
    "param model": _OTHER_CHAT,
    "unsupported_model": _OTHER_CHAT,
    "OperationNotSupported": _OTHER_CHAT,
    "context_length_exceeded": _LONGER,
    "string_above_max_length": _LONGER,
    "invalid_prompt": _OTHER_TEXT,
    "content_policy_violation": _OTHER_TEXT,
    "param reasoning": "set OPENAI_MODEL to a model that accepts the effort `none`",
    "param ": "set OPENAI_MODEL or OPENAI_BASE_URL to a model or a service that accepts this parameter",
}
_FILTERED = re.compile(r"OpenAI API: (\d+) .*\((code content_filter.*)\)")
_BAD_REQUEST = re.compile(r"OpenAI API: 400 Bad Request \((.+)\)")


@dataclass(frozen=True, slots=True)
class JobCause:
    """Verdict of a reason with its texts."""

    verdict: VerdictCode
    text: str  # follows `Ticket 124 of acme`
    action: str = ""  # the operator's next step, empty for none
    retried: bool = True  # by hand, after the fix

    def action_for(self, tenant_id: str | None, ticket_id: str | None = None, job_id: object = "") -> str:
        suffix = setting_suffix(tenant_id) if tenant_id else "<TENANT>"
        return self.action.format(tenant=tenant_id, ticket=ticket_id, job=job_id, suffix=suffix)


def _model(text: str, action: str = _STATUS_PAGE) -> JobCause:
    return JobCause(VerdictCode.MODEL_FAILING, f"has no enhancement: {text}", action)


def _desk(text: str, action: str = _DESK_STATE) -> JobCause:
    return JobCause(VerdictCode.DESK_FAILING, f"has no enhancement: {text}", action)


def _paused(text: str, action: str) -> JobCause:
    return JobCause(VerdictCode.MODEL_HELD, f"is paused: {text}", action)


def _no_retry(verdict: VerdictCode, text: str, action: str = "") -> JobCause:
    return JobCause(verdict, text, action, retried=False)


def _continues(reason: str) -> JobCause:
    return _no_retry(VerdictCode.IN_PROGRESS, f"continues by itself: {reason}")


CAUSES: dict[str, JobCause] = {
    HoldReason.KEY_REFUSED: _paused("the model refuses our key", "set a valid OPENAI_API_KEY"),
    HoldReason.OUT_OF_CREDIT: _paused("the model's account has no credit", "add credit or raise the account's limit"),
    HoldReason.NOT_FOUND: _paused("the model does not exist", "fix OPENAI_MODEL or OPENAI_BASE_URL"),
    HoldReason.NOT_PERMITTED: _paused("the model's provider denies access", "ask the model's provider why"),
    SPENDING_LIMIT: _paused(
        "the tenant's spending limit for today is reached",
        "wait until midnight UTC, or raise {tenant}.openai.daily_tokens in tenants.toml",
    ),
    MODEL_UNAVAILABLE: _model("the model is down"),
    "GPT-4 timeout": _model("the model did not answer in time"),
    DeskHoldReason.CREDENTIALS_REFUSED: _desk("the desk refuses our key", _NEW_KEY),
    DeskHoldReason.NOTES_REFUSED: _desk(
        "the desk does not let us add notes", _RIGHT.format(right="the right to add notes")
    ),
    "desk unavailable": _desk("the desk is down"),
    "desk busy": _desk("the desk answers too slowly"),
    "desk key changed": _continues("the desk's key was just changed"),
    "note may still arrive": _continues("the desk did not confirm the note, so the ticket is checked for it"),
    "ServiceDesk Plus timeout": _desk("the desk did not answer in time"),
    "ServiceDesk Plus API: no desk configured": _desk(
        "the workers have no desk for this tenant", "set SERVICEDESK_URL_<TENANT> and its key for the workers"
    ),
    NOTE_MISSING: _desk("the desk accepted the note and does not show it"),
    RATE_LIMIT: JobCause(
        VerdictCode.RATE_HELD,
        "is paused: the desk's rate limit for this minute is reached",
        "wait; if the desk allows more, raise {tenant}.servicedesk.rate_per_minute in tenants.toml",
    ),
    THROTTLED: JobCause(
        VerdictCode.RATE_HELD,
        "is paused: the desk throttles our requests",
        "wait; if it lasts, lower {tenant}.servicedesk.rate_per_minute in tenants.toml, or ask the client to raise the "
        "desk's own limit",
    ),
    "tenant closed": JobCause(
        VerdictCode.TENANT_CLOSED, "is paused: a setting of the tenant must be fixed on our side", CHECK_SETTINGS
    ),
    "database unreachable": JobCause(
        VerdictCode.DATABASE_FAILING, "has no enhancement: our database did not answer", "escalate to Engineering"
    ),
    "ticket not found": _no_retry(VerdictCode.TICKET_GONE, "was no longer in the desk when its job started"),
    "ticket deleted or closed": _no_retry(VerdictCode.TICKET_GONE, "was closed or deleted before its job started"),
    FORGOTTEN: _no_retry(VerdictCode.FORGOTTEN, "was erased on request and gets no enhancement"),
    LEFT_OUT: _no_retry(
        VerdictCode.LEFT_OUT,
        "is excluded by the tenant's rules",
        "to include it, change {tenant}.tickets in tenants.toml, then run " + _RETRY,
    ),
    NOTHING_FOUND: _no_retry(
        VerdictCode.NOTHING_FOUND, "has no enhancement: no related content was found, and the tenant wants no note then"
    ),
    DRY_RUN: _no_retry(
        VerdictCode.DRY_RUN,
        "has no enhancement: the tenant has dry runs",
        "`ai-agents show {job}` prints the note; once the tenant is live, run " + _RETRY,
    ),
    HELD_OUT: _no_retry(
        VerdictCode.HELD_OUT,
        "has no enhancement: a share of the tickets gets none, for comparison",
        "to add the note, run " + _RETRY + "; to change the share, set {tenant}.report.holdout in tenants.toml",
    ),
    ALREADY_ENHANCED: _no_retry(
        VerdictCode.ALREADY_ENHANCED,
        "was enhanced by another job, or may have been",
        "ask the client to look for `Ref` in the ticket; for a second note, run " + _RETRY,
    ),
    REFRESHED_LATELY: _no_retry(
        VerdictCode.ALREADY_ENHANCED,
        "got another note less than an hour ago, and one an hour is the limit",
        "later, run `ai-agents enhance --tenant {tenant} --ticket {ticket}`",
    ),
    DUPLICATE: _no_retry(VerdictCode.ANOTHER_JOB, "has a duplicate webhook: another job handles it"),
    OWN_FAILURE_NOTE: _no_retry(
        VerdictCode.ANOTHER_JOB, "has our note about the failed model, which triggered this webhook"
    ),
    ANOTHER_FIRST: _continues("another job of the ticket runs first"),
    RETRIED_BY_HAND: _continues("it was retried by hand"),
    NAMED_FORGOTTEN: _continues("GPT-4 is called again, because its answer named erased data"),
    WORKER_LOST: _continues("its worker was lost during the attempt"),
    LAST_WORKER_LOST: _no_retry(
        VerdictCode.WORKER_LOST,
        "has no enhancement: each worker that took its job crashed",
        "do not retry; escalate to Engineering with the job's log lines",
    ),
    DEADLINE_PASSED: JobCause(
        VerdictCode.DEADLINE_PASSED,
        "has no enhancement: no worker finished its job before the deadline",
        "check that the workers take jobs",
    ),
    "attempt took too long": JobCause(
        VerdictCode.FAILED, "has no enhancement: the search for related content took too long", "check the trace"
    ),
    "unexpected failure": JobCause(
        VerdictCode.FAILED, "has no enhancement: a bug on our side", "escalate to Engineering with the job's log lines"
    ),
}
"""By the whole reason; `_FAMILIES` are prefixes of reasons with a server's words."""
_FASTER = "raise the account's rate limit, or lower WORKER_CONCURRENCY"
_FAMILIES: tuple[tuple[str, JobCause], ...] = (
    (
        "OpenAI API: 429 Rate Limit (code rate_limit_exceeded)",
        _model("the model's rate limit is reached", f"at the model's provider, {_FASTER}"),
    ),
    (
        "OpenAI API: 429",
        _model(
            "the model throttles our requests, because of a rate limit or missing credit",
            f"at the model's provider, check the account's credit and spending limits; {_FASTER}",
        ),
    ),
    ("OpenAI API: content filter", _model("the model's content filter refuses the answer", _FILTER)),
    ("OpenAI API: 405", _model("the address is not a model's API", _ADDRESS)),
    ("OpenAI API: 3", _model("the address is not a model's API", _ADDRESS)),
    ("OpenAI API: 4", _model("the model refuses this request", _ANY)),
    ("OpenAI API: ", _model("the model fails")),
    ("ServiceDesk Plus API: 401", _desk("the desk refuses our key", _NEW_KEY)),
    (
        "ServiceDesk Plus API: 403",
        _desk("the desk denies our technician this action", _RIGHT.format(right="the right")),
    ),
    ("ServiceDesk Plus API: 429", _desk("the desk throttles our requests")),
    ("ServiceDesk Plus API: connection", _desk("the desk is unreachable", "check that it runs, and the network to it")),
    ("ServiceDesk Plus API: ", _desk("the desk fails")),
)
_ELSE = JobCause(VerdictCode.FAILED, "has no enhancement: its job failed", "check the trace; escalate to Engineering")
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
"""Causes that also explain why a job waits, or why its deadline passed."""
BEHIND_ANOTHER = frozenset({ANOTHER_FIRST, DUPLICATE, ALREADY_ENHANCED, REFRESHED_LATELY, OWN_FAILURE_NOTE})
"""Reasons of jobs that are less informative than another job of the ticket."""


def known_cause(reason: str) -> JobCause | None:
    """Return a reason's cause (of a passed deadline: the failure before it), or None."""
    if refused := _FILTERED.fullmatch(reason):
        return _model(f"the model's content filter refuses the request: {refused[1]} ({refused[2]})", _FILTER)
    if refused := _BAD_REQUEST.fullmatch(reason):
        action = next((setting for code, setting in _SETTINGS.items() if code in refused[1]), _ANY)
        return _model(f"the model refuses this request: 400 ({refused[1]})", action)
    found = CAUSES.get(reason) or next((cause for begins, cause in _FAMILIES if reason.startswith(begins)), None)
    ended = _ENDED.fullmatch(reason) if found is None else None
    if ended is None:
        return found
    found, earlier = CAUSES.get(ended[1]), known_cause(ended[2])
    explains = found is CAUSES[DEADLINE_PASSED] and earlier is not None and earlier.verdict in FAILING
    return earlier if explains else found


def cause_of(reason: str | None) -> JobCause:
    """Return the cause of an ended job; a general one for an unknown reason."""
    return known_cause(reason or "") or _ELSE
