"""Parsing of `tenants.toml`; each problem is a path and a reason."""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Any

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from config.secret_files import UNREADABLE
from config.tenant_names import TENANT_SETTINGS, setting_suffix
from config.tenant_settings import FIELDS, TenantSettings

TENANTS_TOML = "tenants.toml"
"""Name of the file in messages, and key of its text among the tenants' values."""
Tables = Mapping[str, object]


class FileUnusable(ValueError):
    """Unreadable `tenants.toml`. The message has the reason and quotes one character at most."""


@lru_cache(maxsize=4)
def tables_in(text: str) -> Tables:
    """Parse the file into tenant id -> table. Raises FileUnusable."""
    if text == UNREADABLE:
        raise FileUnusable(f"TENANTS_FILE: {TENANTS_TOML} is missing, is empty or can't be read as text")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as failure:
        # TOMLDecodeError's message has a position and quotes one character at most.
        raise FileUnusable(f"{TENANTS_TOML} is no TOML: {str(failure)[:80]}") from None


def settings_of(tenant_id: str, table: object) -> tuple[TenantSettings | None, list[str]]:
    """Return the settings in a tenant's table, or None and their problems."""
    try:
        return TenantSettings.model_validate({} if table is None else table), []
    except ValidationError as failure:
        return None, [_sentence(tenant_id, problem) for problem in failure.errors(include_url=False)]


def json_schema() -> dict[str, Any]:
    tenant_id = Annotated[str, StringConstraints(pattern="^[a-z0-9-]{1,63}$")]
    return TypeAdapter(dict[tenant_id, TenantSettings]).json_schema()


def key_name(tenant_id: str | None, path: str) -> str:
    """Format a key for messages: `acme.note.language in tenants.toml`."""
    return f"{tenant_id or '<TENANT>'}.{path} in {TENANTS_TOML}"


def has_path(table: object, path: str) -> bool:
    """Return True if a tenant's table has the key at a dotted path."""
    for key in path.split("."):
        if not isinstance(table, Mapping) or key not in table:
            return False
        table = table[key]
    return True


def _sentence(tenant_id: str, problem: ErrorDetails) -> str:
    keys = [str(key) for key in problem["loc"] if key != "[key]"]
    where = ".".join([tenant_id, *(key if key.isascii() and key.isprintable() else "?" for key in keys)])
    reason = problem["msg"].removeprefix("Value error, ").replace("frozenset", "list").replace("tuple", "list")
    if problem["type"] == "extra_forbidden":
        reason = _unknown(tenant_id, ".".join(keys))
    elif problem["type"] == "model_type":
        reason = "must be a table"
    return f"{where[:120]} in {TENANTS_TOML}: {reason[0].lower()}{reason[1:]}"


def _unknown(tenant_id: str, path: str) -> str:
    variable = f"{path.replace('.', '_').upper()}_"
    if variable in TENANT_SETTINGS:
        return f"belongs in the environment or SECRETS_DIR, as {variable}{setting_suffix(tenant_id)}"
    near = get_close_matches(path, FIELDS, n=1)
    return "is no setting" + (f"; near: {near[0]}" if near else "")
