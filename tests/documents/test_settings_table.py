"""The tables of settings are the code's."""

from pydantic_core import PydanticUndefined

from config.settings import (
    ApiSettings,
    ByHandSettings,
    ForgetSettings,
    HousekeepingSettings,
    LogSettings,
    MigrateSettings,
    WorkerSettings,
)
from config.tenants import TENANT_SETTINGS
from tests.documents.readme import rows

PROCESSES: dict[str, type[LogSettings]] = {
    "api": ApiSettings,
    "worker": WorkerSettings,
    "housekeeping": HousekeepingSettings,
    "jobs, show, retry": ByHandSettings,
    "forget": ForgetSettings,
    "migrate": MigrateSettings,
}


def expected_rows() -> list[str]:
    """One row a setting, in the order of the processes that use it."""
    found: dict[str, tuple[str, str, list[str]]] = {}
    for process, settings in PROCESSES.items():
        for name, field in settings.model_fields.items():
            missing = field.default is PydanticUndefined
            default = "required" if missing else "" if field.default is None else f"`{field.default}`"
            found.setdefault(name.upper(), (default, str(field.description), []))[2].append(process)
    return [
        f"| `{name}` | {'all' if len(used_by) == len(PROCESSES) else ', '.join(used_by)} | {default} | {description} |"
        for name, (default, description, used_by) in found.items()
    ]


def test_each_setting_stands_in_the_table_with_its_default_and_meaning() -> None:
    """And no other does."""
    assert rows("<!-- table: settings") == expected_rows()


def test_each_setting_of_a_tenant_stands_in_its_table() -> None:
    """And no other does."""
    assert rows("<!-- table: tenant settings") == [
        f"| `{prefix}<TENANT>` | {description} |" for prefix, description in TENANT_SETTINGS.items()
    ]
