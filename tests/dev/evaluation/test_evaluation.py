"""The evaluation of notes: its choice of tickets, its way to a model, and its judge on answers written by hand."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from config.settings import WorkerSettings
from dev.benchmarks.retrieval.benchmark import hit, mean, ndcg, recall
from dev.benchmarks.retrieval.methods import desk_text
from dev.benchmarks.retrieval.sets import Incoming, Resolved, articles, queries, tickets
from dev.evaluation.__main__ import main
from dev.evaluation.cases import EvaluatedTicket, chosen, earlier_by_number, with_finds
from dev.evaluation.judge import Judgement, judged
from dev.evaluation.models import HEAD, evaluate_models, rows_of, sources_right
from dev.evaluation.runner import TicketRun, question_about
from dev.evaluation.things import KnownTexts, things_of
from dev.evaluation.truth import ideas, names_fix
from integrations.values import Usage
from knowledge.models import SimilarTicket
from tests.kit.simulators import Simulator
from tests.workflow.answers import answer, claims

MODEL = "gpt-6-luna"
# The ideas of a family were written from so many of its English resolutions.
SEEN = 3
KNOWN = KnownTexts(
    "Ticket: the port 1433 of srv-db02 is closed. Run `ipconfig /flushdns`, then wait 15 min (KB5034441)."
)


def found(one: Resolved) -> SimilarTicket:
    return SimilarTicket(one.id, one.subject, desk_text(one.resolution), strength=0.8)


def with_given_finds(asked: Incoming) -> EvaluatedTicket:
    """Return a ticket with two finds of its family, if it has one, and one of another."""
    field = asked.id.partition("-")[0]
    earlier = sorted(earlier_by_number().values(), key=lambda one: one.id)
    own = [one for one in earlier if one.family == asked.family and one.language == "en"][1:3]
    other = next(one for one in earlier if one.family != asked.family and one.id.startswith(field))
    return with_finds(asked, [*map(found, own), found(other)], [])


CASE = with_given_finds(next(one for one in queries() if one.family == "mail-quota-full" and one.language == "en"))
RIGHT, _, WRONG = (f"ticket-{one.ticket_id}" for one in CASE.similar_tickets)


def test_tickets_are_spread_over_kinds_and_languages_and_the_same_each_time() -> None:
    some = chosen(22, 1)
    assert min(Counter(one.kind for one in some).values()) >= 2
    assert {one.language for one in some} == {"en", "de", "fr", "es"}
    assert chosen(22, 1) == some != chosen(22, 2)
    assert not any(one.is_for_tuning for one in chosen(500, 1))


def test_no_model_sees_which_family_a_ticket_is_of() -> None:
    """The set's ids contain the family; a number replaces them."""
    assert len(earlier_by_number()) == len(tickets())
    assert CASE.incoming.family
    assert CASE.incoming.family not in CASE.known + CASE.number


async def test_a_model_is_asked_by_the_products_client(model: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [with_given_finds(one) for one in chosen(3, 1)]
    settings = WorkerSettings(
        database_url="postgresql://nobody@127.0.0.1/none",
        redis_url="redis://127.0.0.1/0",
        openai_api_key="sk-test",
        openai_base_url=f"{model.url}/v1",
    )
    model.order(kind="status", code=403, times=1)
    asked = await evaluate_models(cases, [MODEL, "gpt-6-sol"], ["2"], settings, 1)
    assert "6 answers are paid for" in capsys.readouterr().err
    first, second = asked
    assert [one.failed for one in first.judgements] == ["OpenAI API: 403 Forbidden", "", ""]
    assert all(one.input_tokens and one.seconds and one.note.startswith("<div>") for one in first.judgements[1:])
    assert all(one.failed for one in second.judgements), "the simulated API has no such model"
    lines = rows_of(asked)
    assert lines[2].startswith(f"| {MODEL} | 2 | 3 |")
    assert "| 0 / 1 |" in lines[2]
    assert all(line.count("|") == len(HEAD) + 1 for line in lines)


@pytest.mark.slow
def test_each_judgement_is_printed_and_written(
    model: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{model.url}/v1")
    file = tmp_path / "judgements.json"
    assert main(("--tickets", "3", "--model", MODEL, "--json", str(file))) == 0
    assert f"| {MODEL} | 2 | 3 |" in capsys.readouterr().out
    assert all(one["note"].startswith("<div>") for one in json.loads(file.read_text()))


def test_without_a_key_nothing_starts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("OPENAI_API_KEY", "SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert main(()) == 2
    assert capsys.readouterr().err == "OPENAI_API_KEY is missing\n"


@pytest.mark.parametrize(
    "words", [("--tickets", "0"), ("--tickets", "-3"), ("--at-once", "0"), ("--json", "/no/such/folder/file.json")]
)
def test_words_that_would_lose_what_is_paid_for_are_refused_first(
    words: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err


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
    met = []
    for family in {one.family for one in queries() if one.family and not one.is_for_tuning}:
        some = [one for one in tickets() if one.family == family]
        seen = [one for one in some if one.language == "en"][:SEEN]
        unseen = (desk_text(one.resolution).casefold() for one in some if one not in seen)
        met += [all(idea.search(text) for idea in ideas()[family]) for text in unseen]
    assert sum(met) / len(met) > 0.8


def test_the_fix_of_a_family_is_not_that_of_the_near_miss() -> None:
    told = ["Delete the old password from the mail app of the phone, and enter the new one."]
    assert names_fix("accounts-lockout-phone", told, "en")
    assert not names_fix("accounts-lockout-server", told, "en")
    assert not names_fix("accounts-lockout-phone", ["Unlock the account and wait."], "en")
    german = ["Onlinearchiv einschalten und alte Mails verschieben lassen."]
    assert names_fix("mail-quota-full", german, "de")


def judgement_of(**said_so: Any) -> Judgement:
    question = question_about(CASE, MODEL)
    model_answer = answer(summary="Full.", sources=[], questions=[], **said_so)
    content = question.content(model_answer, nothing_found=False)
    return judged(TicketRun(CASE, question, Usage(10, 5), 0.5, answer=model_answer, content=content, note="<div>"))


def test_claims_are_right_wrong_or_without_a_source() -> None:
    steps = [
        *claims("Archive.", sources=(RIGHT,)),
        *claims("Archive more.", sources=(RIGHT, WRONG)),
        *claims("Guess."),
        *claims("Elsewhere.", sources=("ticket-999",)),
    ]
    one = judgement_of(likely_cause={"text": "", "sources": []}, next_steps=steps)
    assert (one.right, one.wrong, one.unsourced) == (1, 2, 1)
    assert one.fix_named
    assert one.left_out == 2  # the source, and the claim without another one
    assert sources_right(one) == pytest.approx(1 / 3)


def test_an_invention_is_found_in_the_answer_and_in_the_note_unless_it_is_left_out() -> None:
    steps = claims("Point it to mx-07.corp.example.", "Run Repair-TenantStore -All.", sources=(RIGHT,))
    one = judgement_of(likely_cause={"text": "Ask [PERSON_9].", "sources": []}, next_steps=steps)
    invented, shown = ({thing.text for thing in things} for things in (one.inventions, one.in_note))
    assert invented >= {"[PERSON_9]", "mx-07.corp.example", "Repair-TenantStore", "-All"}
    assert shown & invented == {"mx-07.corp.example"}
    assert one.fix_named is False


def test_without_an_answer_nothing_but_the_failure_and_the_cost_is_told() -> None:
    question = question_about(CASE, MODEL)
    one = judged(TicketRun(CASE, question, Usage(10, 5, 0.25), 0.5, repaired=True, failed="invalid answer"))
    assert (one.failed, one.repaired, one.fix_named, one.dollars) == ("invalid answer", True, None, 0.25)


def test_each_query_has_a_family_to_find_or_none() -> None:
    families = {one.family for one in tickets()}
    assert {one.family for one in queries()} == {*families, None}
    assert all((one.family is None) == (one.kind == "none") for one in queries())
    assert {family for article in articles() for family in article.families} <= families


TEXTS = [
    *((one.id, one.subject, one.description) for one in tickets()),
    *((one.id, one.subject, one.description) for one in queries()),
]


def test_ids_are_unique_and_no_two_texts_are_the_same() -> None:
    ids = [name for name, _, _ in TEXTS] + [article.id for article in articles()]
    assert len(set(ids)) == len(ids)
    long = [text[:40] for _, _, text in TEXTS if len(text) > 40]
    # Mail headers begin alike.
    assert [text for text, count in Counter(long).items() if count > 1 and ":" not in text and "<" not in text] == []


def test_nobody_in_it_is_real() -> None:
    texts = [f"{subject} {text}" for _, subject, text in TEXTS]
    domains = {name.lower() for text in texts for name in re.findall(r"@[\w-]+(?:\.[\w-]+)*\.([A-Za-z]{2,})\b", text)}
    assert domains <= {"example"}


def test_no_family_is_for_tuning_and_measuring() -> None:
    halves = [{one.family for one in queries() if one.is_for_tuning is half} - {None} for half in (True, False)]
    assert halves[0] & halves[1] == set()
    assert min(map(len, halves)) > 20


@pytest.mark.parametrize(
    ("found", "of_three", "gain", "one"),
    [
        ((), 0, 0, 0),
        (("a", "b", "c", "d"), 0, 0, 0),
        (("x", "x", "x"), 1, 1, 1),
        (("x", "a", "b"), 1 / 3, 0.469, 1),
        (("a", "b", "x"), 1 / 3, 0.235, 1),
        (("a", "b", "c", "x"), 0, 0, 0),
    ],
)
def test_measures(found: tuple[str, ...], of_three: float, gain: float, one: float) -> None:
    asked = Incoming("1", "x", "plain", "en", "s", "d")
    nothing = Incoming("2", None, "none", "en", "s", "d")
    assert recall(asked, found, 3) == pytest.approx(of_three)
    assert ndcg(asked, found, 3) == pytest.approx(gain, abs=0.001)
    assert hit(asked, found, 3) == one
    assert mean([asked, nothing], {"1": found, "2": ("x",)}, recall, 3) == pytest.approx(of_three)
