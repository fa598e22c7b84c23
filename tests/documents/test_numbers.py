"""The numbers that stand in sentences are the product's.

Most are in the tables that sentences link to. These are not: support works with them, since the FAQ promises their
words, or they stand in an example of a log line or in a command.
"""

import re
from typing import Any

import pytest

from config.settings import WorkerSettings
from devstack import document_limits, document_tables
from integrations import breaker
from integrations.servicedesk import answers
from storage import limits
from tests.documents.documents import ROOT, documents


def panel(title: str) -> list[float]:
    """Where a panel changes its colour."""
    (steps,) = [
        one["fieldConfig"]["defaults"]["thresholds"]["steps"]
        for page in document_tables._pages()
        for one in document_tables._panels(page)
        if one["title"] == title
    ]
    return [step["value"] for step in steps if step["value"] is not None]


def normal(title: str, words: str) -> list[int]:
    """The numbers of a panel's description, which stand in its words."""
    rows = [row for page in document_tables._pages() for row in document_tables.panels(page) if row[0] == title]
    return [int(number) for number in re.findall(words, rows[0][2])[0].split(" to ")]


def rule(alert: str) -> tuple[float, int]:
    """What an alert asks for, and for how many minutes."""
    (found,) = [one for one in document_tables._rules() if one["alert"] == alert]
    return float(re.findall(r"[<>] ([\d.]+)", found["expr"])[0]), int(found["for"].removesuffix("m"))


def default(setting: str) -> Any:
    return WorkerSettings.model_fields[setting].default


def in_file(name: str, words: str) -> float:
    return float(re.findall(words, (ROOT / name).read_text(encoding="utf-8"))[0])


MODERATE, HIGH, CRITICAL = panel("Queue Depth")
DEPTH, DEPTH_MINUTES = rule("AiAgentsQueueDepthHigh")
SUCCESS, SUCCESS_MINUTES = rule("AiAgentsSuccessRateLow")
(TARGET,) = panel("p95 Enhancement Latency")
(USUAL,) = panel("Latency by Step")
(SLOW,) = panel("External API Latency")
PERCENT = round(SUCCESS * 100)
KEDA = document_limits._objects("components/keda/worker-scaling.yaml")[1]["spec"]
SCALED = document_limits._objects("overlays/production/scaling.yaml")[0]["spec"]
PER_WORKER = int(KEDA["triggers"][0]["metadata"]["listLength"])
API_PODS = document_limits._objects("overlays/production/sizes.yaml")[0]["spec"]["replicas"]
LEAST, MOST = SCALED["minReplicaCount"], SCALED["maxReplicaCount"]
PYTHON = float(in_file("pyproject.toml", r'requires-python = ">=(.+)"'))
WEBHOOKS = in_file("k8s/base/api.yaml", r"name: http\n +containerPort: (\d+)")
PROBES, METRICS = (in_file("Dockerfile", rf"{name}=(\d+)") for name in ("API_PROBE_PORT", "METRICS_PORT"))

# Words with `{}` for each number, and what may stand there.
NUMBERS: dict[str, list[tuple[float, ...]]] = {
    "under {} normal, {} to {} moderate, {} to {} high, over {} critical": [
        (MODERATE, MODERATE, HIGH, HIGH, CRITICAL, CRITICAL)
    ],
    "a number over {} | critical": [(CRITICAL,)],
    "a number over {} | high": [(HIGH,)],
    "a number over {} | moderate": [(MODERATE - 1,)],
    "workers take; over {}, a note comes more than {} minutes late": [(HIGH, panel("Oldest Job")[1] / 60)],
    "when under {} wait": [(MODERATE,)],
    "when the queue is under {},": [(MODERATE,)],
    "Under {}, give it back": [(MODERATE,)],
    "must fall by {} to {} jobs a minute": [tuple(normal("Queue Depth", r"falls by (\d+ to \d+) jobs a minute"))],
    "over {} minutes is stuck": [(panel("Oldest Job")[-1] / 60,)],
    "a queue of over {} jobs for {} minutes": [(DEPTH, DEPTH_MINUTES)],
    "success rate of under {} % for {} minutes": [(PERCENT, SUCCESS_MINUTES)],
    "success rate under {} % for {} minutes": [(PERCENT, SUCCESS_MINUTES)],
    "under {} %": [(PERCENT,)],
    "`Error Rate`: over {} %": [(panel("Error Rate")[0] * 100,)],
    "`p95 Enhancement Latency` under {} s": [(TARGET,)],
    "`p95 Enhancement Latency`: over {} s": [(TARGET,)],
    "normal job takes about {} s": [(USUAL,)],
    "About {} s are normal": [(USUAL,)],
    "normally `GPT-4`, with about {} s": [tuple(normal("Latency by Step", r"gpt4 about (\d+) s"))],
    "a p95 over {} s is slow": [(SLOW,)],
    "Over {} s: slow": [(SLOW,)],
    "their desk answers in over {} s": [(SLOW,)],
    "ticket updated` over {}": [(SLOW * 1000,)],
    "`Context gathered` over {}": [(SLOW * 1000,)],
    "API call failed: timeout after {}s": [(default("openai_timeout_seconds"),)],
    "Context gathering timeout after {}s": [(default("context_timeout_seconds"),)],
    "gave up after {} attempts": [(limits.MOST_ATTEMPTS,)],
    "desk unavailable, held back for {}s": [(breaker.REST_SECONDS,)],
    "failed {} times in a row": [(breaker.MOST_FAILURES,)],
    "added from {} waiting jobs a worker on": [(PER_WORKER,)],
    "one for each {} waiting jobs": [(PER_WORKER,)],
    "their number (normally {})": [(LEAST,)],
    "ai-agents-worker -n ai-agents-production --replicas={}": [(LEAST,), (MOST,)],
    "paused-replicas={}": [(MOST,)],
    "ai-agents-api -n ai-agents-production --replicas={}": [(API_PODS,)],
    "Python {} or later": [(PYTHON,)],
    "as user {}": [(in_file("Dockerfile", r"USER (\d+)"),)],
    "whether they are ready, at port {}": [(METRICS,)],
    "at port {} of a worker": [(METRICS,)],
    "METRICS_PORT={}": [(METRICS,)],
    "the API has both at port {}": [(PROBES,)],
    "at port {} of the API": [(PROBES,)],
    "API_PROBE_PORT={}": [(PROBES,)],
    "are at `metrics` ({},": [(PROBES,)],
    "leads to `http` ({})": [(WEBHOOKS,)],
    "Publish {} to the world": [(WEBHOOKS,)],
    "{} is success; {} is a warning": [(answers.SUCCESS, answers.WARNING)],
}


def told(words: str, text: str) -> list[tuple[float, ...]]:
    """The numbers that a text has where they stand in these words."""
    shape = re.escape(words).replace(r"\{\}", r"(\d+(?:\.\d+)?)")
    return [tuple(map(float, found.groups())) for found in re.finditer(shape, text)]


@pytest.mark.parametrize("words", NUMBERS)
def test_a_number_in_a_sentence_is_the_products_wherever_it_stands(words: str) -> None:
    found = [(document.name, numbers) for document in documents() for numbers in told(words, document.text)]
    assert found, "nobody says it any more"
    assert [(name, numbers) for name, numbers in found if numbers not in NUMBERS[words]] == []


@pytest.mark.parametrize("words", NUMBERS)
def test_another_number_in_its_place_is_found(words: str) -> None:
    """Whichever of them it is."""
    for right in NUMBERS[words]:
        for place in range(len(right)):
            wrong = [number + (index == place) for index, number in enumerate(right)]
            (found,) = told(words, f"It says {words.format(*(f'{number:g}' for number in wrong))}.")
            assert found not in NUMBERS[words]
