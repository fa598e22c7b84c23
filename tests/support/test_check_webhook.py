"""The probe of `ai-agents check` at the receiver's webhook."""

import asyncio
import gzip
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.tenant_directory import TenantDirectory
from simulators.serving import serve_in_thread
from support.check.findings import State
from support.check.webhook import webhook_rows
from tests.kit.logs import StartLog
from tests.kit.receiver import SECRET, TOKEN, Receiver


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve_in_thread(Receiver().app) as address:
        yield f"{address}/webhook"


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [
        ({"WEBHOOK_SECRET_ACME": SECRET}, ""),
        ({"WEBHOOK_TOKEN_INITECH": TOKEN}, ""),
        ({"WEBHOOK_SECRET_ACME": "another"}, "the same WEBHOOK_SECRET_ACME"),
        ({"WEBHOOK_TOKEN_INITECH": TOKEN + "x"}, "the same WEBHOOK_TOKEN_INITECH"),
    ],
)
def test_the_probe_proves_itself_as_a_webhook_does(
    setting: dict[str, str], remedy: str, url: str, start_log: StartLog
) -> None:
    """By signature or by token; the remedy names the one that was refused."""
    start_log()
    (tenant,) = TenantDirectory(lambda: setting).all()
    rows = {row.name: row for row in asyncio.run(webhook_rows(tenant, url, None))}
    assert rows["webhook clock"].state is State.OK
    assert rows["webhook secret"].state is (State.FAILED if remedy else State.OK)
    assert remedy in rows["webhook secret"].remedy


@pytest.mark.parametrize("packed", [False, True])
def test_a_page_that_is_not_the_receivers_is_no_success(packed: bool, start_log: StartLog) -> None:
    """Portals and default pages answer 200 to any POST, sometimes compressed."""

    async def page(_request: Request) -> Response:
        text = b"<html>Welcome</html>"
        return Response(gzip.compress(text), headers={"content-encoding": "gzip"}) if packed else Response(text)

    start_log()
    (tenant,) = TenantDirectory(lambda: {"WEBHOOK_SECRET_ACME": SECRET}).all()
    with serve_in_thread(Starlette(routes=[Route("/webhook", page, methods=["POST"])])) as address:
        rows = {row.name: row for row in asyncio.run(webhook_rows(tenant, f"{address}/webhook", None))}
    assert rows["webhook address"].state is State.FAILED
    assert "POST /webhook" in rows["webhook address"].remedy
    assert rows["webhook secret"].state is State.NOT_CHECKED
