"""Database access of a rotation, which also works while the database is away."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from config.settings import ByHandSettings, SettingsRefused, load
from storage import known_secrets
from storage.known_secrets import Remembered
from storage.schema import DatabaseUnfit, DatabaseUnreachable, check
from storage.session import DATABASE_FAILURES, Database
from support.leaving import run_within
from support.secrets.places import SecretPlaces

_SECONDS = 4.0
Told = TypeVar("Told")


class Untold(Exception):
    """The database gives no answer; the text has the reason."""


def uses_of(tenant_id: str, places: SecretPlaces) -> dict[str, Remembered]:
    """Return the known uses of the tenant's secrets by setting. Raises Untold."""
    return _ask(lambda database: known_secrets.remembered(database, tenant_id, places.secrets))


def record(tenant_id: str, places: SecretPlaces) -> None:
    """Record the present secrets in the database. Raises Untold."""
    seen = [known_secrets.seen(tenant_id, setting, secret) for setting, secret in places.secrets.items()]
    _ask(lambda database: known_secrets.know(database, seen))


def _ask(question: Callable[[Database], Awaitable[Told]]) -> Told:
    try:
        settings = load(ByHandSettings)
        return run_within(_SECONDS, _asked(settings.database_url, question))
    except SettingsRefused as refused:
        raise Untold("; ".join(refused.problems)) from None
    except (DatabaseUnfit, DatabaseUnreachable) as refused:
        raise Untold(str(refused)) from None
    except (*DATABASE_FAILURES, TimeoutError):
        raise Untold("the database does not answer") from None


async def _asked(url: str, question: Callable[[Database], Awaitable[Told]]) -> Told:
    database = Database(url, application_name="ai-agents by hand", pool_size=2)
    try:
        await check(database)
        return await question(database)
    finally:
        await database.close()
