"""The console process: refused starts, its log, and outages of its stores."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from cli.pilot.free_ports import free_port
from cli.pilot.postgres import Postgres
from cli.pilot.processes import Process
from config.exit_codes import CONFIGURATION_EXIT
from dev.stack.programs import Programs
from jobs.statistics import MAX_COUNTED
from tests.console.site import csrf_of
from tests.kit.loaded import LoadedPrograms
from tests.kit.postgres import Table
from tests.system.senders import newcomers_during

NO_DATABASE = {"DATABASE_URL": "postgresql://app:pw@127.0.0.1:1/x"}
NO_REDIS = {"REDIS_URL": "redis://127.0.0.1:1/0"}
# A newcomer who is shut out waits for longer, even beside the other tests of a busy machine.
NEWCOMER_SECONDS = 20.0
TOKEN = "anna-0123456789-abcdefghijklmnop"


@pytest.fixture
def settings(server: Postgres, redis_url: str) -> dict[str, str]:
    visitors = {"CONSOLE_TOKEN_ANNA": TOKEN, "CONSOLE_ROLE_ANNA": "support:acme", "CONSOLE_ROLE_NOBODY": "support"}
    own = {"CONSOLE_KEY": "k0123456789" * 3, "WEBHOOK_SECRET_GLOBEX": "s"}
    return {"DATABASE_URL": server.url, "REDIS_URL": redis_url, **visitors, **own}


def without(settings: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in settings.items() if name not in names}


def test_a_refused_start_names_all_that_is_wrong(settings: dict[str, str], loaded: LoadedPrograms) -> None:
    nobody = without(settings, "CONSOLE_TOKEN_ANNA", "CONSOLE_ROLE_ANNA", "CONSOLE_ROLE_NOBODY")
    roleless = without(settings, "CONSOLE_ROLE_ANNA")
    elsewhere = settings | {"CONSOLE_URL": "https://console.example.com"}
    foreign = settings | {"CONSOLE_URL": "https://konsole.münchen.example"}
    refused = [
        ("console", without(settings, "CONSOLE_KEY"), ["CONSOLE_KEY is missing"]),
        ("console", settings | {"CONSOLE_KEY": "short"}, ["CONSOLE_KEY is wrong: must have at least 32 characters"]),
        ("console", settings | {"CONSOLE_KEY": "k" * 44}, ["CONSOLE_KEY is wrong: could be guessed"]),
        ("console --port 99999", settings, ["--host or --port can't be listened on"]),
        ("console", foreign, ["CONSOLE_URL is wrong: must have an ASCII host name"]),
        ("console --host 0.0.0.0", settings, ["CONSOLE_URL is missing"]),
        (
            "console",
            nobody,
            ["CONSOLE_TOKEN_<NAME> and CONSOLE_OIDC_ISSUER are missing: set one, or no login is possible"],
        ),
        ("console", roleless, ["CONSOLE_ROLE_ANNA is missing: the token is disabled", "CONSOLE_ROLE_NOBODY is set"]),
        ("console --host 203.0.113.1", elsewhere, ["--host or --port can't be listened on"]),
    ]
    for verb, given, reasons in refused:
        status, said = loaded.run(verb, given)
        assert status == CONFIGURATION_EXIT, said
        assert [reason for reason in reasons if f"Start refused: {reason}" not in said] == [], said
        assert TOKEN not in said


@pytest.fixture
def process(settings: dict[str, str], tmp_path: Path, loaded: LoadedPrograms) -> Iterator[Process]:
    with running(tmp_path, settings | NO_DATABASE | NO_REDIS, loaded) as console:
        yield console


@contextmanager
def running(folder: Path, settings: dict[str, str], loaded: LoadedPrograms) -> Iterator[Process]:
    console = Programs(folder, settings, loaded).console(free_port(), free_port())
    console.environment["CONSOLE_KEY"] = settings["CONSOLE_KEY"]
    console.start()
    try:
        console.wait_ready(30)
        yield console
    finally:
        console.stop(5)


@contextmanager
def logged_in(console: Process) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=console.environment["CONSOLE_URL"], trust_env=False, timeout=20) as client:
        assert client.post("/login", data={"token": TOKEN, "csrf": csrf_of(client.get("/login"))}).status_code == 303
        yield client


def status_with(cookies: httpx2.Cookies, console: Process) -> int:
    return httpx2.get(console.environment["CONSOLE_URL"], cookies=cookies, trust_env=False, timeout=20).status_code


def test_a_logout_counts_at_each_console(settings: dict[str, str], tmp_path: Path, loaded: LoadedPrograms) -> None:
    with running(tmp_path / "other", settings | NO_REDIS, loaded) as other:
        with running(tmp_path / "one", settings | NO_REDIS, loaded) as console, logged_in(console) as client:
            copied = httpx2.Cookies(client.cookies)
            assert (status_with(copied, console), status_with(copied, other)) == (200, 200)
            out = client.post("/logout", data={"csrf": csrf_of(client.get("/"))})
            assert (out.status_code, out.headers["location"]) == (303, "/login")
            assert (status_with(copied, console), status_with(copied, other)) == (303, 303)
        with running(tmp_path / "again", settings | NO_REDIS, loaded) as restarted:
            assert status_with(copied, restarted) == 303


def test_a_logout_without_the_database_says_that_it_did_not_count(process: Process) -> None:
    with logged_in(process) as client:
        page = client.get("/")
        assert (page.status_code, "The database does not answer" in page.text) == (503, True)
        out = client.post("/logout", data={"csrf": csrf_of(page)})
        assert (out.status_code, "the session itself is still valid" in out.text) == (503, True)
        assert "console" not in client.cookies
        assert client.get("/").status_code == 303
    assert "Console logout error: not recorded: visitor=anna" in process.output()


def test_it_starts_without_its_stores_tells_what_is_odd_and_stops_in_order(process: Process) -> None:
    with logged_in(process) as client:
        assert client.get("/nothing").status_code == 503
        probes = f"http://127.0.0.1:{process.environment['METRICS_PORT']}"
        ready, metrics = httpx2.get(f"{probes}/ready"), httpx2.get(f"{probes}/metrics").text
        assert (ready.status_code, ready.json()["process"]) == (200, "working")
        assert 'ai_agents_console_logins_total{result="ok"} 1.0' in metrics
        assert 'ai_agents_console_requests_total{place="other",status="503"} 1.0' in metrics
    assert process.stop(10) == 0
    said = process.output()
    for line in (
        "Console settings: CONSOLE_ROLE_NOBODY is set, but CONSOLE_TOKEN_NOBODY is not",
        "Console settings: a role names the tenant acme, which has no settings",
        "Waiting for the database",
        "Console login: visitor=anna, role=support:acme, by=token",
    ):
        assert line in said
    (away,) = [line for line in said.splitlines() if "rror" in line]
    assert "Database error: a page of the console could not be made" in away
    assert said.index("Console starting") < said.index("Console ready.") < said.index("Console stopped")


@pytest.mark.parametrize("pipelined", [200, 32])
def test_a_burst_of_pipelined_requests_does_not_shut_newcomers_out(process: Process, pipelined: int) -> None:
    url = process.environment["CONSOLE_URL"] + "/login"
    visits = newcomers_during(url, pipelined)
    assert {status for status, _ in visits} == {200}
    assert max(seconds for _, seconds in visits) < NEWCOMER_SECONDS
    assert httpx2.get(url, trust_env=False, timeout=NEWCOMER_SECONDS).status_code == 200


def test_overview_and_list_use_the_same_success_rate_threshold(
    settings: dict[str, str], table: Table, tmp_path: Path, loaded: LoadedPrograms
) -> None:
    healthy, failing = 'tag-ok">healthy', 'tag-warn">degraded'
    # Completed and failed jobs, and their ages in hours.
    cases = {
        "globex": ((99, 0), (1, 0), healthy),
        "initech": ((19, 0), (1, 0), healthy),
        "umbrella": ((18, 0), (1, 0), failing),
        "wayne": ((99, 25), (1, 0), healthy),
        "stark": ((100, 0), (50, 25), failing),
    }
    ended = (
        "INSERT INTO jobs (id, tenant_id, ticket_id, state, reason, deadline_at, accepted_at, finished_at)"
        " SELECT gen_random_uuid(), %s, n, %s, 'GPT-4 timeout', now(), now() - %s * interval '1 hour',"
        " now() - %s * interval '1 hour' FROM generate_series(1, %s) n"
    )
    for tenant, (completed, failed, _) in cases.items():
        for state, (jobs, hours) in (("completed", completed), ("failed", failed)):
            table.run(ended, tenant, state, hours, 1, jobs)
    table.run(ended, "acme", "failed", 1, 0, MAX_COUNTED)
    known = {f"WEBHOOK_SECRET_{tenant.upper()}": "s" for tenant in cases}
    with (
        running(tmp_path, settings | known | {"CONSOLE_ROLE_ANNA": "support"}, loaded) as console,
        logged_in(console) as client,
    ):
        for path in ("/", "/tenants"):
            page = client.get(path).text
            for tenant, (*_, health) in cases.items():
                _, row = page.split(f'<a href="/tenants/{tenant}">{tenant}</a></th>')
                assert row.lstrip().startswith(f'<td data-label="Health"><span class="tag {health}</span></td>'), (
                    path,
                    row[:200],
                )
