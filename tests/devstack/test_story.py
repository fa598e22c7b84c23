"""The demo's story from the log lines, with notes as text."""

from pathlib import Path

from devstack.desk_client import as_text
from devstack.story import LogTail, TicketStory, follow, grep
from observability import phrases

IDS = "ticket_id: 12, tenant_id: acme, job_id: 7f, trace_id: 00"


def line(phrase: phrases.Phrase, ids: str = IDS, **values: object) -> str:
    return f"2026-11-04T09:00:00.000Z info    {phrase.template.format(**values)} | {ids}"


def story() -> TicketStory:
    return TicketStory("acme", "12", "VPN", created_at=10.0)


def test_a_ticket_reaches_its_stages_once_each() -> None:
    told = story()
    lines = [
        line(phrases.WEBHOOK_RECEIVED, "ticket_id: 12, tenant_id: acme", ticket_id=12, tenant_id="acme"),
        line(phrases.JOB_QUEUED, job_id="7f", ticket_id=12),
        line(phrases.JOB_QUEUED, job_id="7f", ticket_id=12),
        line(phrases.CONTEXT_GATHERED, ticket_history="Yes", docs="No"),
        line(phrases.GPT4_ANSWERED, status=200),
        line(phrases.TICKET_UPDATED, ticket_id=12),
        line(phrases.TASK_COMPLETED, job_id="7f", seconds=2),
    ]
    events = list(follow(lines, [told], now=11.5))
    assert [event.stage for event in events] == ["received", "queued", "context", "GPT-4", "note"]
    assert {event.seconds for event in events} == {1.5}
    assert told.job_id == "7f"
    assert told.ended


def test_lines_of_other_tickets_tell_nothing() -> None:
    told = story()
    others = ["ticket_id: 123, tenant_id: acme", "ticket_id: 12, tenant_id: globex", "trace_id: 00"]
    lines = [line(phrases.GPT4_ANSWERED, ids, status=200) for ids in others]
    assert not list(follow(lines, [told], now=11.0))


def test_a_failure_is_told_in_its_own_words() -> None:
    told = story()
    failed = line(phrases.TASK_FAILED, job_id="7f", ticket_id=12, reason="the desk refused the key")
    (event,) = follow([failed], [told], now=11.0)
    assert event.stage == "Task failed: job_id=7f, ticket_id=12, reason=the desk refused the key"
    assert not told.ended


def test_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    tail = LogTail(log)
    assert tail.new_lines() == []
    log.write_text("first\nsec")
    assert tail.new_lines() == ["first"]
    log.write_text("first\nsecond\n")
    assert tail.new_lines() == ["second"]
    assert tail.new_lines() == []
    assert grep("sec", [log]) == ["second"]


def test_a_note_becomes_text() -> None:
    steps = "<ol><li>one</li><li>two\x1b[31m</li></ol><ul><li>x</li></ul>"
    note = f"<div><b>Help</b> &amp; more<p>Do:</p>{steps}</div>"
    assert as_text(note) == "Help & more\nDo:\n\n  1. one\n  2. two[31m\n\n  - x"
