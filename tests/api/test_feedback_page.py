"""The feedback page over HTTP, on a real database, and its links: content, records, refusals, forgery and lifetime."""

import asyncio
import base64
import io
import re
from datetime import date, timedelta
from hashlib import sha384
from uuid import UUID, uuid4

import pytest
from itsdangerous import URLSafeSerializer
from sqlalchemy import text

from api.feedback import MAX_AT_ONCE, MAX_CONNECTIONS, TEXTS, texts_for
from cli.pilot.postgres import Postgres
from config.settings import FeedbackPageSettings
from jobs.feedback import FeedbackLinks, VoteReason
from observability.metrics import WEBHOOKS
from privacy import erasure
from privacy.erasure import ErasureScope
from tests.api.feedback_visits import KEY, NOTE, NOWHERE, OLD_KEY, TODAY, Visit, rows, visiting
from tests.kit.postgres import Store

NONE = {"tenant_id": "acme", "prompt": "7", "model": "gpt-6-luna-2026", "reason": None}


async def test_get_and_head_of_scanners_record_no_vote(visit: Visit, store: Store) -> None:
    link = visit.link(await store.accept(**NOTE))
    for _ in range(2):
        shown = await visit.client.get(link)
        assert (shown.status_code, "Was this note useful?" in shown.text) == (200, True)
        head = await visit.client.head(link)
        assert (head.status_code, head.content) == (200, b"")
    assert rows(store) == []


async def test_a_vote_is_recorded_with_what_wrote_the_note_and_the_last_one_counts(visit: Visit, store: Store) -> None:
    job_id = await store.accept(**NOTE)
    other = await store.accept(tenant_id="globex", **NOTE)
    thanks = await visit.vote(visit.link(job_id))
    assert thanks.status_code == 200
    assert "Thank you" in thanks.text
    assert "<strong>Useful</strong>" in thanks.text
    assert rows(store) == [NONE | {"job_id": job_id, "vote": "useful"}]
    changed = await visit.vote(visit.link(job_id), "not useful", reason="wrong cause")
    assert "The cause is wrong" in changed.text
    assert rows(store) == [NONE | {"job_id": job_id, "vote": "not useful", "reason": "wrong cause"}]
    # A reason explains a vote of not useful.
    await visit.vote(visit.link(job_id), "useful", reason="wrong cause")
    await visit.vote(visit.link(other, "globex"), "not useful")
    assert {row["tenant_id"]: (row["vote"], row["reason"]) for row in rows(store)} == {
        "acme": ("useful", None),
        "globex": ("not useful", None),
    }


async def test_every_button_and_reason_of_the_page_can_be_sent(visit: Visit, store: Store) -> None:
    link = visit.link(await store.accept(**NOTE))
    page = (await visit.client.get(link)).text
    assert set(re.findall(r"<form[^>]*>", page)) == {'<form method="post">'}
    votes = re.findall(r'<button[^>]* name="vote" value="([^"]+)"', page)
    reasons = re.findall(r'<input[^>]* name="reason" value="([^"]+)"', page)
    assert (votes, reasons) == (["useful", "not useful"], [reason.value for reason in VoteReason])
    for vote in votes:
        for reason in reasons:
            assert (await visit.vote(link, vote, reason=reason)).status_code == 200
    assert rows(store)[0]["vote"] == "not useful"


async def test_each_language_has_all_of_the_page(visit: Visit, store: Store) -> None:
    link = visit.link(await store.accept(**NOTE))
    for language, texts in TEXTS.items():
        asked = await visit.client.get(link, headers={"Accept-Language": f"{language}-XX, en;q=0.5"})
        assert asked.headers["content-language"] == language
        assert f'<html lang="{language}">' in asked.text
        assert texts.question in asked.text
        assert set(texts.reasons) == set(VoteReason)
        assert all(len(set(message)) == 2 for message in (texts.thanks, texts.unknown, texts.expired, texts.gone))


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH, en;q=0.9", "de"),
        ("en;q=0.3, fr;q=0.8", "fr"),
        ("xx, es", "es"),
        ("it-CH", "it"),
        ("nl-BE, fr;q=0.8", "nl"),
        ("pt-BR", "pt"),
        ("pl", "en"),
        ("de;q=0, en", "en"),
        ("de;q=many, *;q=0.1", "en"),
        ("," * 5000 + "de", "en"),
    ],
)
def test_the_language_is_the_one_that_is_liked_best(accepted: str, language: str) -> None:
    assert texts_for(accepted).language == language


async def test_no_script_can_run_no_frame_hold_it_and_nobody_keeps_or_indexes_it(visit: Visit, store: Store) -> None:
    link = visit.link(await store.accept(**NOTE))
    answers = [await visit.client.get(link), await visit.vote(link), await visit.vote(link, "?")]
    answers += [await visit.client.get(visit.url), await visit.client.put(link)]
    assert [answer.status_code for answer in answers] == [200, 200, 400, 404, 405]
    for answer in answers:
        told = answer.headers
        policy = told["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "script" not in policy
        assert "form-action 'self'; frame-ancestors 'none'; base-uri 'none'" in policy
        assert told["cache-control"] == "no-store"
        assert told["referrer-policy"] == "no-referrer"
        assert told["x-robots-tag"] == "noindex, nofollow"
        assert told["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in told
        assert "server" not in told
        assert not re.search(r"<(script|img|link|iframe|object)\b|<[^>]*\s(on\w+|style)\s*=", answer.text)


async def test_no_other_path_or_method_is_there(visit: Visit) -> None:
    for path in ("/", "/f", "/g/x", "/metrics", "/health", "/webhook", "/docs", "/f/a/b", "/robots.txt"):
        for method in ("GET", "POST", "DELETE"):
            assert (await visit.client.request(method, visit.url + path)).status_code == 404, path
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        answer = await visit.client.request(method, visit.link(uuid4()))
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize("path", ["/notes", "/n%C3%B6tig", "/a%20b", "/%6eotes", "/a%2Fb"])
async def test_a_proxy_may_strip_the_path(path: str, store: Store, server: Postgres) -> None:
    job_id = await store.accept(**NOTE)
    async with visiting(server.url, path, feedback_previous_key=OLD_KEY) as visit:
        # Links of the key before work where it is set.
        before = FeedbackLinks(visit.url, (OLD_KEY.encode(),)).link("acme", job_id)
        assert (await visit.vote(before)).status_code == 200
        link = visit.link(job_id)
        assert link.startswith(f"{visit.url}/f/")
        for shown, status in ((path, 200), ("", 200), ("/other", 404)):
            assert (await visit.vote(link.replace(path, shown))).status_code == status


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
FILES = {"Content-Type": "multipart/form-data; boundary=x"}


async def test_a_changed_or_guessed_link_is_not_found(visit: Visit, store: Store, log: io.StringIO) -> None:
    link = visit.link(await store.accept(**NOTE))
    token = link.rpartition("/")[2]
    changed = link[:-1] + ("A" if link[-1] != "A" else "B")
    of_another_key = FeedbackLinks(visit.url, (OLD_KEY.encode(),)).link("acme", uuid4())
    for other in (changed, link[:-4], f"{visit.url}/f/{'A' * 100}", link + "x" * 9000, of_another_key):
        assert (await visit.client.get(other)).status_code == 404
        refused = await visit.vote(other)
        assert (refused.status_code, "Page not found" in refused.text) == (404, True)
    assert rows(store) == []
    (line,) = log.getvalue().splitlines()
    assert "Feedback links that are not ours: 1" in line
    assert token[:20] not in log.getvalue()


async def test_an_expired_link_says_so_and_records_nothing(visit: Visit, store: Store, log: io.StringIO) -> None:
    job_id = await store.accept(**NOTE)
    old = FeedbackLinks(visit.url, (KEY.encode(),), today=lambda: date(2020, 1, 1))
    link = old.link("acme", job_id)
    for answer in (await visit.client.get(link), await visit.vote(link)):
        assert (answer.status_code, "expired" in answer.text) == (410, True)
    assert rows(store) == []
    log_text = log.getvalue()
    assert f"Feedback refused: job_id={job_id}, reason=link expired" in log_text
    assert f"tenant_id: acme, job_id: {job_id}" in log_text
    assert link.rpartition("/")[2] not in log_text


async def test_a_link_of_a_purged_or_forgotten_note_is_gone(visit: Visit, store: Store, log: io.StringIO) -> None:
    job_id = await store.accept(ticket_id="7", **NOTE)
    assert (await visit.vote(visit.link(job_id))).status_code == 200
    await erasure.erase(store.database, ErasureScope("acme", ticket_id="7"))
    assert rows(store) == []
    for gone, tenant in ((job_id, "initech"), (uuid4(), "acme"), (job_id, "globex"), (job_id, "acme")):
        answer = await visit.vote(visit.link(gone, tenant))
        assert (answer.status_code, "no longer in our records" in answer.text) == (410, True), tenant
    assert rows(store) == []
    assert log.getvalue().count("reason=job gone") == 3
    assert log.getvalue().count("reason=tenant left") == 1


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", FORM),
        (b"vote=perhaps", FORM),
        (b"vote=useful&vote=useful", FORM),
        (b"vote=not+useful&reason=because+I+say+so", FORM),
        (b"reason=other", FORM),
        (b"a=1&b=2&c=3&d=4&vote=useful", FORM),
        (b"vote=us\xc3\xa9ful", FORM),
        (b"vote=useful&" + b"x" * 1024, FORM),
        (b'{"vote": "useful"}', {"Content-Type": "application/json"}),
        (b"vote=useful", {}),
        (b'--x\r\nContent-Disposition: form-data; name="vote"; filename="f"\r\n\r\nuseful\r\n--x--\r\n', FILES),
    ],
)
async def test_a_body_without_a_vote(content: bytes, headers: dict[str, str], visit: Visit, store: Store) -> None:
    link = visit.link(await store.accept(**NOTE))
    answer = await visit.client.post(link, content=content, headers=headers)
    assert (answer.status_code, 'method="post"' in answer.text) == (400, True)
    assert rows(store) == []


async def test_without_a_database_the_visitor_is_asked_to_come_again(log: io.StringIO) -> None:
    job_id = uuid4()
    async with visiting(NOWHERE) as visit:
        assert (await visit.client.get(visit.link(job_id))).status_code == 200
        answer = await visit.vote(visit.link(job_id))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "try again" in answer.text
    assert 'method="post"' in answer.text
    assert f"Feedback error: job_id={job_id}, reason=the database does not answer" in log.getvalue()
    assert "127.0.0.1:1" not in log.getvalue()


async def test_votes_above_the_limit_get_503_at_once(visit: Visit, store: Store) -> None:
    link = visit.link(await store.accept(**NOTE))
    assert (await visit.vote(link)).status_code == 200
    async with store.database.tenant("acme") as session:
        await session.execute(text("SELECT FROM feedback FOR UPDATE"))
        sent = [asyncio.create_task(visit.vote(link, "not useful")) for _ in range(MAX_AT_ONCE + 12)]
        first = [await answer for _, answer in zip(range(12), asyncio.as_completed(sent), strict=False)]
    assert {answer.status_code for answer in first} == {503}
    assert [(await answer).status_code for answer in sent].count(200) == MAX_AT_ONCE


def refused_webhooks() -> float:
    return sum(sample.value for family in WEBHOOKS.collect() for sample in family.samples)


async def connect(visit: Visit) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = visit.url.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


async def test_what_is_no_http_is_refused_and_counts_as_no_webhook(visit: Visit, log: io.StringIO) -> None:
    before = refused_webhooks()
    for sent in (b"\x16\x03\x01 hello\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n"):
        reader, writer = await connect(visit)
        writer.write(sent)
        async with asyncio.timeout(10):
            assert (await reader.read()).startswith(b"HTTP/1.1 4")
        writer.close()
    assert log.getvalue() == ""
    assert refused_webhooks() == before


async def test_a_crowd_gives_way_to_a_visitor(visit: Visit, store: Store, log: io.StringIO) -> None:
    before = refused_webhooks()
    link = visit.link(await store.accept(**NOTE))
    crowd = [await connect(visit) for _ in range(2 * MAX_CONNECTIONS)]
    assert (await visit.vote(link)).status_code == 200
    async with asyncio.timeout(10):
        assert await crowd[0][0].read() == b""
    for _, writer in crowd:
        writer.close()
    assert log.getvalue().count("Feedback page: too many connections") == 1
    assert refused_webhooks() == before


JOB = UUID("01936b2e-7c1a-7000-8000-0123456789ab")
URL = "https://feedback.example.com/notes"


def links(*keys: str, today: date = TODAY) -> FeedbackLinks:
    return FeedbackLinks(URL, tuple(key.encode() for key in keys or (KEY,)), today=lambda: today)


def token_of(link: str) -> str:
    return link.removeprefix(f"{URL}/f/")


TOKEN = token_of(links().link("acme", JOB))


@pytest.mark.parametrize("tenant_id", ["a", "acme", "x" * 63])
def test_a_link_says_its_tenant_and_its_job_and_stands_in_an_address_as_it_is(tenant_id: str) -> None:
    link = links().link(tenant_id, JOB)
    assert re.fullmatch(rf"{URL}/f/[A-Za-z0-9_.-]+", link)
    assert links().read(token_of(link)) == (tenant_id, JOB, False)


def test_a_link_works_for_90_days_and_then_is_known_as_expired() -> None:
    for days, expired in ((90, False), (91, True)):
        assert links(today=TODAY + timedelta(days=days)).read(TOKEN) == ("acme", JOB, expired)


def test_no_character_of_a_token_can_be_changed() -> None:
    for at, character in enumerate(TOKEN):
        for other in "AQgw-_" if character != "A" else "BQgw-_":
            if other != character:
                assert links().read(TOKEN[:at] + other + TOKEN[at + 1 :]) is None


@pytest.mark.parametrize(
    "token",
    [
        *("", "A", "x" * 10_000, TOKEN[:-1], TOKEN[1:], TOKEN + "A", TOKEN + "=", TOKEN + "\n", "../" + TOKEN),
        *(f"{TOKEN[:20]} {TOKEN[20:]}", TOKEN.replace("A", "\u0410")),
        base64.urlsafe_b64encode(b"\x01" + bytes(90)).decode().rstrip("="),
    ],
)
def test_what_is_cut_guessed_or_too_long_is_not_ours(token: str) -> None:
    assert links().read(token) is None


def test_what_the_key_signs_for_another_purpose_is_no_link() -> None:
    signed = URLSafeSerializer(KEY, salt="another", signer_kwargs={"key_derivation": "hmac", "digest_method": sha384})
    assert links().read(signed.dumps([TODAY.toordinal(), JOB.hex, "acme"])) is None


def test_links_of_the_key_before_go_on_working_and_those_of_others_do_not() -> None:
    old = token_of(links(OLD_KEY).link("acme", JOB))
    assert links(KEY, OLD_KEY).read(old) == ("acme", JOB, False)
    assert links(KEY, OLD_KEY).link("acme", JOB) == links(KEY).link("acme", JOB)
    assert links(KEY).read(old) is None
    # And none shows a key.
    given = {"feedback_url": URL, "feedback_key": KEY, "feedback_previous_key": OLD_KEY}
    shown = repr(FeedbackPageSettings.model_validate(given)) + repr(links())
    assert [key in shown for key in (KEY, OLD_KEY)] == [False, False]
