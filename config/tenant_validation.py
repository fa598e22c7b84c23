"""Validation of tenants: variables, secret files, tables of `tenants.toml`.

A tenant that never had usable settings is closed if one is wrong: it has neither secrets nor a desk. An open tenant is
changed part by part (table, webhook checks, desk, model): a part with a problem keeps its earlier settings, except
removed secrets. All tenants are closed until `SECRETS_DIR` can be listed, because it may configure a tenant's own
model.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.addresses import ODD_KEY, address_problem, may_be_sent
from config.secret_files import DIRECTORY, NOT_LISTED, UNREADABLE, unreadable
from config.tenants import (
    ALL_KEYS,
    DESK_KEYS,
    FIELDS,
    MODEL_KEYS,
    PROCESS_KEYS,
    REMOVED,
    TENANT_SETTINGS,
    TENANTS_TOML,
    DeskSettings,
    Keys,
    ModelSettings,
    NoteSettings,
    Tenant,
    TenantSettings,
    TicketRules,
    by_tenant,
    id_problem,
    is_tenant_id,
    setting_suffix,
)

_SIGN = ("WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "RETIRED_WEBHOOK_SECRET")
_MIN_TOKEN_LENGTH = 32
Variables = Mapping[str, str]
"""Variables of one tenant: setting without suffix -> value."""
Tables = Mapping[str, object]


class TenantsFileError(ValueError):
    """Unreadable `tenants.toml`; the text has the reason."""


@lru_cache(maxsize=4)
def tables_in(text: str) -> Tables:
    """Parse the file into tenant id -> table. Raises TenantsFileError."""
    if text == UNREADABLE:
        raise TenantsFileError(f"TENANTS_FILE: {TENANTS_TOML} is missing, is empty or can't be read as text")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as failure:
        # The message has a position and quotes at most one character.
        raise TenantsFileError(f"{TENANTS_TOML} is no TOML: {str(failure)[:80]}") from None


def settings_of(tenant_id: str, table: object) -> tuple[TenantSettings | None, list[str]]:
    """Validate a table; return None and its problems if it is invalid."""
    try:
        return TenantSettings.model_validate({} if table is None else table), []
    except ValidationError as failure:
        return None, [_sentence(tenant_id, problem) for problem in failure.errors(include_url=False)]


def has_path(table: object, path: str) -> bool:
    """Return True if the table has a key at the dotted `path`."""
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


@dataclass(frozen=True, slots=True)
class TenantProblem:
    """A problem of a tenant's settings.

    `sentence` has the setting's name, not its value. `tenant_id` comes from the setting's name: it may be malformed,
    and is empty if the setting belongs to no tenant. `closed`: no earlier settings remain in force.
    """

    tenant_id: str
    sentence: str
    closed: bool = False


def parse_tenants(values: Mapping[str, str], keys: Keys = ALL_KEYS) -> tuple[dict[str, Tenant], list[TenantProblem]]:
    """Return the tenants and problems of `values` (setting name -> value).

    `keys`: the kinds of keys that this process requires.
    """
    try:
        tenants, problems = tenants_after({}, values, tables_in(values.get(TENANTS_TOML, "")), keys)
    except TenantsFileError as unusable:
        return {}, [TenantProblem("", str(unusable))]
    return {name: tenant for name, tenant in tenants.items() if tenant != Tenant(name, usable=False)}, problems


def tenants_after(
    before: Mapping[str, Tenant], values: Mapping[str, str], tables: Tables | None, keys: Keys = ALL_KEYS
) -> tuple[dict[str, Tenant], list[TenantProblem]]:
    """Return tenants and problems; parts with a problem keep settings from `before`.

    All tenants are closed if `tables` is None (never readable), because a table may require stricter masking, and if
    the secrets' directory can't be listed.
    """
    variables, not_listed = by_tenant(values), values.get(DIRECTORY) == UNREADABLE
    if tables is None or not_listed:
        ids = filter(is_tenant_id, sorted(variables.keys() | (tables or {}).keys()))
        problems = [TenantProblem("", NOT_LISTED)] if not_listed else []
        return {name: Tenant(name, usable=False) for name in ids}, problems
    tenants: dict[str, Tenant] = {}
    problems = []
    for tenant_id in sorted(variables.keys() | tables.keys()):
        settings = variables.get(tenant_id, {})
        if (wrong_id := id_problem(tenant_id)) is not None:
            place = f"WEBHOOK_SECRET_{setting_suffix(tenant_id)[:63]}" if settings else TENANTS_TOML
            problems.append(TenantProblem(tenant_id, f"{place}: {wrong_id}"))
            continue
        tenant, sentences = _read(before.get(tenant_id, Tenant(tenant_id)), settings, tables.get(tenant_id), keys)
        tenants[tenant_id] = tenant
        problems += [TenantProblem(tenant_id, sentence) for sentence in sentences]
    for tenant in list(tenants.values()):
        if tenant.webhook_token and (holders := _other_holders(tenant, variables)):
            # The holder of one token could post webhooks as both tenants.
            tenants[tenant.id] = replace(tenant, webhook_token="", usable=False)
            name = f"WEBHOOK_TOKEN_{setting_suffix(tenant.id)}"
            problems.append(TenantProblem(tenant.id, f"{name} is off: it is the same as {', '.join(holders)}"))
    return tenants, problems


def _other_holders(tenant: Tenant, tenants: Mapping[str, Variables]) -> list[str]:
    return [
        f"{name}_{setting_suffix(tenant_id)}"
        for tenant_id, variables in sorted(tenants.items())
        for name in ("WEBHOOK_TOKEN", *_SIGN)
        if tenant_id != tenant.id and variables.get(name) == tenant.webhook_token
    ]


def _read(old: Tenant, variables: Variables, table: object, keys: Keys) -> tuple[Tenant, list[str]]:
    settings, of_table = _settings(old.id, variables, table)
    required = settings.webhook.require_timestamp if settings else old.require_timestamp
    of_webhook = _webhook_problems(old.id, variables, require_timestamp=required)
    of_desk = _desk_problems(old.id, variables, settings, keys)
    of_model = _model_problems(old.id, variables, settings, keys)
    wrong = [*of_table, *of_webhook, *of_desk, *of_model]
    if wrong and not (old.accepts_webhooks or old.desk):
        return Tenant(old.id, usable=False), wrong
    lacks_current = bool(wrong) and variables.get("WEBHOOK_SECRET", UNREADABLE) == UNREADABLE
    secrets = tuple(variables[name] for name in _SIGN[:2] if variables.get(name, UNREADABLE) != UNREADABLE)
    if lacks_current and "PREVIOUS_WEBHOOK_SECRET" in variables:
        secrets = tuple(secret for secret in old.webhook_secrets if secret in secrets)
    tenant = replace(old, usable=not wrong, webhook_secrets=secrets, lacks_current_secret=lacks_current)
    if settings is not None:
        tenant = replace(tenant, **_of_table(settings))
    token = variables.get("WEBHOOK_TOKEN", "")
    if not of_webhook:
        tenant = replace(tenant, webhook_token=token, retired_secret=variables.get("RETIRED_WEBHOOK_SECRET", ""))
    elif token != old.webhook_token or tenant.require_timestamp:
        tenant = replace(tenant, webhook_token="")
    if settings is not None and not of_desk:
        tenant = replace(tenant, desk=_desk(variables, settings))
    elif tenant.desk is not None and not tenant.desk.credentials.items() <= variables.items():
        tenant = replace(tenant, desk=None)
    model = old.model
    if settings is not None and not of_model:
        model = ModelSettings(**settings.openai.model_dump(), api_key=variables.get("OPENAI_API_KEY", ""))
    elif model.api_key and variables.get("OPENAI_API_KEY") != model.api_key:
        model = model.model_copy(update={"api_key": ""})
    if (old.model.api_key or old.model.withdrawn) and not model.api_key:
        # Not replaced by the process's key: the tenant's texts may be restricted to its own account.
        model, tenant = model.model_copy(update={"withdrawn": True}), replace(tenant, usable=False)
        wrong.append(
            f"OPENAI_API_KEY_{setting_suffix(old.id)} was removed: its jobs wait for a new one, or for a restart"
        )
    return replace(tenant, model=model), wrong


def _settings(tenant_id: str, variables: Variables, table: object) -> tuple[TenantSettings | None, list[str]]:
    suffix = setting_suffix(tenant_id)
    settings, wrong = settings_of(tenant_id, table)
    for name, path in REMOVED.items():
        if name in variables and has_path(table, path):
            wrong.append(f"{name}_{suffix} is set, and {tenant_id}.{path} in {TENANTS_TOML} too: remove the variable")
        elif name in variables:
            wrong.append(
                f"{name}_{suffix} is no longer read: `ai-agents config migrate` prints the file to use instead"
            )
    if not variables:
        missing = f"neither WEBHOOK_SECRET_{suffix} nor SERVICEDESK_URL_{suffix} is set"
        wrong.append(f"{tenant_id} in {TENANTS_TOML}: {missing}")
    elif settings and settings.webhook.mode == "poll" and not _has_desk(variables):
        wrong.append(f"SERVICEDESK_URL_{suffix} is missing, but {tenant_id}.webhook.mode in {TENANTS_TOML} is poll")
    return (None if wrong else settings), wrong


def _of_table(settings: TenantSettings) -> dict[str, Any]:
    polled = settings.webhook.mode == "poll"
    return {
        "require_timestamp": settings.webhook.require_timestamp,
        "dry_run": settings.mode == "dry-run",
        "rules": TicketRules(**dict(settings.tickets), **dict(settings.context)),
        "share": settings.jobs,
        "report": settings.report,
        "note": NoteSettings(**settings.note.model_dump(), masking=settings.masking),
        "audit_days": settings.audit_days,
        "polled": polled,
        "recovers": polled or settings.reconcile == "on",
    }


def _desk(variables: Variables, settings: TenantSettings) -> DeskSettings | None:
    if not _has_desk(variables):
        return None
    edition = variables.get("SERVICEDESK_EDITION", "onpremises").lower()
    of_table = settings.servicedesk.model_dump()
    if of_table["rate_per_minute"] is None:
        of_table["rate_per_minute"] = 30 if edition == "cloud" else 60
    return DeskSettings(
        **of_table,
        edition=edition,
        url=variables["SERVICEDESK_URL"].rstrip("/").removesuffix("/api/v3"),
        **{name.removeprefix("SERVICEDESK_").lower(): variables.get(name, "") for name in DESK_KEYS},
    )


def _webhook_problems(tenant_id: str, variables: Variables, *, require_timestamp: bool) -> list[str]:
    suffix = setting_suffix(tenant_id)
    wrong = _unreadable(suffix, variables, (*_SIGN, "WEBHOOK_TOKEN"))
    if "PREVIOUS_WEBHOOK_SECRET" in variables and "WEBHOOK_SECRET" not in variables:
        wrong.append(f"WEBHOOK_SECRET_{suffix} is missing, but PREVIOUS_WEBHOOK_SECRET_{suffix} is set")
    retired = variables.get("RETIRED_WEBHOOK_SECRET")
    if retired is not None and retired in map(variables.get, _SIGN[:2]):
        wrong.append(f"RETIRED_WEBHOOK_SECRET_{suffix} is a secret that is still in use")
    token = variables.get("WEBHOOK_TOKEN", UNREADABLE)
    if token == UNREADABLE:
        return wrong
    if len(token) < _MIN_TOKEN_LENGTH or not may_be_sent(token) or " " in token:
        wrong.append(f"WEBHOOK_TOKEN_{suffix} must have at least {_MIN_TOKEN_LENGTH} characters and no blanks")
    if token in map(variables.get, _SIGN):
        wrong.append(f"WEBHOOK_TOKEN_{suffix} must not be a secret that signs: it travels with each webhook")
    if require_timestamp:
        path = f"{tenant_id}.webhook.require_timestamp in {TENANTS_TOML}"
        wrong.append(f"WEBHOOK_TOKEN_{suffix} and {path} exclude each other: a token has no timestamp")
    return wrong


def _has_desk(variables: Variables) -> bool:
    return any(name.startswith("SERVICEDESK_") and name not in REMOVED for name in variables)


def _desk_problems(tenant_id: str, variables: Variables, settings: TenantSettings | None, keys: Keys) -> list[str]:
    suffix = setting_suffix(tenant_id)
    names = ("SERVICEDESK_URL", "SERVICEDESK_EDITION", *DESK_KEYS)
    wrong = _unreadable(suffix, variables, names)
    if wrong or not _has_desk(variables):
        return wrong
    edition = variables.get("SERVICEDESK_EDITION", "onpremises").lower()
    needed = ["SERVICEDESK_URL"]
    if edition not in ("onpremises", "cloud"):
        wrong.append(f"SERVICEDESK_EDITION_{suffix} must be onpremises or cloud")
    elif "desk" in keys:
        needed += DESK_KEYS[1:] if edition == "cloud" else DESK_KEYS[:1]
    wrong += [f"{name}_{suffix} is missing" for name in needed if name not in variables]
    wrong += [f"{name}_{suffix} {ODD_KEY}" for name in DESK_KEYS if not may_be_sent(variables.get(name, ""))]
    if settings and edition == "cloud":
        of_table = settings.servicedesk
        values = {"client_id": of_table.client_id, "accounts_url": of_table.accounts_url}
        wrong += [f"{tenant_id}.servicedesk.{key} in {TENANTS_TOML} is missing" for key in values if not values[key]]
    if "SERVICEDESK_URL" in variables:
        problem = address_problem(variables["SERVICEDESK_URL"], secure=edition == "cloud")
        wrong += [f"SERVICEDESK_URL_{suffix} {problem}"] if problem else []
    return wrong


def _model_problems(tenant_id: str, variables: Variables, settings: TenantSettings | None, keys: Keys) -> list[str]:
    suffix = setting_suffix(tenant_id)
    wrong = _unreadable(suffix, variables, MODEL_KEYS)
    if not wrong and not may_be_sent(variables.get("OPENAI_API_KEY", "")):
        wrong.append(f"OPENAI_API_KEY_{suffix} {ODD_KEY}")
    if settings and settings.openai.base_url and "model" in keys and "OPENAI_API_KEY" not in variables:
        # The process's own key must not be sent to the tenant's address.
        wrong.append(f"OPENAI_API_KEY_{suffix} is missing, but {tenant_id}.openai.base_url in {TENANTS_TOML} is set")
    return wrong


def _unreadable(suffix: str, variables: Variables, names: tuple[str, ...]) -> list[str]:
    return [unreadable(f"{name}_{suffix}") for name in names if variables.get(name) == UNREADABLE]


def keys_after(before: Mapping[str, str], values: Mapping[str, str]) -> tuple[dict[str, str], list[TenantProblem]]:
    """Return the current values of PROCESS_KEYS, and their problems.

    A key that was never set is left out. An unusable key, or one removed since `before`, is empty, so that a revoked
    key is never sent.
    """
    keys = {name: values.get(name, "") for name in PROCESS_KEYS if name in values or name in before}
    wrong = {name: _key_problem(name, key) for name, key in keys.items()}
    problems = [TenantProblem("", sentence) for sentence in wrong.values() if sentence]
    return {name: "" if wrong[name] else key for name, key in keys.items()}, problems


def _key_problem(name: str, key: str) -> str | None:
    if key == UNREADABLE:
        return f"{name} is wrong: its file can't be read as text"
    if not key:
        return f"{name} was removed: its jobs wait until a new one is set, or for a restart"
    return None if may_be_sent(key) else f"{name} is wrong: {ODD_KEY}"
