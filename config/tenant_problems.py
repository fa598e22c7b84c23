"""What is wrong with a tenant's settings: a sentence for each one to mend, which names the setting and no value."""

import re
from collections.abc import Mapping

from config.addresses import address_problem
from config.secret_files import UNREADABLE, unreadable

TENANT_ID = re.compile(r"[a-z0-9-]{1,63}")
_CLOUD_NEEDS = ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN", "ACCOUNTS_URL")
_CREDENTIALS = ("API_KEY", "CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN")


def is_tenant_id(text: str) -> bool:
    """Return True if it may stand in log lines, where support greps for `error`, and in labels."""
    return TENANT_ID.fullmatch(text) is not None and "error" not in text


def directory_problems(secrets_dir: str | None) -> list[str]:
    """What is wrong with `SECRETS_DIR`: whose files could never be listed, so that nobody knows their tenants."""
    return ["SECRETS_DIR can't be listed: this process must be able to read it"] if secrets_dir == UNREADABLE else []


def id_problems(tenant_id: str) -> list[str]:
    """What is wrong with the id."""
    suffix = _suffix(tenant_id)
    if not TENANT_ID.fullmatch(tenant_id):
        return [f"WEBHOOK_SECRET_{suffix[:63]}: a tenant id has only a-z, 0-9 and -, at most 63 of them"]
    if not is_tenant_id(tenant_id):
        return [f"WEBHOOK_SECRET_{suffix}: a tenant id must not contain 'error', since support greps for it"]
    return []


def webhook_problems(tenant_id: str, settings: Mapping[str, str]) -> list[str]:
    """What is wrong with the settings (named without the tenant) that its webhooks are checked by."""
    suffix = _suffix(tenant_id)
    wrong = _unreadable(suffix, settings, ("WEBHOOK_", "PREVIOUS_"))
    if not wrong and settings.get("WEBHOOK_REQUIRE_TIMESTAMP", "false").lower() not in ("true", "false"):
        wrong.append(f"WEBHOOK_REQUIRE_TIMESTAMP_{suffix} must be true or false")
    if "PREVIOUS_WEBHOOK_SECRET" in settings and "WEBHOOK_SECRET" not in settings:
        wrong.append(f"WEBHOOK_SECRET_{suffix} is missing, but PREVIOUS_WEBHOOK_SECRET_{suffix} is set")
    return wrong


def has_desk(settings: Mapping[str, str]) -> bool:
    """Return True if any of them is of a desk."""
    return any(name.startswith("SERVICEDESK_") for name in settings)


def desk_problems(tenant_id: str, settings: Mapping[str, str]) -> list[str]:
    """What is missing or wrong of its desk; nothing where it has none."""
    suffix = _suffix(tenant_id)
    wrong = _unreadable(suffix, settings, ("SERVICEDESK_",))
    if wrong or not has_desk(settings):
        return wrong
    edition = settings.get("SERVICEDESK_EDITION", "onpremises").lower()
    if edition not in ("onpremises", "cloud"):
        # What else is needed depends on it.
        wrong.append(f"SERVICEDESK_EDITION_{suffix} must be onpremises or cloud")
        needed: tuple[str, ...] = ("URL",)
    else:
        needed = ("URL", *(_CLOUD_NEEDS if edition == "cloud" else ("API_KEY",)))
    wrong += [f"SERVICEDESK_{name}_{suffix} is missing" for name in needed if f"SERVICEDESK_{name}" not in settings]
    # They go into the head of a request.
    wrong += [
        f"SERVICEDESK_{name}_{suffix} has a line break or a character that no key has"
        for name in _CREDENTIALS
        if not _may_be_sent(settings.get(f"SERVICEDESK_{name}", ""))
    ]
    rate = settings.get("SERVICEDESK_RATE_PER_MINUTE", "1")
    if not (rate.isascii() and rate.isdecimal() and int(rate[:9]) >= 1):
        wrong.append(f"SERVICEDESK_RATE_PER_MINUTE_{suffix} must be a number from 1")
    if settings.get("SERVICEDESK_FAILURE_NOTE", "none").lower() not in ("none", "context"):
        wrong.append(f"SERVICEDESK_FAILURE_NOTE_{suffix} must be none or context")
    for name in ("SERVICEDESK_URL", *(("SERVICEDESK_ACCOUNTS_URL",) if edition == "cloud" else ())):
        problem = address_problem(settings[name], secure=edition == "cloud") if name in settings else None
        if problem is not None:
            wrong.append(f"{name}_{suffix} {problem}")
    return wrong


def _may_be_sent(value: str) -> bool:
    return value.isascii() and (not value or value.isprintable())


def _suffix(tenant_id: str) -> str:
    return tenant_id.upper().replace("-", "_")


def _unreadable(suffix: str, settings: Mapping[str, str], beginnings: tuple[str, ...]) -> list[str]:
    names = [name for name, value in settings.items() if value == UNREADABLE and name.startswith(beginnings)]
    return [unreadable(f"{name}_{suffix}") for name in names]
