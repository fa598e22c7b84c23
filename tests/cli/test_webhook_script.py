"""The script for desks on premises, run as a process against the API over HTTP."""

import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from cli.kit import ai_agents_webhook
from cli.pilot.free_ports import free_port
from cli.signing_kit import kit
from tests.cli.troubled_door import TroubledDoor, opened_door, pasted
from tests.kit.proxy import ConnectProxy, serving_proxy, with_tls
from tests.kit.receiver import SECRET

NAME = "ai_agents_webhook.py"
TICKET = '{"request": {"id": "77", "subject": "A \\"quote\\", and Grüße"}}'


class Script:
    """The saved script, with pauses short enough for a test."""

    def __init__(self, folder: Path, url: str, secret: str = SECRET, pauses: str = "(0.1, 0.2)") -> None:
        self.path, self._ticket = folder / NAME, folder / "77_1.json"
        self.path.write_text(pasted(kit("script", "acme", url, secret or None), NAME), encoding="utf-8")
        self.edit("PAUSES = (1, 2, 4, 8, 16)", f"PAUSES = {pauses}")
        self._ticket.write_text(TICKET, encoding="utf-8")

    def edit(self, old: str, new: str) -> None:
        text = self.path.read_text(encoding="utf-8")
        assert old in text
        self.path.write_text(text.replace(old, new), encoding="utf-8")

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        # -S: a desk does not have this interpreter's packages.
        command = [sys.executable, "-S", str(self.path), *(arguments or [str(self._ticket)])]
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return subprocess.Popen(command, env=kept | environment, stdout=subprocess.PIPE, text=True)

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Return its exit status and its output."""
        process = self.start(*arguments, **environment)
        told, _ = process.communicate(timeout=30)
        assert SECRET not in told
        return process.returncode, told


@pytest.fixture(scope="module")
def open_door() -> Iterator[TroubledDoor]:
    with opened_door() as door:
        yield door


@pytest.fixture
def door(open_door: TroubledDoor) -> TroubledDoor:
    open_door.trouble()
    return open_door


def test_a_webhook_contains_only_ids(door: TroubledDoor, tmp_path: Path) -> None:
    """The path of the desk's file may contain unquoted spaces."""
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
    assert re.fullmatch(r".* 77: 503; again in 0\.2 s\n.* 77: 429; again in 1\.[012] s\n.*taken \(202\)\n", told)
    first, second, third = door.knocks
    assert 0.2 <= second.at - first.at < 1 <= third.at - second.at
    for knock in door.knocks:
        knock.assert_signed()
    assert len({knock.headers["x-servicedesk-delivery"] for knock in door.knocks}) == 1
    assert first.headers["x-servicedesk-timestamp"] < third.headers["x-servicedesk-timestamp"]
    assert door.tickets() == [("77", "ticket.created")]


def test_it_waits_for_an_api_that_is_not_there_yet(tmp_path: Path) -> None:
    port = free_port()
    process = Script(tmp_path, f"http://127.0.0.1:{port}/webhook", pauses="(0.5, 1.5)").start()
    assert process.stdout is not None
    assert "no answer ([Errno 111] Connection refused); again" in process.stdout.readline().replace("61", "111")
    with opened_door(port) as door:
        assert "taken (202)" in process.communicate(timeout=30)[0]
        assert process.returncode == 0
        assert door.tickets() == [("77", "ticket.created")]


def test_every_answer_but_success_is_retried(door: TroubledDoor, tmp_path: Path) -> None:
    script = Script(tmp_path, door.url, pauses="(0.01, 0.02)")
    for status in (200, 202, 302, 400, 403, 404, 422, 500, 502, 504):
        door.trouble(status)
        ended, said = script.run()
        assert (ended, len(door.knocks), len(door.tickets())) == (0, 2, 1)
        assert f"ai-agents: ticket 77: {status}" in said
        assert ("but not of ai-agents: is the URL right, or does a proxy answer?; again" in said) == (status < 300)
        assert said.endswith("taken (202)\n")
    # A page in the API's place makes no check good.
    door.trouble(200, 202, 200)
    ended, said = script.run("--check")
    assert (ended, said.count("but not of ai-agents")) == (1, 3)
    assert script.run("--check") == (0, "ai-agents: check: taken (200)\n")


def test_the_last_line_says_what_was_answered_and_why(door: TroubledDoor, tmp_path: Path) -> None:
    ended, said = Script(tmp_path, door.url, "another").run()
    assert (ended, len(door.knocks), door.tickets()) == (1, 3, [])
    # It gives up when its tries are over.
    mended = "403: the secret is not the one in force, TENANT is misspelt, or this machine's clock is wrong"
    assert said.splitlines()[-1] == f"ai-agents: ticket 77: {mended}, cause: forbidden; given up"


def test_no_wait_that_is_asked_for_goes_past_the_end(door: TroubledDoor, tmp_path: Path) -> None:
    door.trouble(503, retry_after="3600")
    script = Script(tmp_path, door.url)
    script.edit("MAX_SECONDS = 60", "MAX_SECONDS = 1")
    ended, said = script.run()
    assert (ended, len(door.knocks)) == (0, 2)
    assert re.search(r"503; again in (1\.0|0\.\d) s\n", said)


def test_the_secret_may_stand_in_a_file_beside_it(door: TroubledDoor, tmp_path: Path) -> None:
    script = Script(tmp_path, door.url)
    script.edit(f'SECRET = "{SECRET}"', 'SECRET = ""')
    status, told = script.run()
    assert (status, "SECRET is empty" in told) == (1, True)
    (tmp_path / "ai_agents_webhook.secret").write_bytes(b"\xef\xbb\xbf" + SECRET.encode() + b"\r\n")
    assert script.run() == (0, "ai-agents: ticket 77: taken (202)\n")


def test_a_certificate_that_nobody_vouches_for_is_not_taken(door: TroubledDoor, tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    authority.issue_cert("localhost").configure_cert(context)
    with with_tls(urlsplit(door.url).port or 0, context) as port:
        script = Script(tmp_path, f"https://localhost:{port}/webhook", pauses="()")
        assert "CERTIFICATE_VERIFY_FAILED" in script.run()[1]
        assert script.run(SSL_CERT_FILE=str(tmp_path / "authority.pem"))[0] == 0


def test_it_goes_through_the_proxy_of_the_machine(tmp_path: Path) -> None:
    with serving_proxy(ConnectProxy()) as proxy:
        script = Script(tmp_path, "https://api.example.com/webhook", pauses="()")
        assert script.run(HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}")[0] == 1
    assert proxy.requested == ["api.example.com:443"]
    # A failure that is none of the network is told too: a ValueError; in 3.6 another host's certificate.
    ended, said = script.run(HTTPS_PROXY="http://proxy..example.com:3128")
    assert ended == 1
    assert re.fullmatch(r"ai-agents: ticket 77: no answer \(.*label.*\); given up\n", said)


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
        b'{"request": {"id": null, "WORKORDERID": "77"}}',
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
        ('{"request": {"id": "7\u00b2"}}'.encode(), "no request with an id"),
        (b"[" * 100_000, "not JSON"),
        (b'{"request": {"subject": "x"}}', "no request with an id"),
    ],
)
def test_files_without_ticket(raw: bytes | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if raw is not None:
        (tmp_path / "77_1.json").write_bytes(raw)
    assert ai_agents_webhook.main([str(tmp_path / "77_1.json")]) == 1
    output = capsys.readouterr().out
    assert output.startswith("ai-agents: not sent: the desk's file")
    assert told in output
    assert ai_agents_webhook.main([]) == 1
    assert "$COMPLETE_V3_JSON_FILE" in capsys.readouterr().out


NO_ADDRESSES = ["api.example.com/webhook", "https:///webhook", "https://[::1/webhook"]
NO_ADDRESSES += [f"https://{rest}" for rest in ("a.example:x/webhook", "a.example/web hook")]
NO_ADDRESSES += [f"https://{rest}" for rest in ("b\u00fccher.example/webhook", "a.example/w\u00e9bhook")]


@pytest.mark.parametrize(
    ("url", "secret", "told"),
    [
        ("https://api.example.com/webhook", "", "SECRET is not filled in, at the top"),
        ("https://PASTE-THE-ADDRESS/webhook", SECRET, "URL is not filled in, at the top"),
        *((url, SECRET, "not an address like https://") for url in NO_ADDRESSES),
    ],
)
def test_what_is_not_filled_in_or_badly_is_named(url: str, secret: str, told: str, tmp_path: Path) -> None:
    ended, said = Script(tmp_path, url, secret).run()
    assert (ended, said.count("\n"), said.startswith("ai-agents: not sent: ")) == (1, 1, True)
    assert told in said


@pytest.mark.parametrize(("more", "status"), [("", 0), ("if (newer := 1):\n    pass\n", 1)])
def test_it_runs_where_python_is_3_6(more: str, status: int, tmp_path: Path) -> None:
    text = pasted(kit("script", "acme", "https://api.example.com/webhook", SECRET), NAME)
    (tmp_path / NAME).write_text(text + more, encoding="utf-8")
    vermin = Path(sys.executable).with_name("vermin")
    command = [str(vermin), "-t=3.6-", "--violations", "--no-tips", "--processes=1", str(tmp_path / NAME)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == status
