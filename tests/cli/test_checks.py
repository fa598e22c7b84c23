"""`ai-agents check`: proxies, wrong addresses and refusals, with their remedies."""

import asyncio
import gzip
import json
import socket
import ssl
from contextlib import AbstractContextManager
from typing import Any

import pytest
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cli.check.desk import desk_rows
from cli.check.findings import Finding, State
from cli.check.model import ModelCheck
from cli.check.webhook import webhook_rows
from cli.pilot.free_ports import free_port
from config.settings import DeskClientSettings, WorkerSettings
from config.tenant_directory import TenantDirectory
from dev.simulators.openai.app import create_openai
from dev.simulators.serving import serve_in_thread
from tests.config.given import ACME, CLOUD, tenant
from tests.kit.proxy import ConnectProxy, serving_proxy
from tests.kit.receiver import SECRET, TOKEN, Receiver
from tests.kit.tenants_toml import filed

pytestmark = pytest.mark.usefixtures("log")
SERVERS: dict[str, Any] = {"database_url": "postgresql://a:b@db/x", "redis_url": "redis://redis:6379/0"}
GLOBEX = CLOUD | {"WEBHOOK_SECRET_GLOBEX": "s3cret"}
SEEN = {
    "http://u:wrong@127.0.0.1:%d": "407",
    "http://u:p@127.0.0.1:%d": "403",
    "http://127.0.0.1:1": "proxy unreachable",
    "http://proxy.invalid:3128": "proxy unreachable",
}


def serving(answer: Response) -> AbstractContextManager[str]:
    """Serve the same answer to each POST."""

    async def page(_request: Request) -> Response:
        return answer

    return serve_in_thread(Starlette(routes=[Route("/{path:path}", page, methods=["POST"])]))


def failed(rows: list[Finding]) -> Finding:
    (row,) = (row for row in rows if row.state is State.FAILED)
    return row


def probed(settings: dict[str, str], url: str) -> dict[str, Finding]:
    (tenant,) = TenantDirectory(lambda: settings).all()
    return {row.name: row for row in asyncio.run(webhook_rows(tenant, url, None))}


def rows_of_model(base_url: str, **settings: str) -> list[Finding]:
    async def look() -> list[Finding]:
        worker = WorkerSettings(**SERVERS, openai_api_key="k", openai_base_url=base_url, **settings)  # type: ignore[arg-type]  # pydantic parses
        model = ModelCheck(TenantDirectory(lambda: dict(ACME)), worker)
        try:
            return await model.rows("acme")
        finally:
            await model.close()

    return asyncio.run(look())


def of_model(base_url: str, **settings: str) -> tuple[str, str]:
    row = failed(rows_of_model(base_url, **settings))
    return row.name, row.remedy


@pytest.mark.parametrize(
    ("name", "state"), [("gpt-6-luna", State.OK), ("checker", State.OK), ("forbidden", State.WARNING)]
)
def test_the_model_of_checks_is_asked_too(name: str, state: State) -> None:
    async def answer(request: Request) -> Response:
        asked = json.loads(await request.body())["model"]
        if asked == "forbidden":
            return refusal("You are not allowed to use this model.")
        choice = {"message": {"role": "assistant", "content": '{"word": "ready"}'}, "finish_reason": "stop"}
        return JSONResponse({"id": "c", "model": asked, "choices": [choice], "usage": {}})

    with serve_in_thread(Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])) as url:
        rows = rows_of_model(url, openai_check_model=name)
    states = {row.name: row.state for row in rows}
    assert (states["model name"], states["model of checks"]) == (State.OK, state)


@pytest.mark.parametrize("address", SEEN)
def test_a_proxy_that_refuses_or_is_not_there_has_its_own_remedy(address: str) -> None:
    with serving_proxy(ConnectProxy(credentials="u:p", otherwise=403)) as proxy:
        url = address % proxy.port if "%" in address else address
        settings = DeskClientSettings(**SERVERS, https_proxy=url)
        found = [failed(asyncio.run(desk_rows(tenant(given), settings, None))) for given in (ACME, GLOBEX)]
        found += [failed(asyncio.run(webhook_rows(tenant(ACME), "https://api.example.com/webhook", settings)))]
    assert [row.name for row in found] == ["desk address", "desk credentials", "webhook address"]
    for row, host in zip(found, ("desk.acme.example", "accounts.zoho.eu", "api.example.com"), strict=True):
        assert SEEN[address] in row.seen
        assert "HTTPS_PROXY" in row.remedy
        assert host in row.remedy
    away = f"http://127.0.0.1:{free_port()}"
    assert "HTTPS_PROXY" in of_model("https://models.example.com/v1", https_proxy=away)[1]


def test_a_404_suggests_a_wrong_address() -> None:
    """A 404 is also the answer for a missing model, and an accounts host that is away says nothing of its secrets."""
    with serve_in_thread(create_openai({"api_key": "k"})) as url:
        name, remedy = of_model(url)
    assert (name, "OPENAI_BASE_URL" in remedy) == ("model name", True)
    given = filed(GLOBEX, {"globex.servicedesk.accounts_url": f"https://localhost:{free_port()}"})
    row = failed(asyncio.run(desk_rows(tenant(given), DeskClientSettings(**SERVERS), None)))
    assert row.name == "desk credentials"
    assert "globex.servicedesk.accounts_url in tenants.toml is the accounts host" in row.remedy


def test_a_desk_that_does_not_answer_may_have_a_wrong_address() -> None:
    settings = DeskClientSettings(**SERVERS, servicedesk_timeout_seconds=0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        given = ACME | {"SERVICEDESK_URL_ACME": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        row = failed(asyncio.run(desk_rows(tenant(given), settings, None)))
    assert (row.name, "SERVICEDESK_URL_ACME" in row.remedy) == ("desk address", True)


def test_the_probe_authenticates_like_a_webhook() -> None:
    with serve_in_thread(Receiver().app) as address:
        for name, secret, is_right in (
            ("WEBHOOK_SECRET_ACME", SECRET, True),
            ("WEBHOOK_TOKEN_INITECH", TOKEN, True),
            ("WEBHOOK_SECRET_ACME", "another", False),
            ("WEBHOOK_TOKEN_INITECH", TOKEN + "x", False),
        ):
            rows = probed({name: secret}, f"{address}/webhook")
            assert rows["webhook clock"].state is State.OK
            assert rows["webhook secret"].state is (State.OK if is_right else State.FAILED)
            assert (f"the same {name}" in rows["webhook secret"].remedy) is not is_right
            # An address without TLS has no certificate that is in order.
            assert rows["webhook certificate"].state is State.WARNING
            assert "not encrypted" in rows["webhook certificate"].seen
            assert "https://" in rows["webhook certificate"].remedy


def test_a_foreign_page_is_no_success() -> None:
    """Portals and default pages answer 200 to any POST, sometimes compressed."""
    text = b"<html>Welcome</html>"
    for page in (Response(text), Response(gzip.compress(text), headers={"content-encoding": "gzip"})):
        with serving(page) as address:
            rows = probed({"WEBHOOK_SECRET_ACME": SECRET}, f"{address}/webhook")
        assert (rows["webhook address"].state, rows["webhook secret"].state) == (State.FAILED, State.NOT_CHECKED)
        assert "POST /webhook" in rows["webhook address"].remedy


LIMIT = "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys"


def refusal(message: str) -> Response:
    return JSONResponse({"error": {"message": message, "code": 403}}, 403)


@pytest.mark.parametrize(
    ("answer", "row", "remedy"),
    [
        *((Response(b"", status, {"Location": "/"}), "model address", "OPENAI_BASE_URL") for status in (301, 308)),
        *((Response(b"{}", status), "model address", "OPENAI_BASE_URL") for status in (200, 405)),
        (Response(b"<html>Welcome</html>"), "model address", "OPENAI_BASE_URL"),
        (refusal(LIMIT), "model credit", ""),
        (refusal("Public access is disabled. Please configure private endpoint."), "model key", ""),
        (refusal("Your input was flagged"), "model answers", ""),
    ],
)
def test_a_refusal_is_told_by_what_it_is_about(answer: Response, row: str, remedy: str) -> None:
    with serving(answer) as url:
        name, told = of_model(url)
    assert (name, remedy in told) == (row, True)


def test_an_unknown_authority_is_given_as_a_bundle() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with serving_proxy(ConnectProxy(), context) as server:
        assert "OPENAI_CA_BUNDLE" in of_model(f"https://localhost:{server.port}/v1")[1]
