"""The caller's own Postgres and Redis, in place of embedded ones."""

from collections.abc import Mapping
from typing import NamedTuple


class EnvironmentSettingsError(Exception):
    """The caller's server variables are unusable; the text contains the fix."""


class ExternalServers(NamedTuple):
    """The caller's own servers; None means the embedded one."""

    database_url: str | None = None
    database_admin_url: str | None = None
    redis_url: str | None = None


def external_servers(environ: Mapping[str, str]) -> ExternalServers:
    """Return the caller's servers. Raises EnvironmentSettingsError for half a pair."""
    url, admin_url = environ.get("DATABASE_URL") or None, environ.get("DATABASE_ADMIN_URL") or None
    if (url is None) != (admin_url is None):
        given, missing = ("DATABASE_URL", "DATABASE_ADMIN_URL") if url else ("DATABASE_ADMIN_URL", "DATABASE_URL")
        raise EnvironmentSettingsError(
            f"{given} is set, but {missing} is not. Set both to use your own Postgres, or neither for the embedded one."
        )
    return ExternalServers(url, admin_url, environ.get("REDIS_URL") or None)
