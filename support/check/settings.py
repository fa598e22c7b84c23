"""Check of process and tenant settings, and of secret strength."""

from dataclasses import dataclass
from typing import TypeVar

from config.settings import DeskClientSettings, LogSettings, SettingsRefused, StoreSettings, WorkerSettings, load
from config.tenant_directory import TenantDirectory, keys_here, not_needed, read_environment
from config.tenant_settings import ALL_KEYS, Keys, key_name, setting_suffix
from config.tenants import Tenant
from support.check.findings import Finding, Findings

_SHORTEST_SECRET = 24
_FEWEST_CHARACTERS = 10

Part = TypeVar("Part", bound=LogSettings)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings that could be loaded; None for an unusable part."""

    log: LogSettings | None
    stores: StoreSettings | None
    desks: DeskClientSettings | None
    worker: WorkerSettings | None
    keys: Keys = ALL_KEYS
    """The kinds of tenants' keys that should be here."""

    @property
    def has_no_keys(self) -> str:
        """The reason why desks and models are not called, as in an API pod; else empty."""
        return "" if self.keys else "no key of a desk or a model is here: look where a worker runs"


def load_parts() -> tuple[Loaded, list[Finding]]:
    """Load a worker's settings, or their usable parts, with a row for the problems."""
    rows = Findings(["settings"])
    problems: list[str] = []

    def usable(kind: type[Part], **defaults: str) -> Part | None:
        try:
            return load(kind, **defaults)
        except SettingsRefused as refused:
            problems[:] = refused.problems
            return None

    log = usable(LogSettings)
    read = read_environment(log.secrets_dir if log else None)
    keys = keys_here(read())
    stores, desks = usable(StoreSettings), usable(DeskClientSettings)
    # Last, since it has all settings and so all problems.
    worker = usable(WorkerSettings, **not_needed(TenantDirectory(read))) if keys else None
    loaded = Loaded(log, stores, desks, worker, keys)
    if problems:
        rows.failed("settings", "; ".join(problems), "mend what is named, where a worker runs")
    elif loaded.has_no_keys:
        rows.not_checked(loaded.has_no_keys, "settings")
    else:
        rows.ok("those of a worker are complete", "settings")
    return loaded, rows.all


def tenant_rows(tenants: TenantDirectory, tenant_id: str) -> list[Finding]:
    rows = Findings(["tenant settings"], tenant_id)
    wrong = [problem.sentence for problem in tenants.problems if problem.tenant_id in (tenant_id, "")]
    if wrong:
        rows.failed("tenant settings", "; ".join(wrong), "mend what is named; nothing has to be started anew")
    elif tenants.get(tenant_id) is None:
        rows.failed("tenant settings", "this process has none of it", "set WEBHOOK_SECRET_<TENANT> and its siblings")
    else:
        rows.ok("usable", "tenant settings")
    return rows.all


def rows_of_no_tenant(tenants: TenantDirectory) -> list[Finding]:
    """Return problems of settings without a tenant's row, or that there is no tenant."""
    rows = Findings(["tenant settings"])
    known = {tenant.id for tenant in tenants.all()}
    wrong = [problem.sentence for problem in tenants.problems if problem.tenant_id not in known]
    if wrong:
        rows.failed("tenant settings", "; ".join(wrong), "mend what is named; nothing has to be started anew")
    elif not known:
        rows.failed("tenant settings", "there is no tenant", "set WEBHOOK_SECRET_<TENANT> and its siblings")
    else:
        return []
    return rows.all


def secret_rows(tenant: Tenant) -> list[Finding]:
    rows = Findings(["secret strength"], tenant.id)
    suffix = setting_suffix(tenant.id)
    if tenant.polled and not tenant.opens_webhook:
        rows.not_checked("its desk is polled, and needs none", "secret strength")
    elif not tenant.webhook_secrets:
        rows.not_checked("this process has no webhook secret of it", "secret strength")
    elif weak := next((secret for secret in tenant.webhook_secrets if _is_weak(secret)), None):
        seen = f"one has {len(weak)} characters, {len(set(weak))} different ones"
        remedy = f"rotate WEBHOOK_SECRET_{suffix} to one of `openssl rand -hex 32` (docs/runbooks/secret-rotation.md)"
        rows.failed("secret strength", seen, remedy)
    else:
        rows.ok(f"{_SHORTEST_SECRET} characters at least", "secret strength")
    return rows.all


def reconcile_rows(tenant: Tenant) -> list[Finding]:
    """Report the handling of new tickets whose webhook never comes."""
    rows = Findings(["missing webhooks"], tenant.id)
    name = key_name(tenant.id, "reconcile")
    if tenant.desk is None:
        rows.not_checked("the tenant has no desk", "missing webhooks")
    elif tenant.polled:
        rows.ok("none is expected: its desk is polled", "missing webhooks")
    else:
        done = "are told, and their jobs made" if tenant.recovers else "are told: with on, their jobs are made too"
        rows.ok(f"{name} is {'on' if tenant.recovers else 'report'}: they {done}", "missing webhooks")
    return rows.all


def _is_weak(secret: str) -> bool:
    return len(secret) < _SHORTEST_SECRET or len(set(secret)) < _FEWEST_CHARACTERS
