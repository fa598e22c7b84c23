"""The evaluated models, each through the product's client."""

import sys
from collections.abc import Sequence

from benchmarks.evaluation.asking import ask_about_all, question_about
from benchmarks.evaluation.cases import EvaluatedTicket
from benchmarks.evaluation.figures import AskedModel
from benchmarks.evaluation.judge import judged
from config.loading import SettingsRefused, load
from config.settings import WorkerSettings
from integrations.errors import MODEL_UNAVAILABLE
from integrations.http import Outward
from integrations.model.client import ModelClient
from integrations.resilience import Breaker
from workflow import tokens

_NO_KEY = ["OPENAI_API_KEY is missing"]


def model_settings() -> WorkerSettings | None:
    """Return the worker's settings, used for the model; None without a model key."""
    unused = {"database_url": "postgresql://nobody@127.0.0.1/none", "redis_url": "redis://127.0.0.1/0"}
    try:
        return load(WorkerSettings, **unused)
    except SettingsRefused as refused:
        if refused.problems == _NO_KEY:
            return None
        raise


async def ask_models(
    cases: Sequence[EvaluatedTicket],
    models: Sequence[str],
    versions: Sequence[str],
    settings: WorkerSettings,
    at_once: int,
) -> list[AskedModel]:
    """Query each model in each version in turn, after printing the number of paid requests."""
    clients = [_client(name, settings, at_once) for name in models]
    try:
        runs = [(client, version) for client in clients for version in versions]
        prompts = [question_about(case, client, version).prompt for client, version in runs for case in cases]
        size = sum(tokens.count(prompt.system + prompt.user) for prompt in prompts)
        sys.stderr.write(
            f"{len(cases)} tickets, {len(runs)} of model and prompt: {len(prompts)} answers are paid for, about "
            f"{size:,} tokens to read; one that has to be repaired is a second call.\n"
        )
        asked = []
        for client, version in runs:
            answers = await ask_about_all(cases, client, version, at_once)
            asked.append(AskedModel(client.name, version, [judged(answer) for answer in answers]))
        return asked
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
        outward=Outward.of(settings, settings.openai_ca_bundle),
    )
