"""Prompts and answers for permitted users; each view is logged."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from storage import audit
from support.console.errors import Forbidden, NotFound
from support.console.routes.tickets import texts
from tests.kit.logs import StartLog
from tests.kit.postgres import Store
from tests.storage.exchanges import exchange
from tests.support.console.visits import OF_ACME, OF_GLOBEX, OPERATOR, READER, SETTINGS, SUPPORT, Visits

KEPT = '{"summary": "The quota is used up.", "next_steps": [{"text": "Raise it."}]}'


@pytest.fixture
async def answered(store: Store) -> UUID:
    """Return the id of a job of acme with a kept answer and its record."""
    job_id = await store.accept(enhancement=KEPT, model="m-2")
    await audit.keep(store.database, "acme", job_id, exchange("101"))
    await audit.keep(store.database, "acme", job_id, exchange(answer=None, reason="OpenAI API: content filter"))
    return job_id


async def test_who_may_reads_what_was_sent_and_what_came(
    answered: UUID, store: Store, redis: Redis, start_log: StartLog
) -> None:
    log = start_log()
    html = await Visits(store.database, redis).html(texts, READER, path={"job_id": str(answered)})
    for told in (
        "The quota is used up.",
        "Raise it.",
        "By m-2.",
        "Mailbox of [PERSON_1] is full",
        "You help.",
        "Raise the quota of [PERSON_1].",
        "m-1 at model.example",
        "900 in, 120 out",
        "ticket 101: Mailbox full",
        "Nothing that could be used: OpenAI API: content filter",
    ):
        assert told in html, told
    assert "requester" not in html
    (line,) = [line for line in log.getvalue().splitlines() if "Texts of a job read" in line]
    assert f"job_id={answered}, visitor=rita" in line
    assert "tenant_id: acme" in line
    assert "quota" not in log.getvalue()
    assert "Reader" not in log.getvalue()


@pytest.mark.parametrize("visitor", [SUPPORT, OPERATOR, OF_ACME])
async def test_without_the_right_to_texts_none_is_read(
    visitor: object, answered: UUID, store: Store, redis: Redis, start_log: StartLog
) -> None:
    log = start_log()
    with pytest.raises(Forbidden):
        await Visits(store.database, redis).ask(texts, visitor, path={"job_id": str(answered)})  # type: ignore[arg-type]
    assert "Texts of a job read" not in log.getvalue()


async def test_the_right_ends_at_ones_own_tenant(answered: UUID, store: Store, redis: Redis) -> None:
    visits = Visits(store.database, redis)
    for job_id in (str(answered), str(uuid4()), "x"):
        with pytest.raises(NotFound):
            await visits.ask(texts, OF_GLOBEX, path={"job_id": job_id})
        with pytest.raises(NotFound):
            await visits.ask(texts, replace(OF_GLOBEX, reads_texts=False), path={"job_id": job_id})
    own = replace(OF_ACME, reads_texts=True)
    assert "The quota is used up." in await visits.html(texts, own, path={"job_id": str(answered)})


async def test_a_tenant_that_keeps_no_records_is_told_so(answered: UUID, store: Store, redis: Redis) -> None:
    """Records that only wait to be purged are hidden too."""
    without = {name: value for name, value in SETTINGS.items() if name != "acme.audit_days"}
    html = await Visits(store.database, redis, without).html(texts, READER, path={"job_id": str(answered)})
    assert "The tenant keeps no records" in html
    assert "You help." not in html


async def test_an_answer_of_a_later_release_is_shown_as_it_is_stored(store: Store, redis: Redis) -> None:
    job_id = await store.accept(enhancement='{"another": "form"}')
    html = await Visits(store.database, redis).html(texts, READER, path={"job_id": str(job_id)})
    assert "&#34;another&#34;: &#34;form&#34;" in html
    assert "As a note" not in html
    nothing = await store.accept()
    html = await Visits(store.database, redis).html(texts, READER, path={"job_id": str(nothing)})
    assert "There is none in the job's row" in html


async def test_a_name_from_outside_makes_no_second_line(
    answered: UUID, store: Store, redis: Redis, start_log: StartLog
) -> None:
    log = start_log()
    odd = replace(READER, name="rita\nTask completed: job_id=1\x1b[2J" + "x" * 500)
    await Visits(store.database, redis).html(texts, odd, path={"job_id": str(answered)})
    (line,) = [line for line in log.getvalue().splitlines() if "visitor=rita" in line]
    assert "\x1b" not in line
    assert len(line) < 600
