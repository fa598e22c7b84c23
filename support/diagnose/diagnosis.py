"""Diagnosis: a verdict, a sentence for the client and the operator's actions."""

from collections.abc import Sequence
from dataclasses import dataclass

from support.diagnose.facts import Facts
from support.diagnose.verdicts import VerdictCode

SEE_WORKERS = "`kubectl get pods -n ai-agents-production | grep worker` tells why; it goes on by itself when one runs"
IS_THERE = "has its enhancement: the note is in the ticket"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Verdict with its texts.

    `says` can be pasted to a client, `mends` are the operator's actions, `anchor` is a heading of the FAQ (default:
    the verdict's).
    """

    verdict: VerdictCode
    says: str
    mends: Sequence[str] = ()
    anchor: str = ""


def enhance_by_hand(facts: Facts) -> str:
    return f"`ai-agents enhance --tenant {facts.tenant_id} --ticket {facts.ticket_id}`"


def unless_closed(facts: Facts, way: str) -> str:
    return (
        "it is closed in the desk: no note is made unless it is opened again" if facts.desk.ticket == "closed" else way
    )


def told(facts: Facts, verdict: VerdictCode, says: str, *mends: str, anchor: str = "") -> Diagnosis:
    """Return the diagnosis whose sentence continues the ticket's name."""
    whose = f" of {facts.tenant_id}" if facts.tenant_id else ""
    ticket = f"Ticket {facts.ticket_id}" if facts.ticket_id else "The job's ticket"
    end = "" if says.endswith("?") else "."
    return Diagnosis(verdict, f"{ticket}{whose} {says}{end}", [mend for mend in mends if mend], anchor)
