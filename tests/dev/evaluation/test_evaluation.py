"""The evaluation of notes: hand-written answers, and the way to models and their judge."""

import json
import re
from pathlib import Path

import pytest

from dev.evaluation.__main__ import family, main
from dev.evaluation.cases import ARMS, cases, question_about, rows
from dev.evaluation.judge import Verdict, about_note, labelled_claims
from dev.evaluation.report import rows_of, share
from dev.evaluation.runner import CaseRun
from dev.evaluation.written import check_requests, measured, verdicts_of_reader
from dev.simulators.openai import create_openai
from dev.simulators.serving import serve_in_thread
from integrations.values import Usage
from tests.kit.simulators import FAST_MODEL, Simulator
from tests.workflow.answers import answer
from workflow.answer import Content, NoteText

MAX_DAMAGED = 0.03
REFUSALS = {"OpenAI API: 403 Forbidden", "the judge answered about another number of claims"}
# Without the check of the claims, the others misread a true quote.
MAX_UNMARKED = 0.65


def test_right_statements_keep_their_words_and_sources_and_wrong_ones_lose_theirs() -> None:
    for figures, unmarked in ((measured("first"), MAX_UNMARKED), (measured("first", verdicts_of_reader()), 0.1)):
        assert (figures.right, figures.wrong) == (195, 70)
        assert len(figures.damaged) <= MAX_DAMAGED * figures.right, figures.damaged
        assert len(figures.unmarked) <= unmarked * figures.wrong, figures.unmarked


def test_nearly_each_cited_claim_to_check_has_a_verdict_of_the_reader() -> None:
    verdicts = verdicts_of_reader()
    cited = {
        answer_id: sum(bool(claim["sources"]) for claim in json.loads(prompt.user)["claims"])
        for answer_id, prompt in check_requests("first")
    }
    # The reader did not judge claims whose quote is in no source.
    missing = sum(max(0, number - len(verdicts[answer_id])) for answer_id, number in cited.items())
    assert missing <= 0.05 * sum(cited.values())


def test_two_readers_agree_on_the_labels() -> None:
    labels = list(rows("labels"))
    assert len(labels) == len(list(rows("claims"))) == 100
    assert sum(each["first_reader"] == each["second_reader"] for each in labels) >= 90
    assert len(labelled_claims(cases())) >= 90


def test_a_third_of_the_cases_has_no_right_source() -> None:
    assert len(cases()) == 60
    assert sum(not case.right_source for case in cases()) >= 20
    assert len(cases("first")) == len(cases("second")) == 30


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_changes_the_sources_or_their_redaction(arm: str) -> None:
    case = next(case for case in cases("first") if case.right_source.startswith("ticket-") and len(case.sources) > 2)
    question = question_about(case, arm, "gpt-6-luna")
    ids = [source.id for source in question.grounding.case.sources]
    full = [source.id for source in question_about(case, "full", "gpt-6-luna").grounding.case.sources]
    assert len(ids) == {"no context": 0, "oracle source": 1}.get(arm, len(full))
    assert question.masking == ("none" if arm == "no redaction" else "personal")
    assert sorted(ids) == sorted(full) or arm in ("no context", "oracle source")


def test_the_judge_gets_the_reference_only_if_a_source_has_it() -> None:
    content = Content(likely_cause=NoteText(text="Full.", sources=["ticket-1"], quote="was full"))
    for case in cases("first")[:10]:
        asked = json.loads(about_note(case, content, [content.likely_cause]).user)
        assert bool(asked["reference_fix"]) is bool(case.right_source)
        assert asked["claims"] == ["Full."]


def test_the_table_has_each_model_and_arm() -> None:
    case = next(case for case in cases("first") if case.right_source)
    other = next(case for case in cases("first") if not case.right_source)
    prompt = question_about(case, "full", "m").prompt
    verdict = Verdict(
        root_cause_right=True, first_step_right=False, entailed=[True, False], harmful=False, abstained_rightly=True
    )
    usage = Usage(900, 80, 0.25)
    runs = [CaseRun(each, "m", "full", prompt, usage, 2.0, answer(), Content(), verdict) for each in (case, other)]
    runs.append(CaseRun(case, "m", "no context", prompt, failed="OpenAI API: 403 Forbidden"))
    full, bare = rows_of(runs)[2:]
    assert full.startswith(f"| m | full | 2 | {share(1, 1)} | {share(0, 1)} | {share(2, 4)} | {share(0, 2)} |")
    assert full.endswith(f"| {share(1, 1)} | 0 / 0 | 1800 / 160 | 0.5000 | 2.0 |")
    assert bare.startswith("| m | no context | 1 | none |")
    assert share(5, 10) == "0.50 (0.24-0.76)"


def test_without_a_key_only_written_answers_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(()) == 0
    assert capsys.readouterr().out.count("not run: no key here") == 2


@pytest.mark.slow
def test_models_are_asked_judged_and_written_down(
    model: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{model.url}/v1")
    judge = serve_in_thread(create_openai({**FAST_MODEL, "provider": "local", "models": ["judge"]}))
    model.order(kind="status", code=403, times=1)
    file = tmp_path / "transcripts.jsonl"
    words = ("--cases", "2", "--model", "gpt-6-luna", "--judge", "judge", "--at-once", "1", "--transcripts", str(file))
    with judge as url:
        monkeypatch.setenv("JUDGE_BASE_URL", f"{url}/v1")
        monkeypatch.setenv("JUDGE_API_KEY", "sk-judge")
        assert main(words) == 0
    printed = capsys.readouterr()
    assert "10 answers, their checks, and about 114 judgements are paid for" in printed.err
    for arm in ARMS:
        assert f"| gpt-6-luna | {arm} | 2 |" in printed.out
    assert "No answer: OpenAI API: 403 Forbidden" in printed.out
    assert re.search(r"Agreement of the judge with two readers: 0\.\d\d \(.+\) of \d+ claims", printed.out)
    assert "With context better than without, both orders: 0.50 of 1" in printed.out
    transcripts = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert len(transcripts) == 10
    assert sum(each["note"] is None for each in transcripts) == 1
    # The simulated judge fills the schema only: the way is tested, not the judgement.
    assert {each["failed"] for each in transcripts if each["verdict"] is None} <= REFUSALS


@pytest.mark.parametrize(
    "words",
    [
        *(("--cases", "0"), ("--cases", "-3"), ("--at-once", "0"), ("--judge", "gpt-6-sol"), ()),
        ("--judge", "sonnet-5", "--transcripts", "/no/such/folder/file"),
    ],
)
def test_words_that_would_lose_paid_answers_are_refused_first(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert (words or ("--judge",))[-2 if len(words) > 3 else 0] in capsys.readouterr().err


def test_a_family_is_the_first_word_of_a_models_name() -> None:
    assert family("openai/GPT-6-luna") == "gpt" != family("anthropic/claude-5")
