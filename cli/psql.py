"""`ai-agents psql`: psql as the application's role, without visible passwords."""

import os
import sys
import tempfile
from collections.abc import Sequence

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cli.database import load_or_exit
from config.exit_codes import CONFIGURATION_EXIT
from config.settings import ByHandSettings
from observability.logging import refuse_start

_SERVICE = "ai-agents"


def run(arguments: Sequence[str]) -> int:
    """Replace this process with psql at DATABASE_URL; return 78 if psql can't run."""
    url = load_or_exit(ByHandSettings).database_url
    parameters = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    secrets = {"PGPASSWORD": parameters.pop("password", "")}
    if key_password := parameters.pop("sslpassword", ""):
        # psql has no variable for it. An unnamed file passes it, and disappears with psql.
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(f"[{_SERVICE}]\nsslpassword={key_password}\n".encode())
            file.seek(0)
            descriptor = os.dup(file.fileno())
        os.set_inheritable(descriptor, True)
        secrets |= {"PGSERVICE": _SERVICE, "PGSERVICEFILE": f"/dev/fd/{descriptor}"}
    command = ["psql", "--dbname", make_conninfo("", **parameters), *arguments]
    os.environ.update({name: value for name, value in secrets.items() if value})
    try:
        os.execvp(command[0], command)  # noqa: S606 -- no shell is wanted
    except (FileNotFoundError, PermissionError):  # the latter also where PATH has an unreadable folder
        refuse_start(["psql is not installed, or may not be run"], sys.stderr)
        return CONFIGURATION_EXIT
