"""Repeated questions: with the original input or another prompt version."""

from typing import Any

import pytest

from config.tenants import NoteSettings
from storage.models import AuditRecord
from tests.storage.exchanges import ANSWER, SENT
from workflow.prompt import CURRENT, Instructions, versions
from workflow.question import may_be_sent_again, prompt_again


def record(**changed: Any) -> AuditRecord:
    given: dict[str, Any] = dict.fromkeys(AuditRecord.__table__.columns.keys())
    return AuditRecord(**given | {"system": "You help.", "sent": SENT, "prompt": "1", "answer": ANSWER} | changed)


def test_without_a_version_it_is_what_was_told_then() -> None:
    prompt, version = prompt_again(record(), NoteSettings(rules="Say du."), None)
    assert (prompt.system, prompt.user, version) == ("You help.", SENT, "1")


@pytest.mark.parametrize(
    ("note", "told"), [(NoteSettings(), "Write in English."), (NoteSettings(language="de"), "Write in German.")]
)
def test_a_version_is_told_with_the_rules_and_the_language_of_now(note: NoteSettings, told: str) -> None:
    sent = SENT.replace("It is full.", "I can not write any more since the mailbox that I have is full.")
    prompt, version = prompt_again(record(sent=sent), note, CURRENT)
    assert told in prompt.system
    assert (prompt.user, version) == (sent, CURRENT)
    housed, version = prompt_again(record(sent=sent), NoteSettings(rules="Say du."), CURRENT)
    assert "Say du." in housed.system
    assert version == Instructions("Say du.").version


def test_versions_are_those_that_have_a_file() -> None:
    assert CURRENT in versions()
    with pytest.raises(FileNotFoundError):
        prompt_again(record(), NoteSettings(), "999")


@pytest.mark.parametrize(
    ("then", "now", "allowed"),
    [
        ("personal", "personal", True),
        ("all", "personal", True),
        ("none", "none", True),
        ("none", "personal", False),
        ("personal", "all", False),
        ("of a later release", "none", False),
    ],
)
def test_what_was_masked_less_than_the_tenant_wants_now_is_not_sent(then: str, now: Any, allowed: bool) -> None:
    assert may_be_sent_again(record(masking=then), NoteSettings(masking=now)) is allowed
