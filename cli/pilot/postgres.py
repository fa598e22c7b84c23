"""Embedded Postgres: a new cluster with the system's roles and database."""

import os
import secrets
import signal
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

from cli.pilot.free_ports import free_port
from cli.pilot.postgres_binaries import (
    PostgresMissingError,
    find_binaries,
    has_library,
    major_version,
    reachable_folder,
    remove_reachable,
    server_user,
)
from cli.pilot.processes import Process, Server
from cli.pilot.state_file import read_variables, write_variables

DATABASE = "ai_agents"
OWNER_ROLE = "ai_agents_owner"
APPLICATION_ROLE = "ai_agents"
_SUPERUSER = "postgres"
_LIBRARY = "pg_stat_statements"
# A password of 24 random bytes needs no slow hash, which each connection would repeat; since Postgres 16.
_ITERATIONS = {"scram_iterations": "1"}
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
_READY_LINE = "database system is ready to accept connections"


class Postgres(Server):
    """A server on 127.0.0.1 with its own data, from the first `start` to `discard`.

    `folder` gets the data and the log; as root, a folder that the server's user can reach gets the data. `binaries`
    replaces the result of `find_binaries`. `process` and `data` (its folder) exist from the first start on. Commits
    survive a killed server; they survive a machine crash only if `is_durable` was set before the start. With `keep`
    they do, and the folder's data is used again; not for root.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        log_folder: Path | None = None,
        binaries: Path | None = None,
        keep: bool = False,
    ):
        self.port = port or free_port()
        self._folder = folder
        self._binaries = binaries
        self._logs = log_folder or folder
        self._kept = folder / "passwords" if keep else None
        """Written when the database is complete: without it, an interrupted first start begins again."""
        if self._kept is not None and self._kept.exists():
            self._passwords = read_variables(self._kept)
        else:
            self._passwords = {role: secrets.token_urlsafe(24) for role in (_SUPERUSER, OWNER_ROLE, APPLICATION_ROLE)}
        self.data: Path | None = None
        self.is_durable = keep

    @property
    def url(self) -> str:
        """Return the URL of the application's role, without bypass of row security."""
        return self._url(APPLICATION_ROLE)

    @property
    def admin_url(self) -> str:
        return self._url(OWNER_ROLE)

    @property
    def superuser_url(self) -> str:
        """Return the URL of the superuser, for tests that read all rows."""
        return self._url(_SUPERUSER)

    def start(self) -> None:
        """Start and wait for connections; the first start creates the cluster (0.5 s).

        Raises ProcessFailedError with the server's last lines, PostgresMissingError without a server.
        """
        is_complete = self.data is not None or (self._kept is not None and self._kept.exists())
        if self.data is None:
            self._prepare(initialise=not is_complete)
        self.process.start()
        self.process.wait_ready(30)
        if not is_complete:
            self._create_database()
            if self._kept is not None:
                write_variables(self._kept, self._passwords)

    def stop(self) -> None:
        """Shut down without waiting for clients to disconnect."""
        if self.data is not None:
            self.process.stop(10)

    def discard(self) -> None:
        self.stop()
        if self.data is not None and self._kept is None:
            remove_reachable(self.data)
        self.data = None

    def _url(self, role: str) -> str:
        return f"postgresql://{role}:{self._passwords[role]}@127.0.0.1:{self.port}/{DATABASE}"

    def _prepare(self, *, initialise: bool) -> None:
        binaries = self._binaries or find_binaries()
        self._folder.mkdir(parents=True, exist_ok=True)
        self.data = data = reachable_folder(self._folder / "data") if initialise else self._folder / "data"
        if not initialise and int((data / "PG_VERSION").read_text()) != (version := major_version(binaries)):
            raise PostgresMissingError(
                f"{self._folder} has data of another Postgres than the installed {version}. Install the earlier "
                "packages, or delete this folder: the desk is copied again."
            )
        self.process = Process(
            "postgres",
            [str(binaries / "postgres"), "-D", str(data), *self._server_options(binaries)],
            log_path=self._logs / "postgres.log",
            environment=dict(_ENVIRONMENT),
            ready=lambda process: _READY_LINE in process.output(),
            folder=data,
            # SIGTERM would wait for every client to leave.
            stop_signal=signal.SIGINT,
            # A killed postmaster would leave its children running until they notice; SIGINT stops them too.
            death_signal=signal.SIGINT,
            user=server_user(),
        )
        if initialise:
            self._initialise(binaries, data)

    def _initialise(self, binaries: Path, data: Path) -> None:
        password_file = data.with_name(f"{data.name}.password")
        password_file.unlink(missing_ok=True)
        password_file.touch(0o600)
        password_file.write_text(self._passwords[_SUPERUSER])
        if (user := server_user()) is not None:
            os.chown(password_file, user, user)
        options = [f"--username={_SUPERUSER}", f"--pwfile={password_file}", "--auth=scram-sha-256"]
        options += ["--encoding=UTF8", "--no-sync", "--no-instructions", "-D", str(data)]
        if major_version(binaries) >= 16:
            options += _as_options(_ITERATIONS)
        # UTF-8 with full case mapping, portable if possible.
        portable = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        options += portable if major_version(binaries) >= 17 else ["--locale=C.UTF-8"]
        initdb = Process(
            "initdb",
            [str(binaries / "initdb"), *options],
            log_path=self._logs / "initdb.log",
            environment=dict(_ENVIRONMENT),
            folder=data,
            user=user,
        )
        try:
            initdb.run(60)
        finally:
            password_file.unlink()

    def _server_options(self, binaries: Path) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            # The path of a socket would be too long in a deep folder.
            "unix_socket_directories": "",
            "max_connections": "200",
            "password_encryption": "scram-sha-256",
            "fsync": "on" if self.is_durable else "off",
            "lc_messages": "C",
            "log_timezone": "UTC",
            "timezone": "UTC",
        }
        if major_version(binaries) >= 16:
            settings |= _ITERATIONS
        if has_library(binaries, _LIBRARY):
            settings["shared_preload_libraries"] = _LIBRARY
        return _as_options(settings)

    def _create_database(self) -> None:
        outside = self.superuser_url.removesuffix(DATABASE) + "postgres"
        with psycopg.connect(outside, autocommit=True) as connection:
            for role in (OWNER_ROLE, APPLICATION_ROLE):
                statement = "CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD {}"
                connection.execute(_fill(statement, sql.Identifier(role), sql.Literal(self._passwords[role])))
            names = sql.Identifier(DATABASE), sql.Identifier(OWNER_ROLE), sql.Identifier(APPLICATION_ROLE)
            connection.execute(_fill("CREATE DATABASE {} OWNER {}", *names[:2]))
            connection.execute(_fill("REVOKE ALL ON DATABASE {} FROM PUBLIC", names[0]))
            connection.execute(_fill("GRANT CONNECT ON DATABASE {} TO {}", names[0], names[2]))
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            connection.execute(_fill("ALTER SCHEMA public OWNER TO {}", names[1]))
            if connection.execute("SHOW shared_preload_libraries").fetchone() == (_LIBRARY,):
                connection.execute(_fill("CREATE EXTENSION {}", sql.Identifier(_LIBRARY)))


def _as_options(settings: dict[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _fill(statement: LiteralString, *parts: sql.Composable) -> sql.Composed:
    return sql.SQL(statement).format(*parts)
