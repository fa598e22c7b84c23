"""Diagnosis of a ticket without a known webhook."""

from config.tenant_settings import key_name
from support.diagnose.diagnosis import Diagnosis, enhance_by_hand, told, unless_closed
from support.diagnose.facts import Facts
from support.diagnose.refusals import clock
from support.diagnose.verdicts import VerdictCode

_API_PODS = "`kubectl get pods -n ai-agents-production | grep api`"
_LEFT_OUT = "the client's rules leave it out, or the desk does not show it to us"
_WAIT = "wait for RECONCILE_INTERVAL_SECONDS, and look again"


def of_no_webhook(facts: Facts) -> Diagnosis:
    if facts.reconcile == "poll":
        return _of_polled(facts)
    says = "never came to us: no webhook of it reached us that names the client or has their secret"
    if facts.missing is not None:
        says = f"never came to us: it was seen in the desk at {clock(facts.missing.seen_at, facts.asked_at)}"
        missed_at = facts.missing.missed_at
        says += f", and no webhook of it came by {clock(missed_at, facts.asked_at)}" if missed_at else ", without one"
    elif facts.tenant_id is not None and facts.webhooks is None:
        says = "has no job with us; whether a webhook of it was refused could not be seen"
    return told(
        facts,
        VerdictCode.WEBHOOK_MISSING,
        says,
        _by_itself(facts),
        f"{_API_PODS}: was one `1/1` when the ticket came? Else have it sent again",
        "have the client see that the webhook is enabled, and its address; then have it sent again",
        "say --tenant, to have the desk asked too"
        if facts.tenant_id is None
        else unless_closed(facts, f"{enhance_by_hand(facts)} makes one without a webhook"),
    )


def _by_itself(facts: Facts) -> str:
    """Return the action of reconciliation by tenant setting; empty if unknown."""
    name = key_name(facts.tenant_id, "reconcile")
    if facts.reconcile is None:
        return ""
    if facts.missing is None:
        # The desk's list can be enough to leave it out: nothing is stored then.
        rules = key_name(facts.tenant_id, "tickets")
        return f"see whether {rules} leaves it out: then no job is made of it" if facts.has_rules else ""
    if facts.missing.left_out:
        return f"{_LEFT_OUT}, so nothing is made of it"
    if facts.reconcile == "on":
        made = "its job is made by itself, a minute's share at a time; wait"
        return f"{name} is on: {made}, unless it is older than RECONCILE_WINDOW_HOURS, or was forgotten"
    return f"{name} is report: with on, such a ticket's job is made without its webhook"


def _of_polled(facts: Facts) -> Diagnosis:
    says = "has no job with us yet: the client's desk sends no webhook, and its new tickets are looked for"
    if facts.missing is not None:
        says += f"; this one was seen at {clock(facts.missing.seen_at, facts.asked_at)}"
        if facts.missing.left_out:
            return _left_out(facts, f"{says}, and {_LEFT_OUT}")
    return told(
        facts,
        VerdictCode.WEBHOOK_MISSING,
        says,
        _by_itself(facts) if facts.missing is None else "",
        _WAIT,
        "see that housekeeping runs, and whether `Reconcile error` is in its log",
        unless_closed(facts, f"{enhance_by_hand(facts)} makes it at once"),
    )


def _left_out(facts: Facts, says: str) -> Diagnosis:
    rules = key_name(facts.tenant_id, "tickets")
    return told(
        facts,
        VerdictCode.LEFT_OUT,
        says,
        f"if it should not be: see {rules}, and what our key may see there",
        unless_closed(facts, f"then {enhance_by_hand(facts)}, for it is not looked at again"),
    )
