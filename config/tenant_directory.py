"""Tenants of a running process, and its own model keys.

The environment, `SECRETS_DIR` and `tenants.toml` are read again every few seconds, so that a new tenant or a rotated
secret needs no restart. A file is applied after its write has finished (`config.secrets`).

A tenant with unusable settings is closed: it has neither secrets nor a desk. A tenant that was open before keeps its
working settings, except removed secrets. Four parts are independent: its table, webhook checks, desk and model. All
tenants are closed until `SECRETS_DIR` can be listed, because it may configure a tenant's own model.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from config.addresses import ODD_KEY, address_problem, may_be_sent
from config.environment import secrets_dir, tenants_file
from config.secrets import DIRECTORY, NOT_LISTED, UNREADABLE, SecretFiles, unreadable
from config.settings import ProcessSettings, SettingsError, load
from config.tenants import (
    ALL_KEYS,
    DESK_KEYS,
    MODEL_KEYS,
    REMOVED,
    SECRETS,
    TENANTS_TOML,
    DeskSettings,
    Keys,
    ModelSettings,
    NoteSettings,
    Tables,
    Tenant,
    TenantSettings,
    TenantsFileError,
    TicketRules,
    by_tenant,
    has_path,
    id_problem,
    is_tenant_id,
    owner,
    setting_suffix,
    settings_of,
    tables_in,
)

PROCESS_KEYS = ("OPENAI_API_KEY", "OPENAI_FALLBACK_API_KEY")
"""Process settings that are read again like tenants' keys, because they are rotated too."""
_SIGN = ("WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "RETIRED_WEBHOOK_SECRET")
_SHORTEST_TOKEN = 32
_REREAD_SECONDS = 5.0
Variables = Mapping[str, str]
"""Variables of one tenant: setting without suffix -> value."""


def read_environment(
    secrets_dir: Path | None,
    *,
    on_problem: Callable[[str], None] = lambda _: None,
    now: Callable[[], float] = time.time,
) -> Callable[[], Mapping[str, str]]:
    """Return a reader of tenants' settings and PROCESS_KEYS, files first.

    TENANTS_TOML is the text of the file that TENANTS_FILE names. `on_problem` receives problems of changed files that
    are not applied. `now` is compared with the files' modification times.
    """
    files = SecretFiles(
        secrets_dir,
        group=lambda name: name if name in PROCESS_KEYS else owner(name)[1],
        secret=lambda name: name in PROCESS_KEYS or owner(name)[0] in SECRETS,
        on_problem=on_problem,
        now=now,
    )
    path = tenants_file()
    file = SecretFiles(
        path.parent if path else None,
        setting="TENANTS_FILE",
        group=lambda name: name if path is not None and name == path.name else "",
        secret=lambda _: False,
        on_problem=on_problem,
        now=now,
    )

    def read() -> Mapping[str, str]:
        of_file = {TENANTS_TOML: file.read().get(path.name, UNREADABLE)} if path else {}
        return files.over_environment() | of_file

    return read


@dataclass(frozen=True, slots=True)
class TenantProblem:
    """Problem of a tenant's settings: a sentence with the setting's name, no value.

    `tenant_id` is taken from the setting's name and may be malformed; it is empty for a file that may belong to no
    tenant. `closed`: no earlier settings remain in force.
    """

    tenant_id: str
    sentence: str
    closed: bool = False


def names_tenant(values: Mapping[str, str], tenant_id: str) -> bool:
    """Return True if any of `values` (setting name -> value) is the tenant's.

    Also True while this is unknown: `SECRETS_DIR` could never be listed, or the file is unreadable.
    """
    try:
        tables = tables_in(values.get(TENANTS_TOML, ""))
    except TenantsFileError:
        return True
    names = {owner(name)[1] for name in values}
    return values.get(DIRECTORY) == UNREADABLE or tenant_id in tables or tenant_id in names


def secrets_in(values: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return the secrets in `values` by (tenant, setting without suffix).

    The tenant is empty for PROCESS_KEYS. Order: current secret, previous secret, retired secret. Unreadable values and
    values of no tenant are omitted.
    """
    found = {("", name): values[name] for name in PROCESS_KEYS if name in values}
    for tenant_id, settings in sorted(by_tenant(values).items()):
        if is_tenant_id(tenant_id):
            own = [name for name in (*SECRETS, "RETIRED_WEBHOOK_SECRET") if name in settings]
            found |= {(tenant_id, name): settings[name] for name in own}
    return {whose: secret for whose, secret in found.items() if secret != UNREADABLE}


def keys_here(values: Mapping[str, str]) -> Keys:
    """Return the kinds of keys to require: none if only webhook secrets are set."""
    kinds = {setting for _, setting in secrets_in(values)}
    return ALL_KEYS if not kinds or kinds & {*DESK_KEYS, *MODEL_KEYS, *PROCESS_KEYS} else ()


def parse_tenants(values: Mapping[str, str], keys: Keys = ALL_KEYS) -> tuple[dict[str, Tenant], list[TenantProblem]]:
    """Parse tenants and problems from `values` (setting name -> value).

    A tenant that shares its token with another tenant is returned without it. Kinds of keys not in `keys` may be
    missing.
    """
    try:
        tenants, problems = tenants_after({}, values, tables_in(values.get(TENANTS_TOML, "")), keys)
    except TenantsFileError as unusable:
        return {}, [TenantProblem("", str(unusable))]
    return {name: one for name, one in tenants.items() if one != Tenant(name, usable=False)}, problems


def tenants_after(
    before: Mapping[str, Tenant], values: Mapping[str, str], tables: Tables | None, keys: Keys = ALL_KEYS
) -> tuple[dict[str, Tenant], list[TenantProblem]]:
    """Return tenants and problems; unusable tenants keep settings from `before`.

    All tenants are closed if `tables` is None (never readable), because a table may require stricter masking.
    """
    variables = by_tenant(values)
    if tables is None or values.get(DIRECTORY) == UNREADABLE:
        ids = filter(is_tenant_id, sorted(variables.keys() | (tables or {}).keys()))
        problems = [TenantProblem("", NOT_LISTED)] if values.get(DIRECTORY) == UNREADABLE else []
        return {name: Tenant(name, usable=False) for name in ids}, problems
    tenants: dict[str, Tenant] = {}
    problems = []
    for tenant_id in sorted(variables.keys() | tables.keys()):
        own = variables.get(tenant_id, {})
        if (wrong_id := id_problem(tenant_id)) is not None:
            named = f"WEBHOOK_SECRET_{setting_suffix(tenant_id)[:63]}" if own else TENANTS_TOML
            problems.append(TenantProblem(tenant_id, f"{named}: {wrong_id}"))
            continue
        tenant, sentences = _read(before.get(tenant_id, Tenant(tenant_id)), own, tables.get(tenant_id), keys)
        tenants[tenant_id] = tenant
        problems += [TenantProblem(tenant_id, sentence) for sentence in sentences]
    for tenant in list(tenants.values()):
        if tenant.webhook_token and (holders := _other_holders(tenant, variables)):
            # Its holder could post as both tenants.
            tenants[tenant.id] = replace(tenant, webhook_token="", usable=False)
            name = f"WEBHOOK_TOKEN_{setting_suffix(tenant.id)}"
            problems.append(TenantProblem(tenant.id, f"{name} is off: it is the same as {', '.join(holders)}"))
    return tenants, problems


def _other_holders(tenant: Tenant, tenants: Mapping[str, Variables]) -> list[str]:
    return [
        f"{name}_{setting_suffix(other)}"
        for other, variables in sorted(tenants.items())
        for name in ("WEBHOOK_TOKEN", *_SIGN)
        if other != tenant.id and variables.get(name) == tenant.webhook_token
    ]


def _read(old: Tenant, variables: Variables, table: object, keys: Keys) -> tuple[Tenant, list[str]]:
    settings, of_table = _settings(old.id, variables, table)
    required = settings.webhook.require_timestamp if settings else old.require_timestamp
    of_webhook = _webhook_problems(old.id, variables, require_timestamp=required)
    of_desk = _desk_problems(old.id, variables, settings, keys)
    of_model = _model_problems(old.id, variables, settings, keys)
    wrong = [*of_table, *of_webhook, *of_desk, *of_model]
    if wrong and not (old.opens_webhook or old.desk):
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
        # Its texts may be restricted to its own account, so the process's account is no substitute.
        model, tenant = model.model_copy(update={"withdrawn": True}), replace(tenant, usable=False)
        wrong.append(f"OPENAI_API_KEY_{setting_suffix(old.id)} is gone: its jobs wait for one, or for a restart")
    return replace(tenant, model=model), wrong


def _settings(tenant_id: str, variables: Variables, table: object) -> tuple[TenantSettings | None, list[str]]:
    suffix = setting_suffix(tenant_id)
    settings, wrong = settings_of(tenant_id, table)
    for name, path in REMOVED.items():
        if name in variables and has_path(table, path):
            wrong.append(f"{name}_{suffix} is set, and {tenant_id}.{path} in {TENANTS_TOML} too: remove the variable")
        elif name in variables:
            wrong.append(
                f"{name}_{suffix} is read no more: `ai-agents config migrate` prints the file that replaces it"
            )
    if not variables:
        wrong.append(
            f"{tenant_id} in {TENANTS_TOML}: neither WEBHOOK_SECRET_{suffix} nor SERVICEDESK_URL_{suffix} is set"
        )
    elif settings and settings.webhook.mode == "poll" and not _has_desk(variables):
        wrong.append(f"SERVICEDESK_URL_{suffix} is missing, but {tenant_id}.webhook.mode in {TENANTS_TOML} is poll")
    return (None if wrong else settings), wrong


def _of_table(settings: TenantSettings) -> dict[str, Any]:
    polled = settings.webhook.mode == "poll"
    tickets, context = settings.tickets, settings.context
    return {
        "require_timestamp": settings.webhook.require_timestamp,
        "dry_run": settings.mode == "dry-run",
        "rules": TicketRules(tickets.only, tickets.never, context.within, context.never_topics),
        "share": settings.jobs,
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
    if len(token) < _SHORTEST_TOKEN or not may_be_sent(token) or " " in token:
        wrong.append(f"WEBHOOK_TOKEN_{suffix} must be {_SHORTEST_TOKEN} characters at least, without blanks")
    if token in map(variables.get, _SIGN):
        wrong.append(f"WEBHOOK_TOKEN_{suffix} must not be a secret that signs: it travels with each webhook")
    if require_timestamp:
        path = f"{tenant_id}.webhook.require_timestamp in {TENANTS_TOML}"
        wrong.append(f"WEBHOOK_TOKEN_{suffix} and {path} exclude each other: a token is no signature")
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
        given = {"client_id": of_table.client_id, "accounts_url": of_table.accounts_url}
        wrong += [f"{tenant_id}.servicedesk.{key} in {TENANTS_TOML} is missing" for key in given if not given[key]]
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
    """Return the current PROCESS_KEYS in `values`, and their problems.

    An unusable key, or one removed since `before`, is empty, so that a revoked key is never sent. A key that was never
    set is omitted.
    """
    keys = {name: values.get(name, "") for name in PROCESS_KEYS if name in values or name in before}
    wrong = {name: _key_problem(name, key) for name, key in keys.items()}
    problems = [TenantProblem("", sentence) for sentence in wrong.values() if sentence]
    return {name: "" if wrong[name] else key for name, key in keys.items()}, problems


def _key_problem(name: str, key: str) -> str | None:
    if key == UNREADABLE:
        return f"{name} is wrong: its file can't be read as text"
    if not key:
        return f"{name} is gone: what is asked with it waits for another one, or for a restart"
    return None if may_be_sent(key) else f"{name} is wrong: {ODD_KEY}"


class TenantDirectory:
    """Configured tenants, including those with unusable settings; thread-safe.

    `on_problem` receives problems that appear after the start; `problems` has the current ones. `needs` returns whether
    a tenant has the settings that this process uses; a tenant without them is reported as closed. Kinds of keys not in
    `keys` may be missing.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, str]],
        *,
        needs: Callable[[Tenant], bool] = lambda tenant: bool(tenant.opens_webhook or tenant.desk),
        keys: Keys = ALL_KEYS,
        on_problem: Callable[[TenantProblem], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._needs = needs
        self._keys_used = keys
        self._on_problem = on_problem
        self._monotonic = monotonic
        self._reading = threading.Lock()
        self._tenants: dict[str, Tenant] = {}
        self._keys: dict[str, str] = {}
        self._tables: Tables | None = None
        self.file_problem: str | None = None
        """Why `tenants.toml` is not used as it is: its last good version counts, else all tenants are closed."""
        self._values = read()
        self._tenants, self._keys, self.problems = self._parse(self._values)
        self._all: Sequence[Tenant] = list(self._tenants.values())
        self._read_at = monotonic()

    def get(self, tenant_id: str) -> Tenant | None:
        self._refresh()
        return self._tenants.get(tenant_id)

    def all(self) -> Sequence[Tenant]:
        """Return all tenants; the same object until a tenant or process key changes."""
        self._refresh()
        return self._all

    def names(self, tenant_id: str) -> bool:
        """Return True if the tenant has any setting, or if this is unknown."""
        self._refresh()
        return names_tenant(self._values, tenant_id)

    def process_key(self, name: str) -> str | None:
        """Return one of PROCESS_KEYS: empty if removed, None if never set."""
        self._refresh()
        return self._keys.get(name)

    def secrets(self) -> dict[tuple[str, str], str]:
        """Return the current secrets, also of closed tenants, as `secrets_in` does."""
        self._refresh()
        return secrets_in(self._values)

    def unusable(self) -> dict[str, bool]:
        """Return tenant id -> True if its settings are unusable; invalid ids count as ""."""
        told = {tenant.id: not tenant.usable for tenant in self.all()}
        return told | ({"": True} if any(problem.tenant_id not in told for problem in self.problems) else {})

    def _refresh(self) -> None:
        now = self._monotonic()
        if now - self._read_at < _REREAD_SECONDS or not self._reading.acquire(blocking=False):
            return
        try:
            self._read_at = now
            values = self._read()
            tenants, keys, problems = self._parse(values)
            fresh = [problem for problem in problems if problem not in self.problems]
            changed = (tenants, keys) != (self._tenants, self._keys)
            self._values, self._tenants, self._keys, self.problems = values, tenants, keys, problems
            if changed:
                self._all = list(tenants.values())
        finally:
            self._reading.release()
        for problem in fresh:
            self._on_problem(problem)

    def _parse(self, values: Mapping[str, str]) -> tuple[dict[str, Tenant], dict[str, str], list[TenantProblem]]:
        try:
            self._tables, self.file_problem = tables_in(values.get(TENANTS_TOML, "")), None
        except TenantsFileError as unusable:
            self.file_problem = str(unusable)
        tenants, problems = tenants_after(self._tenants, values, self._tables, self._keys_used)
        closed = [not self._needs(tenants.get(problem.tenant_id, Tenant(""))) for problem in problems]
        told = [replace(problem, closed=shut) for problem, shut in zip(problems, closed, strict=True)]
        keys, of_keys = keys_after(self._keys, values)
        of_file = [TenantProblem("", self.file_problem)] if self.file_problem is not None else []
        return tenants, keys, told + of_keys + of_file


_NEEDS: dict[str, Callable[[Tenant], bool]] = {
    # The API also queues the jobs of polled desks.
    "secret": lambda tenant: tenant.opens_webhook or tenant.polled,
    "desk": lambda tenant: tenant.desk is not None,
    "nothing": lambda tenant: tenant.opens_webhook or tenant.desk is not None,
}
_MISSING = {
    "secret": "WEBHOOK_SECRET_<TENANT> is missing: no tenant may post",
    "desk": "SERVICEDESK_URL_<TENANT> is missing: no tenant has a desk",
}
Needs = Literal["secret", "desk", "nothing"]
"""Setting that at least one tenant must have; `nothing` requires no tenant."""


def load_with_tenants(
    kind: type[ProcessSettings], *, needs: Needs, on_problem: Callable[[TenantProblem], None]
) -> tuple[ProcessSettings, TenantDirectory]:
    """Load settings and tenants, of which at least one must meet `needs`.

    Tenants with unusable settings are closed; the directory's `problems` has the reasons. `on_problem` receives later
    problems: settings that became unusable, changed files that are not applied. Raises SettingsError with a sentence
    for each missing or wrong setting, including tenants', and for a `tenants.toml` that is not TOML.
    """
    read = read_environment(secrets_dir(), on_problem=lambda sentence: on_problem(TenantProblem("", sentence)))
    there = _NEEDS[needs]
    # Kubernetes mounts no other kinds of keys than those that the process uses.
    keys: Keys = () if needs != "desk" else ALL_KEYS if "openai_api_key" in kind.model_fields else ["desk"]
    tenants = TenantDirectory(read, needs=there, keys=keys, on_problem=on_problem)
    enough = needs == "nothing" or any(there(tenant) for tenant in tenants.all())
    problems: list[str] = []
    try:
        settings = load(kind, **not_needed(tenants))
        if enough and tenants.file_problem is None:
            return settings, tenants
    except SettingsError as refused:
        problems += refused.problems
    problems += [problem.sentence for problem in tenants.problems if problem.sentence not in problems]
    if not enough and not tenants.problems:
        problems.append(_MISSING[needs])
    raise SettingsError(problems)


def not_needed(tenants: TenantDirectory) -> dict[str, str]:
    """Return an empty model key if each tenant with a desk has its own."""
    with_desk = [tenant for tenant in tenants.all() if tenant.desk is not None]
    return {"openai_api_key": ""} if with_desk and all(tenant.model.api_key for tenant in with_desk) else {}
