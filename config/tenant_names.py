"""Settings that each tenant has in the environment or `SECRETS_DIR`, and the tenant of a setting's name.

`<TENANT>` in a setting's name is the tenant id in capitals with `-` as `_`: `WEBHOOK_SECRET_ACME_EU` belongs to
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
"""Those that are withdrawn by nothing but deletion. Not a retired one: it opens nothing."""
DESK_KEYS = tuple(name for name in SECRETS if name.startswith("SERVICEDESK_"))
MODEL_KEYS = tuple(name for name in SECRETS if name.startswith("OPENAI_"))
Keys = Collection[Literal["desk", "model"]]
ALL_KEYS: Keys = ("desk", "model")
"""The kinds of tenants' keys that a process may use. The keys of other kinds may be missing where it runs."""
TENANT_ID = re.compile(r"[a-z0-9-]{1,63}")
# Settings of a process whose names begin like one of a tenant.
_OF_PROCESSES = ("RECONCILE_INTERVAL_SECONDS", "RECONCILE_WINDOW_HOURS")
# Longest first: no name may be taken for another one that is its beginning.
_PREFIXES = sorted([*TENANT_SETTINGS, *(f"{name}_" for name in REMOVED)], key=len, reverse=True)
# Any other only says how something is done for a tenant that there is: alone it may be somebody else's variable.
_MAKE_A_TENANT = ("WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "WEBHOOK_TOKEN", "SERVICEDESK_")


def owner(name: str) -> tuple[str, str]:
    """Return which setting of which tenant a name is; two empty texts for a setting of no tenant."""
    if name in _OF_PROCESSES:
        return "", ""
    for prefix in _PREFIXES:
        if name.startswith(prefix) and len(name) > len(prefix):
            return prefix.rstrip("_"), name.removeprefix(prefix).lower().replace("_", "-")
    return "", ""


def setting_suffix(tenant_id: str) -> str:
    """Return what the names of a tenant's settings end in: `ACME_EU` for `acme-eu`."""
    return tenant_id.upper().replace("-", "_")


def by_tenant(values: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return tenant id -> setting without the tenant -> value, of all that make a tenant."""
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
    """Return True if it may stand in log lines, where support greps for `error`, and in labels."""
    return TENANT_ID.fullmatch(text) is not None and "error" not in text


def id_problem(tenant_id: str) -> str | None:
    """Return what is wrong with the id."""
    if not TENANT_ID.fullmatch(tenant_id):
        return "a tenant id has only a-z, 0-9 and -, at most 63 of them"
    return None if is_tenant_id(tenant_id) else "a tenant id must not contain 'error', since support greps for it"
