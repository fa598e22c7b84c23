"""Start of a process: settings, logging and tenants."""

import gc
import sys
from typing import NoReturn

from config.environment import settle_environment
from config.exits import CONFIGURATION_EXIT
from config.settings import ProcessSettings, SettingsError
from config.tenant_directory import Needs, TenantDirectory, TenantProblem, load_with_tenants
from config.tenants import is_tenant_id
from observability import log_events, metrics
from observability.logging import log_event, refuse_start, start_logging


def start_process(kind: type[ProcessSettings], *, needs: Needs) -> tuple[ProcessSettings, TenantDirectory]:
    """Load settings and tenants from the environment, and start logging.

    Exits with the reasons if they are refused. Call it first in a process: it sets variables that libraries read.
    """
    settle_environment()
    try:
        settings, tenants = load_with_tenants(kind, needs=needs, on_problem=say_unusable)
    except SettingsError as refused:
        end_refused(refused.problems)
    start_logging(settings)
    follow_tenants(tenants)
    return settings, tenants


def begin_loading() -> None:
    """Disable the garbage collector until `end_loading`, to start a fifth faster."""
    gc.disable()


def end_loading() -> None:
    """Enable the garbage collector, except for existing objects (0.2 s a run).

    May be called again after more has been loaded.
    """
    gc.freeze()
    gc.enable()


def end_refused(problems: list[str]) -> NoReturn:
    refuse_start(problems)
    sys.exit(CONFIGURATION_EXIT)


def follow_tenants(tenants: TenantDirectory) -> None:
    for problem in tenants.problems:
        say_unusable(problem)
    metrics.TENANT_UNUSABLE.ask = lambda: {
        tenant_id or metrics.UNKNOWN_TENANT: unusable for tenant_id, unusable in tenants.unusable().items()
    }


def say_unusable(problem: TenantProblem) -> None:
    phrase = log_events.TENANT_CLOSED if problem.closed else log_events.TENANT_UNUSABLE
    also = {"tenant_id": problem.tenant_id} if is_tenant_id(problem.tenant_id) else None
    log_event(phrase, reason=problem.sentence, also=also)
