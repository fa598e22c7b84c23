"""`ai-agents check` with a model's service that is unreachable or misaddressed."""

import asyncio
import ssl
from threading import Thread

import pytest
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.settings import WorkerSettings
from config.tenant_directory import TenantDirectory
from devstack.free_ports import free_port
from simulators.openai.app import create_openai
from simulators.serving import serve_in_thread
from support.check.findings import State
from support.check.model import ModelCheck
from tests.config.given import ACME
from tests.kit.logs import StartLog


def failed(base_url: str, **settings: str) -> tuple[str, str]:
    """Return the one failed row and its remedy."""
    given = {"database_url": "postgresql://a:b@db/x", "redis_url": "redis://redis:6379/0", "openai_api_key": "k"}

    async def look() -> list[tuple[str, str]]:
        model = ModelCheck(
            TenantDirectory(lambda: dict(ACME)),
            WorkerSettings(**given, openai_base_url=base_url, **settings),  # type: ignore[arg-type]  # pydantic parses
        )
        try:
            return [(row.name, row.remedy) for row in await model.rows("acme") if row.state is State.FAILED]
        finally:
            await model.close()

    (row,) = asyncio.run(look())
    return row


def test_an_address_without_its_path_is_thought_of(start_log: StartLog) -> None:
    """A 404 is also the answer for a missing model."""
    start_log()
    with serve_in_thread(create_openai({"api_key": "k"})) as url:
        name, remedy = failed(url)
    assert name == "model name"
    assert "OPENAI_BASE_URL" in remedy


@pytest.mark.parametrize(
    ("status", "body"), [(301, b""), (308, b""), (405, b"{}"), (200, b"<html>Welcome</html>"), (200, b"{}")]
)
def test_a_server_that_is_no_models_is_told_as_a_wrong_address(status: int, body: bytes, start_log: StartLog) -> None:
    async def page(_request: Request) -> Response:
        return Response(body, status, headers={"Location": "/elsewhere"})

    start_log()
    with serve_in_thread(Starlette(routes=[Route("/{path:path}", page, methods=["POST"])])) as url:
        name, remedy = failed(url)
    assert name == "model address"
    assert "OPENAI_BASE_URL" in remedy


async def _closed(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def test_what_is_in_the_way_has_its_own_remedy(start_log: StartLog) -> None:
    start_log()
    proxy = f"http://127.0.0.1:{free_port()}"
    assert "HTTPS_PROXY" in failed("https://models.example.com/v1", https_proxy=proxy)[1]


def test_an_unknown_authority_is_given_as_a_bundle(start_log: StartLog) -> None:
    start_log()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(_closed, "127.0.0.1", 0, ssl=context))
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        port = server.sockets[0].getsockname()[1]
        assert "OPENAI_CA_BUNDLE" in failed(f"https://localhost:{port}/v1")[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        # Connections close in the loop's next turns; a later test would get the warning.
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()


@pytest.mark.parametrize(
    ("message", "row"),
    [
        ("Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys", "model credit"),
        ("Public access is disabled. Please configure private endpoint.", "model key"),
        ("Your input was flagged", "model answers"),
    ],
)
def test_a_403_is_told_by_what_it_is_about(message: str, row: str, start_log: StartLog) -> None:
    async def refuse(_request: Request) -> Response:
        return JSONResponse({"error": {"message": message, "code": 403}}, 403)

    start_log()
    with serve_in_thread(Starlette(routes=[Route("/{path:path}", refuse, methods=["POST"])])) as url:
        assert failed(url)[0] == row
