"""Start of a process: settings, logging and tenants."""

import gc
import sys
from collections.abc import Callable
from typing import Literal, NoReturn

from config.exit_codes import CONFIGURATION_EXIT
from config.secret_files import secrets_dir
from config.settings import ProcessSettings, SettingsError, load, set_library_defaults
from config.tenant_directory import TenantDirectory, read_environment
from config.tenant_validation import TenantProblem
from config.tenants import ALL_KEYS, Keys, Tenant, is_tenant_id
from observability import log_events, metrics
from observability.logging import log_event, refuse_start, start_logging

_NEEDS: dict[str, Callable[[Tenant], bool]] = {
    # The API also publishes the jobs of polled desks.
    "secret": lambda tenant: tenant.accepts_webhooks or tenant.polled,
    "desk": lambda tenant: tenant.desk is not None,
    "nothing": lambda tenant: tenant.accepts_webhooks or tenant.desk is not None,
}
_MISSING = {
    "secret": "WEBHOOK_SECRET_<TENANT> is missing: no tenant may post",
    "desk": "SERVICEDESK_URL_<TENANT> is missing: no tenant has a desk",
}
Needs = Literal["secret", "desk", "nothing"]
"""Setting that at least one tenant must have; `nothing` requires no tenant."""


def start_process(kind: type[ProcessSettings], *, needs: Needs) -> tuple[ProcessSettings, TenantDirectory]:
    """Load settings and tenants and start logging, or exit with their problems.

    Call it first in a process: it sets variables that libraries read.
    """
    langsmith = set_library_defaults()
    try:
        settings, tenants = load_with_tenants(kind, needs=needs, on_problem=log_tenant_problem)
    except SettingsError as refused:
        abort_start(refused.problems)
    start_logging(settings)
    if langsmith:
        log_event(log_events.LANGSMITH_OFF, names=", ".join(langsmith))
    follow_tenants(tenants)
    return settings, tenants


def load_with_tenants(
    kind: type[ProcessSettings], *, needs: Needs, on_problem: Callable[[TenantProblem], None]
) -> tuple[ProcessSettings, TenantDirectory]:
    """Load settings and tenants, at least one with `needs`. Raises SettingsError.

    Tenants with unusable settings are closed; the directory's `problems` has the reasons. `on_problem` receives later
    problems: settings that became unusable, changed files that are not applied.
    """
    read = read_environment(secrets_dir(), on_problem=lambda sentence: on_problem(TenantProblem("", sentence)))
    is_met = _NEEDS[needs]
    # Kubernetes mounts only the kinds of keys that the process uses.
    keys: Keys = () if needs != "desk" else ALL_KEYS if "openai_api_key" in kind.model_fields else ["desk"]
    tenants = TenantDirectory(read, needs=is_met, keys=keys, on_problem=on_problem)
    enough = needs == "nothing" or any(map(is_met, tenants.all()))
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


def begin_loading() -> None:
    """Disable the garbage collector until `end_loading`, to start a fifth faster."""
    gc.disable()


def end_loading() -> None:
    """Enable the garbage collector, except for existing objects (0.2 s a run).

    May be called again after more has been loaded.
    """
    gc.freeze()
    gc.enable()


def abort_start(problems: list[str]) -> NoReturn:
    """Log the problems and exit with 78."""
    refuse_start(problems)
    sys.exit(CONFIGURATION_EXIT)


def follow_tenants(tenants: TenantDirectory) -> None:
    for problem in tenants.problems:
        log_tenant_problem(problem)
    metrics.TENANT_UNUSABLE.callback = lambda: {
        tenant_id or metrics.UNKNOWN_TENANT: unusable for tenant_id, unusable in tenants.unusable().items()
    }


def log_tenant_problem(problem: TenantProblem) -> None:
    phrase = log_events.TENANT_CLOSED if problem.closed else log_events.TENANT_UNUSABLE
    also = {"tenant_id": problem.tenant_id} if is_tenant_id(problem.tenant_id) else None
    log_event(phrase, reason=problem.sentence, also=also)
