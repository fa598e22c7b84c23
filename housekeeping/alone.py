"""What is wrong with one ticket or solution of a desk, or with all of its solutions, is no trouble of the others."""

from collections.abc import Awaitable

from integrations.errors import DeskRefused, DeskUnavailable, HeldBack, OutsideFailure
from integrations.servicedesk.client import ServiceDeskPlus
from observability import phrases
from observability.logging import say
from storage.session import DATABASE_FAILURES, is_away, is_locked


async def alone(tenant_id: str, step: Awaitable[None]) -> tuple[bool, OutsideFailure | None]:
    """Take a step for one ticket or solution; what is wrong with that one alone is said, and no more.

    Return whether it was taken, and the desk's refusal to give that one. Raises what concerns the desk or the database
    as a whole.
    """
    try:
        await step
    except HeldBack:
        raise
    except OutsideFailure as failure:
        if not _may_be_its_own(failure):
            raise
        say(phrases.SYNC_FAILED, tenant_id=tenant_id, reason=failure.reason, also=failure.also)
        return False, failure
    except DATABASE_FAILURES as failure:
        if is_away(failure) and not is_locked(failure):
            raise
        say(phrases.SYNC_FAILED, tenant_id=tenant_id, reason="could not be stored", failure=failure)
    except Exception as failure:  # noqa: BLE001 -- one odd ticket must not end the copying of all the others
        say(phrases.SYNC_FAILED, tenant_id=tenant_id, reason="unexpected failure", failure=failure)
    else:
        return True, None
    return False, None


async def solutions_listed(desk: ServiceDeskPlus, tenant_id: str, most: int) -> list[str] | None:
    """Return the ids of the desk's solutions; None, and that is a line, where it refuses to list them.

    The technician of a key, or the scope of a token, may have the right to tickets and not to solutions.
    """
    try:
        return await desk.list_solutions(most)
    except DeskRefused as refused:
        say(phrases.SOLUTIONS_REFUSED, tenant_id=tenant_id, reason=refused.reason, also=refused.also)
        return None


def _may_be_its_own(failure: OutsideFailure) -> bool:
    """Return True if the failure may be that of the one ticket or solution that was asked for."""
    return isinstance(failure, DeskRefused) or (isinstance(failure, DeskUnavailable) and failure.unusable)
