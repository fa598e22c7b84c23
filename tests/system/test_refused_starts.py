"""Refused starts: each problem is named, and no value is shown."""

import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cli.pilot.postgres import Postgres
from tests.config.given import ENOUGH, NOWHERE
from tests.kit.loaded import LoadedPrograms

REFUSED = 78


@pytest.mark.parametrize(
    ("verb", "missing"),
    [
        ("api", ["DATABASE_URL", "REDIS_URL", "WEBHOOK_SECRET_<TENANT>"]),
        ("worker", ["DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY", "SERVICEDESK_URL_<TENANT>"]),
        ("housekeeping", ["DATABASE_URL", "REDIS_URL", "SERVICEDESK_URL_<TENANT>"]),
        ("migrate", ["DATABASE_URL", "DATABASE_ADMIN_URL"]),
    ],
)
def test_a_process_names_each_setting_that_is_missing(verb: str, missing: list[str], loaded: LoadedPrograms) -> None:
    status, output = loaded.run(verb, {})
    assert status == REFUSED
    told = [line.split("Start refused: ")[1].split(":")[0] for line in output.splitlines()]
    assert sorted(told) == sorted(f"{name} is missing" for name in missing)


@pytest.mark.parametrize("verb", ["api", "worker", "housekeeping"])
def test_one_start_names_what_is_wrong_with_the_process_and_with_each_tenant(verb: str, loaded: LoadedPrograms) -> None:
    wrong = {
        "REDIS_URL": "redis://127.0.0.1:1/Hunter2",
        "OPENAI_API_KEY": "sk-test",
        "SERVICEDESK_URL_ACME": "ftp://desk",
        "SERVICEDESK_RATE_PER_MINUTE_ACME": "fast",
        "SERVICEDESK_EDITION_GLOBEX": "cloud",
        "SERVICEDESK_URL_GLOBEX": "http://127.0.0.1:1",
        "PREVIOUS_WEBHOOK_SECRET_INITECH": "s3cret",
    }
    status, output = loaded.run(verb, wrong)
    assert status == REFUSED
    told = {line.split("Start refused: ")[1].split(" ")[0] for line in output.splitlines()}
    # The API calls no desk, so it needs no keys.
    keys = {"API_KEY_ACME", "CLIENT_SECRET_GLOBEX", "REFRESH_TOKEN_GLOBEX"} if verb != "api" else set()
    desks = {f"SERVICEDESK_{name}" for name in ("URL_ACME", "RATE_PER_MINUTE_ACME", *keys)}
    desks |= {f"globex.servicedesk.{name}" for name in ("client_id", "accounts_url")}
    assert told == {"DATABASE_URL", "REDIS_URL", "WEBHOOK_SECRET_INITECH", *desks}
    assert ("Hunter2" in output, "s3cret" in output) == (False, False)


def test_a_process_names_each_setting_that_is_wrong_and_shows_no_value(loaded: LoadedPrograms) -> None:
    wrong = {"DATABASE_URL": "mysql://root:pa55word@db/x", "WORKER_CONCURRENCY": "many", "LOG_FORMAT": "json"}
    status, output = loaded.run("worker", ENOUGH | wrong)
    assert status == REFUSED
    assert [line[0] for line in output.splitlines()] == ["{", "{"]
    assert "DATABASE_URL is wrong: must begin with postgresql://" in output
    assert "WORKER_CONCURRENCY is wrong" in output
    assert ("pa55word" in output, "many" in output) == (False, False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"SERVICEDESK_API_KEY_ACME": ""}, "SERVICEDESK_API_KEY_ACME is missing"),
        (
            {"SERVICEDESK_URL_ACME": "", "SERVICEDESK_API_KEY_ACME": "", "WEBHOOK_SECRET_MY_ERRORS": "x"},
            "must not contain 'error'",
        ),
    ],
)
def test_a_worker_without_a_whole_tenant_says_why(change: dict[str, str], said: str, loaded: LoadedPrograms) -> None:
    status, output = loaded.run("worker", ENOUGH | change)
    assert (status, said in output) == (REFUSED, True)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server
        server.discard()


@pytest.fixture
def old(postgres: Postgres) -> Iterator[dict[str, str]]:
    """Create tables from before 0.3.0; return the application's and the owner's URL."""
    with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE alembic_version AS SELECT '0028' AS version_num")
        connection.execute("GRANT USAGE ON SCHEMA public TO ai_agents")
        connection.execute("GRANT SELECT ON alembic_version TO ai_agents")
        yield {"DATABASE_URL": postgres.url, "DATABASE_ADMIN_URL": postgres.admin_url}
        connection.execute("DROP TABLE alembic_version")


@pytest.mark.parametrize("verb", ["api --port 0", "worker", "housekeeping"])
def test_a_database_without_tables_is_refused(verb: str, postgres: Postgres, loaded: LoadedPrograms) -> None:
    status, output = loaded.run(verb, ENOUGH | {"DATABASE_URL": postgres.url})
    assert (status, "run `ai-agents migrate`" in output) == (REFUSED, True), output


@pytest.mark.parametrize("verb", ["api --port 0", "worker", "housekeeping", "migrate"])
def test_a_database_from_before_0_3_0_is_refused(verb: str, old: dict[str, str], loaded: LoadedPrograms) -> None:
    status, output = loaded.run(verb, ENOUGH | old)
    assert (status, "can't be upgraded: drop it, create it again" in output) == (REFUSED, True), output


@pytest.mark.parametrize("verb", ["api --port 0", "worker", "housekeeping"])
def test_an_unforeseen_start_failure_ends_the_process_and_quotes_nothing(verb: str, loaded: LoadedPrograms) -> None:
    unforeseen = {"REDIS_URL": "redis://127.0.0.1:1/0?socket_timeout=Hunter2"}
    status, output = loaded.run(verb, ENOUGH | unforeseen)
    assert status != 0
    assert [word in output for word in ("ready.", "Hunter2", "error")] == [False, False, True]


@pytest.mark.parametrize(
    ("verb", "setting"),
    [(verb, "METRICS_PORT") for verb in ("worker", "housekeeping")]
    + [("api", setting) for setting in ("API_PROBE_PORT", "FEEDBACK_PORT")],
)
def test_a_metrics_port_that_is_taken_is_refused(verb: str, setting: str, loaded: LoadedPrograms) -> None:
    settings = ENOUGH | {"FEEDBACK_URL": "https://feedback.example.com", "FEEDBACK_KEY": "k" * 32}
    with socket.create_server(("", 0)) as other:
        status, output = loaded.run(verb, settings | {setting: str(other.getsockname()[1])})
    assert (status, f"{setting} is wrong: the port is in use already" in output) == (REFUSED, True), output
    assert output.count("Start refused: ") == 1


@pytest.mark.parametrize(
    ("verb", "mode"), [("api --port 0", 0o311), ("worker", 0o311), ("housekeeping", 0o311), ("housekeeping", 0)]
)
def test_an_unlistable_secrets_directory_is_reported(
    verb: str, mode: int, tmp_path: Path, loaded: LoadedPrograms
) -> None:
    """Its settings are unknown, so the start is refused and nothing is called missing."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode)
    settings = ENOUGH | {"SECRETS_DIR": str(folder)}
    alone = {name: value for name, value in settings.items() if not name.endswith("_ACME")}
    # A tenant of the environment may have rules, or a model of its own, among the files.
    for given in (alone, settings):
        status, output = loaded.run(verb, given)
        assert status == REFUSED
        assert output.count("Start refused: SECRETS_DIR can't be listed: this process must be able to read it") == 1
        assert "is missing" not in output


def test_migrate_says_when_the_database_is_away_and_can_be_tried_again(loaded: LoadedPrograms) -> None:
    status, output = loaded.run("migrate", {"DATABASE_URL": NOWHERE, "DATABASE_ADMIN_URL": NOWHERE})
    assert (status, "does not answer" in output) == (75, True)
