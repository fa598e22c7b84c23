"""`ai-agents psql`: psql as the application's role, its password where other users of the machine do not see it."""

import os
import sys
from collections.abc import Sequence

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from config.environment import environment_with
from config.settings import ByHandSettings, SettingsRefused, load
from observability.logging import refuse_start

_CONFIGURATION_EXIT = 78


def run(arguments: Sequence[str]) -> int:
    """Become psql with these arguments, at DATABASE_URL; an exit status only if that can't be."""
    try:
        where = {name: str(value) for name, value in conninfo_to_dict(load(ByHandSettings).database_url).items()}
    except SettingsRefused as refused:
        refuse_start(refused.problems, sys.stderr)
        return _CONFIGURATION_EXIT
    password = where.pop("password", "")
    command = ["psql", "--dbname", make_conninfo("", **where), *arguments]
    try:
        os.execvpe(command[0], command, environment_with(PGPASSWORD=password))  # noqa: S606 -- no shell is wanted
    except FileNotFoundError:
        refuse_start(["psql is not installed"], sys.stderr)
        return _CONFIGURATION_EXIT
