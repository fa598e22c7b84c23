"""`ai-agents signer` as a process: what it took is forwarded once, whatever dies or is away."""

import json
import re
import stat
from collections.abc import Iterator

import httpx
import pytest

from devstack.free_ports import free_port
from tests.kit.world import wait_for
from tests.signer.site import JOB_ID, KEY, SignerSite


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignerSite]:
    """A signer that runs, and an API that answers."""
    site = SignerSite(tmp_path_factory.mktemp("site"))
    site.api.begin()
    site.signer.start()
    try:
        site.signer.wait_ready()
        yield site
    finally:
        site.close()


@pytest.fixture
def site(running: SignerSite) -> Iterator[SignerSite]:
    """The same for one test: at its end the API is there, refuses nothing, and nothing waits."""
    yield running
    running.api.answers_with.clear()
    running.api.end()
    running.api.begin()
    running.kept("999")
    wait_for(lambda: running.health()[1]["waiting"] == 0, 10)


def test_a_webhook_is_forwarded_signed_with_ids_only(site: SignerSite) -> None:
    answer = site.post('{"requestId": ["4711"], "subject": "Printer\nof Hunter2", "event": "ticket.created"}')
    assert answer.status_code == 202
    wait_for(lambda: site.api.of("4711"))
    ((_, headers, body),) = [one for one in site.api.tries if one[2].get("ticket_id") == "4711"]
    assert body == {"tenant_id": "acme", "ticket_id": "4711", "event": "ticket.created"}
    assert site.api.accepted == [("4711", answer.json()["delivery"])]
    assert headers["content-type"] == "application/json"
    wait_for(lambda: "Webhook forwarded: ticket_id=4711" in site.signer.output())
    assert site.files() == []
    log = site.signer.output()
    assert f"job_id: {JOB_ID}, delivery: {answer.json()['delivery']}" in log
    assert "Hunter2" not in log
    assert KEY not in log
    assert "error" not in log.lower()


def test_its_metrics_count_webhooks_and_its_probe_says_that_it_keeps_them(site: SignerSite) -> None:
    site.kept("4712")
    wait_for(lambda: site.files() == [] and site.api.of("4712"))
    told = httpx.get(f"{site.metrics_url}/metrics", trust_env=False).text
    counts = {
        result: float(count)
        for result, count in re.findall(r'ai_agents_signer_webhooks_total\{result="([a-z ]+)"\} (\S+)', told)
    }
    assert sorted(counts) == ["failed", "forwarded", "kept", "refused", "set aside"]
    assert counts["kept"] == counts["forwarded"] > 0
    assert re.search(r"^ai_agents_signer_webhooks_waiting 0\.0$", told, re.MULTILINE)
    assert re.search(r"^ai_agents_signer_oldest_webhook_seconds 0\.0$", told, re.MULTILINE)
    ready = httpx.get(f"{site.metrics_url}/ready", trust_env=False)
    assert (ready.status_code, ready.json()["status"], ready.json()["waiting"]) == (200, "ready", "0")


@pytest.mark.parametrize("key", [None, "", KEY[:-1], KEY + "x", "\u00fc" * 40])
def test_without_the_desks_key_nothing_is_kept(key: str | None, site: SignerSite) -> None:
    headers = [] if key is None else [(b"X-Signer-Key", key.encode())]
    answer = httpx.post(f"{site.url}/webhook", content=b'{"ticket_id": 1}', headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()) == (403, {"detail": "forbidden"})
    assert site.files() == []
    assert "status=403, reason=the header X-Signer-Key is missing, or is not SIGNER_KEY" in site.signer.output()


@pytest.mark.parametrize(
    ("body", "path", "status", "said"),
    [
        (b'{"ticket_id": "Hunter2"}', "/webhook", 400, "ticket_id is no number of 1 to 20 digits"),
        (b'{"ticket_id": 1, "subject": "a "Hunter2" b"}', "/webhook", 400, "line 1 column 33: a quote inside a value"),
        (b"--x", "/webhook", 400, "the body can't be read: it is a multipart form, choose JSON"),
        (b'{"ticket_id": 1, "tenant_id": "globex"}', "/webhook", 400, "tenant_id is another one than this signer"),
        (b'{"ticket_id": 1, "x": "' + b"x" * 65536 + b'"}', "/webhook", 413, "larger than 64 KiB"),
        (b'{"ticket_id": 1}', "/webhook/", 404, "the address is http://HOST:PORT/webhook, the method POST"),
        (b'{"ticket_id": 1}', "/health", 405, "the address is http://HOST:PORT/webhook, the method POST"),
    ],
)
def test_what_can_not_be_taken_is_refused_in_words_of_ours(
    body: bytes, path: str, status: int, said: str, site: SignerSite
) -> None:
    """Both in the answer and in the line, without a word of the body."""
    answer = site.post(body, path=path)
    assert answer.status_code == status
    assert said in answer.json()["detail"]
    lines = [line for line in site.signer.output().splitlines() if f"refused: status={status}, reason=" in line]
    assert said in lines[-1]
    assert "Hunter2" not in site.signer.output() + answer.text


def test_a_check_is_answered_with_what_the_api_says_and_leaves_nothing(site: SignerSite) -> None:
    check = '{"event": "webhook.check"}'
    answer = site.post(check)
    assert (answer.status_code, answer.json()) == (200, {"status": "verified"})
    assert site.api.tries[-1][2] == {"tenant_id": "acme", "event": "webhook.check"}
    site.api.secret = "another-secret"
    answer = site.post(check)
    site.api.secret = "s3cret-of-acme"
    assert answer.status_code == 502
    assert answer.json()["detail"].startswith("status 403, is WEBHOOK_SECRET_ACME the same as the API's")
    site.api.end()
    assert site.post(check).json() == {"detail": "no connection: is --to right, and the network there"}
    assert site.files() == []


def test_what_is_on_disk_is_ids_for_its_owner_alone_and_outlives_kill_9(site: SignerSite) -> None:
    """The API is away, the signer is killed: the next one forwards each once, oldest first, as what it was."""
    site.api.end()
    deliveries = [("501", site.kept("501")), ("502", site.kept("502")), ("503", site.kept("503"))]
    assert [path.stem for path in site.files()] == [delivery for _, delivery in deliveries]
    for path in site.files():
        told = json.loads(path.read_bytes())
        assert sorted(told) == ["event", "id", "kept_at", "tenant_id", "ticket_id"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    folders = (site.spool, site.spool / "waiting", site.spool / "aside")
    assert [stat.S_IMODE(path.stat().st_mode) for path in folders] == [0o700] * 3
    wait_for(lambda: "Forwarding error: no connection" in site.signer.output())
    site.signer.kill()
    (site.spool / "waiting" / ".half-written").write_text('{"id": ', encoding="utf-8")
    (site.spool / "waiting" / "nobody.json").write_text('{"id": ', encoding="utf-8")
    site.signer.start()
    site.signer.wait_ready()
    assert site.health()[1] | {"oldest_seconds": 0} == {"ok": True, "waiting": 3, "oldest_seconds": 0, "set_aside": 1}
    site.api.accepted.clear()
    site.api.begin()
    wait_for(lambda: site.files() == [], 10)
    assert site.api.accepted == deliveries
    (unreadable,) = site.files("aside")
    assert unreadable.name == "nobody.json"
    unreadable.unlink()


def test_one_that_always_fails_stands_behind_the_others_as_the_same_delivery(site: SignerSite) -> None:
    """Whatever it fails with; a redirect is not followed."""
    elsewhere = {"Location": f"{site.api.url}?elsewhere"}
    site.api.answers_with["600"] = (500, {})
    bad = site.kept("600")
    wait_for(lambda: site.api.of("600"))
    for number, answer in enumerate([(500, {}), (307, elsewhere), (403, {}), (404, {})]):
        site.api.answers_with["600"] = answer
        tried = len(site.api.of("600"))
        site.kept(f"61{number}")
        wait_for(lambda tried=tried: len(site.api.of("600")) > tried)  # type: ignore[misc]
        assert [ticket for ticket, _ in site.api.accepted].count(f"61{number}") == 1
    assert [path.stem for path in site.files()] == [bad]
    del site.api.answers_with["600"]
    site.kept("620")
    wait_for(lambda: site.files() == [])
    tries = [headers for _, headers in site.api.of("600")]
    assert {headers["x-servicedesk-delivery"] for headers in tries} == {bad}
    assert len({headers["x-servicedesk-timestamp"] for headers in tries}) > 1
    assert [ticket for ticket, _ in site.api.accepted].count("600") == 1


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_no_try_can_mend_is_set_aside_and_told(status: int, site: SignerSite) -> None:
    site.api.answers_with["700"] = (status, {})
    delivery = site.kept("700")
    wait_for(lambda: f"Webhook set aside, not forwarded any more: ticket_id=700, reason=status {status}" in _log(site))
    (kept,) = site.files("aside")
    assert (kept.stem, site.files(), len(site.health()[1])) == (delivery, [], 4)
    assert site.health()[1]["set_aside"] == 1
    kept.unlink()


def test_nothing_is_sent_before_the_api_wants_it_again(site: SignerSite) -> None:
    """`Retry-After` holds for a webhook that comes meanwhile as well."""
    site.api.answers_with["800"] = (503, {"Retry-After": "2"})
    site.kept("800")
    wait_for(lambda: site.api.of("800"))
    site.kept("801")
    wait_for(lambda: site.api.of("801"))
    refused_at, taken_at = site.api.of("800")[0][0], site.api.of("801")[0][0]
    assert taken_at - refused_at > 1.9


def test_a_spool_that_is_full_or_unwritable_takes_nothing_and_says_so(site: SignerSite) -> None:
    """What is set aside counts; health is not ok either."""
    aside = [site.spool / "aside" / f"{number}.json" for number in range(1_000_000 // 4096)]
    for path in aside:
        path.touch()
    answer = site.post({"ticket_id": 900})
    assert (answer.status_code, site.health()[0], site.health()[1]["ok"]) == (507, 503, False)
    assert "of the desk lost: status=507, reason=SIGNER_SPOOL_MEGABYTES is reached: 0 wait" in _log(site)
    for path in aside:
        path.unlink()
    assert site.health()[0] == 200
    waiting = site.spool / "waiting"
    waiting.rename(site.spool / "away")
    try:
        assert (site.post({"ticket_id": 900}).status_code, site.health()[0]) == (503, 503)
        assert "Spool error: a webhook can't be written" in _log(site)
    finally:
        (site.spool / "away").rename(waiting)
    assert site.api.of("900") == []


def test_a_second_signer_on_the_same_spool_is_refused(site: SignerSite) -> None:
    other = site.another("other", port=free_port())
    other.start()
    assert other.wait(20) == 78
    assert "Start refused: SIGNER_SPOOL_DIR is in use by another signer" in other.output()
    assert site.signer.running


def test_a_refused_secret_is_told_and_a_new_one_needs_no_restart(site: SignerSite) -> None:
    """One line a minute, and each webhook that came meanwhile is signed with the new one."""
    site.signer.stop()
    site.api.secret = "another-secret"
    site.signer.start()
    site.signer.wait_ready()
    deliveries = {site.kept("1001"), site.kept("1002")}
    wait_for(lambda: len(site.api.of("1001")) + len(site.api.of("1002")) >= 2)
    (site.secrets / "WEBHOOK_SECRET_ACME").write_text("another-secret\n", encoding="utf-8")
    wait_for(lambda: deliveries <= {delivery for _, delivery in site.api.accepted}, 20)
    assert len([one for one in site.api.accepted if one[1] in deliveries]) == 2
    (told,) = [line for line in _log(site).splitlines() if "Forwarding error: " in line]
    assert "status 403, is WEBHOOK_SECRET_ACME the same as the API's" in told
    assert "another-secret" not in _log(site)


def test_it_ends_within_seconds_of_sigterm_and_what_waits_stays(running: SignerSite) -> None:
    """Also while it can reach nothing."""
    running.api.end()
    running.kept("1100")
    assert running.signer.stop(grace=5) == 0
    assert "Signer stopped" in running.signer.output()
    assert len(running.files()) == 1


def _log(site: SignerSite) -> str:
    return site.signer.output()
