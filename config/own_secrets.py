"""Which of a process's settings are secrets: its keys, and the passwords that addresses have."""

from urllib.parse import unquote, urlsplit

from psycopg.conninfo import conninfo_to_dict

from config.loading import LogSettings
from config.tenant_directory import TenantDirectory

_KEYS = ("embeddings_api_key", "feedback_key", "feedback_previous_key", "console_key", "console_previous_key")
_ADDRESSES = ("redis_url", "https_proxy")


def own_secrets(settings: LogSettings, tenants: TenantDirectory) -> dict[tuple[str, str], str]:
    """Return the secrets of a process that are no tenant's: those of its start, and the model's keys as they are now.

    By an empty tenant and the setting, as `TenantDirectory.secrets` has them; of an address it is the password alone.
    """
    found = {name: getattr(settings, name, None) for name in _KEYS}
    found |= {name: _password(getattr(settings, name, None)) for name in _ADDRESSES}
    found["database_url"] = _password_of_postgres(getattr(settings, "database_url", None))
    of_its_start = {("", name.upper()): secret for name, secret in found.items() if secret}
    return of_its_start | {whose: secret for whose, secret in tenants.secrets().items() if not whose[0]}


def _password(url: str | None) -> str | None:
    return unquote(urlsplit(url).password or "") if url else None


def _password_of_postgres(url: str | None) -> str | None:
    # It may stand in the query, too.
    return str(conninfo_to_dict(url).get("password") or "") if url else None
