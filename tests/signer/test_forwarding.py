"""How an answer is judged, how long is waited after it, and which ways out are taken."""

import asyncio
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from config.tenant_directory import TenantDirectory
from signer.forwarding import Forwarding, open_client
from signer.spool import Delivery, Spool
from signer.verdicts import judge, pause_seconds, retry_after_seconds
from tests.kit.logs import StartLog
from tests.kit.world import wait_for
from tests.signer.site import JSON, PAGE, ApiStandIn

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("status", "what", "slow", "words"),
    [
        (202, "accepted", False, "status 202"),
        (302, "later", True, "redirected: --to must be the address itself"),
        (400, "aside", False, "the API can't read it"),
        (401, "later", True, "other credentials"),
        (
            403,
            "later",
            True,
            "WEBHOOK_SECRET_ACME_EU the same as the API's, the tenant known there, and this machine's",
        ),
        (404, "later", True, "is --to right, to its end /webhook"),
        (407, "later", True, "HTTPS_PROXY"),
        (408, "later", False, "status 408"),
        (413, "aside", False, "too large"),
        (415, "aside", False, "type"),
        (422, "aside", False, "no usable ticket id"),
        (429, "later", False, "status 429"),
        (500, "later", False, "status 500"),
        (503, "later", False, "status 503"),
    ],
)
def test_only_an_answer_that_no_try_can_mend_ends_the_tries(status: int, what: str, slow: bool, words: str) -> None:
    verdict = judge(status, "acme-eu")
    assert (verdict.what, verdict.slow, words in verdict.words) == (what, slow, True)


def test_pauses_double_from_a_second_to_five_minutes() -> None:
    pauses = [pause_seconds(failures, slow=False, jitter=0) for failures in range(1, 12)]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert [pause_seconds(failures, slow=True, jitter=0) for failures in (1, 2, 9)] == [30, 60, 300]
    assert [pause_seconds(1_000_000, slow=False, jitter=jitter) for jitter in (0, 1)] == [300, 150]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("30", 30),
        ("999999999999", 3600),
        ("-1", 0),
        ("soon", 0),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Fri, 99 Jan 2027 07:00:00 GMT", 0),
    ],
)
def test_a_retry_after_is_read_in_both_its_forms(header: str | None, seconds: float) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@pytest.fixture
def api() -> Iterator[ApiStandIn]:
    """An API that is there."""
    stand_in = ApiStandIn("s3cret")
    stand_in.begin()
    yield stand_in
    stand_in.end()


async def forwarded(folder: Path, url: str, trusted: ssl.SSLContext, until: str, log: StartLog) -> str:
    """Forward one webhook, two days old, until the log has these words; the log."""
    stream = log()
    spool = Spool(folder, "acme", 1)
    spool.open()
    await spool.keep(Delivery("1", "acme", "12345", None, time.time() - 2 * 86400))
    tenants = TenantDirectory(lambda: {"WEBHOOK_SECRET_ACME": "s3cret"})
    async with open_client(trusted) as client:
        work = asyncio.create_task(Forwarding(spool, tenants, "acme", url, client).run())
        await asyncio.to_thread(wait_for, lambda: until in stream.getvalue(), 10)
        work.cancel()
        await asyncio.wait({work})
    spool.close()
    return stream.getvalue()


async def test_only_a_certificate_that_is_trusted_is_taken(
    api: ApiStandIn, tmp_path: Path, start_log: StartLog
) -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    assert api._server is not None
    api._server.socket = server.wrap_socket(api._server.socket, server_side=True)
    url = f"https://localhost:{api.port}/webhook"
    told = await forwarded(tmp_path / "a", url, ssl.create_default_context(), "Webhooks wait for over a day", start_log)
    assert "Forwarding error: the API's certificate is not trusted: a private CA belongs into SIGNER_CA_BUNDLE" in told
    assert "1 waiting, the oldest for 17280" in told
    assert api.tries == []
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    await forwarded(tmp_path / "b", url, trusted, "Webhook forwarded: ticket_id=12345", start_log)
    assert len(api.accepted) == 1


async def test_the_proxy_of_the_environment_is_asked_but_not_for_who_is_near(
    api: ApiStandIn, tmp_path: Path, start_log: StartLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{api.port}")
    monkeypatch.setenv("NO_PROXY", "near.example")
    trusted = ssl.create_default_context()
    told = await forwarded(tmp_path / "a", "https://api.example/webhook", trusted, "Forwarding error", start_log)
    assert "Forwarding error: the proxy of HTTPS_PROXY does not let it through" in told
    assert api.proxied == ["api.example:443"]
    told = await forwarded(tmp_path / "b", "https://near.example/webhook", trusted, "Forwarding error", start_log)
    assert "Forwarding error: no connection" in told
    assert api.proxied == ["api.example:443"]


@pytest.mark.parametrize("head", [PAGE, JSON])
@pytest.mark.parametrize("status", [200, 202, 400, 422])
async def test_what_answers_in_the_apis_place_takes_no_webhook(
    api: ApiStandIn, tmp_path: Path, start_log: StartLog, status: int, head: dict[str, str]
) -> None:
    """A page of a proxy under a status of success, or of a refusal that would set it aside."""
    api.answers_with["12345"] = (status, head)
    trusted = ssl.create_default_context()
    told = await forwarded(tmp_path, api.url, trusted, "Webhooks wait for over a day", start_log)
    assert f"Forwarding error: status {status}, but not of the API: is --to right" in told
    assert [path.stem for path in (tmp_path / "waiting").rglob("*.json")] == ["1"]
    api.answers_with.clear()
    await forwarded(tmp_path / "again", api.url, trusted, "Webhook forwarded: ticket_id=12345", start_log)
