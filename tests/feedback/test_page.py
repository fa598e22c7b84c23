"""The feedback page over HTTP: content and records, on a real database."""

from html.parser import HTMLParser
from uuid import uuid4

import pytest

from devstack.postgres import Postgres
from feedback.links import FeedbackLinks
from feedback.texts import TEXTS, texts_for
from storage.feedback import VoteReason
from tests.feedback.visiting import NOTE, NOWHERE, OLD_KEY, Visit, rows, visiting
from tests.kit.postgres import Store

NONE = {"tenant_id": "acme", "prompt": "7", "model": "gpt-6-luna-2026", "reason": None}


class _Seen(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


async def test_reading_a_link_asks_and_records_nothing(visit: Visit, store: Store) -> None:
    """Scanners send GET and HEAD repeatedly."""
    link = visit.link(await store.accept(**NOTE))
    for _ in range(2):
        shown = await visit.client.get(link)
        assert (shown.status_code, "Was this note useful?" in shown.text) == (200, True)
        head = await visit.client.head(link)
        assert (head.status_code, head.content) == (200, b"")
    assert rows(store) == []


async def test_reading_a_link_asks_no_database() -> None:
    async with visiting(NOWHERE) as visit:
        assert (await visit.client.get(visit.link(uuid4()))).status_code == 200


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
    seen = _Seen((await visit.client.get(link)).text)
    assert [form for form in seen.all("form") if form != {"method": "post"}] == []
    votes = [button["value"] for button in seen.all("button") if button["name"] == "vote"]
    reasons = [choice["value"] for choice in seen.all("input") if choice["name"] == "reason"]
    assert reasons == [reason.value for reason in VoteReason]
    for vote in votes:
        for reason in reasons:
            assert (await visit.vote(link, str(vote), reason=str(reason))).status_code == 200
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
    answers = [
        await visit.client.get(link),
        await visit.vote(link),
        await visit.vote(link, "?"),
        await visit.client.get(visit.url),
        await visit.client.put(link),
    ]
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
        seen = _Seen(answer.text)
        assert {name for name, _ in seen.elements} & {"script", "img", "link", "iframe", "object"} == set()
        assert [name for _, attributes in seen.elements for name in attributes if name.startswith("on")] == []
        assert [1 for _, attributes in seen.elements if "style" in attributes] == []


@pytest.mark.parametrize(
    "path", ["/", "/f", "/g/x", "/metrics", "/health", "/webhook", "/docs", "/f/a/b", "/robots.txt"]
)
async def test_nothing_else_is_there(path: str, visit: Visit) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert (await visit.client.request(method, visit.url + path)).status_code == 404


async def test_links_of_the_key_before_work_where_it_is_set(store: Store, server: Postgres) -> None:
    job_id = await store.accept(**NOTE)
    async with visiting(server.url, feedback_previous_key=OLD_KEY) as visit:
        before = FeedbackLinks(visit.url, (OLD_KEY.encode(),)).link("acme", job_id)
        assert (await visit.vote(before)).status_code == 200
    assert len(rows(store)) == 1


@pytest.mark.parametrize("path", ["/n%C3%B6tig", "/a%20b", "/%6eotes", "/a%2Fb"])
async def test_an_escaped_path_in_the_address_leads_to_the_page(path: str, store: Store, server: Postgres) -> None:
    job_id = await store.accept(**NOTE)
    async with visiting(server.url, path) as visit:
        link = visit.link(job_id)
        assert link.startswith(f"{visit.url}/f/")
        assert (await visit.vote(link)).status_code == 200
        assert (await visit.vote(link.replace(path, "/other"))).status_code == 404


@pytest.mark.parametrize("stays", [True, False])
async def test_a_path_in_the_address_may_be_left_or_taken_off_by_a_proxy(
    stays: bool, store: Store, server: Postgres
) -> None:
    job_id = await store.accept(**NOTE)
    async with visiting(server.url, "/notes") as visit:
        link = visit.link(job_id)
        assert "/notes/f/" in link
        shown = link if stays else link.replace("/notes/", "/")
        assert (await visit.vote(shown)).status_code == 200
