"""Refused visits: invalid, old or late links, invalid votes, and no database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from uuid import uuid4

import pytest
from sqlalchemy import text

from feedback.app import MOST_AT_ONCE
from feedback.links import FeedbackLinks
from storage import erasure
from storage.erasure import Which
from tests.feedback.visiting import KEY, NOTE, NOWHERE, OLD_KEY, Visit, rows, visiting
from tests.kit.logs import StartLog
from tests.kit.postgres import Store

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_a_changed_or_guessed_link_is_a_page_that_is_not_there(
    visit: Visit, store: Store, start_log: StartLog
) -> None:
    """Nothing is recorded; one line has their number, without any link."""
    stream = start_log()
    link = visit.link(await store.accept(**NOTE))
    token = link.rpartition("/")[2]
    others = [
        link[:-1] + ("A" if link[-1] != "A" else "B"),
        link[:-4],
        visit.url + "/f/" + "A" * 100,
        link + "x" * 9000,
    ]
    others.append(FeedbackLinks(visit.url, (OLD_KEY.encode(),)).link("acme", uuid4()))
    for other in others:
        assert (await visit.client.get(other)).status_code == 404
        refused = await visit.vote(other)
        assert (refused.status_code, "There is no such page" in refused.text) == (404, True)
    assert rows(store) == []
    (line,) = stream.getvalue().splitlines()
    assert "Feedback links that are not ours: 1" in line
    assert token[:20] not in stream.getvalue()


async def test_an_expired_link_says_so_and_records_nothing(visit: Visit, store: Store, start_log: StartLog) -> None:
    stream = start_log()
    job_id = await store.accept(**NOTE)
    old = FeedbackLinks(visit.url, (KEY.encode(),), today=lambda: date(2020, 1, 1))
    link = old.link("acme", job_id)
    for answer in (await visit.client.get(link), await visit.vote(link)):
        assert (answer.status_code, "expired" in answer.text) == (410, True)
    assert rows(store) == []
    said = stream.getvalue()
    assert f"Feedback refused: job_id={job_id}, reason=link expired" in said
    assert f"tenant_id: acme, job_id: {job_id}" in said
    assert link.rpartition("/")[2] not in said


async def test_a_note_of_which_nothing_is_left_is_gone(visit: Visit, store: Store, start_log: StartLog) -> None:
    """Tenant left, job purged or another tenant's, or ticket forgotten."""
    stream = start_log()
    job_id = await store.accept(ticket_id="7", **NOTE)
    assert (await visit.vote(visit.link(job_id))).status_code == 200
    await erasure.erase(store.database, Which("acme", ticket_id="7"))
    assert rows(store) == []
    gone = {"left": visit.link(job_id, "initech"), "purged": visit.link(uuid4())}
    gone |= {"of another": visit.link(job_id, "globex"), "forgotten": visit.link(job_id)}
    for why, link in gone.items():
        answer = await visit.vote(link)
        assert (answer.status_code, "not known any more" in answer.text) == (410, True), why
    assert rows(store) == []
    assert stream.getvalue().count("reason=job gone") == 3
    assert stream.getvalue().count("reason=tenant left") == 1


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", FORM, 400),
        (b"vote=perhaps", FORM, 400),
        (b"vote=useful&vote=useful", FORM, 400),
        (b"vote=not+useful&reason=because+I+say+so", FORM, 400),
        (b"reason=other", FORM, 400),
        (b"a=1&b=2&c=3&d=4&vote=useful", FORM, 400),
        (b"vote=us\xc3\xa9ful", FORM, 400),
        (b"vote=useful&" + b"x" * 1024, FORM, 413),
        (b'{"vote": "useful"}', {"Content-Type": "application/json"}, 415),
        (b"vote=useful", {}, 415),
    ],
)
async def test_a_body_that_is_no_vote_is_refused_and_asked_for_again(
    content: bytes, headers: dict[str, str], status: int, visit: Visit, store: Store
) -> None:
    link = visit.link(await store.accept(**NOTE))
    answer = await visit.client.post(link, content=content, headers=headers)
    assert (answer.status_code, 'method="post"' in answer.text) == (status, True)
    assert rows(store) == []


async def test_a_body_without_a_length_is_not_read(visit: Visit, store: Store) -> None:
    async def in_chunks() -> AsyncIterator[bytes]:
        yield b"vote=useful"

    link = visit.link(await store.accept(**NOTE))
    assert (await visit.client.post(link, content=in_chunks(), headers=FORM)).status_code == 411
    assert rows(store) == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_refused(method: str, visit: Visit, store: Store) -> None:
    answer = await visit.client.request(method, visit.link(await store.accept(**NOTE)))
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


async def test_without_a_database_the_visitor_is_asked_to_come_again(start_log: StartLog) -> None:
    stream = start_log()
    job_id = uuid4()
    async with visiting(NOWHERE) as visit:
        answer = await visit.vote(visit.link(job_id))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "try again" in answer.text
    assert 'method="post"' in answer.text
    assert f"Feedback error: job_id={job_id}, reason=the database does not answer" in stream.getvalue()
    assert "127.0.0.1:1" not in stream.getvalue()


async def test_more_votes_at_once_than_there_is_room_for_are_told_to_come_again(visit: Visit, store: Store) -> None:
    """A lock on the row makes each wait; votes above the limit are answered at once."""
    link = visit.link(await store.accept(**NOTE))
    assert (await visit.vote(link)).status_code == 200
    async with store.database.tenant("acme") as session:
        await session.execute(text("SELECT FROM feedback FOR UPDATE"))
        sent = [asyncio.create_task(visit.vote(link, "not useful")) for _ in range(MOST_AT_ONCE + 12)]
        first = [await answer for _, answer in zip(range(12), asyncio.as_completed(sent), strict=False)]
    assert {answer.status_code for answer in first} == {503}
    assert [(await answer).status_code for answer in sent].count(200) == MOST_AT_ONCE
