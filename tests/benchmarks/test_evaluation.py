"""The judge finds planted faults; models are queried by the product's own path."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.evaluation.__main__ import main
from benchmarks.evaluation.benchmark import judge_plants, report_of
from benchmarks.evaluation.cases import chosen, earlier_by_number
from benchmarks.evaluation.models import HEAD, ask_models, rows_of
from benchmarks.evaluation.planted import Inventions
from benchmarks.retrieval.sets import tickets
from config.settings import WorkerSettings
from tests.benchmarks.evaluated import with_given_finds
from tests.documents.readme import ROOT
from tests.kit.simulators import Simulator


@pytest.mark.slow
def test_the_judge_finds_what_is_planted_and_accuses_hardly_anything_else() -> None:
    plants = judge_plants([with_given_finds(one) for one in chosen(500, 1)])
    found = report_of(plants).figures
    missed = [(one.kind, one.plant.invented, one.judgement.claims) for one in plants if not one.is_found]
    assert found["invention"] == 1.0, missed
    assert found["wrong sources"] == 1.0, missed
    assert found["wrong fix"] >= 0.95, missed
    assert found["right"] <= 0.05, [(one.accusations, one.judgement) for one in plants if one.accusations]
    assert found["marked in vain"] <= 0.05, [one.judgement.marked for one in plants if one.kind == "right"]
    # A quoted label may be general knowledge, and has no mark.
    assert found["unmarked"] <= 0.02, [one.plant.invented for one in plants if one.judgement.unmarked]


def test_each_kind_is_planted_in_each_language_in_claims_and_in_summaries() -> None:
    inventions, case = Inventions(), with_given_finds(chosen(1, 1)[0])
    sentences = [inventions.next(case, language) for language in ("en", "de", "fr", "es") for _ in range(34)]
    kinds = Counter((invented.partition(":")[0], is_of_summary) for invented, _, is_of_summary in sentences)
    assert len(kinds) == 34
    assert set(kinds.values()) == {4}


def test_tickets_are_spread_over_kinds_and_languages_and_the_same_each_time() -> None:
    some = chosen(22, 1)
    assert min(Counter(one.kind for one in some).values()) >= 2
    assert {one.language for one in some} == {"en", "de", "fr", "es"}
    assert chosen(22, 1) == some != chosen(22, 2)
    assert not any(one.is_for_tuning for one in chosen(500, 1))


def test_no_model_sees_which_family_a_ticket_is_of() -> None:
    """The set's ids contain the family; a number replaces them."""
    assert len(earlier_by_number()) == len(tickets())
    case = with_given_finds(chosen(1, 1)[0])
    assert case.asked.family
    assert case.asked.family not in case.known + case.number


async def test_a_model_is_asked_by_the_products_client(model: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [with_given_finds(one) for one in chosen(3, 1)]
    settings = WorkerSettings(
        database_url="postgresql://nobody@127.0.0.1/none",
        redis_url="redis://127.0.0.1/0",
        openai_api_key="sk-test",
        openai_base_url=f"{model.url}/v1",
    )
    model.order(kind="status", code=403, times=1)
    asked = await ask_models(cases, ["gpt-6-luna", "gpt-6-sol"], ["2"], settings, 1)
    assert "6 answers are paid for" in capsys.readouterr().err
    first, second = asked
    assert [one.failed for one in first.judgements] == ["OpenAI API: 403 Forbidden", "", ""]
    assert all(one.input_tokens and one.seconds and one.note.startswith("<div>") for one in first.judgements[1:])
    assert all(one.failed for one in second.judgements), "the simulated API has no such model"
    lines = rows_of(asked)
    assert lines[2].startswith("| gpt-6-luna | 2 | 3 |")
    assert "| 0 / 1 |" in lines[2]
    assert all(line.count("|") == len(HEAD) + 1 for line in lines)


def test_a_model_is_refused_without_a_key_before_anything_starts() -> None:
    run = _run("--model", "gpt-6-luna")
    assert run.returncode == 2
    assert "needs OPENAI_API_KEY" in run.stderr


@pytest.mark.slow
def test_without_a_key_the_judge_is_judged_and_each_judgement_written(tmp_path: Path) -> None:
    run = _run("--tickets", "6", "--json", str(tmp_path / "judgements.json"))
    assert run.returncode == 0, run.stderr
    assert "| wrong sources | 6 | 6 | 1.000 |" in run.stdout
    singles = json.loads((tmp_path / "judgements.json").read_text())
    assert {one["planted"] for one in singles} == {"right", "invention", "wrong sources", "wrong fix"}
    assert all(one["note"].startswith("<div>") for one in singles)


def _run(*words: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "SECRETS_"))}
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.evaluation", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "words", [("--tickets", "0"), ("--tickets", "-3"), ("--at-once", "0"), ("--json", "/no/such/folder/file.json")]
)
def test_words_that_would_lose_what_is_paid_for_are_refused_first(
    words: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err
