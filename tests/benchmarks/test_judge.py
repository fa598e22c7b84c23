"""The judge's inventions, right sources and fixes, on handwritten answers."""

from typing import Any

import pytest

from benchmarks.evaluation.asking import AskedTicket, question_about
from benchmarks.evaluation.cases import EvaluatedTicket
from benchmarks.evaluation.judge import Judgement, judged
from benchmarks.evaluation.models import sources_right
from benchmarks.evaluation.planted import PlantedModel
from benchmarks.evaluation.things import KnownTexts, things_of
from benchmarks.evaluation.truth import ideas, names_fix, unseen
from benchmarks.retrieval.methods import said
from benchmarks.retrieval.sets import queries, tickets
from integrations.values import Usage
from tests.benchmarks.evaluated import with_given_finds
from tests.workflow.answers import answer, claims

KNOWN = KnownTexts(
    "Ticket: the port 1433 of srv-db02 is closed. Run `ipconfig /flushdns`, then wait 15 min (KB5034441)."
)


@pytest.mark.parametrize(
    ("text", "language", "invented"),
    [
        ("Open port 1433 on srv-db02, wait 15min, install KB5034441.", "en", []),
        ("Run ipconfig /flushdns on the PC.", "en", []),
        ("Open port 1434.", "en", ["1434"]),
        ("It takes 2 steps and 100 % of the users.", "en", []),
        ("Point it to srv-db03 or db.other.example.", "en", ["srv-db03", "db.other.example"]),
        ("Install NetSentry Pro.", "en", ["NetSentry"]),
        ("Ask them to install Corvanta first.", "en", ["Corvanta"]),
        ("Installieren Sie den Corvanta Manager.", "de", ["Corvanta Manager"]),
        ("Prüfen Sie die Netzwerkeinstellungen im Gerätemanager.", "de", []),
        ("Choose “Trust every relay”.", "en", ["Trust every relay"]),
        ("Choose 'Trust every relay'.", "en", ["Trust every relay"]),
        ("Run Repair-TenantStore there.", "en", ["Repair-TenantStore"]),
        ("Then net stop wuauserv.", "en", ["net stop wuauserv"]),
        (r"Look into D:\Tools\x.cfg or /opt/x/run.log.", "en", [r"D:\Tools\x.cfg", "/opt/x/run.log"]),
        ("See hxxps://bad[.]example/x and #4711.", "en", ["hxxps://bad[.]example/x", "4711"]),
        ("Version 7.6 is needed, and 0x1F.", "en", ["7.6", "0x1F"]),
        ("The users' PCs are managers' own.", "en", []),
    ],
)
def test_what_stands_nowhere_is_an_invention(text: str, language: str, invented: list[str]) -> None:
    found = [thing.text for thing in things_of(text, language) if not KNOWN.has(thing)]
    for each in invented:
        assert any(each in one or one in each for one in found), (each, found)
    if not invented:
        assert found == []


def test_each_family_has_ideas_and_its_other_resolutions_have_them() -> None:
    """The ideas were written without these, so they measure recall in any language."""
    families = {one.family for one in tickets()}
    assert ideas().keys() == families
    measured = {one.family for one in queries() if one.family and not one.is_for_tuning}
    texts = [(family, one) for family in measured for one in unseen(family)]
    met = [all(idea.search(said(one.resolution).casefold()) for idea in ideas()[family]) for family, one in texts]
    assert sum(met) / len(met) > 0.8


def test_the_fix_of_a_family_is_not_that_of_the_near_miss() -> None:
    told = ["Delete the old password from the mail app of the phone, and enter the new one."]
    assert names_fix("accounts-lockout-phone", told, "en")
    assert not names_fix("accounts-lockout-server", told, "en")
    assert not names_fix("accounts-lockout-phone", ["Unlock the account and wait."], "en")
    german = ["Onlinearchiv einschalten und alte Mails verschieben lassen."]
    assert names_fix("mail-quota-full", german, "de")


CASE = with_given_finds(next(one for one in queries() if one.family == "mail-quota-full" and one.language == "en"))


def _judged(**said_so: Any) -> Judgement:
    model = PlantedModel("right", [CASE])
    question = question_about(CASE, model)
    told = answer(summary="Full.", sources=[], questions=[], **said_so)
    content = question.content(told, nothing_found=False)
    return judged(AskedTicket(CASE, question, Usage(10, 5), 0.5, answer=told, content=content, note="<div>"))


def _ids() -> tuple[str, str]:
    right, _, wrong = (f"ticket-{one.ticket_id}" for one in CASE.similar_tickets)
    return right, wrong


def test_claims_are_right_wrong_or_without_a_source() -> None:
    right, wrong = _ids()
    steps = [
        *claims("Archive.", sources=(right,)),
        *claims("Archive more.", sources=(right, wrong)),
        *claims("Guess."),
        *claims("Elsewhere.", sources=("ticket-999",)),
    ]
    found = _judged(likely_cause={"text": "", "sources": []}, next_steps=steps)
    assert (found.right, found.wrong, found.unsourced) == (1, 2, 1)
    assert found.fix_named
    assert found.left_out == 2  # the source, and the claim without another one
    assert sources_right(found) == pytest.approx(1 / 3)


def test_an_invented_command_is_found_though_the_note_has_it_no_more() -> None:
    right, _ = _ids()
    steps = claims("Turn on the archive.", "Run Repair-TenantStore -All, then open D:\\Own\\x.log.", sources=(right,))
    found = _judged(likely_cause={"text": "Full.", "sources": []}, next_steps=steps)
    assert {"Repair-TenantStore", "-All"} <= {thing.text for thing in found.inventions}
    assert found.inventions


def test_what_a_mark_of_the_note_is_about_is_told_apart_from_what_has_none() -> None:
    right, _ = _ids()
    steps = claims("Point it to mx-07.corp.example.", "Set the MTU to 1380 on srv-x77.", 'Choose "Trust every relay".')
    found = _judged(likely_cause={"text": "Full.", "sources": [right]}, next_steps=steps)
    assert {"mx-07.corp.example", "1380", "srv-x77", "Trust every relay"} <= {thing.text for thing in found.in_note}
    assert {thing.text for thing in found.unmarked if thing.kind != "name"} == {"Trust every relay"}
    assert len(found.marked) == 2


def test_a_placeholder_that_was_not_in_the_question_is_invented() -> None:
    found = _judged(likely_cause={"text": "Ask [PERSON_9].", "sources": []}, next_steps=[])
    assert [thing.text for thing in found.inventions] == ["[PERSON_9]"]
    assert found.fix_named is False


def test_without_an_answer_nothing_but_the_failure_and_the_cost_is_told() -> None:
    case: EvaluatedTicket = CASE
    question = question_about(case, PlantedModel("right", [case]))
    found = judged(AskedTicket(case, question, Usage(10, 5, 0.25), 0.5, repaired=True, failed="invalid answer"))
    assert (found.failed, found.repaired, found.fix_named, found.dollars) == ("invalid answer", True, None, 0.25)
