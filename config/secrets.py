"""Secrets of a process: its keys and the passwords in its addresses."""

import contextlib
import os
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from psycopg.conninfo import conninfo_to_dict

from config.secret_files import secrets_dir
from config.settings import LogSettings
from config.tenant_directory import TenantDirectory
from config.tenants import DESK_KEYS, MODEL_KEYS, PROCESS_KEYS, owner

_KEYS = ("embeddings_api_key", "feedback_key", "feedback_previous_key", "console_key", "console_previous_key")
_ADDRESSES = ("redis_url", "https_proxy")
_NEVER_OF_THE_API = (
    *PROCESS_KEYS,
    "EMBEDDINGS_API_KEY",
    "CONSOLE_KEY",
    "CONSOLE_PREVIOUS_KEY",
    "CONSOLE_OIDC_CLIENT_SECRET",
    "DATABASE_ADMIN_URL",
)


def own_secrets(settings: LogSettings, tenants: TenantDirectory) -> dict[tuple[str, str], str]:
    """Return the process's own secrets, with the current model keys.

    Keys are ("", setting), as in `TenantDirectory.secrets`. The secret of an address is its password.
    """
    values = {name: getattr(settings, name, None) for name in _KEYS}
    values |= {name: _password(getattr(settings, name, None)) for name in _ADDRESSES}
    values["database_url"] = _password_of_postgres(getattr(settings, "database_url", None))
    at_start = {("", name.upper()): secret for name, secret in values.items() if secret}
    return at_start | {key: secret for key, secret in tenants.secrets().items() if not key[0]}


def not_for_the_api(names: Iterable[str]) -> list[str]:
    """Return the `names` that the API must not have, sorted."""

    def is_foreign(name: str) -> bool:
        is_tenant_key = owner(name)[0] in {*DESK_KEYS, *MODEL_KEYS}
        return is_tenant_key or name in _NEVER_OF_THE_API or name.startswith("CONSOLE_TOKEN_")

    # A name with "error" belongs to no tenant or token, and would match support's grep.
    return [name for name in sorted(names) if is_foreign(name) and "error" not in name.lower()]


def names_given() -> set[str]:
    """Return the names of non-empty variables and files of `SECRETS_DIR`."""
    names = {name for name, value in os.environ.items() if value.strip()}
    folder = secrets_dir()
    # An unlisted directory has its own report.
    with contextlib.suppress(OSError):
        names |= {path.name for path in folder.iterdir() if path.stat().st_size} if folder else set()
    return names


def _password(url: str | None) -> str | None:
    return unquote(urlsplit(url).password or "") if url else None


def _password_of_postgres(url: str | None) -> str | None:
    # libpq accepts the password in the query as well.
    return str(conninfo_to_dict(url).get("password") or "") if url else None
