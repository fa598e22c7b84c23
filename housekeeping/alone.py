"""Isolation of failures of single tickets and solutions."""

from collections.abc import Awaitable

from integrations.errors import DeskRefused, DeskUnavailable, HeldBack, OutsideFailure
from observability import phrases
from observability.logging import say
from storage.listings import HeldByAnother
from storage.session import DATABASE_FAILURES, is_away, is_locked


async def alone(tenant_id: str, step: Awaitable[None]) -> tuple[bool, OutsideFailure | None]:
    """Run a step for one ticket or solution, logging a failure of that item.

    Return whether it succeeded, and the desk's failure for the item. Raises HeldBack, HeldByAnother, and one of
    DATABASE_FAILURES if the database is away.
    """
    try:
        await step
    except (HeldBack, HeldByAnother):
        raise
    except OutsideFailure as failure:
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


def is_its_own(failure: OutsideFailure) -> bool:
    """Return True if the failure most likely concerns the requested item only."""
    return isinstance(failure, DeskRefused) or (isinstance(failure, DeskUnavailable) and failure.unusable)
