"""Everything that one process reads before it starts, so that one start names all that has to be mended."""

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
        # The API is also what queues the jobs of desks that are polled.
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
"""What a process needs of a tenant at least: without `nothing`, one that has it."""


def load_with_tenants(
    kind: type[ProcessSettings], *, needs: Needs, on_problem: Callable[[TenantProblem], None]
) -> tuple[ProcessSettings, TenantDirectory]:
    """Return the settings of one process and its tenants, at least one of which has what the process `needs`.

    Those whose settings are unusable are closed, and `problems` of the directory tells why; `on_problem` hears later of
    settings that became unusable, and of changed files that are not used. Raises SettingsRefused with a sentence for
    each setting that is missing or wrong, the tenants' included, and for a `tenants.toml` that is no TOML.
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
    """Return the kinds of tenants' keys that the process uses. Kubernetes gives it no others."""
    if needs != "desk":
        return ()
    return ALL_KEYS if "openai_api_key" in kind.model_fields else ["desk"]


def not_needed(tenants: TenantDirectory) -> dict[str, str]:
    """Return, empty, what no tenant needs from the process: the model's key, where each brings its own."""
    with_desk = [tenant for tenant in tenants.all() if tenant.desk is not None]
    return {"openai_api_key": ""} if with_desk and all(tenant.model.api_key for tenant in with_desk) else {}
