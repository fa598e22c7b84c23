"""Known answers of OpenAI, OpenRouter, Azure and local servers, and whole jobs."""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from integrations.errors import HeldBack, OutsideFailure
from integrations.http import Outward
from integrations.resilience import HoldReason
from simulators.openai import create_openai
from simulators.serving import serve_in_thread
from tests.integrations.canned import with_certificate
from tests.kit.logs import StartLog
from tests.kit.model import PROMPT, opened
from tests.kit.proxy import ConnectProxy, serving_proxy, with_tls
from tests.kit.simulators import FAST_MODEL
from workflow.answer import Enhancement


@dataclass(frozen=True)
class ProviderAnswer:
    """An answer that was seen or documented; it `becomes` a reason to hold, or a failure whose line has `told`."""

    provider: str
    status: int
    becomes: str
    told: str
    body: Any
    source: str
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float | None = None

    def __str__(self) -> str:
        return f"{self.provider} {self.told} {self.source.rpartition('/')[2]}"


ANSWERS = [
    ProviderAnswer(**row)
    for row in json.loads(Path(__file__).with_name("provider_answers.json").read_text(encoding="utf-8"))
]


@pytest.fixture(scope="module")
def answering() -> Iterator[str]:
    """Serve each known answer under its number."""

    async def answer(request: Request) -> Response:
        known = ANSWERS[int(request.path_params["number"])]
        if isinstance(known.body, str):
            return Response(known.body, known.status, known.headers, "text/event-stream")
        return Response(json.dumps(known.body), known.status, known.headers, "application/json")

    with serve_in_thread(Starlette(routes=[Route("/{number}/v1/chat/completions", answer, methods=["POST"])])) as url:
        yield url


@pytest.fixture
def log(start_log: StartLog) -> io.StringIO:
    return start_log()


@pytest.mark.parametrize("known", ANSWERS, ids=str)
async def test_each_known_answer_is_understood(known: ProviderAnswer, answering: str, log: io.StringIO) -> None:
    """Support's line is logged once: by the client for a hold, else by the worker."""
    line = f"OpenAI API error: {known.told}"
    async with opened(f"{answering}/{ANSWERS.index(known)}") as gpt4:
        with pytest.raises((OutsideFailure, HeldBack)) as stopped:
            await gpt4.ask(PROMPT, Enhancement)
    failure = stopped.value
    assert isinstance(failure, OutsideFailure | HeldBack)
    if isinstance(failure, OutsideFailure):
        assert type(failure).__name__ == known.becomes
        assert failure.phrase.template.format(**failure.values) == line
        assert getattr(failure, "retry_after", None) == known.wait
        assert log.getvalue() == ""
    else:
        assert (failure.reason, failure.extends_deadline) == (HoldReason[known.becomes], True)
        assert log.getvalue().count(line) == log.getvalue().count(f"Hold error: model: {failure.reason}") == 1


@contextmanager
def simulated(provider: str, **config: Any) -> Iterator[str]:
    with serve_in_thread(create_openai({**FAST_MODEL, "provider": provider, **config})) as url:
        yield url


def document_of(status: int, provider: str) -> list[Any]:
    """Return the known bodies of a provider with that status."""
    return [known.body for known in ANSWERS if (known.provider, known.status) == (provider, status)]


REFUSED: list[tuple[str, str, dict[str, Any], int]] = [
    ("openrouter", "/api/v1", {"key": "sk-wrong"}, 401),
    ("openrouter", "/api/v1", {"model": "gpt-6-luna"}, 400),
    ("openrouter", "/api/v1", {"model": "openai/gpt-6-luna", "provider": {"require_parameters": True}}, 404),
    ("azure", "/openai/v1", {"key": "sk-wrong"}, 401),
    ("azure", "/openai/v1", {"model": "gpt-6-luna"}, 404),
    ("azure", "/v1", {"model": "enhancer"}, 404),
    ("local", "/v1", {"model": "x", "key": "anything"}, 404),
]


@pytest.mark.parametrize(
    ("provider", "config"),
    [("openrouter", {"lacks": ["json_schema"]}), ("azure", {"models": ["enhancer"]}), ("local", {"models": ["llama"]})],
)
def test_the_simulator_of_a_provider_refuses_in_the_words_that_are_known_of_it(provider: str, config: Any) -> None:
    schema = {"name": "a", "schema": {"type": "object", "properties": {}}}
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    body |= {"response_format": {"type": "json_schema", "json_schema": schema}}
    with simulated(provider, **config) as url, httpx2.Client(base_url=url, trust_env=False) as client:
        for _, path, asked, status in [row for row in REFUSED if row[0] == provider]:
            order = body | {"model": asked.get("model", "enhancer"), "provider": asked.get("provider")}
            key = {"authorization": f"Bearer {asked.get('key', 'sk-test')}"}
            answer = client.post(f"{path}/chat/completions", json=order, headers=key)
            assert answer.status_code == status, answer.text
            assert answer.json() in document_of(status, provider)


@pytest.mark.parametrize(
    ("provider", "path", "key", "lacks"),
    [
        # Azure is asked under the deployment's own name; a local server takes any key and need not know the formats.
        ("azure", "/openai", "sk-test", []),
        *(
            ("local", "", "anything", lacks)
            for lacks in (["json_schema"], ["json_object"], ["json_schema", "json_object"])
        ),
    ],
)
async def test_a_provider_with_models_of_its_own_answers(provider: str, path: str, key: str, lacks: list[str]) -> None:
    with simulated(provider, models=["enhancer"], lacks=lacks) as url:
        async with opened(url + path, key=key, model="enhancer") as gpt4:
            assert (await gpt4.ask(PROMPT, Enhancement)).content.summary


async def test_openrouter_is_asked_with_less_until_an_endpoint_takes_it(tmp_path: Path) -> None:
    """The proxy keeps OpenRouter's host name; other hosts are called like OpenAI."""
    with simulated("openrouter", lacks=["json_schema", "reasoning"]) as url:
        authority, bundle, port = trustme.CA(), tmp_path / "authority.pem", urlsplit(url).port or 0
        authority.cert_pem.write_to_path(str(bundle))
        with (
            with_tls(port, with_certificate(authority, "openrouter.ai")) as its_port,
            serving_proxy(ConnectProxy({"openrouter.ai:443": its_port})) as proxy,
        ):
            way = Outward(f"http://127.0.0.1:{proxy.port}", ca_bundle=bundle)
            async with opened("https://openrouter.ai/api", model="openai/gpt-6-luna", outward=way) as gpt4:
                answers = [await gpt4.ask(PROMPT, Enhancement) for _ in range(2)]
        async with httpx2.AsyncClient(trust_env=False) as client:
            received = (await client.get(f"{url}/_sim/requests")).json()["requests"]
    asked = [request["payload"] for request in received]
    assert all(answer.usage.cost for answer in answers)
    formats = [(request["response_format"]["type"], "reasoning" in request) for request in asked]
    assert formats == [("json_schema", True), ("json_object", True), ("json_object", False), ("json_object", False)]
    assert all(request["provider"] == {"require_parameters": True} for request in asked)
