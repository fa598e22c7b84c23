"""Names of tenants' settings in the environment and `SECRETS_DIR`.

`<TENANT>` in a setting's name is the tenant id in capitals with `_` for `-`: `WEBHOOK_SECRET_ACME_EU` belongs to
`acme-eu`. All other settings of a tenant are in `tenants.toml` (`config.tenant_settings`).
"""

import re
from collections.abc import Collection, Mapping
from typing import Literal

from config.tenant_settings import REMOVED

TENANT_SETTINGS: dict[str, str] = {
    "WEBHOOK_SECRET_": "Secret that signs the tenant's webhooks.",
    "PREVIOUS_WEBHOOK_SECRET_": "The secret before, still accepted during a rotation.",
    "RETIRED_WEBHOOK_SECRET_": "A secret that is accepted no more: a webhook that it signs is refused, and the log "
    "says that it was this one.",
    "WEBHOOK_TOKEN_": "For a desk that can't sign: what it sends as `X-ServiceDesk-Token`; 32 characters at least. "
    "Unset (default), only signed webhooks are taken.",
    "SERVICEDESK_URL_": "Address of the tenant's desk: what stands before `/api/v3` (cloud, and portals on premises: "
    "with `/app/<portal>`).",
    "SERVICEDESK_EDITION_": "`onpremises` (default) or `cloud`; that needs `client_id` and `accounts_url` in "
    "`tenants.toml`.",
    "SERVICEDESK_API_KEY_": "On premises: the technician's API key.",
    "SERVICEDESK_CLIENT_SECRET_": "Cloud: OAuth client secret.",
    "SERVICEDESK_REFRESH_TOKEN_": "Cloud: OAuth refresh token.",
    "OPENAI_API_KEY_": "The tenant's own key for the model, in place of `OPENAI_API_KEY`.",
}
SECRETS = (
    "WEBHOOK_SECRET",
    "PREVIOUS_WEBHOOK_SECRET",
    "WEBHOOK_TOKEN",
    "SERVICEDESK_API_KEY",
    "SERVICEDESK_CLIENT_SECRET",
    "SERVICEDESK_REFRESH_TOKEN",
    "OPENAI_API_KEY",
)
"""Secrets that are revoked only by deleting them. A retired secret grants no access, so it is not listed."""
DESK_KEYS = tuple(name for name in SECRETS if name.startswith("SERVICEDESK_"))
MODEL_KEYS = tuple(name for name in SECRETS if name.startswith("OPENAI_"))
Keys = Collection[Literal["desk", "model"]]
ALL_KEYS: Keys = ("desk", "model")
"""All kinds of tenants' keys. Kinds that a process does not use may be missing in its environment."""
TENANT_ID = re.compile(r"[a-z0-9-]{1,63}")
# Process settings whose names start like a tenant's setting.
_OF_PROCESSES = ("RECONCILE_INTERVAL_SECONDS", "RECONCILE_WINDOW_HOURS")
# Longest first, so that a prefix of another name does not match before it.
_PREFIXES = sorted([*TENANT_SETTINGS, *(f"{name}_" for name in REMOVED)], key=len, reverse=True)
# Other settings only modify an existing tenant; alone, such a name may be another program's variable.
_MAKE_A_TENANT = ("WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "WEBHOOK_TOKEN", "SERVICEDESK_")


def owner(name: str) -> tuple[str, str]:
    """Split a name into setting and tenant id; both empty if it belongs to no tenant."""
    if name in _OF_PROCESSES:
        return "", ""
    for prefix in _PREFIXES:
        if name.startswith(prefix) and len(name) > len(prefix):
            return prefix.rstrip("_"), name.removeprefix(prefix).lower().replace("_", "-")
    return "", ""


def setting_suffix(tenant_id: str) -> str:
    """Return the suffix of a tenant's settings: `ACME_EU` for `acme-eu`."""
    return tenant_id.upper().replace("-", "_")


def by_tenant(values: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return tenant id -> setting without suffix -> value of defined tenants."""
    found: dict[str, dict[str, str]] = {}
    for name, value in values.items():
        setting, tenant_id = owner(name)
        if tenant_id:
            found.setdefault(tenant_id, {})[setting] = value
    return {
        tenant_id: settings
        for tenant_id, settings in found.items()
        if any(setting.startswith(_MAKE_A_TENANT) for setting in settings)
    }


def is_tenant_id(text: str) -> bool:
    """Return True for a valid id, without `error`, which support greps for."""
    return TENANT_ID.fullmatch(text) is not None and "error" not in text


def id_problem(tenant_id: str) -> str | None:
    if not TENANT_ID.fullmatch(tenant_id):
        return "a tenant id has only a-z, 0-9 and -, at most 63 of them"
    return None if is_tenant_id(tenant_id) else "a tenant id must not contain 'error', since support greps for it"
