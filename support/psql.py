"""`ai-agents psql`: psql as the application's role, without visible passwords."""

import os
import sys
import tempfile
from collections.abc import Sequence

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from config.environment import environment_with
from config.exits import CONFIGURATION_EXIT
from config.settings import ByHandSettings
from observability.logging import refuse_start
from support.asking import load_or_exit

_SERVICE = "ai-agents"


def run(arguments: Sequence[str]) -> int:
    """Replace this process with psql at DATABASE_URL; return 78 if psql can't run."""
    url = load_or_exit(ByHandSettings).database_url
    where = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    secrets = {"PGPASSWORD": where.pop("password", "")}
    if key_password := where.pop("sslpassword", ""):
        secrets |= {"PGSERVICE": _SERVICE, "PGSERVICEFILE": _service_file(f"sslpassword={key_password}")}
    command = ["psql", "--dbname", make_conninfo("", **where), *arguments]
    try:
        os.execvpe(command[0], command, environment_with(**secrets))  # noqa: S606 -- no shell is wanted
    except (FileNotFoundError, PermissionError):  # the latter also where PATH has an unreadable folder
        refuse_start(["psql is not installed, or may not be run"], sys.stderr)
        return CONFIGURATION_EXIT


def _service_file(line: str) -> str:
    """Return the path of an unnamed file, which disappears with psql.

    It has the settings for which psql has no variable.
    """
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(f"[{_SERVICE}]\n{line}\n".encode())
        file.seek(0)
        kept = os.dup(file.fileno())
    os.set_inheritable(kept, True)
    return f"/dev/fd/{kept}"
