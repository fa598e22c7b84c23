"""The evaluated models, each through the product's client, and their figures."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from config.settings import WorkerSettings
from dev.benchmarks.report import table
from dev.evaluation.cases import EvaluatedTicket
from dev.evaluation.judge import Judgement, judged
from dev.evaluation.runner import question_about, run_tickets
from integrations.errors import MODEL_UNAVAILABLE
from integrations.http import EgressConfig
from integrations.llm.client import ModelClient
from integrations.resilience import Breaker
from workflow.prompt import count_tokens

_CONFIDENCES = ("high", "medium", "low")
HEAD = (
    "model",
    "prompt",
    "tickets",
    "fix named",
    "sources right",
    "answers with an invention",
    "notes with one",
    "something left out",
    *(f"fix named, {each}" for each in _CONFIDENCES),
    "repaired / no answer",
    "tokens in / out",
    "dollars",
    "s p50 / p95",
)


@dataclass(frozen=True, slots=True)
class PromptedModel:
    """A model with a prompt version and its judgements."""

    model: str
    prompt: str
    judgements: Sequence[Judgement]

    def row(self) -> list[str]:
        answered = [judgement for judgement in self.judgements if not judgement.failed]
        dollars = [judgement.dollars for judgement in self.judgements if judgement.dollars is not None]
        seconds = [judgement.seconds for judgement in self.judgements]
        return [
            self.model,
            self.prompt,
            str(len(self.judgements)),
            share(self.judgements, fix_named),
            share(answered, sources_right),
            share(answered, lambda judgement: float(bool(judgement.inventions))),
            share(answered, lambda judgement: float(bool(judgement.in_note))),
            share(answered, lambda judgement: float(judgement.left_out > 0)),
            *(self._fix_share(confidence) for confidence in _CONFIDENCES),
            f"{sum(judgement.repaired for judgement in self.judgements)} / {len(self.judgements) - len(answered)}",
            " / ".join(_mean_of(answered, field) for field in ("input_tokens", "output_tokens")),
            f"{sum(dollars):.4f}" if dollars else "unknown",
            f"{_quantile(seconds, 0.5):.1f} / {_quantile(seconds, 0.95):.1f}",
        ]

    def _fix_share(self, confidence: str) -> str:
        values = [fix_named(judgement) for judgement in self.judgements if judgement.confidence == confidence]
        rated = [value for value in values if value is not None]
        return f"{fmean(rated):.2f} of {len(rated)}" if rated else "none"


def fix_named(judgement: Judgement) -> float | None:
    """Return 1 if the fix is named, else 0; None for a ticket without a solution."""
    if judgement.family is None:
        return None
    return float(bool(judgement.fix_named))


def sources_right(judgement: Judgement) -> float | None:
    """Return the right share of claims with sources; None without such a claim."""
    sourced = judgement.right + judgement.wrong
    return judgement.right / sourced if sourced else None


def share(judgements: Sequence[Judgement], measure: Callable[[Judgement], float | None]) -> str:
    values = [value for value in map(measure, judgements) if value is not None]
    return f"{fmean(values):.2f}" if values else "none"


def _mean_of(judgements: Sequence[Judgement], field: str) -> str:
    return f"{fmean(getattr(judgement, field) for judgement in judgements):.0f}" if judgements else "0"


def _quantile(values: Sequence[float], share_below: float) -> float:
    return sorted(values)[int(len(values) * share_below)] if values else 0.0


def rows_of(models: Sequence[PromptedModel]) -> list[str]:
    return table(HEAD, [model.row() for model in models])


async def evaluate_models(
    cases: Sequence[EvaluatedTicket],
    models: Sequence[str],
    versions: Sequence[str],
    settings: WorkerSettings,
    at_once: int,
) -> list[PromptedModel]:
    clients = [_client(name, settings, at_once) for name in models]
    try:
        runs = [(client, version) for client in clients for version in versions]
        prompts = [question_about(case, client.name, version).prompt for client, version in runs for case in cases]
        size = sum(count_tokens(prompt.system + prompt.user) for prompt in prompts)
        sys.stderr.write(
            f"{len(cases)} tickets, {len(runs)} of model and prompt: {len(prompts)} answers are paid for, about "
            f"{size:,} tokens to read; one that has to be repaired is a second call.\n"
        )
        results = []
        for client, version in runs:
            answers = await run_tickets(cases, client, version, at_once)
            results.append(PromptedModel(client.name, version, [judged(answer) for answer in answers]))
        return results
    finally:
        for client in clients:
            await client.close()


def _client(name: str, settings: WorkerSettings, at_once: int) -> ModelClient:
    return ModelClient(
        api_key=settings.openai_api_key,
        base_url=settings.openai_base_url,
        model=name,
        idle_seconds=settings.openai_timeout_seconds,
        total_seconds=settings.openai_deadline_seconds,
        connections=at_once,
        breaker=Breaker(f"model {name}", MODEL_UNAVAILABLE),
        egress=EgressConfig.of(settings, settings.openai_ca_bundle),
    )
