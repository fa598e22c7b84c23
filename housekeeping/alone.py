"""What is wrong with one ticket or solution of a desk is no trouble of the others."""

from collections.abc import Awaitable

from integrations.errors import DeskRefused, DeskUnavailable, HeldBack, OutsideFailure
from observability import phrases
from observability.logging import say
from storage.passes import HeldByAnother
from storage.session import DATABASE_FAILURES, is_away, is_locked


async def alone(tenant_id: str, step: Awaitable[None]) -> tuple[bool, OutsideFailure | None]:
    """Take a step for one ticket or solution; what is wrong with it is said, and no more.

    Return whether it was taken, and the desk's failure to give that one. Raises HeldBack, HeldByAnother, and one of
    DATABASE_FAILURES where the database is away.
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
    """Return True if the failure is most likely that of the one ticket or solution that was asked for."""
    return isinstance(failure, DeskRefused) or (isinstance(failure, DeskUnavailable) and failure.unusable)
