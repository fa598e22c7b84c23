"""Diagnosis of a refused webhook."""

import re
from datetime import datetime

from config.tenant_settings import key_name, setting_suffix
from storage.rejections import Receiving, RefusedLately, RefusedWebhook
from support.diagnose.diagnosis import Diagnosis, told
from support.diagnose.facts import Facts
from support.diagnose.reasons import OF_SETTING
from support.diagnose.verdicts import VerdictCode

_SIGNED_WITH = re.compile(r"signed with (the retired secret|another tenant's secret)")
_ROTATION = "docs/runbooks/secret-rotation.md"
_CORRECT = "have the client correct the webhook: docs/runbooks/WEBHOOK_TROUBLESHOOTING_RUNBOOK.md"
_RECOVERED = (
    "a new ticket's job is made by itself once fewer wait (docs/reconcile.md): look again after "
    "RECONCILE_INTERVAL_SECONDS twice. For an older one have the webhook sent again"
)
_MENDS = {
    "stale timestamp": "have the client set the clock of their server",
    "timestamp missing": "have the client's desk send a signed timestamp",
    "unknown tenant": "have the client's webhook name the tenant `{tenant}`, just so",
}
_ANCHORS = {403: "refused-with-403", 429: "too-many-jobs-waiting", 404: "wrong-address", 405: "wrong-address"}


def of_refusal(facts: Facts, webhooks: Receiving) -> Diagnosis:
    last = webhooks.refused[0]
    kind, _, cause = last.reason.partition(": ")
    if kind == "tenant closed":
        says = "has no enhancement: its webhook came, and a setting of the client has to be mended with us"
        check = OF_SETTING.format(tenant=facts.tenant_id)
        again = "then have its webhook sent again"
        return told(facts, VerdictCode.TENANT_CLOSED, says, check, again, anchor="refused-with-403")
    since = f"since {clock(webhooks.since or last.at, facts.asked_at)}"
    if kind == "signature mismatch":
        signed = _SIGNED_WITH.fullmatch(cause)
        why = f": {signed[1]} signs it" if signed else f": {cause}" if cause else ""
        says = f"has no enhancement. It came, but its signature was wrong {since}{why}"
    else:
        says = f"has no enhancement. It came, and was refused {since}: {last.reason}"
    again = _RECOVERED if last.status == 429 else "then have its webhook sent again"
    if _is_over(webhooks, last):
        again = _RECOVERED if last.status == 429 else "others are taken since: have its webhook sent again"
        return told(facts, VerdictCode.WEBHOOK_REJECTED, says, again)
    anchor = _ANCHORS.get(last.status, "refused-for-its-form")
    return told(facts, VerdictCode.WEBHOOK_REJECTED, says, _mend(kind, cause, facts), again, anchor=anchor)


def unread_since(webhooks: Receiving) -> RefusedLately | None:
    """Return the present refusal of the tenant's own webhooks, or None.

    It may concern any ticket. A 403 may be a stranger's; other refusals are stored after authentication only.
    """
    last = webhooks.last_accepted_at
    found = [unread for unread in webhooks.unread if unread.status != 403]
    return next((unread for unread in found if last is None or unread.last_at > last), None)


def of_unread(facts: Facts, unread: RefusedLately) -> Diagnosis:
    last = clock(unread.last_at, facts.asked_at)
    says = f"has no enhancement: webhooks of the client come, and are refused, last at {last}: {unread.reason}"
    mends = (_mend("", "", facts), "then have its webhook sent again")
    anchor = _ANCHORS.get(unread.status, "refused-for-its-form")
    return told(facts, VerdictCode.WEBHOOK_REJECTED, says, *mends, anchor=anchor)


def _is_over(webhooks: Receiving, last: RefusedWebhook) -> bool:
    """Return True if a later webhook was accepted, so that no fix is needed."""
    return webhooks.last_accepted_at is not None and webhooks.last_accepted_at > last.at


def _mend(kind: str, cause: str, facts: Facts) -> str:
    suffix = setting_suffix(facts.tenant_id or "")
    match kind:
        case "signature mismatch" if "retired secret" in cause:
            return f"have the client put the current secret into their desk (WEBHOOK_SECRET_{suffix}; {_ROTATION})"
        case "signature mismatch" | "signature missing":
            return f"have the client compare their desk's secret with WEBHOOK_SECRET_{suffix} ({_ROTATION})"
        case "token mismatch" | "token missing":
            return f"have the client compare their desk's token with WEBHOOK_TOKEN_{suffix}"
        case "too many jobs waiting":
            return f"ask what sends so many; Engineering may raise {key_name(facts.tenant_id, 'jobs.most_waiting')}"
    return _MENDS.get(kind, _CORRECT).format(tenant=facts.tenant_id)


def clock(moment: datetime, now: datetime) -> str:
    """Format a time of today as `09:14 UTC`, any other with its date."""
    return f"{moment:%H:%M} UTC" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%M} UTC"
