"""How a process begins: its settings read, or refused; its log begun; its tenants told of."""

import gc
import sys
from typing import NoReturn

from config.environment import settle_environment
from config.exits import CONFIGURATION_EXIT
from config.loading import ProcessSettings, SettingsRefused
from config.startup import Needs, load_with_tenants
from config.tenant_directory import TenantDirectory
from observability.logging import refuse_start, start_logging
from observability.tenant_lines import follow_tenants, say_unusable


def start_process(kind: type[ProcessSettings], *, needs: Needs) -> tuple[ProcessSettings, TenantDirectory]:
    """Return this process's settings and tenants, from the environment, with the log begun.

    Ends the process with the reasons where they are refused. First of all in a process: before the libraries are used
    whose variables it settles.
    """
    settle_environment()
    try:
        settings, tenants = load_with_tenants(kind, needs=needs, on_problem=say_unusable)
    except SettingsRefused as refused:
        end_refused(refused.problems)
    start_logging(settings)
    follow_tenants(tenants)
    return settings, tenants


def begin_loading() -> None:
    """Keep the garbage collector off until `end_loading`: in vain it would take a fifth of the time of a start."""
    gc.disable()


def end_loading() -> None:
    """Set the garbage collector to work, but on nothing that is there by now: walking that takes 0.2 s each time.

    May be called again when more has been loaded.
    """
    gc.freeze()
    gc.enable()


def end_refused(problems: list[str]) -> NoReturn:
    """End the process with the status that says that something has to be mended, and a line for each such thing."""
    refuse_start(problems)
    sys.exit(CONFIGURATION_EXIT)
