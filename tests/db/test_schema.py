"""Start conditions: refusals with a remedy, and conditions to wait for."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import trustme
from psycopg import errors
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cli.pilot.free_ports import free_port
from cli.pilot.postgres import Postgres
from db.schema import DatabaseUnreachableError, check_now
from db.session import is_away
from tests.kit.postgres import Table, refusal


@contextmanager
def role(table: Table, server: Postgres, attributes: str) -> Iterator[str]:
    """Create a role beside the application's; return its address."""
    name = f"other_{uuid4().hex}"
    table.run(f"CREATE ROLE {name} PASSWORD 'p' {attributes}")
    try:
        yield f"postgresql://{name}:p@127.0.0.1:{server.port}/ai_agents"
    finally:
        table.run(f"DROP OWNED BY {name}")
        table.run(f"DROP ROLE {name}")


@pytest.mark.parametrize(
    ("url_of", "said"),
    [
        (lambda server: server.superuser_url, "the role of DATABASE_URL must have NOSUPERUSER and NOBYPASSRLS"),
        (lambda server: server.admin_url, "the role of DATABASE_URL must not own the tables"),
        (lambda server: re.sub(r":[^:@]+@", ":hunter2@", server.url), "DATABASE_URL is refused: wrong password"),
        (lambda server: server.url.removesuffix("ai_agents") + "nowhere", "DATABASE_URL"),
        (lambda server: f"{server.url}?sslmode=hunter2", "DATABASE_URL has an unknown sslmode"),
        (lambda server: f"{server.url}?sslmode=require", "DATABASE_URL requires TLS, but the server has none"),
        (lambda server: f"{server.url}?keepalives=hunter2", "DATABASE_URL has an option whose value must be a number"),
    ],
)
def test_an_unusable_address_is_refused_and_not_shown(
    url_of: Callable[[Postgres], str], said: str, server: Postgres
) -> None:
    sentence = refusal(url_of(server))
    assert sentence.startswith(said)
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ("LOGIN NOSUPERUSER BYPASSRLS IN ROLE ai_agents", "must have NOSUPERUSER and NOBYPASSRLS"),
        ("LOGIN IN ROLE ai_agents_owner, ai_agents", "must not own the tables"),
        *((attributes, "DATABASE_URL") for attributes in ("NOLOGIN", "LOGIN")),
    ],
)
def test_a_role_with_too_many_or_few_rights_is_refused(
    attributes: str, said: str, server: Postgres, table: Table
) -> None:
    with role(table, server, attributes) as url:
        assert said in refusal(url)


def test_a_database_that_can_not_hold_every_text_is_refused(server: Postgres, table: Table) -> None:
    table.run("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    try:
        assert "encoding SQL_ASCII" in refusal(f"{server.url.removesuffix('/ai_agents')}/ascii")
    finally:
        table.run("DROP DATABASE ascii WITH (FORCE)")


@contextmanager
def speaking_tls(authority: trustme.CA, name: str) -> Iterator[int]:
    """Serve the start of Postgres with TLS and a certificate; return the port.

    Protocol 3, SSLRequest.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        connection.recv(8)
                        connection.sendall(b"S")
                        context.wrap_socket(connection, server_side=True).close()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_certificate_that_is_not_to_be_trusted_is_refused(tmp_path: Path) -> None:
    known, other = trustme.CA(), trustme.CA()
    known.cert_pem.write_to_path(str(tmp_path / "known.pem"))
    for authority, name, said in (
        (other, "localhost", "DATABASE_URL is refused: the server's certificate is not trusted"),
        (known, "postgres.example", "DATABASE_URL is refused: the server's certificate is another host's"),
    ):
        with speaking_tls(authority, name) as port:
            url = f"postgresql://a:b@localhost:{port}/x?sslmode=verify-full&sslrootcert={tmp_path}/known.pem"
            assert refusal(url) == said


def test_a_server_that_is_not_there_is_waited_for(server: Postgres) -> None:
    with pytest.raises(DatabaseUnreachableError):
        check_now(server.url.replace(f":{server.port}/", f":{free_port()}/"))


OF_THE_SERVER = (
    *(errors.ConnectionFailure, errors.ConnectionDoesNotExist, errors.TooManyConnections, errors.DiskFull),
    *(errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow, psycopg.OperationalError),
)
OF_THE_STATEMENT = (
    *(errors.InsufficientPrivilege, errors.UniqueViolation, errors.UndefinedTable, errors.QueryCanceled),
    errors.InvalidTextRepresentation,
)


@pytest.mark.parametrize(
    ("failure", "away"),
    [
        *((DBAPIError("SELECT 1", None, kind("x")), True) for kind in OF_THE_SERVER),
        *((DBAPIError("SELECT 1", None, kind("x")), False) for kind in OF_THE_STATEMENT),
        (DBAPIError("SELECT 1", None, errors.UniqueViolation("x"), connection_invalidated=True), True),
        (PoolTimeout("no connection free"), True),
        (ValueError("x"), False),
    ],
    ids=repr,
)
def test_a_failure_of_the_server_passes_and_one_of_the_statement_does_not(failure: Exception, away: bool) -> None:
    assert is_away(failure) is away
