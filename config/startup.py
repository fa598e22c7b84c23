"""Everything that one process reads before it starts, so that one start names all that has to be mended."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from config.settings import ProcessSettings, SettingsRefused, load
from config.tenants import Tenant, TenantDirectory, read_environment

_NEEDS: dict[str, tuple[Callable[[Tenant], bool], str]] = {
    "secret": (
        lambda tenant: bool(tenant.webhook_secrets),
        "WEBHOOK_SECRET_<TENANT> is missing: no tenant may post",
    ),
    "desk": (
        lambda tenant: tenant.desk is not None,
        "SERVICEDESK_URL_<TENANT> is missing: no tenant has a desk",
    ),
}


def load_with_tenants(
    kind: type[ProcessSettings], *, needs: Literal["secret", "desk"], on_problem: Callable[[str], None]
) -> tuple[ProcessSettings, TenantDirectory]:
    """The settings of one process and its tenants, at least one of which has what the process `needs`.

    `on_problem` hears later of settings that became unusable, and of changed files that are not used. Raises
    SettingsRefused with a sentence for each setting that is missing or wrong, the tenants' included.
    """
    problems: list[str] = []
    settings: ProcessSettings | None = None
    try:
        settings = load(kind)
    except SettingsRefused as refused:
        problems += refused.problems
    folder = os.environ.get("SECRETS_DIR")
    unreadable: list[str] = []
    starting = True
    read = read_environment(
        Path(folder) if folder else None,
        # At the start what is wrong with a file is a reason to refuse, like all else.
        on_problem=lambda sentence: unreadable.append(sentence) if starting else on_problem(sentence),
    )
    tenants = TenantDirectory(read, on_problem=on_problem)
    starting = False
    problems += [*unreadable, *(problem.sentence for problem in tenants.problems)]
    there, said = _NEEDS[needs]
    if not unreadable and not tenants.problems and not any(there(tenant) for tenant in tenants.all()):
        problems.append(said)
    if problems or settings is None:
        raise SettingsRefused(problems)
    return settings, tenants
