"""What failed, or was skipped: by cause, and one by one, a page at a time."""

from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from storage import ends
from storage.ends import Behind, EndState, JobEnd
from support.console.answers import Asked, NotUnderstood, Page
from support.console.figures.asking import in_time
from support.console.figures.failures import by_cause, ended_row, is_cut, reasons_of
from support.console.pages.asked import chosen_tenant, since
from support.diagnose.verdicts import VerdictCode

_PAGE = 50
_DEFAULT_SINCE = "24h"
_STATES: dict[str, EndState] = {"failed": "failed", "skipped": "skipped"}


class Chosen(NamedTuple):
    """Which jobs are meant. `said` is what the visitor wrote for `since`; without `codes` all causes are."""

    tenant_id: str | None
    state: EndState
    said: str
    since: datetime
    codes: frozenset[str]


def chosen(asked: Asked, codes: frozenset[str]) -> Chosen:
    """Read which jobs are meant. Raises NotHere or NotUnderstood."""
    given = asked.form or asked.query
    state = _STATES.get(given.get("state") or "failed")
    if state is None:
        raise NotUnderstood("Jobs that have ended without a note are failed or skipped.")
    if not codes <= set(VerdictCode):
        raise NotUnderstood("There is no such cause.")
    said, moment = since(given, _DEFAULT_SINCE)
    return Chosen(chosen_tenant(asked), state, said, moment, codes)


async def failures(asked: Asked) -> Page:
    """Show the causes, and the jobs of all of them or of one."""
    cause = asked.query.get("cause", "")
    what = chosen(asked, frozenset({cause} if cause else ()))
    behind = behind_of(asked.query.get("before", ""))
    database, now = asked.sources.database, datetime.now(UTC)
    causes = await in_time(ends.causes(database, what.tenant_id, what.state, what.since))
    reasons = reasons_of(causes or [], set(what.codes)) if what.codes else None
    question = ends.ended(
        database, what.tenant_id, what.state, what.since, reasons=reasons, behind=behind, most=_PAGE + 1
    )
    jobs = None if causes is None and what.codes else await in_time(question)
    values = {
        "causes": None if causes is None else by_cause(causes, now),
        "causes_cut": causes is not None and is_cut(causes),
        "jobs": None if jobs is None else [ended_row(job, now) for job in jobs[:_PAGE]],
        "next": _next(asked, jobs or []),
        "is_first": behind is None,
        "chosen": what,
        "cause": cause,
        "notice": "",
        "tenants": [] if asked.visitor.tenant_id else [tenant.id for tenant in asked.sources.tenants.all()],
        "may_retry": asked.visitor.role == "operator" and what.state == "failed",
    }
    return Page("failures.html", values)


def _next(asked: Asked, jobs: list[JobEnd]) -> str:
    """Return the address of the next page; empty on the last one."""
    if len(jobs) <= _PAGE:
        return ""
    last = jobs[_PAGE - 1]
    before = written(Behind(last.finished_at, last.id))
    kept = {name: asked.query[name] for name in ("tenant", "cause", "state", "since") if asked.query.get(name)}
    return "/failures?" + urlencode(kept | {"before": before})


def written(behind: Behind) -> str:
    """Return where a page ended, as addresses and forms have it."""
    return f"{behind.finished_at.isoformat()}_{behind.id}"


def behind_of(given: str) -> Behind | None:
    """Read that again; None for the first page. Raises NotUnderstood."""
    if not given:
        return None
    at, _, wanted = given.partition("_")
    try:
        moment = datetime.fromisoformat(at)
        return Behind(moment if moment.tzinfo else moment.replace(tzinfo=UTC), UUID(wanted))
    except ValueError:
        raise NotUnderstood("There is no such page.") from None
