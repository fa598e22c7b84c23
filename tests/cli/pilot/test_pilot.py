"""A pilot from nothing: `ai-agents init` at a terminal, then `ai-agents up`."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cli.pilot.free_ports import free_port
from cli.pilot.programs import ROOT, machine_environment
from cli.pilot.state_file import read_state, read_variables
from dev.simulators.openai import create_openai
from dev.simulators.servicedesk import create_desk
from tests.kit.simulators import CLOUD, FAST_MODEL, Simulator, simulator_of
from tests.kit.world import wait_for

OAUTH = {"client_id": "id", "client_secret": "secret", "refresh_token": "refresh", "grant_code": "1000.grant"}
SECRETS = {"SERVICEDESK_API_KEY": "the-key", "OPENAI_API_KEY": "sk-test"}
AS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def desk() -> Iterator[Simulator]:
    yield from simulator_of(create_desk({"desks": {"acme": {"api_key": "the-key"}, "globex": CLOUD | OAUTH}}))


@pytest.fixture(scope="module")
def model() -> Iterator[Simulator]:
    yield from simulator_of(create_openai(FAST_MODEL))


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", *words]


def run(*words: str, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        command(*words),
        env=machine_environment() | variables,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def at_a_terminal(words: Sequence[str], answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """Give each answer after its prompt, in this order; return the status and what was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*words),
        env=machine_environment(),
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown, seen, left, until = "", 0, list(answers), time.monotonic() + 60
    try:
        while time.monotonic() < until:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    shown += os.read(ours, 4096).decode()
                except OSError:  # the other end is closed
                    break
            if left and left[0][0] in shown[seen:]:
                seen = len(shown)
                os.write(ours, f"{left.pop(0)[1]}\n".encode())
        return process.wait(5), shown
    finally:
        process.kill()
        os.close(ours)


def test_an_admin_corrects_a_wrong_key_and_gets_the_settings(desk: Simulator, model: Simulator, tmp_path: Path) -> None:
    folder = tmp_path / "pilot"
    url = f"{desk.url}/acme"
    asked = [("Address of the desk", url), ("Edition", ""), ("short name", "contoso"), ("API key", "wrong")]
    again = [*asked[:3], ("API key", "the-key")]
    about_model = [("Address of the model", f"{model.url}/v1"), ("Name of the model", ""), ("API key", "sk-test")]
    status, shown = at_a_terminal(["init", "--folder", str(folder), "--report"], [*asked, *again, *about_model])
    assert status == 0, shown
    assert re.search("failed: desk credentials: .*401.*: renew SERVICEDESK_API_KEY_CONTOSO", shown), shown
    assert re.search(r"ok: desk ticket: readable, one of \d+", shown)
    assert "not checked: desk note writing" in shown
    for status in (401, 200):
        assert f"GET requests: {status}; application/json" in shown
    assert "ok: model answers" in shown
    assert "the-key" not in shown
    assert "sk-test" not in shown
    secrets = folder / "secrets.env"
    assert secrets.stat().st_mode & 0o777 == 0o600
    variables = read_variables(secrets)
    assert variables["SERVICEDESK_API_KEY_CONTOSO"] == "the-key"
    assert variables["OPENAI_API_KEY"] == "sk-test"
    assert 'webhook.mode = "poll"' in (folder / "tenants.toml").read_text()
    status, shown = run("init", "--folder", str(folder))
    assert (status, "give --overwrite" in shown) == (1, True)
    with (folder / "tenants.toml").open("a") as tenants:
        tenants.write('tickets.only = { group = ["Network"] }\n')
    words = ["--overwrite", "--url", url, "--tenant", "contoso", "--model-url", f"{model.url}/v1"]
    status, shown = run("init", "--folder", str(folder), *words, **SECRETS)
    assert status == 0, shown
    text = (folder / "tenants.toml").read_text()
    assert 'tickets.only = { group = ["Network"] }' in text
    assert 'webhook.mode = "poll"' in text


WRONG = {
    "url": ({"url": "https://[abc"}, "SERVICEDESK_URL_"),
    "certificates": ({"SERVICEDESK_CA_BUNDLE": "/nowhere.pem"}, "SERVICEDESK_CA_BUNDLE"),
    "folder": ({"folder": "/dev/null/pilot"}, "Not a directory"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_answer_gets_a_sentence(wrong: str, desk: Simulator, model: Simulator, tmp_path: Path) -> None:
    given, told = WRONG[wrong]
    options = {"folder": str(tmp_path), "url": f"{desk.url}/acme", "model-url": f"{model.url}/v1"}
    options |= {name: value for name, value in given.items() if name in options}
    words = [part for name, value in options.items() for part in (f"--{name}", value)]
    status, shown = run("init", *words, **SECRETS, **{name: given[name] for name in given if name not in options})
    assert status in (1, 78)
    assert told in shown
    assert "Traceback" not in shown


def test_a_cloud_desk_is_connected_by_a_grant_code(desk: Simulator, model: Simulator, tmp_path: Path) -> None:
    options = {"url": f"{desk.url}/globex/app/it", "edition": "cloud", "tenant": "globex", "client-id": "id"}
    options |= {"accounts-url": f"{desk.url}/globex", "model-url": f"{model.url}/v1", "model": "gpt-6-luna"}
    words = [part for name, value in options.items() for part in (f"--{name}", value)]
    secrets = {"SERVICEDESK_CLIENT_SECRET": "secret", "OPENAI_API_KEY": "sk-test"}
    init = ["init", "--folder", str(tmp_path / "pilot"), *words]
    status, shown = run(*init, **secrets)
    assert (status, "Not given: the variable SERVICEDESK_GRANT_CODE" in shown) == (1, True), shown
    status, shown = run(*init, **secrets, SERVICEDESK_GRANT_CODE="1000.wrong")
    assert status == 78
    assert "failed: grant code: " in shown
    wrong = [word.replace("/app/it", "/app/wrong") for word in init]
    status, shown = run(*wrong, **secrets, SERVICEDESK_REFRESH_TOKEN="refresh")
    assert status == 78, shown
    assert "failed: desk portal: " in shown
    answers = [("Address of the desk", options["url"]), ("Edition", "cloud"), ("short name", "globex")]
    answers += [("Accounts host", options["accounts-url"]), ("Client ID", "id"), ("Client secret", "secret")]
    answers += [("Refresh token", ""), ("Grant code", "1000.grant"), ("Address of the model", options["model-url"])]
    answers += [("Name of the model", ""), ("API key", "sk-test")]
    folder = tmp_path / "pilot"
    status, shown = at_a_terminal(["init", "--folder", str(folder)], answers)
    assert status == 0, shown
    for right in ("ticket: readable, one of", "notes: readable", "solutions: readable"):
        assert f"ok: desk {right}" in shown
    variables = read_variables(folder / "secrets.env")
    assert variables["SERVICEDESK_REFRESH_TOKEN_GLOBEX"] == "refresh"
    assert "GRANT" not in " ".join(variables)
    if not AS_ROOT:
        port = free_port()
        with running(folder, "--port", str(port)) as (_, output), logged_in(output) as browser:
            assert '<div class="note">' in note_of(browser, port, "globex", ticket(desk, "globex"))


@contextmanager
def running(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """Run `up` with a short interval of polling; yield the process and a function that returns its output."""
    with (folder / "secrets.env").open("a") as secrets:
        secrets.write("RECONCILE_INTERVAL_SECONDS=3\n")
    output = folder.with_name("up.log")
    with output.open("wb") as log:
        process = subprocess.Popen(
            command("up", "--folder", str(folder), *words),
            env=machine_environment(),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, output.read_text
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        finally:
            process.kill()


@contextmanager
def logged_in(output: Callable[[], str]) -> Iterator[httpx2.Client]:
    """Return a browser that used the link in the output."""
    link = wait_for(lambda: re.findall(r"http://\S+/login/link\S+", output()), seconds=60)[0]
    with httpx2.Client(follow_redirects=True, trust_env=False, timeout=10) as browser:
        assert browser.get(link).url.path == "/"
        yield browser


def note_of(browser: httpx2.Client, port: int, tenant: str, ticket_id: str) -> str:
    """Return the ticket's page of the console, with the note that a dry run made."""

    def page() -> str:
        text = browser.get(f"http://127.0.0.1:{port}/tickets/{tenant}/{ticket_id}").text
        return text if "dry run" in text else ""

    return wait_for(page, seconds=60)


def init(folder: Path, desk: Simulator, model: Simulator) -> None:
    words = ["--url", f"{desk.url}/acme", "--tenant", "acme", "--model-url", f"{model.url}/v1"]
    status, shown = run("init", "--folder", str(folder), *words, **SECRETS)
    assert status == 0, shown


def ticket(desk: Simulator, tenant: str) -> str:
    subject = "VPN does not connect from home"
    made: Mapping[str, Any] = desk.change("POST", "/tickets", tenant=tenant, subject=subject, send_webhook=False)
    return str(made["ticket_id"])


@pytest.mark.skipif(AS_ROOT, reason="`up` refuses root; the next test shows it")
def test_a_pilot_shows_notes_then_writes_them_and_keeps_its_data(
    desk: Simulator, model: Simulator, tmp_path: Path
) -> None:
    folder, port = tmp_path / "pilot", free_port()
    init(folder, desk, model)
    with running(folder, "--port", str(port)) as (process, output):
        with logged_in(output) as browser:
            status, shown = run("up", "--folder", str(folder), "--port", str(free_port()))
            assert (status, "already running" in shown) == (1, True)
            first = ticket(desk, "acme")
            assert '<div class="note">' in note_of(browser, port, "acme", first)
        link = re.findall(r"http://\S+/login/link\S+", output())[0]
        with httpx2.Client(trust_env=False) as thief:
            assert thief.get(link).status_code == 403
        state = read_state(folder)
        assert state is not None
        os.kill(state["pids"]["worker"], signal.SIGKILL)
        wait_for(lambda: "worker ended with status -9: started again" in output())
        assert not desk.look(f"/tickets/acme/{first}")["notes"]
    assert process.returncode == 0
    secret = link.partition("link=")[2]
    assert not [log for log in (folder / "logs").iterdir() if secret in log.read_text()]
    with running(folder, "--port", str(port), "--live") as (process, output):
        wait_for(lambda: "Notes are written into tickets" in output(), seconds=60)
        second = ticket(desk, "acme")
        wait_for(lambda: desk.look(f"/tickets/acme/{second}")["notes"], seconds=60)
        variables = read_variables(folder / "settings.env")
        _, jobs = run("jobs", "--ticket", first, **variables)
        assert first in jobs


@pytest.mark.skipif(not AS_ROOT, reason="needs root")
def test_a_pilot_refuses_root(tmp_path: Path) -> None:
    status, shown = run("up", "--folder", str(tmp_path))
    assert (status, "Not as root" in shown) == (1, True)


def test_make_up_refuses_root_before_it_installs_anything(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("#!/bin/sh\necho 0\n", encoding="utf-8")
    (tmp_path / "id").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(["make", "up"], cwd=ROOT, env={"PATH": path}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Clone this repository as an ordinary user" in done.stderr
