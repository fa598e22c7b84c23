"""Startup checks of settings and tenants, with all problems reported at once."""

from collections.abc import Callable
from typing import Literal

from config.environment import secrets_dir
from config.loading import LogSettings, ProcessSettings, SettingsRefused, load
from config.tenant_directory import TenantDirectory
from config.tenant_names import ALL_KEYS, Keys
from config.tenant_reading import TenantProblem, read_environment
from config.tenants import Tenant

_NEEDS: dict[str, tuple[Callable[[Tenant], bool], str]] = {
    "secret": (
        # The API also queues the jobs of polled desks.
        lambda tenant: tenant.opens_webhook or tenant.polled,
        "WEBHOOK_SECRET_<TENANT> is missing: no tenant may post",
    ),
    "desk": (
        lambda tenant: tenant.desk is not None,
        "SERVICEDESK_URL_<TENANT> is missing: no tenant has a desk",
    ),
    "nothing": (lambda tenant: tenant.opens_webhook or tenant.desk is not None, ""),
}
Needs = Literal["secret", "desk", "nothing"]
"""Setting that at least one tenant must have; `nothing` requires no tenant."""


def load_with_tenants(
    kind: type[ProcessSettings], *, needs: Needs, on_problem: Callable[[TenantProblem], None]
) -> tuple[ProcessSettings, TenantDirectory]:
    """Load settings and tenants, of which at least one must meet `needs`.

    Tenants with unusable settings are closed; the directory's `problems` has the reasons. `on_problem` receives later
    problems: settings that became unusable, changed files that are not applied. Raises SettingsRefused with a sentence
    for each missing or wrong setting, including tenants', and for a `tenants.toml` that is not TOML.
    """
    read = read_environment(secrets_dir(), on_problem=lambda sentence: on_problem(TenantProblem("", sentence)))
    there, said = _NEEDS[needs]
    tenants = TenantDirectory(read, needs=there, keys=_keys(kind, needs), on_problem=on_problem)
    problems: list[str] = []
    settings: ProcessSettings | None = None
    try:
        settings = load(kind, **not_needed(tenants))
    except SettingsRefused as refused:
        problems += refused.problems
    enough = needs == "nothing" or any(there(tenant) for tenant in tenants.all())
    if settings is not None and tenants.file_problem is None and enough:
        return settings, tenants
    problems += [problem.sentence for problem in tenants.problems if problem.sentence not in problems]
    if said and not tenants.problems and not any(there(tenant) for tenant in tenants.all()):
        problems.append(said)
    raise SettingsRefused(problems)


def _keys(kind: type[LogSettings], needs: Needs) -> Keys:
    """Return the kinds of keys that the process uses; Kubernetes mounts no others."""
    if needs != "desk":
        return ()
    return ALL_KEYS if "openai_api_key" in kind.model_fields else ["desk"]


def not_needed(tenants: TenantDirectory) -> dict[str, str]:
    """Return an empty model key if each tenant with a desk has its own."""
    with_desk = [tenant for tenant in tenants.all() if tenant.desk is not None]
    return {"openai_api_key": ""} if with_desk and all(tenant.model.api_key for tenant in with_desk) else {}
