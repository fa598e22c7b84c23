"""How the environment and `SECRETS_DIR` become tenants.

A tenant whose settings are unusable is closed: it has neither secrets nor a desk. One that was open before keeps what
worked, each part by itself, but for secrets that are not there any more. While nobody knows what `SECRETS_DIR` has, all
are closed: a model of a tenant's own, or a rule for its tickets, may stand there.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from config.secret_files import UNREADABLE, SecretFiles
from config.tenant_names import (
    ALL_KEYS,
    DESK_KEYS,
    MODEL_KEYS,
    SECRETS,
    Keys,
    by_tenant,
    owner,
    setting_suffix,
)
from config.tenant_parts import tenant_left, tenant_of
from config.tenant_problems import (
    NOT_LISTED,
    id_problems,
    is_tenant_id,
    key_problems,
    problems_of,
    shared_token,
)
from config.tenants import Tenant

_DIRECTORY = "SECRETS_DIR"
PROCESS_KEYS = ("OPENAI_API_KEY", "OPENAI_FALLBACK_API_KEY")
"""Settings of the process itself that are read again like those of tenants, since their keys are rotated too."""


def read_environment(
    secrets_dir: Path | None,
    *,
    on_problem: Callable[[str], None] = lambda _: None,
    now: Callable[[], float] = time.time,
) -> Callable[[], Mapping[str, str]]:
    """Return a reader of the environment with files of `secrets_dir` laid over it: those of tenants, and PROCESS_KEYS.

    Empty values count as unset. `SECRETS_DIR` itself is UNREADABLE while its files could never be listed. `on_problem`
    hears of changed files that are not used as they are; `now` is the time that files are stamped with.
    """
    files = SecretFiles(
        secrets_dir,
        group=lambda name: name if name in PROCESS_KEYS else owner(name)[1],
        secret=lambda name: name in PROCESS_KEYS or owner(name)[0] in SECRETS,
        on_problem=on_problem,
        now=now,
    )

    def read() -> Mapping[str, str]:
        values = {name: value.strip() for name, value in os.environ.items() if value.strip()}
        values |= files.read()
        return values | ({_DIRECTORY: UNREADABLE} if files.never_listed else {})

    return read


@dataclass(frozen=True, slots=True)
class TenantProblem:
    """Why a tenant's settings can't be used: a sentence that names the setting and no value.

    `tenant_id` is as the setting's name has it, well-formed or not; empty where a file is not used that may be of no
    tenant. `closed`: nothing is left of settings before.
    """

    tenant_id: str
    sentence: str
    closed: bool = False


def names_tenant(values: Mapping[str, str], tenant_id: str) -> bool:
    """Return True if any of `values` (setting name -> value) is a setting of the tenant, usable or not.

    True as well while nobody knows, since `SECRETS_DIR` could never be listed.
    """
    return _is_unlisted(values) or any(owner(name)[1] == tenant_id for name in values)


def secrets_in(values: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return the secrets among `values` (setting name -> value), by tenant and setting without the tenant.

    The tenant is empty for PROCESS_KEYS. The one in force comes before the previous and the retired one. What can't be
    read, or is of no tenant, is left out.
    """
    found = {("", name): values[name] for name in PROCESS_KEYS if name in values}
    for tenant_id, settings in sorted(by_tenant(values).items()):
        if is_tenant_id(tenant_id):
            own = [name for name in (*SECRETS, "RETIRED_WEBHOOK_SECRET") if name in settings]
            found |= {(tenant_id, name): settings[name] for name in own}
    return {whose: secret for whose, secret in found.items() if secret != UNREADABLE}


def keys_here(values: Mapping[str, str]) -> Keys:
    """Return the kinds of keys that a command should find: none where webhook secrets are alone, as beside the API."""
    kinds = {setting for _, setting in secrets_in(values)}
    return ALL_KEYS if not kinds or kinds & {*DESK_KEYS, *MODEL_KEYS, *PROCESS_KEYS} else ()


def _is_unlisted(values: Mapping[str, str]) -> bool:
    return values.get(_DIRECTORY) == UNREADABLE


def parse_tenants(values: Mapping[str, str], keys: Keys = ALL_KEYS) -> tuple[dict[str, Tenant], list[TenantProblem]]:
    """Return the tenants that `values` (setting name -> value) describe, and what is wrong with the others.

    One whose token is another tenant's too is there, but without it. Keys of another kind than `keys` may be missing.
    """
    tenants, problems = _each_alone(values, keys)
    return tenants, problems + _take_shared_tokens(tenants, values)


def _each_alone(values: Mapping[str, str], keys: Keys) -> tuple[dict[str, Tenant], list[TenantProblem]]:
    if _is_unlisted(values):
        return {}, [TenantProblem("", NOT_LISTED)]
    tenants: dict[str, Tenant] = {}
    problems: list[TenantProblem] = []
    for tenant_id, settings in sorted(by_tenant(values).items()):
        wrong = id_problems(tenant_id) or problems_of(tenant_id, settings, keys)
        if wrong:
            problems += [TenantProblem(tenant_id, sentence) for sentence in wrong]
        else:
            tenants[tenant_id] = tenant_of(tenant_id, settings)
    return tenants, problems


def _take_shared_tokens(tenants: dict[str, Tenant], values: Mapping[str, str]) -> list[TenantProblem]:
    settings = by_tenant(values)
    problems = []
    for tenant in list(tenants.values()):
        if sentence := shared_token(tenant.id, tenant.webhook_token, settings):
            tenants[tenant.id] = replace(tenant, webhook_token="", usable=False)
            problems.append(TenantProblem(tenant.id, sentence))
    return problems


def tenants_after(
    before: Mapping[str, Tenant], values: Mapping[str, str], keys: Keys = ALL_KEYS
) -> tuple[dict[str, Tenant], list[TenantProblem]]:
    """Return the tenants of `values`, of unusable ones what is left of those `before`, and what is wrong."""
    tenants, problems = _each_alone(values, keys)
    settings = by_tenant(values)
    if _is_unlisted(values):
        return {name: Tenant(name, usable=False) for name in sorted(settings) if is_tenant_id(name)}, problems
    for tenant_id in {problem.tenant_id for problem in problems if is_tenant_id(problem.tenant_id)}:
        tenants[tenant_id] = tenant_left(before.get(tenant_id, Tenant(tenant_id)), settings[tenant_id], keys)
    for tenant in [tenants[tenant_id] for tenant_id in tenants.keys() & before.keys()]:
        own = before[tenant.id].model
        if (own.api_key or own.withdrawn) and not tenant.model.api_key:
            # Its texts may be meant for its own account only: they do not go to the process's instead.
            tenants[tenant.id] = replace(tenant, model=replace(tenant.model, withdrawn=True), usable=False)
            sentence = f"OPENAI_API_KEY_{setting_suffix(tenant.id)} is gone: its jobs wait for one, or for a restart"
            problems.append(TenantProblem(tenant.id, sentence))
    problems += _take_shared_tokens(tenants, values)
    return dict(sorted(tenants.items())), problems


def keys_after(before: Mapping[str, str], values: Mapping[str, str]) -> tuple[dict[str, str], list[TenantProblem]]:
    """Return PROCESS_KEYS as `values` have them, and what is wrong with them.

    One that is unusable, or is gone since `before`, is empty: a key that was withdrawn is sent nowhere. One that there
    never was is left out.
    """
    keys = {name: values.get(name, "") for name in PROCESS_KEYS if name in values or name in before}
    wrong = {name: key_problems(name, key) for name, key in keys.items()}
    problems = [TenantProblem("", sentence) for sentences in wrong.values() for sentence in sentences]
    return {name: "" if wrong[name] else key for name, key in keys.items()}, problems
