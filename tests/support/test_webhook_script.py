"""The script that a desk on premises runs: in a process of its own, against the API's door over HTTP."""

import os
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from support.kit import ai_agents_webhook
from tests.kit.receiver import SECRET
from tests.kit.world import wait_for
from tests.support.troubled_door import TroubledDoor, closed_port, opened_door, printed

NAME = "ai_agents_webhook.py"
TICKET = '{"request": {"id": "77", "subject": "A \\"quote\\", and Grüße"}}'


@pytest.fixture(scope="module")
def open_door() -> Iterator[TroubledDoor]:
    with opened_door() as door:
        yield door


@pytest.fixture
def door(open_door: TroubledDoor) -> TroubledDoor:
    open_door.trouble()
    return open_door


class Script:
    """The printed file, saved, with pauses that fit a test."""

    def __init__(self, folder: Path, url: str, secret: str = SECRET, pauses: str = "(0.1, 0.2)") -> None:
        text = printed("script", NAME, url, secret or None)
        self.path = folder / NAME
        self.path.write_text(text.replace("PAUSES = (1, 2, 4, 8, 16)", f"PAUSES = {pauses}"), encoding="utf-8")
        self._ticket = folder / "77_1.json"
        self._ticket.write_text(TICKET, encoding="utf-8")

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        # -S: this interpreter's packages are none of the desk's.
        command = [sys.executable, "-S", str(self.path), *(arguments or [str(self._ticket)])]
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return subprocess.Popen(command, env=kept | environment, stdout=subprocess.PIPE, text=True)

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Its exit status, and what it printed."""
        process = self.start(*arguments, **environment)
        told, _ = process.communicate(timeout=30)
        assert SECRET not in told
        return process.returncode, told


def test_a_ticket_is_announced_by_its_ids_alone(door: TroubledDoor, tmp_path: Path) -> None:
    """And the path of the desk's file may have blanks that nobody quoted."""
    folder = tmp_path / "Program Files"
    folder.mkdir()
    script = Script(folder, door.url)
    pieces = str(folder / "77_1.json").split(" ")
    assert script.run("--event", "ticket.updated", *pieces) == (0, "ai-agents: ticket 77: taken (202)\n")
    (knock,) = door.knocks
    knock.assert_signed()
    assert knock.body == b'{"tenant_id": "acme", "ticket_id": "77", "event": "ticket.updated"}'
    assert door.tickets() == [("77", "ticket.updated")]


def test_it_tries_again_with_growing_pauses_as_the_same_delivery(door: TroubledDoor, tmp_path: Path) -> None:
    door.trouble(503, 429)
    status, told = Script(tmp_path, door.url, pauses="(0.2, 1.0)").run()
    assert status == 0
    shape = (
        r"ai-agents: ticket 77: 503; again in 0\.2 s\nai-agents: ticket 77: 429; again in 1\.[012] s\n.*taken \(202\)\n"
    )
    assert re.fullmatch(shape, told)
    first, second, third = door.knocks
    assert 0.2 <= second.at - first.at < 1 <= third.at - second.at
    for knock in door.knocks:
        knock.assert_signed()
    assert len({knock.headers["x-servicedesk-delivery"] for knock in door.knocks}) == 1
    assert first.headers["x-servicedesk-timestamp"] < third.headers["x-servicedesk-timestamp"]
    assert door.tickets() == [("77", "ticket.created")]


def test_it_waits_for_an_api_that_is_not_there_yet(tmp_path: Path) -> None:
    port = closed_port()
    process = Script(tmp_path, f"http://127.0.0.1:{port}/webhook", pauses="(0.5, 1.5)").start()
    assert process.stdout is not None
    assert "no answer ([Errno 111] Connection refused); again" in process.stdout.readline().replace("61", "111")
    with opened_door(port) as door:
        assert "taken (202)" in process.communicate(timeout=30)[0]
        assert process.returncode == 0
        assert door.tickets() == [("77", "ticket.created")]


def test_it_gives_up_when_its_tries_are_over(door: TroubledDoor, tmp_path: Path) -> None:
    door.trouble(500, 502, 503, 504)
    status, told = Script(tmp_path, door.url).run()
    assert (status, len(door.knocks)) == (1, 3)
    assert told.endswith("ai-agents: ticket 77: 503; given up\n")


@pytest.mark.parametrize(
    ("first", "secret", "told"),
    [
        ([], "another", "refused with 403, not tried again: the secret is not the one in force, TENANT is misspelt"),
        ([404], SECRET, "refused with 404, not tried again: URL is wrong"),
        ([302], SECRET, "refused with 302, not tried again: it would be the same"),
    ],
)
def test_what_would_be_the_same_again_is_not_tried_again(
    first: list[int], secret: str, told: str, door: TroubledDoor, tmp_path: Path
) -> None:
    door.trouble(*first)
    status, said = Script(tmp_path, door.url, secret).run()
    assert (status, len(door.knocks), door.tickets()) == (1, 1, [])
    assert told in said


def test_the_secret_may_stand_in_a_file_beside_it(door: TroubledDoor, tmp_path: Path) -> None:
    script = Script(tmp_path, door.url)
    text = script.path.read_text(encoding="utf-8").replace(f'SECRET = "{SECRET}"', 'SECRET = ""')
    script.path.write_text(text, encoding="utf-8")
    status, told = script.run()
    assert (status, "SECRET is empty" in told) == (1, True)
    (tmp_path / "ai_agents_webhook.secret").write_bytes(b"\xef\xbb\xbf" + SECRET.encode() + b"\r\n")
    assert script.run() == (0, "ai-agents: ticket 77: taken (202)\n")


class _Accepting(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202)
        self.end_headers()

    def do_CONNECT(self) -> None:
        self.server.asked = self.path  # type: ignore[attr-defined]
        self.send_error(502)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served(context: ssl.SSLContext | None = None) -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Accepting)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_certificate_that_nobody_vouches_for_is_not_taken(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with served(context) as server:
        script = Script(tmp_path, f"https://localhost:{server.server_port}/webhook", pauses="()")
        assert "CERTIFICATE_VERIFY_FAILED" in script.run()[1]
        assert script.run(SSL_CERT_FILE=str(tmp_path / "authority.pem"))[0] == 0


def test_it_goes_through_the_proxy_of_the_machine(tmp_path: Path) -> None:
    with served() as proxy:
        script = Script(tmp_path, "https://api.example.com/webhook", pauses="()")
        told = script.run(HTTPS_PROXY=f"http://127.0.0.1:{proxy.server_port}")
        assert told[0] == 1
        assert wait_for(lambda: getattr(proxy, "asked", "")) == "api.example.com:443"


@pytest.mark.parametrize(
    "raw",
    [
        TICKET.encode(),
        b'{"request": {"id": 77}}',
        b"\xef\xbb\xbf" + TICKET.encode(),
        TICKET.encode("utf-16"),
        b"\xfe\xff" + TICKET.encode("utf-16-be"),
        TICKET.encode("cp1252"),
        b'{"request": {"WORKORDERID": "77", "SUBJECT": "of version 1: github.com/liverm/pd-sdp-v2"}}',
        b'{"id": "77", "subject": "a raw\nline break"}',
    ],
)
def test_the_desks_file_may_be_written_so(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "77_1.json").write_bytes(raw)
    assert ai_agents_webhook.ticket_of(str(tmp_path / "77_1.json")) == "77"


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (None, "can't be read: No such file"),
        (b"", "not JSON"),
        (b'{"request": {"id": "7', "not JSON"),
        (b"[77]", "no request with an id"),
        (b'{"request": {"id": true}}', "no request with an id"),
        (b'{"request": {"id": "seven"}}', "no request with an id"),
        (b'{"request": {"subject": "x"}}', "no request with an id"),
    ],
)
def test_a_file_without_a_ticket_is_told_to_the_desks_admin(
    raw: bytes | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if raw is not None:
        (tmp_path / "77_1.json").write_bytes(raw)
    assert ai_agents_webhook.main([str(tmp_path / "77_1.json")]) == 1
    said = capsys.readouterr().out
    assert said.startswith("ai-agents: not sent: the desk's file")
    assert told in said


def test_without_a_file_it_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert ai_agents_webhook.main([]) == 1
    assert "$COMPLETE_V3_JSON_FILE" in capsys.readouterr().out


def test_what_is_not_filled_in_is_named(door: TroubledDoor, tmp_path: Path) -> None:
    assert Script(tmp_path, door.url, "").run()[1].endswith("SECRET is not filled in, at the top of this script\n")
    assert "URL is not filled in" in Script(tmp_path, "https://PASTE-THE-ADDRESS/webhook").run()[1]
    assert door.knocks == []


def test_it_runs_where_python_is_3_6(tmp_path: Path) -> None:
    def checked(text: str) -> tuple[int, str]:
        (tmp_path / NAME).write_text(text, encoding="utf-8")
        vermin = Path(sys.executable).with_name("vermin")
        command = [str(vermin), "-t=3.6-", "--violations", "--no-tips", "--processes=1", str(tmp_path / NAME)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        return ran.returncode, ran.stdout

    text = printed("script", NAME, "https://api.example.com/webhook")
    assert checked(text)[0] == 0
    status, told = checked(text + "if (newer := 1):\n    pass\n")
    assert (status, "3.8" in told) == (1, True)
